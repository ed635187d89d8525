"""Operations whose last digit is the same on every device."""

from __future__ import annotations

import numpy as np
import torch


def root_(values: torch.Tensor) -> torch.Tensor:
    """Square roots, in place, correctly rounded (IEEE 754) as those of NumPy, CUDA and the loops.

    torch's own on a CPU are not bound to be: those of its build 2.13 for AVX-512 differ in the last
    digit for a fifth of all values, and so would pixels near the border between two grey levels.
    """
    if values.device.type != "cpu":
        return values.sqrt_()
    array = values.numpy()
    np.sqrt(array, out=array)
    return values
