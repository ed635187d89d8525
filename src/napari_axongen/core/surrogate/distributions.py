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

import json
import math
import numbers
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core.core_schema import ValidationInfo


class _Distribution(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    takes: ClassVar[str]


Pair: TypeAlias = tuple[float, float]


class Uniform(_Distribution):
    """All values from the first to the second are as likely; whole numbers include both."""

    takes = "[least, greatest]"
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

    takes = "[least, greatest]"
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

    takes = "[mean, standard deviation]"
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

    takes = "[median, standard deviation of the logarithm]"
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

    takes = "[a, b, ...]"
    choice: Annotated[tuple[float, ...], Field(min_length=1, max_length=1000)]

    def values(self) -> tuple[float, ...]:
        """What must lie within the bounds of the parameter."""
        return self.choice


Distribution: TypeAlias = Uniform | LogUniform | Normal | LogNormal | Choice
Number: TypeAlias = float | Distribution

FORMS: Mapping[str, type[_Distribution]] = {
    "uniform": Uniform,
    "log-uniform": LogUniform,
    "normal": Normal,
    "log-normal": LogNormal,
    "choice": Choice,
}
"""Distributions by their name in a file."""


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
    """Parameters that belong together; each `number` is read and checked against its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        return _read(value, field) if is_number(field) else value


def is_number(field: FieldInfo) -> bool:
    """Whether a field was made by `number`."""
    return isinstance(field.json_schema_extra, dict) and "low" in field.json_schema_extra


def bounds(model: type[BaseModel], name: str) -> tuple[float, float, bool]:
    """Bounds of a `number` field, and whether it draws whole numbers."""
    return _bounds(model.model_fields[name])


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


def plain(value: Any) -> Any:
    """A value, distribution or group as JSON holds it; whole numbers have no decimal point."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def text(value: Any) -> str:
    """A value or distribution as in a file, on one line."""
    return json.dumps(plain(value))


# ---------------------------------------------------------------- reading and checking


def _read(value: Any, field: FieldInfo) -> Number:
    """The number or distribution that a file, a command line or a script says."""
    low, high, integer = _bounds(field)
    unit = field.json_schema_extra.get("unit", "")  # type: ignore[union-attr]
    kind, allowed = (
        "a whole number" if integer else "a number",
        f"{low:g} to {high:g} {unit}".strip(),
    )
    read: Number
    if isinstance(value, Distribution):
        read = value
    elif isinstance(value, Mapping):
        read = _distribution(value)
    elif _is_real(value):
        read = float(value)
    else:
        raise ValueError(f"it must be {kind} from {allowed}, or a distribution: {_forms()}")
    for part in _values(read):
        if not low <= part <= high:  # NaN, too, is not
            raise ValueError(f"{part:g} is outside {allowed}")
        if integer and part != int(part) and not isinstance(read, Normal | LogNormal):
            raise ValueError(f"{part:g} is not {kind} from {allowed}")
    return read


def _distribution(value: Mapping[Any, Any]) -> Distribution:
    name = str(next(iter(value), "")).replace("_", "-")
    if len(value) != 1 or name not in FORMS:
        raise ValueError(f"a distribution has one of the forms {_forms()}")
    kind, numbers_ = FORMS[name], value[next(iter(value))]
    form = f'{{"{name}": {kind.takes}}}'
    if not isinstance(numbers_, list | tuple) or not all(map(_is_finite, numbers_)):
        raise ValueError(f"the form is {form}, with numbers")
    if kind is Choice and not 1 <= len(numbers_) <= 1000:
        raise ValueError(f"the form is {form}, with 1 to 1000 numbers")
    if kind is not Choice and len(numbers_) != 2:
        raise ValueError(f"the form is {form}, with two numbers")
    try:
        return kind(**{name: numbers_})  # type: ignore[return-value]
    except ValidationError as error:
        raise error.errors()[0]["ctx"]["error"] from None


def _forms() -> str:
    *some, last = (f'{{"{name}": {kind.takes}}}' for name, kind in FORMS.items())
    return f"{', '.join(some)} or {last}"


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return _is_real(value) and math.isfinite(value)


def _bounds(field: FieldInfo) -> tuple[float, float, bool]:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return float(extra["low"]), float(extra["high"]), bool(extra["integer"])  # type: ignore[arg-type]


def _values(value: Number) -> tuple[float, ...]:
    return (float(value),) if isinstance(value, int | float) else value.values()


def _check_order(pair: Pair) -> None:
    if pair[0] > pair[1]:
        raise ValueError(f"the range starts at {pair[0]:g}, above its end {pair[1]:g}")


def _check_spread(pair: Pair) -> None:
    if not pair[1] > 0:
        raise ValueError(f"the spread is {pair[1]:g}; it must be above 0")
