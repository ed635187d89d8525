"""Labelled images at one scale, so that models see axons of one size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from napari_axongen.core.classes import FIBRE_CLASSES, IGNORED
from napari_axongen.core.errors import InputError
from napari_axongen.core.image import Image
from napari_axongen.core.matching import median_axon_diameter
from napari_axongen.core.tiling import resample, taps

from .labelled import LabelledImage

LONGEST_SIDE = 100_000
"""Pixels that a scaled image may be long: beyond it the sizes that were given are wrong."""

_AXON = FIBRE_CLASSES.index("axon")
_VALUES = np.array([*range(len(FIBRE_CLASSES)), IGNORED], dtype=np.uint8)
_NEAR_ONE = 0.02  # a scale this close to 1 is taken as 1: resampling would only blur
_BLOCK = 512  # output pixels that are resampled at once, along each axis


def scale_to(
    image: LabelledImage, pixel_size: float | None = None, axon_diameter: float | None = None
) -> float:
    """Scale that brings an image to a pixel size, or to a median axon diameter.

    Parameters
    ----------
    image
        The image.
    pixel_size
        um.
    axon_diameter
        px; see `core.matching.median_axon_diameter`.

    Returns
    -------
    Pixels afterwards per pixel of the image; 1 if neither is given, or where the scale is within
    2 % of it.

    Raises
    ------
    InputError
        The pixel size of the image is unknown, there is no axon in it, or it would become larger
        than any image.
    """
    name, scale = image.image.name, 1.0
    if pixel_size is not None:
        if image.image.pixel_size is None:
            raise InputError(
                f"{name} has no pixel size; write it into its side-car file (PixelSize), or match "
                "the axon diameter instead."
            )
        scale = image.image.pixel_size / pixel_size
    elif axon_diameter is not None:
        diameter = median_axon_diameter([image.classes == _AXON])
        if diameter == 0:
            raise NoAxonError(f"{name} has no axon to match the diameter of.")
        scale = axon_diameter / diameter
    if max(image.classes.shape) * scale > LONGEST_SIDE:
        raise InputError(
            f"{name} would have {' x '.join(f'{n * scale:.0f}' for n in image.classes.shape)} "
            f"pixels at {scale:.3g} of its size; give a scale that suits it."
        )
    return 1.0 if abs(scale - 1) < _NEAR_ONE else scale


class NoAxonError(InputError):
    """There is no axon in an image that is to be brought to an axon diameter."""


def rescale(image: LabelledImage, scale: float) -> LabelledImage:
    """Bring an image and its classes to another scale.

    Grey values are filtered as `core.tiling.resample` does; of the classes the one with the largest
    share in a pixel is taken. Memory beyond the result does not depend on the size.

    Parameters
    ----------
    image
        The image.
    scale
        Pixels afterwards per pixel before.

    Returns
    -------
    The image itself if `scale` is 1; else with float32 grey values and a pixel size that fits.
    """
    if scale == 1:
        return image
    plane, classes = image.image, image.classes
    height, width = classes.shape
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    grey = np.empty(shape, dtype=np.float32)
    found = np.empty(shape, dtype=np.uint8)
    for rows in _blocks(shape[0]):
        for columns in _blocks(shape[1]):
            inner = (
                taps(rows.start, rows.stop, scale, height),
                taps(columns.start, columns.stop, scale, width),
            )
            one_hot = _VALUES[:, None, None] == classes[inner]
            window = np.concatenate([plane.read((), *inner)[None], one_hot]).astype(np.float32)
            out = resample(
                torch.from_numpy(window),
                (inner[0], rows),
                (inner[1], columns),
                scale,
                (height, width),
            ).numpy()
            grey[rows, columns] = out[0]
            found[rows, columns] = _VALUES[out[1:].argmax(0)]
    size = None if plane.pixel_size is None else plane.pixel_size / scale
    return LabelledImage(Image(grey, "YX", size, plane.name), found, image.animal)


def to_bytes(image: LabelledImage, limits: tuple[float, float] | None) -> npt.NDArray[np.uint8]:
    """Grey values as uint8: rounded where `limits` is None, else with these at 0 and 255."""
    grey = image.image.read(())
    if limits is not None:
        low, high = limits
        grey = (grey - np.float32(low)) * np.float32(255 / (high - low) if high > low else 0)
    return np.rint(np.clip(np.nan_to_num(grey), 0, 255)).astype(np.uint8)


def grey_limits(image: LabelledImage) -> tuple[float, float] | None:
    """Grey values that become 0 and 255 in 8 bits; None for an image that has no more than those.

    The 1st and the 99.9th percentile of the whole image; its lowest and highest value where these
    are the same.

    Raises
    ------
    InputError
        No value of the image is finite.
    """
    if image.image.data.dtype == np.uint8:
        return None
    grey = image.image.read(())
    grey = grey[np.isfinite(grey)]
    if grey.size == 0:
        raise InputError(
            f"{image.image.name} holds no finite value; there is nothing to see in it."
        )
    low, high = np.percentile(grey, (1, 99.9))
    if high <= low:
        low, high = grey.min(), grey.max()
    return float(low), float(high)


def _blocks(length: int) -> Iterator[slice]:
    edges = [*range(0, length, _BLOCK), length]
    return (slice(start, stop) for start, stop in pairwise(edges))
