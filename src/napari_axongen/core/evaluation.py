"""How good a result is: measures against a manual mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


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
        (seeds, images).
    level
        Of confidence.
    draws
        Bootstrap samples; they are the same at every call.

    Returns
    -------
    mean, lower and upper end

    Notes
    -----
    The pigeonhole bootstrap (Owen 2007): seeds and images are drawn with replacement, each for
    itself. A handful of either gives a rough interval, as a rule too narrow a one.
    """
    table = np.asarray(scores, dtype=np.float64)
    rng = np.random.default_rng(0)
    seeds = rng.integers(table.shape[0], size=(draws, table.shape[0], 1))
    images = rng.integers(table.shape[1], size=(draws, 1, table.shape[1]))
    means = table[seeds, images].mean((1, 2))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(table.mean()), float(low), float(high)
