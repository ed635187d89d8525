"""How good a result is: measures against the truth, and how sure their means are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.draw import line
from skimage.morphology import skeletonize

from .centrelines import Centreline

Mask: TypeAlias = npt.NDArray[np.bool_]
Curve: TypeAlias = npt.NDArray[np.float64]

THRESHOLDS: Curve = np.linspace(0.005, 0.995, 200)
"""Those of the original's evaluation (Billot 2017)."""

CENTRELINE_TOLERANCE = 3.0
"""px: a found centreline is right up to this distance from a true one."""


def dice(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Dice coefficient 2 |A and B| / (|A| + |B|) of two masks (Dice 1945).

    Two empty masks agree: 1.

    Raises
    ------
    ValueError
        The masks differ in shape.
    """
    if found.shape != truth.shape:
        raise ValueError(f"masks of shapes {found.shape} and {truth.shape} cannot be compared")
    total: Any = np.count_nonzero(found) + np.count_nonzero(truth)
    return 1.0 if total == 0 else float(2 * np.count_nonzero(found & truth) / total)


def mean_interval(
    scores: npt.ArrayLike, level: float = 0.95, draws: int = 4000
) -> tuple[float, float, float]:
    """Mean of a table of seeds by images, and its bootstrap interval over both.

    Parameters
    ----------
    scores
        (seeds, images); NaN where there is none.
    level
        Of confidence.
    draws
        Bootstrap samples; they are the same at every call.

    Returns
    -------
    mean, lower and upper end; NaN where nothing was measured

    Notes
    -----
    The pigeonhole bootstrap (Owen 2007): seeds and images are drawn with replacement, each for
    itself. A handful of either gives a rough interval, as a rule too narrow a one. Of paired
    scores, such as those of two methods on the same images, take the interval of the differences.
    """
    table = np.asarray(scores, dtype=np.float64)
    known = np.isfinite(table)
    if not known.any():
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(0)
    seeds = rng.integers(table.shape[0], size=(draws, table.shape[0], 1))
    images = rng.integers(table.shape[1], size=(draws, 1, table.shape[1]))
    counts = known[seeds, images].sum((1, 2))
    sums = np.where(known, table, 0)[seeds, images].sum((1, 2))
    means = sums[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(table[known].mean()), float(low), float(high)


# ---------------------------------------------------------------- over thresholds


@dataclass(frozen=True)
class Curves:
    """How good a map is at each threshold; see `threshold_curves`.

    Attributes
    ----------
    dice
        2 |A and B| / (|A| + |B|); 1 where both are empty.
    smooth_dice
        With 1 added above and below: the original's.
    tpr, fpr, precision
        True and false positive rate, and precision; NaN where there is nothing to divide by.
    """

    dice: Curve
    smooth_dice: Curve
    tpr: Curve
    fpr: Curve
    precision: Curve

    @classmethod
    def mean(cls, curves: Sequence[Curves]) -> Curves:
        """Mean over images, of each figure over those that have one."""
        return cls(*(_mean([getattr(one, field.name) for one in curves]) for field in fields(cls)))


def threshold_curves(
    values: npt.NDArray[Any],
    truth: Mask,
    valid: Mask | None = None,
    thresholds: npt.ArrayLike = THRESHOLDS,
) -> Curves:
    """Compare a map with a mask at many thresholds.

    Parameters
    ----------
    values
        A probability map, uint8 x 255 or floats from 0 to 1; or any other map, with thresholds of
        its own. A pixel is found where it reaches the threshold.
    truth
        Of the same shape.
    valid
        Where the truth is known; omitted, everywhere.
    thresholds
        Any number of them.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    if values.shape != truth.shape or (valid is not None and valid.shape != truth.shape):
        raise ValueError(f"a map of shape {values.shape} and a mask of {truth.shape} do not match")
    limits = np.asarray(thresholds, np.float64)
    if values.dtype == np.uint8:
        limits = limits * 255
    known = np.ones(truth.shape, bool) if valid is None else valid
    right, wrong = (
        np.size(part) - np.searchsorted(np.sort(part), limits, side="left")
        for part in (values[known & truth], values[known & ~truth])
    )
    true = np.count_nonzero(known & truth)
    false = np.count_nonzero(known) - true
    found = right + wrong
    with np.errstate(invalid="ignore", divide="ignore"):
        dice = np.where(found + true > 0, 2 * right / (found + true), 1.0)
        return Curves(
            dice=dice,
            smooth_dice=(2 * right + 1) / (found + true + 1),
            tpr=right / np.float64(true),
            fpr=wrong / np.float64(false),
            precision=right / found,
        )


def best_threshold(scores: npt.ArrayLike, thresholds: npt.ArrayLike = THRESHOLDS) -> float:
    """Threshold at which the mean score of some images is highest.

    Parameters
    ----------
    scores
        (images, thresholds).
    thresholds
        In ascending order. Of several as good next to each other, the middle one is taken.
    """
    means = _mean(scores)
    best = int(np.argmax(means))
    as_good = np.flatnonzero(np.diff(means[best:] >= means[best], append=False))[0]
    return float(np.asarray(thresholds)[best + as_good // 2])


def _mean(rows: npt.ArrayLike) -> Curve:
    """Mean of the rows where they are finite, NaN where none is."""
    table = np.asarray(rows, np.float64)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, table, 0).sum(0) / known.sum(0))


# ---------------------------------------------------------------- centrelines


@dataclass(frozen=True)
class CentrelineAccuracy:
    """Pixels of the centrelines of a found mask against true ones.

    Attributes
    ----------
    right, found
        Found pixels within the tolerance of a true one, and all of them.
    met, true
        True pixels within the tolerance of a found one, and all of them.
    """

    right: int
    found: int
    met: int
    true: int

    @property
    def precision(self) -> float:
        """Part of the found pixels that are right; NaN without any."""
        return self.right / self.found if self.found else math.nan

    @property
    def recall(self) -> float:
        """Part of the true pixels that were found; NaN without any."""
        return self.met / self.true if self.true else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 1 where there is nothing and nothing was found."""
        if not self.found or not self.true:
            return float(self.found == self.true)
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def centreline_accuracy(
    found: Mask,
    centrelines: Mask,
    valid: Mask | None = None,
    tolerance: float = CENTRELINE_TOLERANCE,
) -> CentrelineAccuracy:
    """Compare the skeleton of a found mask with true centrelines.

    Parameters
    ----------
    found
        Mask of axons.
    centrelines
        Of the same shape, one pixel wide: see `draw_centrelines`, or the skeleton of a true mask.
    valid
        Pixels of either skeleton that count; omitted, all. Distances are to the whole of the other.
    tolerance
        px.

    Notes
    -----
    `tracing.tracing_accuracy` follows each path; a mask has none, so here each pixel is right by
    itself. Pixels are counted, so a diagonal counts for less than its length, on both sides.
    """
    skeleton = skeletonize(found)
    known = np.ones(found.shape, bool) if valid is None else valid
    right = skeleton & _within(centrelines, tolerance)
    met = centrelines & _within(skeleton, tolerance)
    counts = (np.count_nonzero(part & known) for part in (right, skeleton, met, centrelines))
    return CentrelineAccuracy(*map(int, counts))


def centreline_dice(found: Mask, truth: Mask, valid: Mask | None = None) -> float:
    """The clDice of two masks: whether their skeletons lie in each other (Shit et al. 2021).

    Harmonic mean of the part of the found mask's skeleton that lies in the true mask, and the part
    of the true mask's skeleton that lies in the found one. Two masks without skeletons agree: 1.

    Parameters
    ----------
    found, truth
        Masks of one shape.
    valid
        Pixels of either skeleton that count; omitted, all.
    """
    known = np.ones(truth.shape, bool) if valid is None else valid
    mine, true = skeletonize(found) & known, skeletonize(truth) & known
    counts = (np.count_nonzero(part) for part in (mine & truth, mine, true & found, true))
    return CentrelineAccuracy(*map(int, counts)).f1


def draw_centrelines(lines: Sequence[Centreline], shape: tuple[int, int]) -> Mask:
    """Mask of the pixels of centrelines, but for those that are faint."""
    mask = np.zeros(shape, bool)
    for one in lines:
        if one.faint:
            continue
        points = np.rint(one.points).astype(int)
        for (row, column), (next_row, next_column) in pairwise(points):
            rows, columns = line(row, column, next_row, next_column)
            inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
            mask[rows[inside], columns[inside]] = True
    return mask


def _within(mask: Mask, distance: float) -> Mask:
    """Pixels up to a distance (px) from a mask."""
    if not mask.any():
        return np.zeros(mask.shape, bool)
    return np.asarray(ndimage.distance_transform_edt(~mask) <= distance)
