"""From a parameter model to the options of a command: no parameter is written twice."""

from __future__ import annotations

import enum
import functools
import inspect
import types
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from napari_axongen.core.checking import checked
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice

Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Hand the work to the workers of this dask.distributed scheduler, such as "
        "tcp://host:8786: files, parts of an export, or the tiles of a single image. They must see "
        "the same folders and have the same napari-axongen; each task takes one thread.",
    ),
]


_CONTEXT = "context_of_options"


def with_options(model: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of a parameter model.

    The command takes the model as one argument, annotated with it; on the command line each of its
    fields is an option with the field's title, unit, description, bounds and default. A value that
    the model refuses is a usage error. ``model_fields_set`` are those that were given.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        arguments = list(signature.parameters.values())
        (target,) = (a.name for a in arguments if a.annotation is model)
        own = [a.replace(kind=a.KEYWORD_ONLY) for a in arguments if a.name != target]
        made = [_option(name, field) for name, field in model.model_fields.items()]
        own_context = next((a.name for a in own if a.annotation is typer.Context), None)
        if own_context is None:
            made.append(
                inspect.Parameter(
                    _CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
                )
            )

        @functools.wraps(function)
        def command(**values: Any) -> None:
            context = values[own_context] if own_context else values.pop(_CONTEXT)
            fields = {name: _plain(values.pop(name)) for name in model.model_fields}
            try:
                parameters = checked(model, {name: fields[name] for name in given(context, fields)})
            except InputError as error:
                raise typer.BadParameter(str(error)) from error
            function(**values, **{target: parameters})

        command.__signature__ = signature.replace(parameters=own + made)  # type: ignore[attr-defined]
        command.__annotations__ = {a.name: a.annotation for a in own + made}
        return command

    return decorate


def given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Which of some parameters of a command were given, by whatever way."""
    return [
        name
        for name in names
        if getattr(context.get_parameter_source(name), "name", "") != "DEFAULT"
    ]


def in_vain(names: Iterable[str], given: Collection[str], why: str) -> Sequence[Notice]:
    """A warning of options that were given and have no effect, if there are any.

    Parameters
    ----------
    names
        Parameters that are not heeded.
    given
        Those that were given.
    why
        Goes on after "has no effect".
    """
    options = [f"--{name.replace('_', '-')}" for name in names if name in given]
    if not options:
        return []
    *others, last = options
    named = f"{', '.join(others)} and {last} have" if others else f"{last} has"
    return [Notice(f"{named} no effect {why}.", "warning")]


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """Keyword argument that typer turns into the option ``--name``."""
    kind, optional = _kind(name, field)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    unit = f" ({extra['unit']})" if "unit" in extra else ""
    described = f"{field.title or name}{unit}"
    if field.description:
        described += f": {field.description[:1].lower()}{field.description[1:]}"
    bounds = {
        ours: getattr(limit, theirs)
        for ours, theirs in (("min", "ge"), ("max", "le"))
        for limit in field.metadata
        if hasattr(limit, theirs) and kind in (int, float)
    }
    default = field.get_default(call_default_factory=True)
    if issubclass(kind, enum.Enum) and default is not None:
        default = kind(default)
    flag = f"--{name.replace('_', '-')}"
    declarations = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[
            kind | None if optional else kind,
            typer.Option(declarations, help=described, case_sensitive=False, **bounds),
        ],
    )


def _kind(name: str, field: FieldInfo) -> tuple[type, bool]:
    """Type of an option, and whether it may be left empty."""
    kind, optional = field.annotation, False
    if get_origin(kind) in (Union, types.UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        optional = len(parts) < len(get_args(kind))
        kind = parts[0] if len(parts) == 1 else kind
    if get_origin(kind) is Literal:
        return choices(name, kind), optional
    if kind not in (str, int, float, bool):
        raise TypeError(f"parameter '{name}' of type {kind} cannot be an option")
    return cast("type", kind), optional


def choices(name: str, literal: Any) -> Any:
    """The values of a Literal as an enumeration: older releases of typer know no Literal."""
    made: Any = enum.Enum
    return made(name, {str(value): str(value) for value in get_args(literal)})


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value
