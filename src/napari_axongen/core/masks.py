"""Masks of axons and myelin as arrays of any size, also lazy ones: read part by part."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .errors import InputError
from .files import AXON, CLASS_VALUES
from .image import Image
from .matching import median_axon_diameter

_MEASURED_SIDE = 4096  # px of a mask in which axons are measured at a time
_CHECKED = 1 << 24  # px of a mask that are checked at a time


def check_mask(mask: Any, image: Image) -> None:
    """Refuse what is no mask of this image."""
    shape = tuple(int(n) for n in mask.shape)
    if shape != image.spatial_shape:
        raise InputError(
            f"The mask has shape {shape} and {image.name} {image.spatial_shape}; take the mask "
            "that was made from this image."
        )
    expected = "0 background, 127 myelin and 255 axon"
    if np.dtype(mask.dtype).kind not in "ui":
        raise InputError(f"The mask of {image.name} is of type {mask.dtype}; it needs {expected}.")
    rows = max(1, _CHECKED // shape[-1])
    for plane in image.plane_indices():
        for start in range(0, shape[-2], rows):
            window = np.asarray(mask[(*plane, slice(start, start + rows))])
            stray = window[~np.isin(window, CLASS_VALUES)]
            if stray.size:
                raise InputError(
                    f"The mask of {image.name} holds the value {stray[0]}, where {expected} are "
                    "expected; labels that number the fibres are no mask."
                )


def mask_diameter(mask: Any, image: Image) -> float:
    """Median axon diameter (px) of a mask, by its middle plane; 0 if there are no axons.

    A large plane is measured in parts, from the middle on, until axons are found.
    """
    planes = list(image.plane_indices())
    height, width = image.plane_shape
    for plane in sorted(planes, key=lambda plane: abs(planes.index(plane) - len(planes) // 2)):
        for row in _from_middle(height):
            for column in _from_middle(width):
                window = np.asarray(mask[(*plane, row, column)])
                diameter = median_axon_diameter([window == AXON])
                if diameter:
                    return diameter
    return 0.0


def _from_middle(length: int) -> list[slice]:
    """Parts of an axis, the one in the middle first."""
    start = max(0, (length - _MEASURED_SIDE) // 2) % _MEASURED_SIDE
    edges = [0, *range(start, length, _MEASURED_SIDE), length]
    parts = [slice(a, b) for a, b in pairwise(edges) if b > a]
    return sorted(parts, key=lambda part: abs(part.start + part.stop - length))
