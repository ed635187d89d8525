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
