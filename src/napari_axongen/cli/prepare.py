"""``axongen prepare``: a data set as tiles to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_axongen.core.datasets.prepare_parameters import PrepareParameters

from .console import FAILED, complain, follow, tell
from .options import in_vain, with_options


@with_options(PrepareParameters)
def prepare(
    dataset: Annotated[
        str,
        typer.Argument(help="Folder of images and masks, or its name below AXONGEN_DATA."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the tiles, new or empty.")],
    parameters: PrepareParameters,
) -> None:
    """Cut images and their masks into tiles, apart by animal.

    Reads BIDS-microscopy, images/ with masks/, image_N with mask_N, and NAME with
    NAME_seg-axonmyelin. Writes train, val and test, in each images/ and masks/ with TIFF files of
    equal names (masks: 0 background, 127 myelin, 255 axon), and index.json.
    """
    from napari_axongen.core.datasets.prepare import prepare_steps

    if any(parameters.named.values()):
        asked = parameters.model_fields_set
        for notice in in_vain(("split", "seed"), asked, "where animals are named"):
            tell("prepare", notice)
    prepared = follow(prepare_steps(dataset, parameters, out), "prepare")
    typer.echo(prepared.folder)
    if prepared.refused:
        complain(f"{len(prepared.refused)} images or masks could not be used.")
        raise typer.Exit(FAILED)
