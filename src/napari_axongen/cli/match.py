"""``axongen match``: parameters of surrogates that look like an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_axongen.core.errors import InputError

from .console import follow, say
from .generate import Devices


def match(
    image: Annotated[Path, typer.Argument(help="A two-photon image: one grey plane.")],
    out: Annotated[Path, typer.Option(help="File of the parameters, for axongen generate.")],
    start: Annotated[
        str,
        typer.Option(
            metavar="PRESET|FILE", help="What the image does not tell is taken from here."
        ),
    ] = "two-photon",
    seed: Annotated[int, typer.Option(min=0, help="The same seed finds the same.")] = 0,
    device: Annotated[Devices, typer.Option(help="Where to compute.")] = Devices.auto,
) -> None:
    """Find parameters whose surrogates look like a two-photon image.

    Prints the statistics of the image and of surrogates, and writes the
    parameters as JSON, with how they were found.
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from napari_axongen.core.files import read_image, write_text
    from napari_axongen.core.surrogate.matching import match_steps
    from napari_axongen.core.surrogate.presets import load_parameters

    if out.suffix.lower() != ".json":
        raise typer.BadParameter(f"{out} is not named .json.", param_hint="--out")
    try:
        begin = load_parameters(start)
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint="--start") from error
    result = follow(match_steps(read_image(image), begin, seed, device.value), image.name)
    table = Table("", "image", "start", "found", box=None)
    for row in result.table:
        values = (row.real, row.before, row.after)
        name = f"{row.name} ({row.unit})" if row.unit else row.name
        table.add_row(name, *("-" if value != value else f"{value:.3g}" for value in values))
    Console(highlight=False).print(table)
    say(f"Distance from the image: {result.distance_before:.3g} to {result.distance_after:.3g}.")
    write_text(out, json.dumps(result.recipe(), indent=2) + "\n")
    typer.echo(out)
