"""``axongen segment``: axons and myelin in micrographs, as masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from napari_axongen.core.errors import InputError
from napari_axongen.core.parameters import SegmentParameters

from .console import FAILED, each, follow, say
from .inputs import distinct
from .options import with_options


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
