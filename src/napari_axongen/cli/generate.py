"""``axongen generate``: surrogate images as files, and what they are made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_axongen.core.errors import InputError
from napari_axongen.core.parameters import SegmentParameters
from napari_axongen.core.surrogate.writers.base import Format

from .bulk import workers
from .console import follow, say, tell
from .options import Scheduler, choices, given, in_vain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_axongen.core.events import Notice
    from napari_axongen.core.surrogate.original_json import Entry
    from napari_axongen.core.surrogate.presets import Loaded

Formats = choices("Formats", Format)
_OF_EXPORT = ("out", "count", "seed", "series", "format", "device", "resume", "scheduler")

Devices = choices("Devices", SegmentParameters.model_fields["device"].annotation)


def generate(
    context: typer.Context,
    parameters: Annotated[
        str,
        typer.Argument(
            metavar="PRESET|FILE",
            help="A preset (--list), or a JSON file of parameters, ours or the original model's.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the images, new or empty.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Images, or series.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
    series: Annotated[bool, typer.Option("--series", help="Make series of frames.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change a parameter, as often as needed: axons.count=5, or "
            "'axons.thickness={\"uniform\": [1, 3]}' (--names).",
        ),
    ] = None,
    format: Annotated[
        Formats, typer.Option(help="tiff; mat: MATLAB 7.3; zarr: OME-Zarr.")
    ] = Formats.tiff,
    device: Annotated[Devices, typer.Option(help="Where to compute.")] = Devices.auto,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was stopped.")] = False,
    scheduler: Scheduler = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the parameters as a file, and make nothing.")
    ] = False,
    show_original: Annotated[
        bool, typer.Option("--show-original", help="The same in the form of the original model.")
    ] = False,
    list_: Annotated[
        bool,
        typer.Option(
            "--list", callback=lambda on: _list(on), is_eager=True, help="List the presets."
        ),
    ] = False,
    names: Annotated[
        bool,
        typer.Option(
            "--names",
            callback=lambda on: _names(on),
            is_eager=True,
            help="Describe the parameters.",
        ),
    ] = False,
) -> None:
    """Make surrogate two-photon images of axons, with the exact answer.

    Writes images, clean images, masks and labels of axons and boutons,
    boutons.csv, centrelines.csv and parameters.json. Myelinated fibres in
    electron micrographs: axongen generate em-fibres.
    """
    from napari_axongen.core.surrogate.export import export_steps
    from napari_axongen.core.surrogate.original_json import not_expressed, to_original
    from napari_axongen.core.surrogate.presets import parameters_text, with_changes

    loaded, assigned = _read(parameters), _assignments(changes or ())
    try:
        chosen = with_changes(loaded.parameters, assigned)
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    if show or show_original:
        told, why = given(context, _OF_EXPORT), f"with --show{'' if show else '-original'}"
        _warn(in_vain(told, told, f"{why}, which makes nothing"))
    if show:
        _report(loaded.report)
        typer.echo(parameters_text(chosen), nl=False)
        return
    if show_original:
        _report(not_expressed(chosen))
        typer.echo(json.dumps(to_original(chosen), indent=4))
        return
    if out is None:
        raise typer.BadParameter("name the folder of the images.", param_hint="--out")
    if not series and any(name.startswith("series.") for name in assigned):
        _warn(in_vain(["set"], ["set"], "on what is of series, without --series"))
    _summary(parameters, loaded.report)
    with workers(scheduler, device.value) as cluster:
        steps = export_steps(
            chosen, count, seed, out, format.value, series, device.value, resume, cluster
        )
        typer.echo(follow(steps, parameters))


def _warn(notices: Sequence[Notice]) -> None:
    for notice in notices:
        tell("generate", notice)


def _read(source: str) -> Loaded:
    from napari_axongen.core.surrogate.presets import PRESETS, read_parameters

    if source not in PRESETS and not Path(source).exists():
        try:
            return read_parameters(source)
        except InputError as error:
            raise typer.BadParameter(str(error)) from error
    return read_parameters(source)


def _assignments(words: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` by name; a value that is not JSON is a word."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise typer.BadParameter(
                f"'{word}' is no assignment; say --set axons.count=5.", param_hint="--set"
            )
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value.strip()
    return found


# ---------------------------------------------------------------- what there is


def _list(wanted: bool) -> None:
    if not wanted:
        return
    from rich.console import Console
    from rich.table import Table

    from napari_axongen.core.surrogate.presets import PRESETS

    table = Table("preset", "size", "description", box=None)
    for one in PRESETS.values():
        size = f"{one.parameters.width} x {one.parameters.height}"
        table.add_row(one.name, size, one.description)
    Console(highlight=False).print(table)
    raise typer.Exit


def _names(wanted: bool) -> None:
    if not wanted:
        return
    from napari_axongen.core.surrogate.described import rows

    for row in rows():
        drawn = f", drawn for each {row.per}" if row.per else ""
        typer.echo(f"{row.name} = {row.default}  ({row.allowed}{drawn})\n    {row.meaning}")
    raise typer.Exit


def _report(report: Sequence[Entry]) -> None:
    for entry in report:
        say(str(entry))


def _summary(source: str, report: Sequence[Entry]) -> None:
    if not report:
        return
    counts = {
        status: [entry.key for entry in report if entry.status == status]
        for status in ("renamed", "converted", "ignored", "missing")
    }
    said = ", ".join(f"{len(keys)} {status}" for status, keys in counts.items() if keys)
    ignored = f" ({', '.join(counts['ignored'])})" if counts["ignored"] else ""
    say(f"{source} is a file of the original: {said}{ignored}; --show says how.")
