"""An image in the core: an array with axes and a pixel size, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError

AXES = frozenset({"YX", "ZYX", "TYX", "TZYX", "YXC", "ZYXC", "TYXC", "TZYXC"})
PIXEL_SIZE_RANGE = (1e-5, 1000.0)
"""Pixel sizes that a microscope can have, in um: beyond it the unit was mistaken."""


@dataclass(frozen=True)
class Greys:
    """Which grey values of a plane are mapped to 0 and 1, and how those between.

    Attributes
    ----------
    low, high
        Percentiles.
    power
        Of the values between.
    """

    low: float = 1.0
    high: float = 99.0
    power: float = 1.0


USUAL = Greys()
"""Of electron micrographs, which are full of tissue."""

SPARSE = Greys(1.0, 99.99, 0.5)
"""Of fluorescence images: bright spots are few, and photons are counted, so that the noise of the
square root is the same everywhere (Anscombe 1948)."""

_LUMA = np.array([0.2125, 0.7154, 0.0721], dtype=np.float32)  # Rec. 709, as skimage.color.rgb2gray
_SAMPLE = 1 << 20  # pixels that are enough to know an image's percentiles


@dataclass(frozen=True)
class Image:
    """Pixels, what their axes are, and how large a pixel is.

    Attributes
    ----------
    data
        NumPy array, or a lazy one (dask, zarr) of the same interface: read plane by plane.
    axes
        One letter an axis: ``T`` time, ``Z`` depth, ``Y`` rows, ``X`` columns; a trailing ``C``
        holds grey and alpha, RGB or RGBA.
    pixel_size
        Side of a pixel in um along Y and X, or None when unknown.
    name
        How messages call this image.
    """

    data: Any
    axes: str
    pixel_size: float | None = None
    name: str = "image"

    @classmethod
    def from_array(
        cls,
        array: Any,
        axes: str | None = None,
        pixel_size: float | None = None,
        name: str = "image",
    ) -> Image:
        """Check an array and take it as an image.

        Parameters
        ----------
        array
            Boolean, integer or float array of 2 to 5 axes. Its values are read later, by plane.
        axes
            Its axes; guessed when omitted: a last axis of 3 or 4 beside two longer ones is colour,
            a first axis is ``Z``, two are ``TZ``.
        pixel_size
            um.

        Raises
        ------
        InputError
            Not an image: wrong type, number of axes, or size; or an impossible pixel size.
        """
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            array = np.asarray(array)
        shape, dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
        if dtype.kind not in "buif":
            raise InputError(
                f"{name} has values of type {dtype}; an image of real numbers is needed"
                + (": take its magnitude first." if dtype.kind == "c" else ".")
            )
        if axes is None:
            axes = _guess_axes(shape, name)
        if axes not in AXES or len(axes) != len(shape):
            raise InputError(
                f"{name} has shape {shape}, which does not fit the axes '{axes}'; "
                "use YX, or ZYX, TYX, TZYX for stacks, with C last for colour."
            )
        if 0 in shape:
            raise InputError(f"{name} is empty (shape {shape}); open an image that has pixels.")
        if axes[-1] == "C" and shape[-1] > 4:
            raise InputError(
                f"{name} has {shape[-1]} channels; one grey channel, RGB or RGBA is needed: "
                "split the channels and choose one."
            )
        return cls(array, axes, check_pixel_size(pixel_size, name), name)

    @property
    def is_colour(self) -> bool:
        """Whether the last axis is colour."""
        return self.axes.endswith("C")

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape without the colour axis: the shape of every label image made from this one."""
        shape = tuple(int(n) for n in self.data.shape)
        return shape[:-1] if self.is_colour else shape

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of one plane."""
        return self.spatial_shape[-2], self.spatial_shape[-1]

    def plane_indices(self) -> Iterator[tuple[int, ...]]:
        """Indices of the 2-D planes of a stack in order; of a single image, ``()`` alone."""
        yield from np.ndindex(*self.spatial_shape[:-2])

    def read(
        self, plane: tuple[int, ...], rows: slice = slice(None), columns: slice = slice(None)
    ) -> npt.NDArray[np.float32]:
        """Read one window of one plane as grey values.

        Parameters
        ----------
        plane
            Index of the plane.
        rows, columns
            The window; a lazy array reads no more than that.

        Returns
        -------
        float32 array
            Grey values in the image's own units, luminance (Rec. 709) of a colour image; alpha is
            ignored. NaN stays NaN, infinities become NaN.
        """
        window = np.asarray(self.data[(*plane, rows, columns)])
        grey = to_grey(window) if self.is_colour else window.astype(np.float32)
        if window.dtype.kind == "f" and not np.isfinite(grey).all():
            grey[~np.isfinite(grey)] = np.nan
        return grey


def to_grey(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Luminance of (..., C) pixels with C = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)."""
    if pixels.shape[-1] < 3:
        return np.asarray(pixels[..., 0], dtype=np.float32)
    grey: npt.NDArray[np.float32] = np.dot(pixels[..., :3].astype(np.float32), _LUMA)
    return grey


