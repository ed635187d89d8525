"""Values into a parameter model; what is wrong with one is said in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from .errors import InputError

M = TypeVar("M", bound=BaseModel)

_LONGEST = 100  # characters of a value that are repeated


def checked(model: type[M], values: Mapping[str, Any]) -> M:
    """Make a parameter model.

    Raises
    ------
    InputError
        An unknown parameter, or a value of the wrong type or out of bounds: the parameter is named
        by its dotted path, with the value and what is allowed.
    """
    try:
        return model(**{str(name): value for name, value in values.items()})
    except ValidationError as error:
        first = error.errors()[0]
        path, group, field = _place(model, first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(_unknown(model, path, group)) from error
        if first["type"] == "missing":
            raise InputError(f"Parameter '{path}' is missing.") from error
        if not path:  # the parameters do not go together
            said = _reason(first, None)
            raise InputError(f"{said[:1].upper()}{said[1:]}.") from error
        shown = repr(first["input"])
        shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
        raise InputError(f"Parameter '{path}' is {shown}: {_reason(first, field)}.") from error


def paths(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted paths and fields of all parameters, those in groups included."""
    for name, field in model.model_fields.items():
        group = _group(field)
        if group is None:
            yield prefix + name, field
        else:
            yield from paths(group, f"{prefix}{name}.")


def at(model: BaseModel, path: str) -> Any:
    """Value of a parameter by its dotted path."""
    value: Any = model
    for name in path.split("."):
        value = getattr(value, name)
    return value


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted path, as groups within each other."""
    made: dict[str, Any] = {}
    for path, value in values.items():
        *groups, name = path.split(".")
        group = made
        for part in groups:
            group = group.setdefault(part, {})
        group[name] = value
    return made


def _group(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _place(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[str, type[BaseModel], FieldInfo | None]:
    """Dotted path of what an error is about, the group it is in, and its field if it is known.

    What pydantic adds to tell the types of a union apart is left out.
    """
    names: list[str] = []
    group: type[BaseModel] = model
    field = None
    for part in map(str, location):
        names.append(part)
        field = group.model_fields.get(part)
        below = None if field is None else _group(field)
        if below is None:
            break
        if len(names) < len(location):
            group = below
    return ".".join(names), group, field


def _unknown(model: type[BaseModel], path: str, group: type[BaseModel]) -> str:
    *groups, name = path.split(".")
    prefix = "".join(f"{part}." for part in groups)
    near = [prefix + close for close in difflib.get_close_matches(name, group.model_fields, 1)]
    near += [other for other, _ in paths(model) if other.split(".")[-1] == name]
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    where = f" in '{'.'.join(groups)}'" if groups else ""
    return f"There is no parameter '{path}'{hint}; known{where}: {', '.join(group.model_fields)}."


def _reason(error: Any, field: FieldInfo | None) -> str:
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"]).rstrip(".")
    if error["type"] == "model_type":
        return "it must be a group of parameters"
    low, high = (_limit(field, name) for name in ("ge", "le"))
    if set(context) & {"ge", "gt", "le", "lt"} and None not in (low, high):
        return f"it must be from {low:g} to {high:g}"
    message = str(error["msg"])
    return (message[:1].lower() + message[1:]).replace("input should be", "it must be")


def _limit(field: FieldInfo | None, name: str) -> Any:
    found = [
        getattr(part, name) for part in (field.metadata if field else ()) if hasattr(part, name)
    ]
    return found[0] if found else None
