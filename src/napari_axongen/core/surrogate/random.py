"""Random numbers that depend on (seed, index of the image, name, counter) and on nothing else.

A counter-based generator in integer arithmetic: no state, so image 7 is the same alone, in a batch
and after a resume. `Draws` serve the scene, in NumPy; `pixels.PixelDraws` the pixels, on the
device.

References
----------
Salmon et al. (2011), Parallel random numbers: as easy as 1, 2, 3 (the idea of counters). The mixing
function of 32 bits is "lowbias32" of C. Wellons' search (public domain), that of 64 bits the
finaliser of splitmix64 (Steele et al. 2014).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.special import ndtr, ndtri

from .distributions import Choice, LogNormal, LogUniform, Normal, Number, Uniform, bounds

Floats = NDArray[np.float64]
_PRIME = 0x1000193  # spreads 32 bits over 57
_MASK64 = (1 << 64) - 1


class Draws:
    """The random numbers of a batch of images, or of their objects; one row each.

    Parameters
    ----------
    keys
        uint64 (B,): one key a row, see `image_keys` and `children`.
    """

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        self.keys = keys
        self._drawn: dict[type[BaseModel], Floats] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, rows: NDArray[Any]) -> Draws:
        """The random numbers of some of the rows, by index or mask."""
        chosen = Draws(self.keys[rows])
        chosen._drawn = {kind: drawn[rows] for kind, drawn in self._drawn.items()}
        return chosen

    def children(self, name: str, count: int) -> Draws:
        """Random numbers of the objects of each image: row ``image * count + object``.

        An object's numbers depend on its own number, not on how many there are.
        """
        number = np.arange(count, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) * _PRIME)
        return Draws(_mix64(self.keys[:, None] ^ _mix64(number)).ravel())

    def uniform(self, name: str, *shape: int) -> Floats:
        """Uniform on (0, 1), float64 (B, *shape), in steps of 2**-32."""
        number, other = stream_numbers(name)
        low = self.keys.astype(np.uint32) ^ number
        high = (self.keys >> np.uint64(32)).astype(np.uint32) ^ other
        # sequences of two keys meet by chance only: the counters are mixed before they are keyed
        x = _mixed_counters(math.prod(shape)) ^ low[:, None]
        x += high[:, None]
        return ((_mix32(x).astype(np.float64) + 0.5) * 2.0**-32).reshape(len(self), *shape)

    def parameter(self, group: BaseModel, name: str) -> Floats:
        """Draw a `number` field of a parameter group: float64 (B,), whole if it is so."""
        low, high, integer = bounds(type(group), name)
        value: Number = getattr(group, name)
        if isinstance(value, int | float):
            return np.full(len(self), float(value))
        u = self.chance(group, name)
        if integer and isinstance(value, Uniform):  # both ends as likely as what lies between
            first, last = value.uniform
            return first + np.floor(u * (last - first + 1))
        drawn = quantile(value, u, low, high)
        return np.rint(drawn) if integer else drawn

    def chance(self, group: BaseModel, name: str) -> Floats:
        """The uniform number (B,) that `parameter` makes its value of.

        Those of a group are drawn together, which is faster.
        """
        kind = type(group)
        if kind not in self._drawn:
            self._drawn[kind] = self.uniform(kind.__name__, len(kind.model_fields))
        return self._drawn[kind][:, list(kind.model_fields).index(name)]


def quantile(value: Number, u: Floats, low: float, high: float) -> Floats:
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
            return np.exp(math.log(first) + math.log(last / first) * u)
        case Normal(normal=(mean, spread)):
            return _cut_normal(mean, spread, u, low, high)
        case LogNormal(log_normal=(median, spread)):
            floor = math.log(low) if low > 0 else -math.inf
            return np.exp(_cut_normal(math.log(median), spread, u, floor, math.log(high)))
        case Choice(choice=numbers):
            place = (u * len(numbers)).astype(np.int64)
            return np.asarray(numbers)[np.minimum(place, len(numbers) - 1)]
        case _:
            return np.full_like(u, float(value))


def _cut_normal(mean: float, spread: float, u: Floats, low: float, high: float) -> Floats:
    first, last = float(ndtr((low - mean) / spread)), float(ndtr((high - mean) / spread))
    z: Floats = ndtri(first + (last - first) * u)
    return np.clip(mean + spread * z, low, high)


def image_keys(seed: int, indices: Iterable[int]) -> NDArray[np.uint64]:
    """One 64-bit key an image, uint64 (B,)."""
    base = _mix64(np.array([seed & _MASK64], dtype=np.uint64))
    return _mix64(np.fromiter(indices, dtype=np.uint64) + base)


def stream_numbers(name: str) -> tuple[np.uint32, np.uint32]:
    """What a name does to the two halves of a key: it is put on them by exclusive or."""
    number = zlib.crc32(name.encode())
    return np.uint32(number), np.uint32(number * _PRIME & 0xFFFFFFFF)


_counters = np.zeros(0, dtype=np.uint32)


def _mixed_counters(count: int) -> NDArray[np.uint32]:
    """The first counters, scrambled; made once for as many as were ever needed."""
    global _counters  # a cache that only grows: who reads an old one reads the same numbers
    if len(_counters) < count:
        _counters = _mix32(np.arange(1 << max(16, (count - 1).bit_length()), dtype=np.uint32))
    return _counters[:count]


def _mix32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scramble in place."""
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def _mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
