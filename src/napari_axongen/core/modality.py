"""Which kind of microscope took an image: one of electrons, or of fluorescence.

In an electron micrograph there is tissue everywhere: a good part of its pixels is brighter than the
middle of its grey range. In a fluorescence image of axons few are: they glow on a dark ground.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .image import Image

Modality: TypeAlias = Literal["electron", "fluorescence"]

_TAILS = (1.0, 99.8)

SPARSELY = 0.18
"""Part of bright pixels below which an image is one of fluorescence: see docs/fluorescence.md."""

_RANGE = (1.0, 99.8)  # percentiles
_SMOOTHING = 1.0  # px: noise alone would fill the middle of the range
_PADDING = 0.25  # part of the pixels that have one value in common: no tissue, but what fills up
_PLANES = 5  # of a stack, evenly spread
_WHOLE = 1024  # px: planes of up to this side are looked at whole
_WINDOWS, _WINDOW = 4, 256  # of larger ones so many windows along each axis, of so many pixels


def modality(image: Image) -> Modality:
    """Tell fluorescence images from electron micrographs by `bright_part`.

    An inverted fluorescence image, dark on bright, counts as an electron micrograph.
    """
    return "fluorescence" if bright_part(image) < SPARSELY else "electron"


def bright_part(image: Image) -> float:
    """Part of the pixels brighter than the middle between the percentiles `_TAILS`.

    The image is smoothed by a Gaussian of 1 px. Padding (one value that more than a quarter of the
    pixels have) does not count. Of a stack, the median of some planes; of a large plane, some
    windows are looked at. 1 where there is nothing to see.
    """
    planes = list(image.plane_indices())
    chosen = np.linspace(0, len(planes) - 1, min(_PLANES, len(planes))).round().astype(int)
    return float(np.median([_bright_part(image, planes[index]) for index in chosen]))


def _bright_part(image: Image, plane: tuple[int, ...]) -> float:
    rows, columns = (_spread(length) for length in image.plane_shape)
    windows = [image.read(plane, row, column) for row in rows for column in columns]
    grey = np.concatenate([window.ravel() for window in windows])
    seen = np.isfinite(grey)
    values, counts = np.unique(grey[seen], return_counts=True)
    if not values.size:
        return 1.0
    smooth = np.concatenate([_smoothed(window, np.median(grey[seen])) for window in windows])
    if counts.max() > _PADDING * counts.sum():
        seen &= grey != values[counts.argmax()]
    low, high = np.percentile(smooth[seen], _TAILS) if seen.any() else (0.0, 0.0)
    return float(np.mean(smooth[seen] > (low + high) / 2)) if high > low else 1.0


def _smoothed(window: npt.NDArray[np.float32], missing: float) -> npt.NDArray[np.float32]:
    filled = np.where(np.isfinite(window), window, np.float32(missing))
    smooth: npt.NDArray[np.float32] = ndimage.gaussian_filter(filled, _SMOOTHING)
    return smooth.ravel()


def _spread(length: int) -> list[slice]:
    """Windows along an axis: all of a short one."""
    if length <= _WHOLE:
        return [slice(0, length)]
    starts = np.linspace(0, length - _WINDOW, _WINDOWS)
    return [slice(math.floor(start), math.floor(start) + _WINDOW) for start in starts]
