"""Parameter files of the original (Billot 2017): read as they are, and written back.

A report says what became of each key. The files are JSON as MATLAB's JSONlab writes it: booleans as
0 and 1, numbers at times as text or in arrays of one element, infinity as ``"_Inf_"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from napari_axongen.core.checking import at, checked, nested, paths
from napari_axongen.core.errors import InputError

from .distributions import plain, text
from .original_rules import IGNORED, KEYS, RULES
from .parameters import SurrogateParameters

Status: TypeAlias = Literal["renamed", "converted", "ignored", "missing", "lost"]


@dataclass(frozen=True)
class Entry:
    """What became of a key.

    Attributes
    ----------
    key
        Key or keys of the original's file; for ``lost``, the path of our parameter.
    status
        ``renamed`` (same value), ``converted``, ``ignored`` (dead or unknown), ``missing`` (not in
        the file: ours stays as it is by default), ``lost`` (the original cannot express it).
    becomes
        Our parameters and their values.
    meaning
        How it was converted, or why it was ignored.
    """

    key: str
    status: Status
    becomes: str
    meaning: str

    def __str__(self) -> str:
        to = {"renamed": " to ", "converted": " to ", "lost": ", "}.get(self.status, "")
        return f"{self.key}: {self.status}{to}{self.becomes} ({self.meaning})"


@dataclass(frozen=True)
class Original:
    """An original file as ours, and what became of its keys."""

    parameters: SurrogateParameters
    report: tuple[Entry, ...]


# ---------------------------------------------------------------- reading, writing


def is_original(values: Mapping[str, Any]) -> bool:
    """Whether a file is of the original's form: recognised by its keys."""
    known = KEYS - set(SurrogateParameters.model_fields)
    return bool(known & set(_unwrapped(values)))


def read_original(values: Mapping[str, Any], name: str = "The file") -> Original:
    """Take over the values of an original parameter file.

    Parameters
    ----------
    values
        What is in the file.
    name
        Of the file, for messages.

    Raises
    ------
    InputError
        A value is no number, half of a Min/Max pair is missing, or it is out of bounds.
    """
    plain = {str(key): _value(value) for key, value in _unwrapped(values).items()}
    found: dict[str, Any] = {}
    report: list[Entry] = []
    try:
        for rule in RULES:
            here = [key for key in rule.keys if key in plain]
            if not here:
                report.append(Entry(rule.name, "missing", "", "stays as it is by default"))
                continue
            if len(here) < len(rule.keys):
                raise InputError(f"one of {rule.name} is there, not the other; give both.")
            made = rule.read(plain)
            found |= made
            becomes = ", ".join(f"{path} = {text(value)}" for path, value in made.items())
            if rule.name not in made:
                report.append(Entry(rule.name, rule.status, becomes, rule.meaning))
        parameters = checked(SurrogateParameters, nested(found))
    except InputError as error:
        raise InputError(f"{name}: {_with_keys(str(error))}") from error
    for key in plain:
        if key not in KEYS or key in IGNORED:
            report.append(Entry(key, "ignored", "", IGNORED.get(key, "no key of the original")))
    return Original(parameters, tuple(report))


def to_original(parameters: SurrogateParameters) -> dict[str, Any]:
    """The values of an original parameter file that comes nearest (see `not_expressed`).

    A distribution becomes its range (of a normal one, two standard deviations either way), or
    where the original takes one number, its middle.
    """
    written: dict[str, Any] = {}
    for rule in RULES:
        written |= rule.write(parameters)
    order = [key for rule in RULES for key in rule.keys]
    order.insert(order.index("crossingOK"), "NSplinePoints")
    return {key: plain(written[key]) for key in order}


def not_expressed(parameters: SurrogateParameters) -> tuple[Entry, ...]:
    """What is lost when the parameters are written as an original file, by path of ours."""
    again = read_original(to_original(parameters)).parameters
    return tuple(
        Entry(path, "lost", f"the file says {text(there)}", f"it is {text(here)}")
        for path, _ in paths(SurrogateParameters)
        if (here := at(parameters, path)) != (there := at(again, path))
    )


def _unwrapped(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The structure itself, where JSONlab has put its name around it."""
    if len(values) == 1:
        (only,) = values.values()
        if isinstance(only, Mapping) and KEYS & set(only):
            return only
    return values


def _value(value: Any) -> Any:
    if isinstance(value, Mapping) and "_ArrayData_" in value:
        return _value(value["_ArrayData_"])
    if isinstance(value, list) and len(value) == 1:
        return _value(value[0])
    if isinstance(value, str):
        try:
            return float(value.replace("_", ""))  # of "_Inf_" and "_NaN_", too
        except ValueError:
            return value.strip()
    return value


def _with_keys(message: str) -> str:
    """A message about a parameter of ours, with the keys it was made from."""
    for rule in RULES:
        for path in rule.paths:
            message = message.replace(f"Parameter '{path}'", f"Parameter '{path}' ({rule.name})")
    return message
