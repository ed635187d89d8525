"""Random numbers of pixels, on the device: integers and tables, the same on all of them."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from .random import stream_numbers

_TABLE_BITS = 16
# tensors, as torch converts a Python number at each use, which takes longer than a short operation
_SHIFT_15, _SHIFT_16, _LOW_16, _LOW_17, _FACTOR_1, _FACTOR_2, _MIDDLE = (
    torch.tensor(number, dtype=torch.int32)
    for number in (15, 16, 0xFFFF, 0x1FFFF, 0x7FEB352D, 0x846CA68B - (1 << 32), 1 << 15)
)


def pixel_keys(keys: NDArray[np.uint64]) -> torch.Tensor:
    """Keys of `random.Draws` as torch has them, int64 (B,)."""
    return torch.from_numpy(keys.view(np.int64))


class PixelDraws:
    """Random numbers of the pixels of some frames or objects; one row each.

    Parameters
    ----------
    keys
        int64 (B,), see `pixel_keys`.
    """

    def __init__(self, keys: torch.Tensor) -> None:
        self.keys, self.device = keys, keys.device

    def __len__(self) -> int:
        return len(self.keys)

    def bits(self, name: str, *shape: int) -> torch.Tensor:
        """32 random bits each, as int32 (B, *shape)."""
        low, high = self._stream(name)
        # sequences of two keys meet by chance only: the counters are mixed before they are keyed
        x = _mixed_counters(math.prod(shape), self.device) ^ low[:, None]
        return _mix32_(x.add_(high[:, None])).view(len(self), *shape)

    def normal(self, name: str, *shape: int) -> torch.Tensor:
        """Standard normal to 4.3 standard deviations, float32 (B, *shape).

        Two numbers are made of each 32 bits.
        """
        count = math.prod(shape)
        halves = self.bits(name, (count + 1) // 2).view(torch.int16)[:, :count]
        index = halves.to(torch.int32).add_(_MIDDLE).view(-1)
        drawn = torch.index_select(normal_table(self.device), 0, index)
        return drawn.view(len(self), *shape)

    def normal_at(
        self, name: str, row: torch.Tensor, place: torch.Tensor, places: int
    ) -> torch.Tensor:
        """Standard normal at some places of some rows only, float32 (n,).

        Parameters
        ----------
        row, place
            int64 (n,): row of the keys, counter within it.
        places
            What all counters are below.
        """
        top = (self._bits_at(name, row, place, places) >> _SHIFT_16).bitwise_and_(_LOW_16)
        return torch.index_select(normal_table(self.device), 0, top)

    def pair_at(
        self, name: str, row: torch.Tensor, place: torch.Tensor, places: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Likewise, and numbers uniform on [0, 1) in steps of 2**-16."""
        bits = self._bits_at(name, row, place, places)
        top = (bits >> _SHIFT_16).bitwise_and_(_LOW_16)
        normal = torch.index_select(normal_table(self.device), 0, top)
        return normal, bits.bitwise_and_(_LOW_16).float().mul_(2.0**-16)

    def _bits_at(
        self, name: str, row: torch.Tensor, place: torch.Tensor, places: int
    ) -> torch.Tensor:
        low, high = self._stream(name)
        mixed = _mixed_counters(places, self.device)
        x = torch.index_select(mixed, 0, place)
        x ^= torch.index_select(low, 0, row)
        x += torch.index_select(high, 0, row)
        return _mix32_(x)

    def _stream(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        number, other = (int(half.view(np.int32)) for half in stream_numbers(name))
        return self.keys.to(torch.int32) ^ number, (self.keys >> 32).to(torch.int32) ^ other


_counters: dict[torch.device, torch.Tensor] = {}


def _mixed_counters(count: int, device: torch.device) -> torch.Tensor:
    """The first counters, scrambled; made once for as many as were ever needed."""
    known = _counters.get(device)
    if known is None or len(known) < count:
        size = 1 << max(16, (count - 1).bit_length())
        known = _mix32_(torch.arange(size, dtype=torch.int32, device=device))
        _counters[device] = known
    return known[:count]


def _mix32_(x: torch.Tensor) -> torch.Tensor:
    """`random._mix32` of int32 in place; products wrap, shifts are made logical."""
    x ^= (x >> _SHIFT_16).bitwise_and_(_LOW_16)
    x *= _FACTOR_1
    x ^= (x >> _SHIFT_15).bitwise_and_(_LOW_17)
    x *= _FACTOR_2
    x ^= (x >> _SHIFT_16).bitwise_and_(_LOW_16)
    return x


@functools.lru_cache
def normal_table(device: torch.device) -> torch.Tensor:
    """Quantiles of the standard normal in 65,536 equal parts, float32; variance exactly 1."""
    size = 1 << _TABLE_BITS
    values = ndtri((np.arange(size) + 0.5) / size)
    return torch.tensor(values / values.std(), dtype=torch.float32, device=device)
