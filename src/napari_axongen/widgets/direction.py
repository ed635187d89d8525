"""Choose from which contrast to which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

from napari_axongen.bridge.translating import contrast_of, direction, suitable, translators

AUTO = "auto"


class DirectionPicker(QComboBox):
    """Choose a translation model by what it makes of what."""

    def __init__(self) -> None:
        super().__init__()
        self._cards = translators()
        self._layer: Any = None
        self.setToolTip("From which contrast to which; 'found' looks at the image first.")
        self.addItem("Found from the image", AUTO)
        for card in self._cards:
            self.addItem(f"{direction(card)} ({card.name})", card.name)
            self.setItemData(self.count() - 1, card.description, Qt.ItemDataRole.ToolTipRole)

    @property
    def complaint(self) -> str:
        """What is wrong with the choice that there is; empty if nothing."""
        return (
            ""
            if self._cards
            else "No translation model is installed; import one with 'axongen models import'."
        )

    @property
    def target(self) -> str | None:
        """The contrast that comes out, where that is known."""
        chosen = self.currentData()
        return next((card.contrast for card in self._cards if card.name == chosen), None)

    def set_layer(self, layer: Any, layers: Iterable[Any]) -> None:
        """Choose what suits another image layer; what a person chose for this one stays."""
        if layer is not None and layer != self._layer:
            card = suitable(self._cards, contrast_of(layer, layers))
            self.setCurrentIndex(self.findData(AUTO if card is None else card.name))
        self._layer = layer
