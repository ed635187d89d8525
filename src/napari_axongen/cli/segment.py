"""``axongen segment``: axons and myelin in micrographs, axons and boutons in fluorescence."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Steps
from napari_axongen.core.parameters import OF_FLUORESCENCE, OF_MICROGRAPHS, SegmentParameters

from .bulk import files, settled
from .console import FAILED, tell
from .inputs import distinct, expand
from .options import Scheduler, in_vain, with_options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_axongen.core.device import Device
    from napari_axongen.core.fluorescence import FluorescenceSegmentation
    from napari_axongen.core.segmentation import Segmentation


@with_options(SegmentParameters)
def segment(
    images: Annotated[
        list[Path],
        typer.Argument(
            help="PNG, JPEG, BMP, TIFF or OME-TIFF files; folders and patterns in quotes, too."
        ),
    ],
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
    paths = distinct(expand(images), "seg-...")
    _check(parameters)
    if scheduler is not None:
        parameters = settled(parameters)
    if files(paths, partial(_segment, parameters), out, scheduler, parameters.device):
        raise typer.Exit(FAILED)


def _check(parameters: SegmentParameters) -> None:
    """Find out before the first file what would fail for all of them."""
    from napari_axongen.core.device import choose_device
    from napari_axongen.core.models import load_card

    heedless = in_vain(
        ("min_diameter",),
        parameters.model_fields_set,
        "on masks, in which fibres are not apart; 'axongen measure' heeds it",
    )
    try:
        choose_device(parameters.device)
        if parameters.model != "auto":
            card = load_card(parameters.model)
            if parameters.contrast not in ("auto", card.contrast):
                why = f"beside --model: {card.name} is taken, as named"
                heedless = [*heedless, *in_vain(("contrast",), parameters.model_fields_set, why)]
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    for notice in heedless:
        tell("segment", notice)


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
    if isinstance(result, Segmentation):
        names, found = _write_fibres(result, folder, path.stem), None
    else:
        names, found = _write_objects(result, folder, path.stem), result.thresholds
    yield from _unheeded(parameters, found)
    recipe = {"image": path.name, **result.recipe()}
    write_text(folder / f"{path.stem}_seg.json", json.dumps(recipe, indent=2) + "\n")
    return [*names, f"{path.stem}_seg.json"]


def _unheeded(parameters: SegmentParameters, found: Collection[str] | None) -> Iterator[Notice]:
    """Warn of options that are for another kind of image than this one is.

    Parameters
    ----------
    parameters
        As asked for.
    found
        What was looked for in a fluorescence image; None: it is a micrograph.
    """
    given = parameters.model_fields_set - {"min_diameter"}  # which is for none
    if found is None:
        other = chain(*OF_FLUORESCENCE.values())
        yield from in_vain(other, given, "on an electron micrograph")
        return
    yield from in_vain(OF_MICROGRAPHS, given, "on a fluorescence image")
    for name, fields in OF_FLUORESCENCE.items():
        if name not in found:
            yield from in_vain(fields, given, f"where no {name}s are looked for")


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
