"""Sliders over wide ranges, and one kind of number turned into another. No Qt here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from napari_axongen.core.surrogate.distributions import (
    Choice,
    LogNormal,
    LogUniform,
    Normal,
    Number,
    Uniform,
)

POSITIONS = 1000
"""Positions of a slider, from 0 on."""

KINDS: Mapping[str, str] = {
    "fixed": "Fixed",
    "uniform": "Range",
    "log-uniform": "Log range",
    "normal": "Normal",
    "log-normal": "Log-normal",
    "choice": "Choice",
}
"""Kinds of a number, and what the menu calls them."""

_EDGE = 0.1  # part of the bounds; a usual value nearer to one of them is found on a bent scale
_SPREAD = 0.25  # of a distribution that a fixed number is turned into, relative


class Scale:
    """Bounds laid out along a slider.

    Bounds are what is possible: a background of 0 to 65,535 grey values, when 350 is usual. The
    scale is therefore linear from the nearer bound to about half the usual value, and logarithmic
    beyond; where the usual value lies well within the bounds it is linear throughout.

    Parameters
    ----------
    low, high
        Bounds.
    usual
        A value of the usual size.
    integer
        Whether the numbers are whole.
    """

    def __init__(self, low: float, high: float, usual: float, integer: bool = False) -> None:
        self.low, self.high, self.integer = low, high, integer
        span = high - low
        part = (usual - low) / span
        self._from_high = part > 1 - _EDGE and usual < high
        self._bend = 0.0  # where the logarithm begins; 0: nowhere
        if self._from_high:
            self._bend = (high - usual) / 2
        elif usual == low:
            self._bend = math.sqrt(span) / 2 if span > 10 else 0.0
        elif part < _EDGE:
            self._bend = (usual - low) / 2

    def position(self, value: float) -> int:
        """Where a value lies, 0 to `POSITIONS`."""
        part = (value - self.low) / (self.high - self.low)
        if self._bend:
            away = self.high - value if self._from_high else value - self.low
            whole = math.log1p((self.high - self.low) / self._bend)
            part = math.log1p(max(away, 0.0) / self._bend) / whole
            part = 1 - part if self._from_high else part
        return round(min(max(part, 0.0), 1.0) * POSITIONS)

    def value(self, position: int) -> float:
        """The value at a position, with no more digits than tell it from its neighbours."""
        if position <= 0 or position >= POSITIONS:
            return self.low if position <= 0 else self.high
        value = self._exact(position)
        step = abs(self._exact(position + 1) - value)
        value = round(value, max(0, -math.floor(math.log10(step))))
        return self.within(value)

    def within(self, value: float) -> float:
        """The nearest value that is allowed."""
        value = min(max(value, self.low), self.high)
        return float(round(value)) if self.integer else value

    def _exact(self, position: int) -> float:
        part = position / POSITIONS
        if not self._bend:
            return self.low + (self.high - self.low) * part
        whole = math.log1p((self.high - self.low) / self._bend)
        away = self._bend * math.expm1(whole * (1 - part if self._from_high else part))
        return self.high - away if self._from_high else self.low + away


def kind_of(value: Number) -> str:
    """Which of `KINDS` a number is."""
    if isinstance(value, int | float):
        return "fixed"
    return next(iter(type(value).model_fields)).replace("_", "-")


def middle(value: Number) -> float:
    """A number that stands for the whole of it."""
    if isinstance(value, int | float):
        return float(value)
    values = value.values()
    if isinstance(value, LogUniform):
        return math.sqrt(values[0] * values[1])
    return sum(values) / len(values)


def as_kind(value: Number, kind: str, scale: Scale) -> Number:
    """The same number as another kind, about as wide as it was."""
    if kind == kind_of(value):
        return value
    centre = middle(value)
    if kind == "fixed":
        return scale.within(_rounded(centre))
    low, high = _extent(value, centre, scale)
    least = 1.0 if scale.integer else 1e-3 * (scale.high - scale.low)
    positive = low if low > 0 else min(least, scale.high)
    made: Mapping[str, Callable[[], Number]] = {
        "uniform": lambda: Uniform(uniform=(low, high)),
        "log-uniform": lambda: LogUniform(log_uniform=(positive, max(high, positive))),
        "normal": lambda: Normal(normal=(_rounded(centre), _rounded((high - low) / 4 or least))),
        "log-normal": lambda: LogNormal(
            log_normal=(max(_rounded(centre), positive), _log_spread(positive, high))
        ),
        "choice": lambda: Choice(choice=tuple(dict.fromkeys((low, high)))),
    }
    return made[kind]()


def _extent(value: Number, centre: float, scale: Scale) -> tuple[float, float]:
    """Ends that hold about all of a number."""
    if isinstance(value, Uniform | LogUniform | Choice):
        return min(value.values()), max(value.values())
    if isinstance(value, Normal):
        low, high = centre - 2 * value.normal[1], centre + 2 * value.normal[1]
    elif isinstance(value, LogNormal):
        wide = math.exp(2 * value.log_normal[1])
        low, high = centre / wide, centre * wide
    else:
        # of 0.99 in -1 to 1 the quarter of what is left to 1
        size = min(abs(centre) or 0.1 * (scale.high - scale.low), scale.high - scale.low)
        if scale.high > centre > scale.high - _EDGE * size:
            size = scale.high - centre
        away = max(_SPREAD * size, 1.0 if scale.integer else 0.0)
        low, high = centre - away, centre + away
    return scale.within(_rounded(low)), scale.within(_rounded(high))


def _log_spread(low: float, high: float) -> float:
    return max(round(math.log(max(high, low) / low) / 4, 3), 0.01)


def _rounded(value: float) -> float:
    """Four digits that say something."""
    return float(f"{value:.4g}")
