"""The layers of a segmentation: made once, updated in place afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap, label_colormap

from napari_axongen.bridge.layers import placement, recipe_of, spatial_shape, with_recipe
from napari_axongen.bridge.outputs import FIBRES, Output, Paths, Spots
from napari_axongen.core.events import Partial

if TYPE_CHECKING:
    import napari

MASK_COLOURS: Mapping[str, str] = {"axon": "#3f8cff", "myelin": "#ff5a4d"}
PATH_COLOUR, SPOT_COLOUR = "#59d0ff", "#ffb000"
FIBRE_SEED = 0.5
FIBRE_CONTOUR = 2
LARGEST_OUTLINED = 4_000_000
"""Pixels of a plane."""

_NONE = np.zeros(4, dtype=np.float32)


def fibre_colormap() -> Any:
    """Colours of the fibres: by label, the same in every session."""
    return label_colormap(64, seed=FIBRE_SEED)


def show_outlines(layer: Labels) -> None:
    """Show fibres as lines over the masks' areas, so that all three can be seen at once.

    napari finds the lines anew whenever it draws the layer, some 40 ms for a million pixels: the
    fibres of a large plane are hidden at first instead.
    """
    if layer.data.shape[-1] * layer.data.shape[-2] <= LARGEST_OUTLINED:
        layer.contour = FIBRE_CONTOUR
    else:
        layer.contour, layer.visible = 0, False


def find_output(
    viewer: napari.viewer.Viewer, source: Any, output: str, verb: str = "segment"
) -> Any | None:
    """The layer that holds an output (axon, myelin, fibres) that a verb made from a layer."""
    wanted = {"source": source.name, "output": output, "verb": verb}
    for layer in viewer.layers:
        recipe = recipe_of(layer)
        if recipe and all(recipe.get(key) == value for key, value in wanted.items()):
            return layer
    return None


def place_on(layer: Any, source: Any, front: str | None = None) -> None:
    """Lay a layer on its source, which may have been calibrated since.

    What is right is not set: each of these draws the layer anew. The source and ``front`` are as of
    `placement`.
    """
    there = placement(layer)
    for name, value in placement(source, front).items():
        if not np.array_equal(there[name], value):
            setattr(layer, name, value)


class SegmentationLayers:
    """The layers made from one source layer.

    Parameters
    ----------
    viewer, source
        Where, and the image layer that is segmented.
    create
        Whether a missing layer is made; a threshold moved later does not bring back a layer that
        was deleted.
    verb
        What makes them: labels that came with an image are not those found in it.
    visible
        Whether new ones are shown at once.
    on
        The layer that they lie on and have the shape of; omitted, the source.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        source: Any,
        create: bool = True,
        verb: str = "segment",
        visible: bool = True,
        on: Any = None,
    ) -> None:
        self._viewer, self._source = viewer, source
        self._create, self._verb, self._visible = create, verb, visible
        self._on = source if on is None else on
        self._shape = spatial_shape(self._on)
        self._begun: set[str] = set()

    def show(self, part: Partial) -> None:
        """Show what a job found in one plane."""
        if not isinstance(part.value, Output):
            return
        values = part.value.values
        if isinstance(values, Paths | Spots):
            self._put_shapes(part.value.name, values)
        else:
            self._put(part.value.name, part.plane, values)

    def find(self, output: str) -> Any | None:
        """The layer of an output, if it is there."""
        return find_output(self._viewer, self._source, output, self._verb)

    def sign(self, recipe: Mapping[str, Any], outputs: Iterable[str] = FIBRES) -> None:
        """Write the recipe into the layers of some outputs."""
        for output in outputs:
            layer = self.find(output)
            if layer is not None:
                layer.metadata = with_recipe(self._source, {**recipe, "output": output})

    def _put(self, output: str, plane: tuple[int, ...], values: Any) -> None:
        layer = self.find(output)
        if layer is None and not self._create:
            return
        if layer is not None and tuple(layer.data.shape) != self._shape:
            self._viewer.layers.remove(layer)  # the source has changed its shape since
            layer = None
        data = values
        if plane:
            fresh = layer is None or (self._create and output not in self._begun)
            data = np.zeros(self._shape, values.dtype) if fresh else layer.data
            data[plane] = values
        self._begun.add(output)
        if layer is None:
            self._add(output, data)
        elif data is layer.data:
            layer.refresh()
        else:
            layer.data = data
            place_on(layer, self._on)

    def _add(self, output: str, data: Any) -> None:
        looks: dict[str, Any]
        if output in MASK_COLOURS:
            colours = {None: _NONE, 0: _NONE, 1: MASK_COLOURS[output]}
            looks = {"colormap": DirectLabelColormap(color_dict=colours), "opacity": 0.45}
        else:
            looks = {"colormap": fibre_colormap(), "opacity": 0.7 if output == "fibres" else 0.4}
        if output == "boutons":  # their centres say as much, and hide less
            looks["visible"] = False
        layer = self._viewer.add_labels(data, **{**self._described(output), **looks})
        if output == "fibres":
            show_outlines(layer)

    def _described(self, output: str) -> dict[str, Any]:
        """What a new layer is given, whatever its kind."""
        return {
            "name": f"{self._source.name} {output}",
            "metadata": with_recipe(self._source, {"verb": self._verb, "output": output}),
            "visible": self._visible,
            **placement(self._on),
        }

    def _put_shapes(self, output: str, values: Paths | Spots) -> None:
        """Show paths or points, of all planes."""
        layer = self.find(output)
        if layer is not None and layer.ndim != len(self._shape):
            self._viewer.layers.remove(layer)  # as in `_put`
            layer = None
        if layer is None:
            if self._create:
                self._add_shapes(output, values)
            return
        if isinstance(values, Paths):
            layer.data = [(path, "path") for path in values.data]
        else:
            layer.data = values.data
            layer.size = values.size
        layer.features = values.features
        place_on(layer, self._on)

    def _add_shapes(self, output: str, values: Paths | Spots) -> None:
        looks = {"ndim": len(self._shape), "features": values.features, **self._described(output)}
        if isinstance(values, Paths):
            self._viewer.add_shapes(
                values.data, shape_type="path", edge_width=1, edge_color=PATH_COLOUR, **looks
            )
        else:
            self._viewer.add_points(
                values.data,
                size=values.size,
                face_color="transparent",
                border_color=SPOT_COLOUR,
                border_width=0.15,
                **looks,
            )
