"""Choose a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_axongen.bridge.layers import is_image_of_its_own

from .parts import Hint

if TYPE_CHECKING:
    import napari


class LayerPicker(QWidget):
    """Choose a layer; follows the layer list, and says under it why a layer is refused.

    Signals
    -------
    changed()
        Another layer is chosen, or the chosen one has other data, scale or units now.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        offers: Callable[[Any], bool],
        why_not: Callable[[Any], str | None] = lambda layer: None,
        nothing: str = "Open an image first.",
        prefers: Callable[[Any], bool] = lambda layer: True,
        optional: bool = False,
    ) -> None:
        super().__init__()
        self._viewer, self._offers, self._why_not = viewer, offers, why_not
        self._nothing, self._prefers, self._optional = nothing, prefers, optional
        self._layers: list[Any] = []
        self.box = QComboBox()
        self.box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.box.setMinimumContentsLength(12)
        self.box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.reason = Hint(warning=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.box)
        layout.addWidget(self.reason)
        self._shown: Any = None  # the layer that the world was last told of
        self.refresh()
        self.box.currentIndexChanged.connect(self._on_chosen)
        events = viewer.layers.events
        self._emitters = [events.inserted, events.removed, events.reordered, events.renamed]
        for emitter in self._emitters:
            emitter.connect(self.refresh)

    @property
    def layer(self) -> Any | None:
        """The chosen layer, accepted or not."""
        index = self.box.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    @property
    def accepted(self) -> Any | None:
        """The chosen layer if it can be used."""
        return None if self.layer is None or self.reason.text() else self.layer

    def choose(self, layer: Any) -> None:
        """Choose a layer that is on offer; any other is ignored."""
        if layer in self._layers:
            self.box.setCurrentIndex(self._layers.index(layer))

    def refresh(self, event: Any = None) -> None:
        """Follow the layer list: keep the choice, or else take the active or the last layer."""
        before = self.layer
        self._layers = [
            layer
            for layer in self._viewer.layers
            if self._offers(layer) and is_image_of_its_own(layer)
        ]
        self.box.blockSignals(True)
        self.box.clear()
        self.box.addItems([layer.name for layer in self._layers])
        chosen = before if before in self._layers else self._first_choice()
        self.box.setCurrentIndex(-1 if chosen is None else self._layers.index(chosen))
        self.box.blockSignals(False)
        self._on_chosen()

    def _first_choice(self) -> Any | None:
        if self._optional or not self._layers:
            return None
        preferred = [layer for layer in self._layers if self._prefers(layer)]
        active = self._viewer.layers.selection.active
        return active if active in preferred else (preferred or self._layers)[-1]

    def close_down(self) -> None:
        """Listen no more."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        self._emitters = []
        self._follow(None)

    def _on_chosen(self, index: int = 0) -> None:
        layer = self.layer
        if layer is None or layer != self._shown:
            self._follow(layer)
            self._on_touched()

    def _on_touched(self, event: Any = None) -> None:
        layer = self.layer
        nothing = "" if self._optional else self._nothing
        self.reason.say(nothing if layer is None else self._why_not(layer) or "")
        self.changed.emit()

    def _follow(self, layer: Any | None) -> None:
        """Listen to the chosen layer instead of the one before."""
        for before, act in ((self._shown, "disconnect"), (layer, "connect")):
            if before is not None:
                for name in ("data", "scale", "units"):
                    getattr(getattr(before.events, name), act)(self._on_touched)
        self._shown = layer
