"""The image layer that a translation fills while it runs, and what comes along with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap

from napari_axongen.bridge.layers import (
    SPREAD,
    level_0,
    placement,
    recipe_of,
    spatial_shape,
    with_recipe,
)
from napari_axongen.bridge.pairs import PARTIAL, SAMPLE
from napari_axongen.bridge.translating import CGAN, Spread, Written
from napari_axongen.core.events import Partial

from .outputs import SegmentationLayers, find_output, place_on

if TYPE_CHECKING:
    import napari

VERB = "translate"
IMAGE = "image"
"""The output of a translation that is a micrograph."""

LARGEST_SIDE = 4096
"""Rows or columns of the largest image that is drawn whole."""

LEVEL = 4
"""Rows and columns of one level that make one of the next."""

_MARK = " (partial)"
_UNFINISHED = Colormap(
    [[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]],
    name="unfinished",
    controls=[0, 1 / 255, 1],
)
"""Grey, but where nothing has been written (0) the source is seen through."""


def pyramid(array: Any) -> Any:
    """An array as napari shows it fast: itself, or with coarser views of the same memory."""
    if max(array.shape[-2:]) <= LARGEST_SIDE:
        return array
    levels = [array]
    while max(levels[-1].shape[-2:]) > LARGEST_SIDE // LEVEL:
        levels.append(levels[-1][..., ::LEVEL, ::LEVEL])
    return levels


class Rendition:
    """A source layer in another contrast.

    Parameters
    ----------
    viewer, source
        Where, and the image layer that is translated.
    contrast
        What it becomes, where that is known before the run.
    method
        How it is made.
    samples
        How many there are; several make a stack, on an axis before those of the source.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        source: Any,
        contrast: str | None,
        method: str = CGAN,
        samples: int = 1,
    ) -> None:
        self._viewer, self._source = viewer, source
        self._contrast, self._method = contrast, method
        self._front = SAMPLE if samples > 1 else None
        several = (samples,) if samples > 1 else ()
        self.out = np.zeros(several + spatial_shape(source), np.uint8)
        self.layer: Any = None
        self._labels: SegmentationLayers | None = None

    def touch(self, written: Written) -> None:
        """Something was written into ``out``: show it."""
        if self.layer is None:
            self._open()
        elif self.layer in self._viewer.layers:
            self.layer.refresh(extent=False, thumbnail=False)
        looked_at = self.layer.world_to_data(self._viewer.dims.point)[:-2]
        whole = tuple(round(n) for n in looked_at) in written.whole
        colormap = "gray" if whole else _UNFINISHED.name  # black is black where all is written
        if self.layer.colormap.name != colormap:
            self.layer.colormap = "gray" if whole else _UNFINISHED

    def finish(self, contrast: str | None, recipe: Mapping[str, Any]) -> None:
        """All is written: name it and sign it."""
        self._contrast = contrast
        if self.layer is None:
            self._open()
        self.layer.name = self._name()
        self.layer.metadata = self._signed(recipe)
        self.layer.colormap = "gray"
        self.layer.refresh()
        # hidden at first, for they would hide the picture
        self._labels = SegmentationLayers(
            self._viewer, self.layer, verb=VERB, visible=False, on=self._source
        )

    def label(self, part: Partial) -> None:
        """Put labels of a plane into their layer."""
        if self._labels is not None:
            self._labels.show(part)

    def spread(self, spread: Spread) -> None:
        """Show how much the samples differ, hidden at first like the labels."""
        limits = (0, max(spread.highest, 1.0))
        layer = find_output(self._viewer, self.layer, SPREAD, VERB)
        recipe = {**(recipe_of(self.layer) or {}), "output": SPREAD}
        if layer is not None and tuple(layer.data.shape) == spread.values.shape:
            layer.data, layer.contrast_limits = spread.values, limits
            layer.metadata = with_recipe(self.layer, recipe)
            place_on(layer, self._source)
            return
        self._insert(
            Image(
                spread.values,
                name=f"{self.layer.name} {SPREAD}",
                contrast_limits=limits,
                colormap="magma",
                visible=False,
                metadata=with_recipe(self.layer, recipe),
                **placement(self._source),
            ),
            above=self.layer,
        )

    def sign_labels(self, recipe: Mapping[str, Any]) -> None:
        """Write the recipe into the labels."""
        if self._labels is not None:
            self._labels.sign(recipe)

    def stop(self, done: float) -> None:
        """Leave what is done, and say that it is not all."""
        if self.layer is None or self.layer not in self._viewer.layers:
            return
        self.layer.metadata = self._signed({PARTIAL: round(done, 3)})
        self.layer.name = self._name() + _MARK
        self.layer.refresh()

    def _name(self) -> str:
        how = "" if self._method == CGAN else f" ({self._method})"
        return f"{self._source.name} as {self._contrast or 'another contrast'}{how}"

    def _signed(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Metadata of the image, with a recipe as far as there is one."""
        known = {"verb": VERB, "target": self._contrast, "method": self._method}
        return with_recipe(self._source, {**known, **recipe, "output": IMAGE})

    def _open(self) -> None:
        """Show the array: in the layer of the translation before, or in a new one."""
        data, before = pyramid(self.out), self._before()
        if before is not None:
            self.layer = before
            self.layer.colormap = _UNFINISHED
            self.layer.data = data
            place_on(self.layer, self._source, self._front)
            self._lift()
            return
        self.layer = Image(
            data,
            name=self._name(),
            multiscale=isinstance(data, list),
            contrast_limits=(0, 255),
            colormap=_UNFINISHED,
            metadata=self._signed({}),
            **placement(self._source, self._front),
        )
        self._insert(self.layer, above=[self._source, *self._family()][-1])

    def _lift(self) -> None:
        """Show the image, and its spread, above all other translations of the source."""
        layers = self._viewer.layers
        spread = find_output(self._viewer, self.layer, SPREAD, VERB)
        own = [layer for layer in (self.layer, spread) if layer is not None]
        if self._family()[-1] in own:
            return
        for layer in own:
            layers.move(layers.index(layer), layers.index(self._family()[-1]) + 1)

    def _insert(self, layer: Any, above: Any) -> None:
        """Add a layer above another one; what was selected stays so."""
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(layers.index(above) + 1, layer)
        if active is not None:
            layers.selection.active = active

    def _before(self) -> Any | None:
        """The layer that an earlier run filled, if it is of the same kind and contrast."""
        for layer in self._renditions():
            recipe = recipe_of(layer) or {}
            alike = recipe.get("method") == self._method and level_0(layer).shape == self.out.shape
            if alike and (not self._contrast or recipe.get("target") == self._contrast):
                return layer
        return None

    def _renditions(self) -> list[Any]:
        """Layers of all translations of the source, the topmost last."""
        wanted = {"verb": VERB, "output": IMAGE, "source": self._source.name}
        return self._layers_of(lambda recipe: wanted.items() <= recipe.items())

    def _family(self) -> list[Any]:
        """The same, with their spreads."""
        made = self._renditions()
        names = [layer.name for layer in made]
        spreads = self._layers_of(
            lambda recipe: recipe.get("output") == SPREAD and recipe.get("source") in names
        )
        return sorted([*made, *spreads], key=self._viewer.layers.index)

    def _layers_of(self, suits: Callable[[dict[str, Any]], bool]) -> list[Any]:
        return [layer for layer in self._viewer.layers if suits(recipe_of(layer) or {})]
