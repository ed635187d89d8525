"""Room for arrays that the memory need not hold."""

from __future__ import annotations

import math
import os
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError

IN_MEMORY = 1 << 28
"""Bytes of an array, above which it lies in a file."""


def on_disk(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros in a file without a name, which goes with the array.

    Raises
    ------
    InputError
        The disk of temporary files has no room for them.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile() as file:
        try:
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process later
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "w+", shape=shape)
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()} has no room for {size / 1e9:.1f} GB of images "
                f"({error.strerror}); make room there, or name another folder by TMPDIR."
            ) from error
