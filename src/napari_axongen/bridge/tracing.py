"""Centrelines drawn in a Shapes layer, as paths in the pixels of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes

from napari_axongen.core.errors import InputError

KINDS = ("path", "line")
"""Shapes that can be centrelines; what napari calls a polyline is a path."""


def traced_paths(layer: Any, reference: Any) -> list[npt.NDArray[np.float64]]:
    """Take the paths and lines of a Shapes layer.

    Parameters
    ----------
    layer
        napari Shapes layer; of a stack, the last two axes count.
    reference
        Layer of the image that was traced: where both lie, their scale, translation, rotation and
        units included, decides which of its pixels a vertex is on.

    Returns
    -------
    Arrays (K, 2) of row and column in pixels of `reference`

    Raises
    ------
    InputError
        Not a Shapes layer, an empty one, or one with other shapes.
    """
    if not isinstance(layer, Shapes):
        raise InputError(f"'{layer.name}' is no Shapes layer; choose one with centrelines.")
    for number, kind in enumerate(layer.shape_type):
        if kind not in KINDS:
            raise InputError(
                f"Shape {number} of '{layer.name}' is a {kind}; draw centrelines as paths or lines."
            )
    if not layer.data:
        raise InputError(f"'{layer.name}' is empty; draw centrelines in it as paths or lines.")
    origin, down, right = (
        _pixel(corner, layer, reference) for corner in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    )
    axes = np.stack([down - origin, right - origin])
    return [np.asarray(path, dtype=np.float64)[:, -2:] @ axes + origin for path in layer.data]


def _pixel(position: tuple[float, float], layer: Any, reference: Any) -> npt.NDArray[np.float64]:
    """Pixel of the reference that a position in a layer's own coordinates lies on."""
    world = np.array(layer.data_to_world(position)[-2:], dtype=np.float64)
    for axis, (own, other) in enumerate(zip(layer.units[-2:], reference.units[-2:], strict=True)):
        if own.is_compatible_with(other):  # if not, napari too draws them by their numbers
            world[axis] *= (1 * own).to(other).magnitude
    return np.asarray(reference.world_to_data(world), dtype=np.float64)[-2:]
