"""The image layer that a translation fills while it runs, and the labels that come along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap

from napari_axongen.bridge.layers import level_0, placement, recipe_of, with_recipe
from napari_axongen.bridge.pairs import PARTIAL
from napari_axongen.core.events import Partial

from .outputs import SegmentationLayers, place_on

if TYPE_CHECKING:
    import napari

VERB = "translate"
IMAGE = "image"
"""The output of a translation that is no label."""

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
    """

    def __init__(self, viewer: napari.viewer.Viewer, source: Any, contrast: str | None) -> None:
        self._viewer, self._source = viewer, source
        self._contrast = contrast
        shape = level_0(source).shape
        self.out = np.zeros([int(n) for n in (shape[:-1] if source.rgb else shape)], np.uint8)
        self.layer: Any = None
        self._labels: SegmentationLayers | None = None

    def touch(self) -> None:
        """Something was written into ``out``: show it."""
        if self.layer is None:
            self._open()
        elif self.layer in self._viewer.layers:
            self.layer.refresh(extent=False, thumbnail=False)

    def finish(self, contrast: str | None, recipe: Mapping[str, Any]) -> None:
        """All is written: name it and sign it."""
        self._contrast = contrast
        if self.layer is None:
            self._open()
        self.layer.name = self._name()
        self.layer.metadata = with_recipe(self._source, {**recipe, "output": IMAGE})
        self.layer.colormap = "gray"
        self.layer.refresh()
        # hidden at first, for they would hide the picture
        self._labels = SegmentationLayers(self._viewer, self.layer, verb=VERB, visible=False)

    def label(self, part: Partial) -> None:
        """Put labels of a plane into their layer."""
        if self._labels is not None:
            self._labels.show(part)

    def sign_labels(self, recipe: Mapping[str, Any]) -> None:
        """Write the recipe into the labels."""
        if self._labels is not None:
            self._labels.sign(recipe)

    def stop(self, done: float) -> None:
        """Leave what is done, and say that it is not all."""
        if self.layer is None or self.layer not in self._viewer.layers:
            return
        recipe = {"verb": VERB, "output": IMAGE, "target": self._contrast, PARTIAL: round(done, 3)}
        self.layer.metadata = with_recipe(self._source, recipe)
        self.layer.name = self._name() + _MARK
        self.layer.refresh()

    def _name(self) -> str:
        return f"{self._source.name} as {self._contrast or 'another contrast'}"

    def _open(self) -> None:
        """Show the array: in the layer of the translation before, or in a new one."""
        data, before = pyramid(self.out), self._before()
        if before is not None:
            self.layer = before
            self.layer.colormap = _UNFINISHED
            self.layer.data = data
            place_on(self.layer, self._source)
            return
        active = self._viewer.layers.selection.active
        self.layer = Image(
            data,
            name=self._name(),
            multiscale=isinstance(data, list),
            contrast_limits=(0, 255),
            colormap=_UNFINISHED,
            metadata=with_recipe(
                self._source, {"verb": VERB, "output": IMAGE, "target": self._contrast}
            ),
            **placement(self._source),
        )
        self._viewer.layers.insert(self._viewer.layers.index(self._source) + 1, self.layer)
        if active is not None:
            self._viewer.layers.selection.active = active

    def _before(self) -> Any | None:
        """The layer that an earlier run filled, if it is of the same kind and contrast."""
        for layer in self._viewer.layers:
            recipe = recipe_of(layer) or {}
            wanted = {"verb": VERB, "output": IMAGE, "source": self._source.name}
            if all(recipe.get(key) == value for key, value in wanted.items()):
                same_shape = tuple(level_0(layer).shape) == self.out.shape
                if same_shape and (not self._contrast or recipe.get("target") == self._contrast):
                    return layer
        return None
