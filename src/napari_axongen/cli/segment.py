"""``axongen segment``: axons and myelin in micrographs, axons and boutons in fluorescence."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Steps
from napari_axongen.core.parameters import SegmentParameters

from .bulk import files, settled
from .console import FAILED
from .inputs import distinct
from .options import Scheduler, with_options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_axongen.core.device import Device
    from napari_axongen.core.fluorescence import FluorescenceSegmentation
    from napari_axongen.core.segmentation import Segmentation


@with_options(SegmentParameters)
def segment(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG, BMP, TIFF or OME-TIFF files.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; made if it is missing.")],
    parameters: SegmentParameters,
    scheduler: Scheduler = None,
) -> None:
    """Find axons and myelin in micrographs, axons and boutons in fluorescence images.

    Writes NAME_seg-axonmyelin.png (0 background, 127 myelin, 255 axon), NAME_seg-axon.png and
    NAME_seg-myelin.png (0 and 255) at the size of the image, and the recipe NAME_seg.json; of a
    fluorescence image NAME_seg-axon.png and NAME_seg-bouton.png, NAME_boutons.csv and
    NAME_centrelines.csv. Stacks become .tif files with all planes.
    """
    paths = distinct(images, "seg-...")
    _check(parameters)
    if scheduler is not None:
        parameters = settled(parameters)
    if files(paths, partial(_segment, parameters), out, scheduler, parameters.device):
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


def _segment(
    parameters: SegmentParameters, folder: Path, path: Path, device: Device | None = None
) -> Steps[list[str]]:
    """Segment a file; write into a folder, and return the names of what was written."""
    from napari_axongen.core.files import read_image, write_text
    from napari_axongen.core.segmentation import Segmentation, segment_steps

    image = read_image(path, parameters.pixel_size)
    result = yield from segment_steps(image, parameters, device)
    if len(image.spatial_shape) > 2:
        yield Notice(f"A stack ({image.axes}): its masks are .tif files with all planes.")
    write = _write_fibres if isinstance(result, Segmentation) else _write_objects
    names = write(result, folder, path.stem)
    recipe = {"image": path.name, **result.recipe()}
    write_text(folder / f"{path.stem}_seg.json", json.dumps(recipe, indent=2) + "\n")
    return [*names, f"{path.stem}_seg.json"]


def _write_fibres(result: Segmentation, out: Path, stem: str) -> list[str]:
    from napari_axongen.core.files import AXON, MYELIN

    classes = result.classes()
    names = []
    for name, value in (("axonmyelin", None), ("axon", AXON), ("myelin", MYELIN)):
        mask = classes if value is None else (classes == value).view("uint8") * 255
        names.append(_write_mask(out / f"{stem}_seg-{name}", mask, result.pixel_size))
    return names


def _write_objects(result: FluorescenceSegmentation, out: Path, stem: str) -> list[str]:
    from napari_axongen.core.centrelines import write_centrelines
    from napari_axongen.core.files import csv_text, write_text
    from napari_axongen.core.fluorescence import AXON, BOUTON_COLUMNS

    objects = result.objects()
    names = []
    for name in result.thresholds:
        labels = objects.axons if name == AXON else objects.bouton_labels
        mask = (labels > 0).view("uint8") * 255
        names.append(_write_mask(out / f"{stem}_seg-{name}", mask, result.pixel_size))
        if name == AXON:
            table = out / f"{stem}_centrelines.csv"
            write_centrelines(table, objects.centrelines)
        else:
            table = out / f"{stem}_boutons.csv"
            rows = ((int(row[0]), *row[1:]) for row in objects.boutons.tolist())
            write_text(table, csv_text(BOUTON_COLUMNS, rows))
        names.append(table.name)
    return names


def _write_mask(target: Path, mask: npt.NDArray[np.uint8], pixel_size: float | None) -> str:
    """Write a mask, of a stack as .tif; returns the name of the file."""
    from napari_axongen.core.files import write_image

    target = target.with_name(f"{target.name}.{'png' if mask.ndim == 2 else 'tif'}")
    write_image(target, mask, pixel_size)
    return target.name
