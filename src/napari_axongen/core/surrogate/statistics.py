"""Summary statistics of a two-photon image of axons, and how far two images lie apart in them.

Noise is found in differences to which neither a level, a slope nor a ridge along the axes
contributes (Immerkaer 1996).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_axongen.core.errors import InputError

from .ridges import COARSE, FINE, curve, least_curvature, measure_blobs, measure_ridges

Field: TypeAlias = NDArray[np.float32]

LEAST_SIZE = 64
"""Rows and columns that an image must have at least."""


@dataclass(frozen=True)
class Statistic:
    """One number of the summary.

    Attributes
    ----------
    name, unit
        ``grey`` is the image's own grey value.
    knee
        Values are compared as asinh(value / knee): in proportion far above it, by difference far
        below it.
    spread
        Standard deviation of that over the real two-photon images of Bass et al. 2017 (15 fields;
        fields that overlap count as one); at least 0.1, as no image tells it better.
    """

    name: str
    unit: str
    knee: float
    spread: float


STATISTICS: tuple[Statistic, ...] = (
    Statistic("background", "grey", 1, 0.41),
    Statistic("background range", "grey", 1, 0.56),
    Statistic("noise", "grey", 1, 0.5),
    Statistic("gain", "grey", 0.1, 0.54),
    Statistic("noise correlation 1", "", 1, 0.1),
    Statistic("noise correlation 2", "", 1, 0.1),
    Statistic("median", "grey", 1, 0.55),
    Statistic("90 %", "grey", 1, 0.39),
    Statistic("99 %", "grey", 1, 0.29),
    Statistic("99.9 %", "grey", 1, 0.2),
    Statistic("ridge density", "px/1000 px²", 1, 0.26),
    Statistic("ridge contrast, median", "grey", 1, 0.36),
    Statistic("ridge contrast, 90 %", "grey", 1, 0.23),
    Statistic("ridge width", "px", 0.5, 0.1),
    Statistic("faint ridge density", "px/1000 px²", 1, 0.1),
    Statistic("faint ridge width", "px", 0.5, 0.1),
    Statistic("blob density", "1/10000 px²", 0.5, 0.43),
    Statistic("blob peak, median", "grey", 1, 0.38),
    Statistic("blob peak, 90 %", "grey", 1, 0.22),
    Statistic("blob width", "px", 0.5, 0.1),
    Statistic("spectrum 64 px", "grey²", 1, 0.51),
    Statistic("spectrum 20 px", "grey²", 1, 0.51),
    Statistic("spectrum 8 px", "grey²", 1, 0.54),
)
NAMES = tuple(statistic.name for statistic in STATISTICS)

HINTS: tuple[Statistic, ...] = (
    Statistic("ridge density, 2.75 sd", "px/1000 px²", 1, 0.16),
    Statistic("ridge density, 5 sd", "px/1000 px²", 1, 0.3),
    Statistic("bending", "", 0.1, 0.24),
    Statistic("unevenness", "grey", 0.1, 0.44),
)
"""What tells how many axons there are where most of them overlap.

