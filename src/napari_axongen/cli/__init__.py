"""``axongen VERB ...``: the same verbs as in the window and in Python.

Exit codes: 0 all done, 1 a file failed (it is named; the others are done), 2 wrong usage, 130
stopped by Ctrl+C.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import napari_axongen
from napari_axongen.core.errors import InputError
from napari_axongen.core.parameters import MeasureParameters, SegmentParameters

from .console import FAILED, Group, each, follow, say
from .em_fibres import em_fibres
from .evaluate import evaluate
from .generate import generate
from .inputs import distinct
from .match import match
from .models import models
from .options import with_options
from .prepare import prepare
from .translate import translate

app = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Synthetic microscopy of axons; myelinated axons segmented and measured.",
)
app.add_typer(models, name="models")
app.add_typer(evaluate, name="evaluate")
app.command()(generate)
app.command("generate em-fibres")(em_fibres)
app.command()(match)
app.command()(prepare)
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


# ---------------------------------------------------------------- segment


@app.command()
@with_options(SegmentParameters)
def segment(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG, BMP, TIFF or OME-TIFF files.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; made if it is missing.")],
    parameters: SegmentParameters,
) -> None:
    """Find axons and myelin in micrographs.

    Writes NAME_seg-axonmyelin.png (0 background, 127 myelin, 255 axon), NAME_seg-axon.png and
    NAME_seg-myelin.png (0 and 255) at the size of the image, and the recipe NAME_seg.json. Stacks
    become .tif files with all planes.
    """
    paths = distinct(images, "seg-...")
    _check(parameters)

    def work(path: Path) -> None:
        _segment(path, out, parameters)

    if each(paths, work):
        raise typer.Exit(FAILED)


def _check(parameters: SegmentParameters) -> None:
    """Find out before the first file what would fail for all of them."""
    from napari_axongen.core.device import choose_device
    from napari_axongen.core.models import load_card

    try:
        choose_device(parameters.device)
        if parameters.model != "auto":
            load_card(parameters.model)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def _segment(path: Path, out: Path, parameters: SegmentParameters) -> None:
    from napari_axongen.core.files import AXON, MYELIN, read_image, write_image, write_text
    from napari_axongen.core.segmentation import segment_steps

    image = read_image(path, parameters.pixel_size)
    result = follow(segment_steps(image, parameters), path.name)
    classes = result.classes()
    ending = "png" if classes.ndim == 2 else "tif"
    if classes.ndim > 2:
        say(f"{path.name} is a stack ({image.axes}): its masks are .tif files with all planes.")
    for name, value in (("axonmyelin", None), ("axon", AXON), ("myelin", MYELIN)):
        mask = classes if value is None else (classes == value).view("uint8") * 255
        target = out / f"{path.stem}_seg-{name}.{ending}"
        write_image(target, mask, result.pixel_size)
        typer.echo(target)
    recipe = {"image": path.name, **result.recipe()}
    write_text(out / f"{path.stem}_seg.json", json.dumps(recipe, indent=2) + "\n")


# ---------------------------------------------------------------- measure


@app.command()
@with_options(MeasureParameters)
def measure(
    masks: Annotated[list[Path], typer.Argument(help="Masks: 0 background, 127 myelin, 255 axon.")],
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
    failed = each(list(dict.fromkeys(masks)), tables.add)
    if tables.names:
        for path in tables.write(out):
            typer.echo(path)
    if failed:
        raise typer.Exit(FAILED)


# ---------------------------------------------------------------- train, demo


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a .yaml file.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from its checkpoint.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train a model from a recipe; a run that was stopped goes on with --resume."""
    from napari_axongen.core.training import load_recipe, train_steps

    loaded = load_recipe(recipe)
    typer.echo(follow(train_steps(loaded, out, resume, device), loaded.name))


@app.command()
def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Open no window that stays; write files instead.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the files of --headless.")] = Path(
        "demo-output"
    ),
) -> None:
    """Open napari with a sample micrograph, segmented."""
    from napari_axongen.widgets.demo import run_demo

    run_demo(headless=headless, out=out)
