"""A number, or the distribution that it is drawn from: so one file describes a population.

In JSON a distribution is an object with one key::

    "thickness": 2
    "thickness": {"uniform": [1.5, 3]}
    "thickness": {"log-uniform": [1, 4]}
    "thickness": {"normal": [2, 0.5]}         mean, standard deviation; cut off at the bounds
    "thickness": {"log-normal": [2, 0.3]}     median, standard deviation of the logarithm
    "thickness": {"choice": [2, 3, 3]}        each as likely as the others
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo


class _Distribution(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


Pair: TypeAlias = tuple[float, float]


class Uniform(_Distribution):
    """All values from the first to the second are as likely; whole numbers include both."""

    uniform: Pair

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        _check_order(self.uniform)
        return self

    def values(self) -> Pair:
        """What must lie within the bounds of the parameter."""
        return self.uniform


class LogUniform(_Distribution):
    """The logarithm is uniform from that of the first to that of the second."""

    log_uniform: Annotated[Pair, Field(alias="log-uniform")]

    @model_validator(mode="after")
    def _ordered(self) -> LogUniform:
        if self.log_uniform[0] <= 0:
            raise ValueError("a log-uniform distribution starts above 0")
        _check_order(self.log_uniform)
        return self

    def values(self) -> Pair:
        """What must lie within the bounds of the parameter."""
        return self.log_uniform


class Normal(_Distribution):
    """Mean and standard deviation, cut off at the bounds of the parameter."""

    normal: Pair

    @model_validator(mode="after")
    def _positive(self) -> Normal:
        _check_spread(self.normal)
        return self

    def values(self) -> tuple[float]:
        """What must lie within the bounds of the parameter."""
        return self.normal[:1]


class LogNormal(_Distribution):
    """Median and standard deviation of the natural logarithm, cut off at the bounds."""

    log_normal: Annotated[Pair, Field(alias="log-normal")]

    @model_validator(mode="after")
    def _positive(self) -> LogNormal:
        if self.log_normal[0] <= 0:
            raise ValueError("the median of a log-normal distribution is above 0")
        _check_spread(self.log_normal)
        return self

    def values(self) -> tuple[float]:
        """What must lie within the bounds of the parameter."""
        return self.log_normal[:1]


class Choice(_Distribution):
    """One of the numbers, each as likely."""

    choice: Annotated[tuple[float, ...], Field(min_length=1, max_length=1000)]

    def values(self) -> tuple[float, ...]:
        """What must lie within the bounds of the parameter."""
        return self.choice


Distribution: TypeAlias = Uniform | LogUniform | Normal | LogNormal | Choice
Number: TypeAlias = float | Distribution


def number(
    default: float | Distribution,
    low: float,
    high: float,
    title: str,
    description: str,
    *,
    per: str,
    unit: str = "",
    integer: bool = False,
) -> Any:
    """Field of a parameter that is a number or a distribution.

    Parameters
    ----------
    low, high
        Bounds of whatever is drawn, both included.
    per
        What it is drawn anew for: image, axon, branch, gap, bouton, cell.
    integer
        Whether whole numbers are drawn.
    """
    extra: dict[str, Any] = {"low": low, "high": high, "per": per, "integer": integer}
    if unit:
        extra["unit"] = unit
    return Field(default, title=title, description=description, json_schema_extra=extra)


class Group(BaseModel):
    """Parameters that belong together; each `number` is checked against its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @field_validator("*", mode="after")
    @classmethod
    def _within_bounds(cls, value: Any, info: ValidationInfo) -> Any:
        extra = cls.model_fields[info.field_name or ""].json_schema_extra
        if not isinstance(extra, dict) or "low" not in extra or isinstance(value, bool):
            return value
        low, high = float(extra["low"]), float(extra["high"])  # type: ignore[arg-type]
        for part in _values(value):
            if not low <= part <= high:  # NaN, too, is not
                raise ValueError(f"{part:g} is outside {low:g} to {high:g}")
            if extra["integer"] and part != int(part) and not isinstance(value, Normal | LogNormal):
                raise ValueError(f"{part:g} is not a whole number")
        return value


def _values(value: Number) -> tuple[float, ...]:
    return (float(value),) if isinstance(value, int | float) else value.values()


def bounds(model: type[BaseModel], name: str) -> tuple[float, float, bool]:
    """Bounds of a `number` field, and whether it draws whole numbers."""
    extra = model.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return float(extra["low"]), float(extra["high"]), bool(extra["integer"])  # type: ignore[arg-type]


def upper(value: Number, high: float) -> float:
    """Greatest value that can be drawn."""
    if isinstance(value, Normal | LogNormal):
        return high
    return max(_values(value))


def lower(value: Number, low: float) -> float:
    """Least value that can be drawn."""
    if isinstance(value, Normal | LogNormal):
        return low
    return min(_values(value))


def _check_order(pair: Pair) -> None:
    if pair[0] > pair[1]:
        raise ValueError(f"the range starts at {pair[0]:g}, above its end {pair[1]:g}")


def _check_spread(pair: Pair) -> None:
    if not pair[1] > 0:
        raise ValueError(f"the spread is {pair[1]:g}; it must be above 0")
