"""Choose where axons and myelin are known from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_axongen.bridge.masks import MaskLayers, belongs, find_masks

if TYPE_CHECKING:
    import napari


class MaskPicker(QComboBox):
    """Choose the mask of an image, or none; an image's own is chosen by itself.

    Signals
    -------
    changed()
        Another choice, by a person or because the layers are others now.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._source: Any = None
        self._masks: list[MaskLayers] = []
        self._declined = False  # a person wants none, whatever comes
        self._none = "Found by the segmenter"
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Where axons and myelin lie: layers of the image's size called '... axon' and "
            "'... myelin', or one of 0, 127 (myelin) and 255 (axon). Without one, the segmenter "
            "finds them."
        )
        self.addItem(self._none)
        self.activated.connect(self._on_activated)
        events = viewer.layers.events
        self._emitters = [events.inserted, events.removed, events.renamed]
        for emitter in self._emitters:
            emitter.connect(self.refresh)

    @property
    def mask(self) -> MaskLayers | None:
        """What is chosen."""
        index = self.currentIndex() - 1
        return self._masks[index] if 0 <= index < len(self._masks) else None

    def set_source(self, source: Any) -> None:
        """Offer the masks of another image."""
        if source != self._source:  # the same layer may come in another proxy
            self._source, self._declined, self._masks = source, False, []
            self.refresh()

    def set_none(self, text: str) -> None:
        """Say what it means to choose none."""
        self._none = text
        self.setItemText(0, text)

    def refresh(self, event: Any = None) -> None:
        """Follow the layer list; keep the choice, or else take the image's own mask."""
        before = self.mask
        layers = [] if self._source is None else list(self._viewer.layers)
        self._masks = find_masks(self._source, reversed(layers)) if layers else []
        self.blockSignals(True)
        self.clear()
        self.addItems([self._none, *(mask.title for mask in self._masks)])
        chosen = next((mask for mask in self._masks if mask == before), None)
        if chosen is None and not self._declined:
            chosen = next((mask for mask in self._masks if belongs(mask, self._source)), None)
        self.setCurrentIndex(0 if chosen is None else self._masks.index(chosen) + 1)
        self.blockSignals(False)
        self.changed.emit()

    def close_down(self) -> None:
        """Listen no more."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        self._emitters = []

    def _on_activated(self, index: int) -> None:
        self._declined = index == 0
        self.changed.emit()