def check_pixel_size(pixel_size: float | None, name: str = "image") -> float | None:
    """Return a pixel size (um) that can be, or raise `InputError`."""
    if pixel_size is None:
        return None
    low, high = PIXEL_SIZE_RANGE
    if not (math.isfinite(pixel_size) and low <= pixel_size <= high):
        raise InputError(
            f"The pixel size of {name} is {pixel_size} um; it must lie between {low} and {high} um "
            "(leave it out when it is unknown)."
        )
    return float(pixel_size)


@dataclass(frozen=True)
class IntensityRange:
    """Grey values that are mapped to 0 and 1: one pair for a whole plane, so tiles agree.

    Attributes
    ----------
    low, high
        Grey values.
    power
        To which what is mapped is raised, keeping its sign.
    """

    low: float
    high: float
    power: float = 1.0

    def normalise(self, grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Map ``low..high`` to ``0..1``, unclipped to -0.5..1.5; NaN becomes 0.5.

        A constant plane maps to 0.5.
        """
        span = self.high - self.low
        if span <= 0:
            return np.full_like(grey, 0.5)
        out = (grey - np.float32(self.low)) / np.float32(span)
        np.clip(out, -0.5, 1.5, out=out)
        if self.power != 1:
            out = np.sign(out) * np.abs(out) ** np.float32(self.power)
        out[np.isnan(out)] = 0.5
        return out


def intensity_range(image: Image, plane: tuple[int, ...], greys: Greys = USUAL) -> IntensityRange:
    """Grey values at percentiles of a plane: the 1st and the 99th, if no others are asked for.

    Taken from every k-th row and column (about a million pixels, the same ones at every call), so
    that a lazy array of any size costs little memory.
    """
    height, width = image.plane_shape
    step = max(1, math.isqrt(height * width // _SAMPLE))
    strip = step * max(1, _SAMPLE // (width * step))
    parts = [
        image.read(plane, slice(start, min(start + strip, height)))[::step, ::step].ravel()
        for start in range(0, height, strip)
    ]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise InputError(f"{image.name} holds no finite value; there is nothing to see in it.")
    low, high = np.percentile(values, (greys.low, greys.high))
    if high <= low:  # a few bright pixels on a flat ground
        low, high = values.min(), values.max()
    return IntensityRange(float(low), float(high), greys.power)


def normalised(
    image: Image, plane: tuple[int, ...], greys: Greys = USUAL
) -> Callable[[slice, slice], npt.NDArray[np.float32]]:
    """Reader of windows of a plane (rows, columns), on the plane's own `intensity_range`."""
    grey = intensity_range(image, plane, greys)
    return lambda rows, columns: grey.normalise(image.read(plane, rows, columns))


def _guess_axes(shape: tuple[int, ...], name: str) -> str:
    if len(shape) < 2:
        raise InputError(f"{name} has shape {shape}; an image has at least two axes.")
    colour = len(shape) > 2 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4
    spatial = len(shape) - colour
    if spatial not in (2, 3, 4):
        raise InputError(
            f"{name} has {len(shape)} axes (shape {shape}); at most T, Z, Y, X and colour are read."
        )
    return {2: "YX", 3: "ZYX", 4: "TZYX"}[spatial] + ("C" if colour else "")
