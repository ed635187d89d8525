"""Images that the plugin makes, to learn from: alone, or beside real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_axongen.bridge.plans import surrogate_words
from napari_axongen.core.errors import InputError
from napari_axongen.core.surrogate.presets import PRESETS

from .spin import choice_box, ignore_wheel

if TYPE_CHECKING:
    import napari

_FROM_DOCK = "As in the open surrogate dock"
_DISTINCT, _HELD_OUT, _MICROGRAPHS = 256, 8, 16


class SurrogatePanel(QWidget):
    """Which surrogates: a preset or what the surrogate dock shows, and how many.

    Signals
    -------
    changed()
        Others.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, held_out: bool) -> None:
        super().__init__()
        self._viewer = viewer
        self.preset = choice_box(
            "How they look. To set it yourself, or to match an image, open 'Generate two-photon "
            "axons' and choose the last entry."
        )
        for name, one in PRESETS.items():
            self.preset.addItem(name, name)
            self.preset.setItemData(
                self.preset.count() - 1, one.description, Qt.ItemDataRole.ToolTipRole
            )
        self.preset.addItem(_FROM_DOCK, None)
        self.preset.setCurrentIndex(self.preset.findData("two-photon"))
        self.count = _number(_DISTINCT, 1, "How many different images are drawn from.")
        self.held_out = _number(_HELD_OUT, 0, "Further ones, to validate on.")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Look", self.preset)
        form.addRow("Images", self.count)
        if held_out:
            form.addRow("Held out", self.held_out)
        for signal in (
            self.preset.currentIndexChanged,
            self.count.valueChanged,
            self.held_out.valueChanged,
        ):
            signal.connect(lambda _: self.changed.emit())

    def words(self) -> dict[str, Any]:
        """As recipes say them.

        Raises
        ------
        InputError
            The surrogate dock is not open, or something in it is out of bounds.
        """
        return {
            "parameters": self.preset.currentData() or self._shown(),
            "count": self.count.value(),
            "held_out": self.held_out.value(),
        }

    def _shown(self) -> str | dict[str, Any]:
        """What the surrogate dock of the viewer says."""
        from .surrogate import SurrogateDock  # takes as long to load as all the rest

        for widget in self._viewer.window.dock_widgets.values():
            if isinstance(widget, SurrogateDock):
                return surrogate_words(widget.parameters())
        raise InputError(
            "The surrogate dock is not open: open 'Generate two-photon axons', or choose a preset."
        )


class Mixing(QWidget):
    """Images that are made, to train on beside the real ones.

    Signals
    -------
    changed()
        Others, or another share.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._fluorescent = False
        self.on = QCheckBox()
        self.surrogates = SurrogatePanel(viewer, held_out=False)
        self.micrographs = _number(_MICROGRAPHS, 1, "How many are made before training starts.")
        self._count = QWidget()
        row = QFormLayout(self._count)
        row.setContentsMargins(0, 0, 0, 0)
        row.addRow("Images", self.micrographs)
        self.real = QSlider(Qt.Orientation.Horizontal)
        self.real.setRange(0, 100)
        self.real.setValue(50)
        self.real.setPageStep(25)
        self.real.setToolTip("Part of the crops that are of real images; the rest is made.")
        self.said = QLabel()
        self.said.setMinimumWidth(58)
        share = QHBoxLayout()
        share.addWidget(self.real, 1)
        share.addWidget(self.said)
        self._inside = QWidget()
        inside = QVBoxLayout(self._inside)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4)
        inside.addLayout(share)
        inside.addWidget(self.surrogates)
        inside.addWidget(self._count)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.on)
        layout.addWidget(self._inside)
        for signal in (
            self.on.toggled,
            self.real.valueChanged,
            self.micrographs.valueChanged,
        ):
            signal.connect(lambda _: self._on_change())
        self.surrogates.changed.connect(self.changed)
        self.offer(False)

    def offer(self, fluorescent: bool) -> None:
        """Offer what is made for a kind of microscope."""
        self._fluorescent = fluorescent
        self.on.setText(
            "Add surrogate images" if fluorescent else "Add micrographs made out of nothing"
        )
        self.on.setToolTip(
            "Also learn from images that the plugin makes with exact labels: it helps where few "
            "images are labelled."
        )
        self.surrogates.setVisible(fluorescent)
        self._count.setVisible(not fluorescent)
        self._on_change()

    def entries(self) -> dict[str, Any]:
        """What a recipe says of it.

        Raises
        ------
        InputError
            As of `SurrogatePanel.words`.
        """
        if not self.on.isChecked():
            return {}
        if self._fluorescent:
            made = {"source": "surrogate", **self.surrogates.words(), "held_out": 0}
        else:
            made = {"source": "micrographs", "count": self.micrographs.value()}
        return {"made": made, "share": round(1 - self.real.value() / 100, 2)}

    def _on_change(self) -> None:
        self._inside.setVisible(self.on.isChecked())
        self.said.setText(f"{self.real.value()} % real")
        self.changed.emit()


def _number(value: int, least: int, help_: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, 100_000)
    box.setValue(value)
    box.setToolTip(help_)
    ignore_wheel(box)
    return box
