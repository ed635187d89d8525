"""``axongen evaluate``: experiments, and results against the truth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import napari_axongen

from .console import follow, say, tell
from .options import given, in_vain

if TYPE_CHECKING:
    from napari_axongen.core.tracing import TracingAccuracy

COLUMNS = (
    "image",
    "axon",
    "truth_length",
    "traced_length",
    "recall",
    "precision",
    "truth_to_traced",
    "traced_to_truth",
)
_SHOWN = 20  # axons in the printed table; the file has them all


def evaluate(
    context: typer.Context,
    experiment: Annotated[Path, typer.Argument(help="Experiment, a .yaml file.")],
    out: Annotated[Path, typer.Option(help="Folder of the experiment; what is in it is kept.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="ARM", help="Do this arm alone; may be repeated.")
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(metavar="SEED", help="Do this seed alone, likewise.")
    ] = None,
    folds: Annotated[
        list[str] | None, typer.Option(metavar="FOLD", help="Do this fold alone, likewise.")
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Do nothing; write the table of what is there.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Run an experiment: every arm on every fold with every seed.

    Writes table.csv, differences.csv, table.md and plots. What was done before is not done again,
    so an experiment that was stopped goes on where it was, and parts of it may be done one by one.
    """
    from napari_axongen.core.experiments import load_experiment
    from napari_axongen.core.experiments.evaluating import evaluate_steps

    loaded = load_experiment(experiment)
    if table:
        told = given(context, ("only", "seeds", "folds", "device"))
        for notice in in_vain(told, told, "with --table, which is of all that is there"):
            tell("evaluate", notice)
    parts = only or (), seeds or (), folds or ()
    done = follow(evaluate_steps(loaded, out, *parts, device, table=table), loaded.name)
    if not done.outcome.results:
        say(f"Nothing of {loaded.name} is done in {out}.", "yellow")
        return
    for path in done.written:
        typer.echo(path)
    missing = done.outcome.missing
    if missing:
        say(f"{len(missing)} trials are missing, such as {missing[0]}.", "yellow")


def tracing(
    traced: Annotated[Path, typer.Argument(help="Traced paths, a .csv file.")],
    truth: Annotated[Path, typer.Argument(help="True centrelines, a .csv file.")],
    tolerance: Annotated[
        float, typer.Option(help="Up to this distance, in pixels, a path is right.")
    ] = 2.0,
    out: Annotated[Path | None, typer.Option(help="Write the table to this .csv file.")] = None,
) -> None:
    """Say how well traced paths follow the true centrelines.

    Both files have the columns image, axon, branch, point, row, column, or kind, path, x, y; what
    is near paths of the kind faint is left out. Lengths and mean distances are in pixels.
    """
    if out is not None and out.suffix.lower() != ".csv":
        raise typer.BadParameter(f"{out} is not named .csv.")
    found = napari_axongen.evaluate_tracing(traced, truth, tolerance)
    rows = _rows(found)
    _show(rows)
    stray = found.overall.traced_length - found.overall.following_length
    if stray > 0:
        say(f"{stray:.0f} px of the traced paths follow no axon.")
    if out is not None:
        from napari_axongen.core.files import csv_text, write_text

        write_text(out, csv_text(COLUMNS, rows))
        say(f"Written to {out}.")


def _rows(found: TracingAccuracy) -> list[list[int | str | float]]:
    """A row for each axon and one for all, under `COLUMNS`."""
    parts = [*found.axons.items(), (("all", "all"), found.overall)]
    return [[*key, *(getattr(part, name) for name in COLUMNS[2:])] for key, part in parts]


def _show(rows: list[list[int | str | float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    def cell(value: int | str | float) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.3f}" if math.isfinite(value) else ""

    table = Table(*(name.replace("_", " ") for name in COLUMNS), box=None)
    *axons, overall = rows
    for row in (*axons[:_SHOWN], overall):
        table.add_row(*map(cell, row))
    Console(highlight=False).print(table)
    if len(axons) > _SHOWN:
        say(f"{len(axons) - _SHOWN} more axons are not shown; --out writes them all.")
