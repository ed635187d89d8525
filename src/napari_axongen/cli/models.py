"""``axongen models ...``: what models there are, and more of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .console import say, tell
from .options import choices, in_vain

Contrast: Any = choices("Contrast", Literal["TEM", "SEM"])

models = typer.Typer(no_args_is_help=True, help="List, show, import and export models.")


@models.command("list")
def list_models() -> None:
    """List the models: name, task, contrast, pixel size, title."""
    from rich.console import Console
    from rich.table import Table

    from napari_axongen.core.models import available

    table = Table("name", "task", "contrast", "um per pixel", "title", box=None)
    table.columns[0].no_wrap = True
    for card in available(lambda notice: say(notice.message, "yellow")):
        size = "" if card.pixel_size is None else f"{card.pixel_size:g}"
        table.add_row(card.name, card.task, card.contrast or "", size, card.title)
    Console(highlight=False).print(table)


@models.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="Name of a model, or its file.")],
) -> None:
    """Print the card of a model as JSON, with its file."""
    from napari_axongen.core.models import find_model, load_card

    card = load_card(name).model_dump(mode="json")
    typer.echo(json.dumps({"file": str(find_model(name)), **card}, indent=2))


@models.command("import")
def import_file(
    path: Annotated[
        Path,
        typer.Argument(
            help="A .safetensors file saved by axongen, the folder of a finished training run, or "
            "a torch checkpoint."
        ),
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of an imported one.")
    ] = False,
    name: Annotated[str | None, typer.Option("--as", help="Name that the model gets.")] = None,
    target: Annotated[
        Contrast | None, typer.Option(help="Checkpoint: contrast of the images that it makes.")
    ] = None,
    axon_diameter: Annotated[
        float | None,
        typer.Option(help="Checkpoint: median axon diameter (px) in what it was trained on."),
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Checkpoint: pixel size (um) of what it was trained on.")
    ] = None,
    full_range: Annotated[
        bool,
        typer.Option(
            "--full-range",
            help="Of a pix2pix generator: its values span -1 to 1, not -1 to -0.992 as the "
            "reference's.",
        ),
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Checkpoint: store it in half precision.")
    ] = False,
) -> None:
    """Check a model file and keep a copy of it.

    With --target, the file is a torch checkpoint of the reference's: a pix2pix generator
    (unet_256 with BatchNorm, which renders masks), or a DDPM (64-pixel U-Net without condition).
    Only its tensors are read; they are stored as safetensors.
    """
    from napari_axongen.core.models import find_model, import_checkpoint, importing
    from napari_axongen.core.models.renaming import import_as

    if target is None:
        if full_range or half or axon_diameter is not None or pixel_size is not None:
            raise typer.BadParameter("options of checkpoints need --as and --target.")
        card = import_as(path, name, replace)
    elif name is None:
        raise typer.BadParameter("a checkpoint needs both --as NAME and --target TEM or SEM.")
    else:
        card = import_checkpoint(
            path,
            name,
            target.value,
            value_range=importing.FULL_RANGE if full_range else importing.REFERENCE_RANGE,
            pixel_size=pixel_size,
            axon_diameter=axon_diameter,
            dtype="float16" if half else "float32",
            replace=replace,
        )
        if full_range and card.task == "diffusion":
            (notice,) = in_vain(["full_range"], ["full_range"], "on a denoiser")
            tell("import", notice)
    say(f"Imported as '{card.name}'.")
    typer.echo(find_model(card.name))


@models.command("export")
def export_file(
    name: Annotated[
        str, typer.Argument(help="Name of a model, or the path of a training run's folder.")
    ],
    path: Annotated[Path, typer.Argument(help="File or folder to copy it to.")],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the file.")] = False,
) -> None:
    """Copy a model to a file that can be handed on."""
    from napari_axongen.core.models import export_model

    typer.echo(export_model(name, path, replace))
