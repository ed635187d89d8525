"""Random numbers that depend on (seed, index of the image, name, counter) and on nothing else.

A counter-based generator in integer arithmetic: no state, so image 7 is the same alone, in a batch
and after a resume; and no floating-point function, so it is the same on every device. What is
normally distributed is looked up in a table of quantiles for the same reason.

References
----------
Salmon et al. (2011), Parallel random numbers: as easy as 1, 2, 3 (the idea of counters). The mixing
function is "lowbias32" of C. Wellons' search (public domain).
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Iterable

import numpy as np
import torch
from pydantic import BaseModel
from scipy.special import ndtr, ndtri

from .distributions import Choice, LogNormal, LogUniform, Normal, Number, Uniform, bounds

_MASK64 = (1 << 64) - 1
_TABLE_BITS = 16
_PRIME = 0x1000193  # spreads 32 bits over 57


class Draws:
    """The random numbers of a batch of images, or of their objects; one row each.

    Parameters
    ----------
    keys
        int64 (B,): one 64-bit key a row, see `image_keys` and `children`.
    """

    def __init__(self, keys: torch.Tensor) -> None:
        self.keys = keys
        self.device = keys.device
        self._drawn: dict[type[BaseModel], torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: torch.device) -> Draws:
        """The same random numbers elsewhere."""
        return self if device == self.device else Draws(self.keys.to(device))

    def select(self, rows: torch.Tensor) -> Draws:
        """The random numbers of some of the rows, by index or mask."""
        chosen = Draws(self.keys[rows])
        chosen._drawn = {kind: drawn[rows] for kind, drawn in self._drawn.items()}
        return chosen

    def children(self, name: str, count: int) -> Draws:
        """Random numbers of the objects of each image: row ``image * count + object``.

        An object's numbers depend on its own number, not on how many there are.
        """
        number = torch.arange(count, device=self.device) + zlib.crc32(name.encode()) * _PRIME
        return Draws(_mix64(self.keys[:, None] ^ _mix64(number)).view(-1))

    def bits(self, name: str, *shape: int) -> torch.Tensor:
        """32 random bits each, as int32 (B, *shape)."""
        low, high = self._stream(name)
        # sequences of two keys meet by chance only: the counters are mixed before they are keyed
        x = _mixed_counters(math.prod(shape), self.device) ^ low[:, None]
        return mix32_(x.add_(high[:, None])).view(len(self), *shape)

    def _stream(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Key of a name in each row, as two int32 (B,)."""
        number = zlib.crc32(name.encode())
        low = self.keys.to(torch.int32) ^ _signed(number)
        return low, (self.keys >> 32).to(torch.int32) ^ _signed(number * _PRIME & 0xFFFFFFFF)

    def uniform(self, name: str, *shape: int) -> torch.Tensor:
        """Uniform on (0, 1), float64 (B, *shape), in steps of 2**-24."""
        top = (self.bits(name, *shape) >> 8) & 0xFFFFFF
        return (top.to(torch.float64) + 0.5) * 2.0**-24

    def normal(self, name: str, *shape: int) -> torch.Tensor:
        """Standard normal to 4.3 standard deviations, float32 (B, *shape).

        Two numbers are made of each 32 bits.
        """
        count = math.prod(shape)
        halves = self.bits(name, (count + 1) // 2).view(torch.int16)[:, :count]
        index = halves.to(torch.int32).add_(1 << (_TABLE_BITS - 1)).view(-1)
        drawn = torch.index_select(normal_table(self.device), 0, index)
        return drawn.view(len(self), *shape)

    def normal_at(
        self, name: str, image: torch.Tensor, place: torch.Tensor, places: int
    ) -> torch.Tensor:
        """Standard normal at some places of some images only, float32 (n,).

        Parameters
        ----------
        image, place
            int64 (n,): position of the image in the batch, counter within it.
        places
            What all counters are below.
        """
        low, high = self._stream(name)
        mixed = _mixed_counters(places, self.device)
        x = mix32_((mixed[place] ^ low[image]).add_(high[image]))
        return torch.index_select(normal_table(self.device), 0, (x >> 16) & 0xFFFF)

    def parameter(self, group: BaseModel, name: str) -> torch.Tensor:
        """Draw a `number` field of a parameter group: float64 (B,), whole if it is so."""
        low, high, integer = bounds(type(group), name)
        value: Number = getattr(group, name)
        if isinstance(value, int | float):
            return torch.full_like(self.keys, float(value), dtype=torch.float64)
        u = self.chance(group, name)
        if integer and isinstance(value, Uniform):  # both ends as likely as what lies between
            first, last = value.uniform
            return first + torch.floor(u * (last - first + 1))
        drawn = quantile(value, u, low, high)
        return torch.round(drawn) if integer else drawn

    def chance(self, group: BaseModel, name: str) -> torch.Tensor:
        """The uniform number (B,) that `parameter` makes its value of.

        Those of a group are drawn together, which is faster.
        """
        kind = type(group)
        if kind not in self._drawn:
            self._drawn[kind] = self.uniform(kind.__name__, len(kind.model_fields))
        return self._drawn[kind][:, list(kind.model_fields).index(name)]


def quantile(value: Number, u: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Value below which a draw lies with probability ``u``.

    Parameters
    ----------
    value
        Number or distribution; normal ones are cut off at ``low`` and ``high``.
    u
        float64 in (0, 1), any shape.
    """
    match value:
        case Uniform(uniform=(first, last)):
            return first + (last - first) * u
        case LogUniform(log_uniform=(first, last)):
            return torch.exp(math.log(first) + math.log(last / first) * u)
        case Normal(normal=(mean, spread)):
            return _cut_normal(mean, spread, u, low, high)
        case LogNormal(log_normal=(median, spread)):
            floor = math.log(low) if low > 0 else -math.inf
            return torch.exp(_cut_normal(math.log(median), spread, u, floor, math.log(high)))
        case Choice(choice=numbers):
            table = torch.tensor(numbers, dtype=u.dtype, device=u.device)
            return table[(u * len(numbers)).long().clamp(max=len(numbers) - 1)]
        case _:
            return torch.full_like(u, float(value))


def _cut_normal(
    mean: float, spread: float, u: torch.Tensor, low: float, high: float
) -> torch.Tensor:
    first, last = float(ndtr((low - mean) / spread)), float(ndtr((high - mean) / spread))
    z: torch.Tensor = torch.special.ndtri(first + (last - first) * u)
    return (mean + spread * z).clamp(low, high)


def image_keys(seed: int, indices: Iterable[int], device: torch.device) -> torch.Tensor:
    """One 64-bit key an image, int64 (B,)."""
    base = _mix64(torch.tensor(_signed64(seed & _MASK64)))
    index = torch.tensor(list(indices), dtype=torch.int64)
    return _mix64(_mix64(index) ^ base).to(device)


def mix32_(x: torch.Tensor) -> torch.Tensor:
    """Scramble int32 in place; products wrap, shifts are made logical."""
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= -0x7B935975  # 0x846CA68B
    x ^= (x >> 16) & 0xFFFF
    return x


@functools.lru_cache(maxsize=64)
def _mixed_counters(count: int, device: torch.device) -> torch.Tensor:
    return mix32_(torch.arange(count, dtype=torch.int32, device=device))


def _mix64(x: torch.Tensor) -> torch.Tensor:
    """The finaliser of splitmix64 (Steele et al. 2014); int64 products wrap."""
    x = x + _signed64(0x9E3779B97F4A7C15)
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _signed64(0xBF58476D1CE4E5B9)
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _signed64(0x94D049BB133111EB)
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def _signed(number: int) -> int:
    return number - (1 << 32) if number >= 1 << 31 else number


def _signed64(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


@functools.lru_cache
def normal_table(device: torch.device) -> torch.Tensor:
    """Quantiles of the standard normal in 65,536 equal parts, float32; variance exactly 1."""
    size = 1 << _TABLE_BITS
    values = ndtri((np.arange(size) + 0.5) / size)
    return torch.tensor(values / values.std(), dtype=torch.float32, device=device)