How many ridges reach other heights; how crooked their crests are, as they are where axons cross;
and how far the smoothed image is, in the median, from its mean over some 30 px. A search for
parameters heeds them; `distance` does not, and nobody is shown them.
"""
_KNEE = np.array([statistic.knee for statistic in (*STATISTICS, *HINTS)])
_SPREAD = np.array([statistic.spread for statistic in (*STATISTICS, *HINTS)])

_MARGIN = 16  # px mirrored around the image before it is smoothed
_BANDS = (1 / 128, 1 / 32, 1 / 12, 1 / 5)  # cycles per pixel
_TILE = 32  # px: side of the tiles whose levels show how the background varies
_AROUND = 7  # of every second pixel: side of the square of which a mean is taken, twice
_TO_SIGMA = math.sqrt(math.pi / 2)  # standard deviation over mean absolute value
_WHITE = 0.08  # correlation below which noise is taken as white
_LEVELS = 12  # of brightness at which the variance is measured


def summarise(image: NDArray[Any]) -> NDArray[np.float64]:
    """Summary statistics of an image.

    Parameters
    ----------
    image
        (Y, X), any real type; pixels that are not finite do not count.

    Returns
    -------
    float64 array
        The numbers of `STATISTICS`, in their order; NaN where there are too few ridges or blobs to
        tell their height and width.

    Raises
    ------
    InputError
        Not two axes, too small, too few finite pixels, or constant.
    """
    return measure(image)[: len(STATISTICS)]


def measure(image: NDArray[Any]) -> NDArray[np.float64]:
    """Summary statistics of an image, as `summarise` does, and after them those of `HINTS`."""
    pixels, valid = _check(image)
    scales = _smooth(pixels)
    fine, coarse = scales.images
    level = _level(fine[valid])
    noise = _noise(pixels, fine, coarse, valid, level)
    grey = np.percentile(pixels[::2][valid[::2]], (50, 90, 99, 99.9)) - level
    if not valid.all():  # the smoothed image is made up where a hole is near
        valid = ndimage.binary_erosion(valid, iterations=round(2 * COARSE), border_value=1)
    inner = valid[1:-1, 1:-1]
    shot = np.float32(noise.gain) * np.maximum(coarse[1:-1, 1:-1] - np.float32(level), 0)
    curved = curve(fine), curve(coarse)
    least = least_curvature(curved[1], shot, inner & (shot <= noise.sigma**2))
    ridges = measure_ridges(*curved, inner, least)
    blobs = measure_blobs(*curved, inner, least, level)
    spread = _background_range(fine, valid)
    values = (level, spread, noise.sigma, noise.gain, *noise.correlation)
    hints = (*ridges.steps, ridges.bending, _unevenness(coarse, valid))
    return np.array(
        [*values, *grey, *ridges.values, *blobs, *scales.spectrum, *hints], dtype=np.float64
    )


def standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Statistics (..., S), of `summarise` or `measure`, in units of their spread in real images."""
    count = values.shape[-1]
    return np.asarray(np.arcsinh(values / _KNEE[:count]) / _SPREAD[:count])


def distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """How far two images, or the medians of two sets, lie apart in their statistics.

    Parameters
    ----------
    first, second
        (S,) of one image, or (N, S) of a set.

    Returns
    -------
    Mean square, over all statistics, of the difference of the (medians of the) values
    asinh(value / knee), in units of their standard deviation over the real images. A statistic
    that one of both lacks does not count.
    """
    a, b = (middle(standardise(values)) for values in (first, second))
    return float(np.nanmean((a - b) ** 2))


def middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median (S,) of the statistics (N, S) of a set, without what is NaN."""
    if values.ndim == 1:
        return values
    known = [column[np.isfinite(column)] for column in values.T]
    return np.array([np.median(column) if column.size else np.nan for column in known])


def _check(image: NDArray[Any]) -> tuple[Field, NDArray[np.bool_]]:
    if image.ndim != 2:
        raise InputError(f"An image of shape {image.shape} has no statistics; give one plane.")
    if min(image.shape) < LEAST_SIZE:
        raise InputError(
            f"An image of {image.shape[0]} x {image.shape[1]} pixels is too small to be matched; "
            f"at least {LEAST_SIZE} x {LEAST_SIZE} are needed."
        )
    pixels = np.array(image, dtype=np.float32)
    valid = np.isfinite(pixels)
    if not valid.all():
        if valid.mean() < 0.5:
            raise InputError("Less than half of the image is finite; crop it to what is.")
        pixels[~valid] = np.median(pixels[valid])
    if pixels.min() == pixels.max():
        raise InputError("The image has the same grey value everywhere; choose one with axons.")
    return pixels, valid


# ---------------------------------------------------------------- scales


@dataclass(frozen=True)
class _Scales:
    images: tuple[Field, Field]
    spectrum: tuple[float, ...]


@functools.lru_cache(maxsize=4)
def _filters(height: int, width: int) -> tuple[Field, Field, NDArray[np.intp]]:
    """Gaussians of both scales, and the band of each frequency, on the half plane."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    square = fy**2 + fx**2
    fine, coarse = (
        np.exp(-2 * np.pi**2 * sigma**2 * square).astype(np.float32) for sigma in (FINE, COARSE)
    )
    return fine, coarse, np.digitize(np.sqrt(square), _BANDS).ravel()


