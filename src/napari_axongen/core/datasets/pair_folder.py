"""Open images with their classes, as a folder of pairs that is read back as they were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_axongen.core.classes import IGNORED
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import csv_text, numbered, write_image, write_text

from .labelled import LabelledImage, mask_values
from .layouts import ANIMALS, UNKNOWN


def write_pairs(
    folder: Path | str, images: Sequence[LabelledImage], classes: Sequence[str]
) -> Path:
    """Write images with their classes so that `sources.load_labelled` reads the same.

    Of each image ``NAME.tif`` (its own grey values and pixel size) and its mask: of myelinated
    fibres ``NAME_seg-axonmyelin.png`` (0 background, 127 myelin, 255 axon), of two classes
    ``NAME_seg-axon.png`` or ``NAME_seg-bouton.png`` (0 and 255). Where the truth of some pixels is
    unknown, they are background in the mask and 255 in ``NAME_seg-unknown.png``: no value of a mask
    means anything that other programs do not know. ``animals.csv`` says whose each image is.

    Parameters
    ----------
    folder
        A new or empty one.
    images
        What to write; files are named after them.
    classes
        What the pixels can be, see `core.classes`.

    Returns
    -------
    The folder.

    Raises
    ------
    InputError
        There is no image, or the folder holds files or cannot be written.
    """
    folder = Path(folder)
    if not images:
        raise InputError("There is no image to train on; open some, with labels.")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} holds files already; choose another folder.")
    kind = "axonmyelin" if len(classes) > 2 else classes[-1]
    rows: list[tuple[str, str]] = []
    for image in images:
        stem = _stem(image.image.name, {stem.casefold() for stem, _ in rows})
        unknown = image.classes == IGNORED
        mask = mask_values(image.classes) if len(classes) > 2 else image.classes == 1
        size = image.image.pixel_size
        write_image(folder / f"{stem}_seg-{kind}.png", mask, size)
        if unknown.any():
            write_image(folder / f"{stem}{UNKNOWN}.png", unknown, size)
        write_image(folder / f"{stem}.tif", np.asarray(image.image.data), size)
        rows.append((stem, image.animal))
    write_text(folder / ANIMALS, csv_text(("image", "animal"), rows))
    return folder


def _stem(name: str, taken: set[str]) -> str:
    """A name for files: nothing in it looks like a mask's, an ending or a path."""
    stem = re.sub(r"[\W_]+", "-", name).strip("-") or "image"
    return numbered(stem, lambda tried: tried.casefold() in taken)
