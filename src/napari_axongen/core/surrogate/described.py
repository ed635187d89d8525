"""The parameters as a table: for the command line and the documentation."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from napari_axongen.core.checking import paths

from .distributions import is_number, text
from .parameters import SurrogateParameters


@dataclass(frozen=True)
class Row:
    """A parameter, as text.

    Attributes
    ----------
    name
        Dotted path.
    default
        As in a file.
    allowed
        Range and unit, or the words to choose from.
    per
        What a distribution is drawn anew for; empty where there can be none.
    meaning
        One sentence.
    """

    name: str
    default: str
    allowed: str
    per: str
    meaning: str


def rows() -> Iterator[Row]:
    """All parameters of the surrogate model."""
    for name, field in paths(SurrogateParameters):
        extra: Any = field.json_schema_extra or {}
        default = text(field.get_default(call_default_factory=True))
        per = extra.get("per", "")
        yield Row(name, default, _allowed(field), per, field.description or "")


def _allowed(field: FieldInfo) -> str:
    extra: Any = field.json_schema_extra or {}
    unit = f" {extra['unit']}" if "unit" in extra else ""
    if is_number(field):
        whole = ", whole" if extra["integer"] else ""
        return f"{extra['low']:g} to {extra['high']:g}{unit}{whole}"
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    if kind is bool:
        return "true, false"
    low = next(part.ge for part in field.metadata if hasattr(part, "ge"))
    high = next(part.le for part in field.metadata if hasattr(part, "le"))
    return f"{low:g} to {high:g}{unit}{', whole' if kind is int else ''}"