def _smooth(pixels: Field) -> _Scales:
    height, width = pixels.shape
    shape = tuple(fft.next_fast_len(n + 2 * _MARGIN, real=True) for n in pixels.shape)
    edges = [(_MARGIN, total - n - _MARGIN) for total, n in zip(shape, pixels.shape, strict=True)]
    mean = pixels.mean()
    transform = fft.rfft2(np.pad(pixels - mean, edges, mode="symmetric"))
    fine, coarse, band = _filters(*shape)
    power = (transform.real**2 + transform.imag**2).ravel()
    count = np.bincount(band, minlength=len(_BANDS) + 1)
    total = np.bincount(band, weights=power, minlength=len(_BANDS) + 1)
    spectrum = (total / np.maximum(count, 1) / (shape[0] * shape[1]))[1:-1]
    window = slice(_MARGIN, _MARGIN + height), slice(_MARGIN, _MARGIN + width)
    images = tuple(
        fft.irfft2(transform * kernel, s=shape)[window] + mean for kernel in (fine, coarse)
    )
    return _Scales((images[0], images[1]), tuple(spectrum))


def _level(smooth: Field) -> float:
    """Grey value around which most of the dark pixels lie: mean of the shortest half."""
    values = np.sort(smooth[:: max(1, smooth.size // 65536)])
    half = len(values) // 2
    start = int(np.argmin(values[half:] - values[: len(values) - half]))
    return float(values[start : start + half].mean())


def _background_range(fine: Field, valid: NDArray[np.bool_]) -> float:
    """Standard deviation of the background: of the lower quartiles of tiles."""
    height, width = (n // _TILE * _TILE for n in fine.shape)
    whole = (
        np.where(valid, fine, np.nan)[:height:2, :width:2]
        if not valid.all()
        else fine[:height:2, :width:2]
    )
    side = _TILE // 2
    blocks = whole.reshape(height // _TILE, side, width // _TILE, side).swapaxes(1, 2)
    tiles = blocks.reshape(-1, side * side)
    tiles = tiles[np.isfinite(tiles).all(axis=1)]
    if len(tiles) < 2:
        return 0.0
    return float(np.partition(tiles, side * side // 4, axis=1)[:, side * side // 4].std())


def _unevenness(coarse: Field, valid: NDArray[np.bool_]) -> float:
    """Median distance of the coarse image from its mean around, within some 30 px."""
    some = coarse[::2, ::2]
    around = ndimage.uniform_filter(ndimage.uniform_filter(some, _AROUND), _AROUND)
    return float(np.median(np.abs(some - around)[valid[::2, ::2]]))


# ---------------------------------------------------------------- noise


@dataclass(frozen=True)
class _Noise:
    """Standard deviation at the background, gain, correlation at a distance of 1 and 2 pixels."""

    sigma: float
    gain: float
    correlation: tuple[float, float]


def _noise(
    pixels: Field, fine: Field, coarse: Field, valid: NDArray[np.bool_], level: float
) -> _Noise:
    some = coarse[::2, ::2][valid[::2, ::2]]
    flat = valid & (coarse <= level + 1.5 * float(np.median(np.abs(some - level))))
    first, second = _correlation(pixels, flat)
    rows = pixels[2:] - 2 * pixels[1:-1] + pixels[:-2]
    residual = rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]
    inner = slice(1, -1), slice(1, -1)
    ok = valid[inner] if valid.all() else ndimage.binary_erosion(valid, np.ones((3, 3)))[inner]
    brightness = fine[inner]
    dark = np.abs(residual[ok & flat[inner]])
    power = 6 - 8 * max(first, 0) + 2 * second
    sigma = float(dark.mean()) * _TO_SIGMA / power if dark.size else 0.0
    size = np.abs(residual[ok]) * (_TO_SIGMA / 6)
    gain = _slope(brightness[ok], size, pixels[valid])
    if first > _WHITE:
        bright = ok & (brightness > np.percentile(some[::4], 80))
        gain *= (6 / _residual_power(residual, bright)) ** 2
    return _Noise(sigma, gain, (first, second))


def _correlation(pixels: Field, flat: NDArray[np.bool_]) -> tuple[float, float]:
    """Correlation of the noise with itself one and two pixels on, where at four there is none."""
    half = []
    for lag in (1, 2, 4):
        down = (pixels[lag:] - pixels[:-lag])[flat[lag:] & flat[:-lag]]
        right = (pixels[:, lag:] - pixels[:, :-lag])[flat[:, lag:] & flat[:, :-lag]]
        total = float(np.dot(down, down)) + float(np.dot(right, right))
        half.append(total / max(1, down.size + right.size))
    if not half[2] > 0:
        return 0.0, 0.0
    return float(np.clip(1 - half[0] / half[2], -0.3, 0.9)), float(
        np.clip(1 - half[1] / half[2], -0.3, 0.9)
    )


def _residual_power(residual: Field, where: NDArray[np.bool_]) -> float:
    """Variance of second differences along one axis, of noise of variance 1 as correlated as this.

    The correlation at a distance d is taken as r ** (d * d), as of smoothed noise, and r is found
    from the residuals' own correlation, to which what is not noise contributes little. Bright
    places are asked, as compression smooths dark noise the most.
    """
    here = residual * where
    power = float(np.vdot(here, here))
    if not power > 0:
        return 6.0
    next_ = float(np.vdot(here[1:], here[:-1])) + float(np.vdot(here[:, 1:], here[:, :-1]))
    found = next_ / power / 2
    r = np.linspace(0, 0.8, 81)
    power_, beside = 6 - 8 * r + 2 * r**4, -4 + 7 * r - 4 * r**4 + r**9
    return float(np.interp(found, beside / power_, power_))


def _slope(brightness: Field, size: Field, pixels: Field) -> float:
    """Variance against brightness: a line through levels, each weighed by what it knows."""
    low, high = np.percentile(brightness[::7], (2, 99.8))
    if not high > low:
        return 0.0
    step = (high - low) / _LEVELS
    index = np.clip((brightness - low) / step + 1, 0, _LEVELS + 1).astype(np.intp)
    count = np.bincount(index, minlength=_LEVELS + 2)
    mean = np.bincount(index, weights=brightness, minlength=_LEVELS + 2) / np.maximum(count, 1)
    sigma = np.bincount(index, weights=size, minlength=_LEVELS + 2) / np.maximum(count, 1)
    use = (count >= 60) & (sigma > 0)
    # Where grey values are cut off at the ends of the range, noise is too.
    darkest, brightest = float(pixels.min()), float(pixels.max())
    if np.count_nonzero(pixels == darkest) > 0.002 * pixels.size:
        use &= mean - darkest > 2 * sigma
    if np.count_nonzero(pixels == brightest) > 0.0002 * pixels.size:
        use &= brightest - mean > 2 * sigma
    if np.count_nonzero(use) < 2:
        return 0.0
    mean, variance, count = mean[use], sigma[use] ** 2, count[use]
    fitted = variance
    for _ in range(3):
        weight = count / np.maximum(fitted, 0.1 * variance.max()) ** 2
        centre = np.average(mean, weights=weight)
        spread = np.average((mean - centre) ** 2, weights=weight)
        gain = np.average((mean - centre) * variance, weights=weight) / spread
        fitted = np.average(variance, weights=weight) + gain * (mean - centre)
    return float(max(gain, 0.0))
