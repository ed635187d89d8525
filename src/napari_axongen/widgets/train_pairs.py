"""The open images to train on, each with its labels, what it is used for, and its animal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QTableWidgetItem, QVBoxLayout, QWidget

from napari_axongen.bridge.open_pairs import (
    PARTS,
    OpenPair,
    animal_of,
    fitting_pairs,
    label_choices,
    may_train,
    with_parts,
)
from napari_axongen.bridge.translating import contrast_of

from .parts import Hint
from .rest import Rest
from .train_table import ShortTable

if TYPE_CHECKING:
    import napari

_ANIMAL = "Images of one animal stay on one side, or the scores would flatter the model."
_USE = (
    "Train on it; validate: chosen for the curves and the best weights, never trained on; test: "
    "scored once, at the end."
)
_COLUMNS = (
    ("Image", "The image layer."),
    (
        "Labels",
        "Labels of the same size: axons and myelin as one layer (1 and 2, or 127 and 255) or as "
        "one each; in fluorescence any label is what is to be found.",
    ),
    ("Use", _USE),
    ("Animal", _ANIMAL),
)


class PairTable(QWidget):
    """A row for each image; filled with all that fit until a person changes it.

    Signals
    -------
    changed()
        Other pairs, or another use of one.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._classes: Sequence[str] = ()
        self._contrast: str | None = None
        self._pairs: list[OpenPair] = []
        self._touched = False  # by a person, who is not to be overruled
        self._followed: list[Any] = []  # emitters of the layers in the table
        self.table = ShortTable(_COLUMNS, {2: 118, 3: 74})
        self.nothing = Hint()
        self.all = _button("Add all that fit", "Every open image with labels of its size.")
        self.one = _button("Add", "The selected image layer, or the next one.")
        self.less = _button("Remove", "The selected rows; the layers stay.")
        row = QHBoxLayout()
        for button, act in (
            (self.all, self.fill),
            (self.one, self.add),
            (self.less, self.remove),
        ):
            row.addWidget(button)
            button.clicked.connect(lambda *_, act=act: act())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        layout.addWidget(self.nothing)
        layout.addLayout(row)
        self._rest = Rest(self, 0, self._on_layers)  # of many layers that come at once
        self.table.itemChanged.connect(self._on_item)
        events = viewer.layers.events
        self._emitters = [events.inserted, events.removed, events.renamed]
        for emitter in self._emitters:
            emitter.connect(self._later)

    @property
    def pairs(self) -> list[OpenPair]:
        """What the table says."""
        return list(self._pairs)

    def set_classes(self, classes: Sequence[str], contrast: str | None) -> None:
        """Look for labels of other classes, and by oneself only for images of a microscope."""
        self._contrast = contrast
        if tuple(classes) != tuple(self._classes):
            self._classes, self._touched = tuple(classes), False
        self._on_layers()

    def fill(self) -> None:
        """Take every image with labels of its size."""
        self._touched = False
        self._on_layers()

    def add(self) -> None:
        """Take one image more: the active layer, or the first that is not there yet."""
        there = [pair.image for pair in self._pairs]
        layers = list(self._viewer.layers)
        active = self._viewer.layers.selection.active
        for image in [active, *layers]:
            if image in layers and image not in there and may_train(image):
                choices = label_choices(image, layers, self._classes)
                if choices:
                    self._take([*self._pairs, OpenPair(image, choices[0], animal=animal_of(image))])
                    return
        self.nothing.say("No other open image has labels of its size: add a Labels layer to it.")

    def remove(self) -> None:
        """Take the selected rows out."""
        rows = {index.row() for index in self.table.selectionModel().selectedIndexes()}
        self._take([pair for row, pair in enumerate(self._pairs) if row not in rows])

    def close_down(self) -> None:
        """Listen no more."""
        self._rest.stop()
        for emitter in self._emitters:
            emitter.disconnect(self._later)
        self._emitters, self._pairs = [], []
        self._follow()

    # ------------------------------------------------------------ following the layers

    def _later(self, event: Any = None) -> None:
        self._rest.start()

    def _on_layers(self) -> None:
        layers = list(self._viewer.layers)
        if not self._classes:
            return
        if self._touched:
            kept = [p for p in self._pairs if p.image in layers and p.labels.axon in layers]
        else:
            fitting = fitting_pairs(layers, self._classes)
            kept = with_parts([pair for pair in fitting if self._suits(pair.image)])
        self._put(kept)

    def _suits(self, image: Any) -> bool:
        """Whether an image is not known to come from another microscope."""
        known = self._contrast and contrast_of(image, self._viewer.layers)
        return known in (None, self._contrast)

    def _take(self, pairs: list[OpenPair]) -> None:
        self._touched = True
        self._put(pairs)

    def _put(self, pairs: list[OpenPair]) -> None:
        self._pairs = pairs
        self._show()
        self._follow()
        self.changed.emit()

    def _follow(self) -> None:
        """Hear when something is painted, or an image calibrated."""
        for emitter in self._followed:
            emitter.disconnect(self._on_edited)
        layers = [
            layer
            for pair in self._pairs
            for layer in (pair.image, pair.labels.axon, pair.labels.myelin)
            if layer is not None
        ]
        self._followed = [
            getattr(layer.events, name)
            for layer in layers
            for name in ("data", "paint", "scale", "units")
            if hasattr(layer.events, name)
        ]
        for emitter in self._followed:
            emitter.connect(self._on_edited)

    def _on_edited(self, event: Any = None) -> None:
        self.changed.emit()

    # ------------------------------------------------------------ the table

    def _show(self) -> None:
        self.table.blockSignals(True)
        self.table.set_rows(len(self._pairs))
        for row, pair in enumerate(self._pairs):
            self.table.write(row, 0, pair.image.name)
            self._offer_labels(row, pair)
            place = list(PARTS).index(pair.part)
            part = self.table.offer(row, 2, list(PARTS.values()), place)
            part.currentIndexChanged.connect(
                lambda index, row=row: self._change(row, part=list(PARTS)[index])
            )
            self.table.write(row, 3, pair.animal, f"{pair.animal}: {_ANIMAL}", edit=True)
        self.table.blockSignals(False)
        self.less.setEnabled(bool(self._pairs))
        self.nothing.say(
            ""
            if self._pairs
            else "No open image has labels of its size. Open an image, add a Labels layer and "
            "paint, or open a mask."
        )

    def _offer_labels(self, row: int, pair: OpenPair) -> None:
        choices = label_choices(pair.image, self._viewer.layers, self._classes)
        if pair.labels not in choices:
            choices.insert(0, pair.labels)
        titles = [mask.title for mask in choices]
        box = self.table.offer(row, 1, titles, choices.index(pair.labels))
        box.setToolTip(pair.labels.title)
        box.currentIndexChanged.connect(lambda index: self._change(row, labels=choices[index]))

    def _on_item(self, item: QTableWidgetItem) -> None:
        if item.column() == 3:
            self._change(item.row(), animal=item.text().strip() or self._pairs[item.row()].animal)

    def _change(self, row: int, **what: Any) -> None:
        self._pairs[row], self._touched = replace(self._pairs[row], **what), True
        self._follow()
        self.changed.emit()


def _button(title: str, help_: str) -> QPushButton:
    button = QPushButton(title)
    button.setToolTip(help_)
    return button
