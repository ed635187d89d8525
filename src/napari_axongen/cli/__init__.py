"""``axongen VERB ...``: the same verbs as in the window and in Python.

Exit codes: 0 all done, 1 a file failed (it is named; the others are done), 2 wrong usage, 130
stopped by Ctrl+C.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import napari_axongen
from napari_axongen.core.parameters import MeasureParameters

from .console import FAILED, Group, each, tell
from .em_fibres import em_fibres
from .evaluate import evaluate, tracing
from .generate import generate
from .inputs import expand_masks
from .match import match
from .models import models
from .options import given, in_vain, with_options
from .prepare import prepare
from .segment import segment
from .train import train
from .translate import translate

app = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Synthetic microscopy of axons; myelinated axons segmented and measured.",
)
app.add_typer(models, name="models")
app.command()(evaluate)
app.command("evaluate tracing")(tracing)
app.command()(generate)
app.command("generate em-fibres")(em_fibres)
app.command()(match)
app.command()(prepare)
app.command()(segment)
app.command()(train)
app.command()(translate)


def main() -> None:
    """Entry point of the command ``axongen``."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"axongen {napari_axongen.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    pass


# ---------------------------------------------------------------- measure


@app.command()
@with_options(MeasureParameters)
def measure(
    masks: Annotated[
        list[Path],
        typer.Argument(
            help="Masks: 0 background, 127 myelin, 255 axon; folders and patterns in quotes, too."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The table, a .csv file.")],
    parameters: MeasureParameters,
) -> None:
    """Measure the fibres of masks: one table, one row a fibre.

    Beside TABLE.csv are written TABLE_summary.csv, one row an image, and the recipe TABLE.json.
    """
    from .tables import Tables

    if out.suffix.lower() != ".csv":
        raise typer.BadParameter(f"{out} is not named .csv.")
    tables = Tables(parameters)
    failed = each(expand_masks(masks), tables.add)
    if tables.names:
        for path in tables.write(out):
            typer.echo(path)
    if failed:
        raise typer.Exit(FAILED)


# ---------------------------------------------------------------- demo


@app.command()
def demo(
    context: typer.Context,
    headless: Annotated[
        bool, typer.Option("--headless", help="Open no window that stays; write files instead.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the files of --headless.")] = Path(
        "demo-output"
    ),
) -> None:
    """Open napari with a sample micrograph, segmented."""
    from napari_axongen.widgets.demo import run_demo

    if not headless:
        for notice in in_vain(["out"], given(context, ["out"]), "without --headless"):
            tell("demo", notice)
    run_demo(headless=headless, out=out)
