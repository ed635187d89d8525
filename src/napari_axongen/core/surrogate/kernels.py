"""What the loops that numba compiles for the CPU have in common.

Each function of `line_kernels`, `drawing_kernels`, `exposure_kernels` and `growth_kernels` names
the one of the torch path that it equals to the bit: the same operations in the same order on
float32 and int32, and the same tables. They see one image at a time, hold no lock and change only
what they are given: images are made on as many threads as there are cores.

`fused` prepares what they are given, and `compiling` has them compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba as nb
import numpy as np

from .raster import GAUSSIAN

Function = TypeVar("Function", bound=Callable[..., Any])

f32, i32, u32, u64 = np.float32, np.int32, np.uint32, np.uint64
ONE, HALF = f32(1), f32(0.5)
LANES = 16
"""Turns of an inner loop that a core takes at once; those left over of others, it takes singly."""


def compiled(function: Function) -> Function:
    """Let numba compile a function when it is first needed, or find it in the cache."""
    made: Function = nb.njit(nogil=True, cache=True, error_model="numpy")(function)
    return made


def records(kind: np.dtype[Any]) -> Any:
    """Type of an array of records."""
    return nb.from_dtype(kind)[::1]


# ------------------------------------------------------------ chance, see `pixels`; tables


@compiled
def mixed(x: Any) -> Any:
    """`pixels._mix32_` of a uint32."""
    x = u32(x ^ (x >> u32(16)))
    x = u32(x * u32(0x7FEB352D))
    x = u32(x ^ (x >> u32(15)))
    x = u32(x * u32(0x846CA68B))
    return u32(x ^ (x >> u32(16)))


@compiled
def stream(key: Any, numbers: Any) -> Any:
    """`PixelDraws._stream` of a uint64."""
    return u32(u32(key) ^ u32(numbers[0])), u32(u32(key >> np.uint64(32)) ^ u32(numbers[1]))


@compiled
def bits_at(low: Any, high: Any, counter: Any) -> Any:
    """One of `PixelDraws.bits`."""
    return mixed(u32(u32(mixed(u32(counter)) ^ low) + high))


@compiled
def gaussian_place(ratio: Any) -> Any:
    """Where `gaussian` looks."""
    return i32(min(ratio * f32(GAUSSIAN / 25), f32(GAUSSIAN)))


@compiled
def gaussian(ratio: Any, table: Any) -> Any:
    """`raster.gaussian`."""
    return table[gaussian_place(ratio)]
