"""Ridges and blobs of an image: how many, how high, how wide.

They are found in second derivatives of the smoothed image (Lindeberg 1998); the sub-pixel place of
a ridge follows Steger (1998). Their width comes from how the curvature falls from a fine to a
coarse scale, which needs no base line: s, the standard deviation of a Gaussian profile, gives a
ridge the curvature (s² + scale²) ** -1.5, and a blob (s² + scale²) ** -2, up to a factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float32]

FINE, COARSE = 1.75, 3.0
"""Scales (px) that are compared."""

_SURE = 3.5  # standard deviations of the noise above which a ridge or a blob is one
_FAINT = 2.0 / _SURE  # part of that from which on a ridge may be one
STEPS = (2.75, 5.0)  # standard deviations, besides these two, above which ridges are counted
_VARIANCES = tuple(s**2 + 1 / 6 for s in (FINE, COARSE))  # a second difference smooths, too
_FEW = 8  # ridge pixels or blobs below which nothing is said about their width
_WIDEST = 20.0  # px: a greater standard deviation cannot be told at these scales
_FWHM = math.sqrt(8 * math.log(2))


@dataclass(frozen=True)
class Curved:
    """A smoothed image, and its downward curvature at all but the outermost pixels.

    Attributes
    ----------
    smooth
        The image.
    across, along
        Curvature in the direction in which it is greatest, and at a right angle to it.
    """

    smooth: Field
    across: Field
    along: Field


def _second_derivatives(block: Field) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Along yy, xx and yx at all but the outermost pixels."""
    twice = 2 * block[1:-1, 1:-1]
    yy = block[2:, 1:-1] + block[:-2, 1:-1] - twice
    xx = block[1:-1, 2:] + block[1:-1, :-2] - twice
    yx = (block[2:, 2:] + block[:-2, :-2] - block[2:, :-2] - block[:-2, 2:]) / 4
    return yy, xx, yx


