"""``axongen models ...``: what models there are, and more of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .console import say

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
    path: Annotated[Path, typer.Argument(help="A .safetensors file saved by axongen.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of an imported one.")
    ] = False,
) -> None:
    """Check a model file and keep a copy of it."""
    from napari_axongen.core.models import find_model, import_model

    card = import_model(path, replace)
    say(f"Imported as '{card.name}'.")
    typer.echo(find_model(card.name))


@models.command("export")
def export_file(
    name: Annotated[str, typer.Argument(help="Name of a model.")],
    path: Annotated[Path, typer.Argument(help="File or folder to copy it to.")],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the file.")] = False,
) -> None:
    """Copy a model to a file that can be handed on."""
    from napari_axongen.core.models import export_model

    typer.echo(export_model(name, path, replace))
