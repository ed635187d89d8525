"""``axongen translate``: micrographs in the other microscope's contrast."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Steps
from napari_axongen.core.parameters import TranslateParameters, unheeded_by

from .bulk import files, settled
from .console import FAILED, tell
from .inputs import MASK, Masks, distinct, expand
from .options import Scheduler, in_vain, with_options

if TYPE_CHECKING:
    from napari_axongen.core.device import Device


@with_options(TranslateParameters)
def translate(
    images: Annotated[
        list[Path], typer.Argument(help="Images; folders and patterns in quotes, too.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results; made if it is missing.")],
    parameters: TranslateParameters,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Mask of the image: 0 background, 127 myelin, 255 axon. For several images a "
            "folder or a pattern in quotes, in which the mask of NAME.tif is called "
            "NAME_seg-axonmyelin....png or NAME.png. Omitted, a segmenter makes it."
        ),
    ] = None,
    scheduler: Scheduler = None,
) -> None:
    """Render micrographs in the other microscope's contrast.

    Writes NAME_sem.tif (or NAME_tem.tif), its mask NAME_sem_seg-axonmyelin.png (0 background, 127
    myelin, 255 axon), both at the size of the image, and the recipe NAME_sem.json. Masks of stacks
    are .tif files with all planes. Of several --samples NAME_sem.tif is a stack, and
    NAME_sem_spread.tif their standard deviation.
    """
    paths = distinct(expand(images), "sem.tif or ..._tem.tif")
    _check(parameters, mask is not None)
    if scheduler is not None:
        parameters, mask = settled(parameters), mask and mask.absolute()
    masks = None if mask is None else Masks(mask, len(paths))
    told = [] if masks is None else masks.files or [masks.where]
    refuse = partial(_refuse, {path.resolve() for path in (*paths, *told)})
    work = partial(_translate, parameters, masks, refuse)
    tiled = parameters.method == "cgan"
    if files(paths, work, out, scheduler, parameters.device, tiled, refuse):
        raise typer.Exit(FAILED)


def _refuse(read: Set[Path], target: Path) -> None:
    """Never replace what is read."""
    if target.resolve() in read:
        raise InputError(
            f"{target} is one of the images or masks that are read; write into another folder than "
            "theirs."
        )


def _check(parameters: TranslateParameters, masked: bool) -> None:
    """Find out before the first file what would fail, or be in vain, for all of them."""
    from napari_axongen.core.planning import check

    method, given = parameters.method, parameters.model_fields_set
    if method == "ddib" and parameters.samples > 1:
        raise typer.BadParameter(
            "nothing is drawn with --method ddib, so all would be the same; leave it out.",
            param_hint="--samples",
        )
    try:
        model = check(parameters)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    heedless = [*in_vain(unheeded_by(method), given, f"with --method {method}")]
    rest = given - set(unheeded_by(method))
    if model is not None and not model.conditional:
        why = f"on {model.card.name}, which is told neither mask nor structure"
        heedless += in_vain(("condition", "guidance"), rest, why)
    elif method == "generate" and not masked:
        heedless += in_vain(("guidance",), rest, "without a --mask, which would be obeyed")
    for notice in heedless:
        tell("translate", notice)


def _translate(
    parameters: TranslateParameters,
    masks: Masks | None,
    refuse: Callable[[Path], None],
    folder: Path,
    path: Path,
    device: Device | None = None,
) -> Steps[list[str]]:
    """Translate a file; write into a folder, and return the names of what was written."""
    from napari_axongen.core.files import read_image, read_mask, write_image, write_text
    from napari_axongen.core.translation import translate_steps

    if path.is_dir():
        raise InputError(f"{path} holds no image; name the image files.")
    image = read_image(path, parameters.pixel_size)
    mask = None
    if masks is not None:
        file = masks.of(path)
        mask = read_mask(file)
        if mask.shape != image.spatial_shape:
            raise InputError(
                f"{file} is of size {mask.shape} and {path.name} of {image.spatial_shape}; take "
                "the mask that was made from this image."
            )
    if len(image.spatial_shape) == 2 and "shared_noise" not in unheeded_by(parameters.method):
        yield from in_vain(("shared_noise",), parameters.model_fields_set, "on a single plane")
    result = yield from translate_steps(image, parameters, mask, device=device)
    stem = f"{path.stem}_{(result.target or 'translated').lower()}"
    axes = image.axes.removesuffix("C")
    several = "I" if parameters.samples > 1 else ""
    written: dict[str, tuple[Any, str]] = {f"{stem}.tif": (result.image, several + axes)}
    if result.spread is not None:
        written[f"{stem}_spread.tif"] = result.spread, axes
    if result.mask is None:
        yield Notice("Made without a mask, so no mask is written.")
    else:
        ending = "png" if result.mask.ndim == 2 else "tif"
        written[f"{stem}{MASK}.{ending}"] = result.mask, axes
    for name in written:
        refuse(folder / name)
    for name, (array, order) in written.items():
        write_image(folder / name, array, result.pixel_size, order)
    recipe = {"image": path.name, **result.recipe()}
    write_text(folder / f"{stem}.json", json.dumps(recipe, indent=2) + "\n")
    return [*written, f"{stem}.json"]