def curve(smooth: Field) -> Curved:
    """Curvature of a smoothed image (Y, X): eigenvalues of its Hessian."""
    height, width = smooth.shape
    across = np.empty((height - 2, width - 2), np.float32)
    along = np.empty_like(across)
    rows = max(1, 16384 // width)  # strips that stay in the cache
    for top in range(0, height - 2, rows):
        yy, xx, yx = _second_derivatives(smooth[top : top + rows + 2])
        half = (yy + xx) / 2
        yy -= half
        root = np.sqrt(yy * yy + yx * yx)
        np.subtract(root, half, out=across[top : top + rows])
        np.subtract(-half, root, out=along[top : top + rows])
    return Curved(smooth, across, along)


def least_curvature(curved: Curved, shot: Field, flat: NDArray[np.bool_]) -> Field:
    """Curvature from which on a ridge is one.

    That of the dark noise is measured where the image is flat, as it may be correlated; that of
    the shot noise, whose variance ``shot`` is, is what a Gaussian leaves of it.
    """
    some = (curved.across[::2, ::2] + curved.along[::2, ::2])[flat[::2, ::2]]
    dark = 3 / 8 * (1.4826 * float(np.median(np.abs(some)))) ** 2 if some.size else 0.0
    least = shot * np.float32(3 / (16 * math.pi) / COARSE**6) + np.float32(dark)
    return np.asarray(np.float32(_SURE) * np.sqrt(least))


@dataclass(frozen=True)
class Ridges:
    """What `measure_ridges` finds.

    Attributes
    ----------
    values
        Length per 1000 pixels, height on the coarse scale (median and 90 %), width at half height;
        then length and width with faint ridges, some of which are noise.
    steps
        Length per 1000 pixels of the ridges that reach other curvatures, `STEPS`.
    bending
        Curvature along the crests, in parts of that across them.
    """

    values: tuple[float, float, float, float, float, float]
    steps: tuple[float, ...]
    bending: float


def measure_ridges(fine: Curved, coarse: Curved, valid: NDArray[np.bool_], least: Field) -> Ridges:
    """How long, high and wide ridges are, and how straight.

    Of the pixels ``valid`` that reach the curvature ``least``; all but the outermost pixels of the
    image. NaN where there are too few.
    """
    y, x, across = _crests(coarse, valid, np.float32(_FAINT) * least)
    per_area = 1000 / max(1, int(valid.sum()))
    faint = len(y) * per_area, _FWHM * math.sqrt(_variance(fine, y, x, across))
    enough = least[y, x]
    steps = tuple(
        float(np.count_nonzero(across > np.float32(step / _SURE) * enough) * per_area)
        for step in STEPS
    )
    sure = across > enough
    y, x, across = y[sure], x[sure], across[sure]
    density = len(y) * per_area
    if len(y) < _FEW:
        return Ridges((density, math.nan, math.nan, math.nan, *faint), steps, math.nan)
    strong = across >= np.median(across)
    square = _variance(fine, y[strong], x[strong], across[strong])
    median, high = np.percentile(across, (50, 90)) * (square + _VARIANCES[1])
    sizes = density, float(median), float(high), _FWHM * math.sqrt(square)
    bending = float(coarse.along[y, x].sum()) / float(across.sum())
    return Ridges((*sizes, *faint), steps, bending)


def _crests(
    coarse: Curved, valid: NDArray[np.bool_], least: Field
) -> tuple[NDArray[np.intp], NDArray[np.intp], Field]:
    """Rows and columns on the crest of ridges, as many as these are long; curvature across."""
    # Around a round blob every line through it looks like a ridge: there, the curvature along it
    # is as great, or the image falls off along it.
    candidate = (coarse.across > least) & (coarse.along < 0.5 * coarse.across) & valid
    y, x = np.nonzero(candidate)
    across, smooth = coarse.across[y, x], coarse.smooth
    around = [[smooth[y + dy, x + dx] for dx in range(3)] for dy in range(3)]
    (a, b, c), (d, e, f), (g, h, i) = around
    yy, xx, yx = b + h - 2 * e, d + f - 2 * e, (a + i - c - g) / 4
    # The direction across is the eigenvector of the eigenvalue -across: of its two forms, the
    # longer one.
    tall = yy <= xx
    vy, vx = np.where(tall, -across - xx, yx), np.where(tall, yx, -across - yy)
    # Pixels within half a pixel of the crest are as many as the ridge is long (Steger 1998).
    norm = across * np.hypot(vy, vx)
    crest = np.abs((h - b) * vy + (f - d) * vx) <= norm
    crest &= np.abs((h - b) * vx - (f - d) * vy) <= 2 * COARSE * norm
    return y[crest], x[crest], across[crest]


def _variance(
    fine: Curved, y: NDArray[np.intp], x: NDArray[np.intp], across: NDArray[Any]
) -> float:
    """Variance of the profile of ridges with this curvature on the coarse scale, or NaN."""
    if len(y) < _FEW:
        return math.nan
    thin = max(float(fine.across[y, x].sum()), 0.0)
    return _sigma_squared((thin / float(across.sum())) ** (2 / 3))


def measure_blobs(
    fine: Curved, coarse: Curved, valid: NDArray[np.bool_], least: Field, level: float
) -> tuple[float, float, float, float]:
    """Number per 10000 pixels, height above ``level`` (median and 90 %), width at half height.

    Where the curvature in every direction reaches ``least``. NaN where there are too few.
    """
    along = coarse.along
    candidate = (along > least) & valid
    candidate[[0, -1]] = candidate[:, [0, -1]] = False
    y, x = np.nonzero(candidate)
    peak = np.ones(len(y), bool)
    for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
        peak &= along[y, x] >= along[y + dy, x + dx]
    y, x = y[peak], x[peak]
    density = 10000 * len(y) / max(1, int(valid.sum()))
    if len(y) < _FEW:
        return density, math.nan, math.nan, math.nan
    ratio = max(float(fine.along[y, x].sum()), 0.0) / float(along[y, x].sum())
    median, high = np.percentile(fine.smooth[y + 1, x + 1] - level, (50, 90))
    return density, float(median), float(high), _FWHM * math.sqrt(_sigma_squared(ratio**0.5))


def _sigma_squared(ratio: float) -> float:
    """Variance of a Gaussian, from the ratio (variance + coarse) / (variance + fine)."""
    fine, coarse = _VARIANCES
    return min(max(0.0, coarse - fine * ratio) / max(ratio - 1, 1e-3), _WIDEST**2)
