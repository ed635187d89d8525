"""Choose from which contrast to which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

from napari_axongen.bridge.translating import (
    CGAN,
    Direction,
    contrast_of,
    directions,
    models,
    suitable,
    towards,
)
from napari_axongen.core.models.card import Card


class DirectionPicker(QComboBox):
    """Choose by what is made of what; which models there are for that depends on the method."""

    def __init__(self) -> None:
        super().__init__()
        self._method: str = CGAN
        self._denoiser: str | None = None
        self.denoisers: list[Card] = []
        self._translators: list[Card] = []
        self._choices: list[Direction] = []
        self._layer: Any = None
        self.setToolTip("From which contrast to which; 'found' looks at the image first.")
        self.refresh()

    def refresh(self) -> None:
        """Offer what the models that there are now can make."""
        self.denoisers, self._translators = models("ddpm"), models(CGAN)
        self.set_method(self._method, self._denoiser)

    @property
    def complaint(self) -> str:
        """What is wrong with the choice that there is; empty if nothing."""
        if len(self._choices) > 1:
            return ""
        kind = "translation" if self._method == CGAN else "diffusion"
        return f"No {kind} model is installed; import one with 'axongen models import'."

    @property
    def choice(self) -> Direction:
        """What is chosen."""
        return self._choices[max(self.currentIndex(), 0)]

    def set_method(self, method: str, denoiser: str | None = None) -> None:
        """Offer what a method can make, and keep what was to come out.

        Parameters
        ----------
        method
            Of `METHODS`.
        denoiser
            Name of its model, where one was chosen.
        """
        cards = self._translators
        if method != CGAN:
            cards = [card for card in self.denoisers if denoiser in (None, card.name)]
        before = self.choice if self._choices else Direction("")
        self._method, self._denoiser = method, denoiser
        self._choices = directions(method, cards)
        self.blockSignals(True)
        self.clear()
        for one in self._choices:
            self.addItem(one.title, one.model if method == CGAN else one.target)
            self.setItemData(self.count() - 1, one.help, Qt.ItemDataRole.ToolTipRole)
        stays = before in self._choices
        self._choose(before if stays else towards(self._choices, before.contrast))
        self.blockSignals(False)

    def set_layer(self, layer: Any, layers: Iterable[Any]) -> None:
        """Choose what suits another image layer; what a person chose for this one stays."""
        if layer is not None and layer != self._layer:
            self._choose(suitable(self._choices, contrast_of(layer, layers)))
        self._layer = layer

    def _choose(self, choice: Direction) -> None:
        self.setCurrentIndex(self._choices.index(choice))
