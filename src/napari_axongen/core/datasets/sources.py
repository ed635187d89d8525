"""Where labelled images come from: BIDS-microscopy folders, or fields made by this package."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import AXON, BACKGROUND, MYELIN, read_image, read_mask
from napari_axongen.core.image import Image
from napari_axongen.core.surrogate.em_fields import em_field

MASK_SUFFIX = "_seg-axonmyelin-manual"


@dataclass(frozen=True)
class LabelledImage:
    """A grey image, the class of each of its pixels, and the animal that it comes from.

    Attributes
    ----------
    image
        One plane (YX) with its pixel size.
    classes
        uint8 of the image's size: 0 background, 1 myelin, 2 axon.
    animal
        Subject (``sub-rat4``): splits keep an animal on one side.
    """

    image: Image
    classes: npt.NDArray[np.uint8]
    animal: str


def class_indices(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Class indices 0 background, 1 myelin, 2 axon of a mask of 0, 127 and 255."""
    return np.searchsorted((BACKGROUND, MYELIN, AXON), mask).astype(np.uint8)


def data_folder(name: str | Path) -> Path:
    """Find a data set: the path itself, or below ``AXONGEN_DATA``, or below ``../shared/data``.

    Raises
    ------
    InputError
        It is in none of these places.
    """
    places = [Path(name)]
    if "AXONGEN_DATA" in os.environ:
        places.append(Path(os.environ["AXONGEN_DATA"]) / name)
    places.append(Path("..") / "shared" / "data" / name)
    for place in places:
        if place.is_dir():
            return place
    raise InputError(
        f"Data set '{name}' was not found; give its folder, or set AXONGEN_DATA to the folder that "
        "holds it."
    )


def load_bids(root: Path) -> list[LabelledImage]:
    """Read a BIDS-microscopy data set with axon and myelin masks (Bourget et al. 2022).

    Images are ``sub-*/micr/*.png``, their masks
    ``derivatives/labels/sub-*/micr/*_seg-axonmyelin-manual.png``, pixel sizes in the side-cars.
    Images without a mask are left out.

    Raises
    ------
    InputError
        No labelled image at all, or an image and its mask differ in size.
    """
    found = []
    for path in sorted(root.glob("sub-*/micr/*.png")):
        subject = path.parts[-3]
        masks = root / "derivatives" / "labels" / subject / "micr"
        mask_path = masks / f"{path.stem}{MASK_SUFFIX}.png"
        if not mask_path.exists():
            continue
        image, mask = read_image(path), read_mask(mask_path)
        if image.plane_shape != mask.shape:
            raise InputError(
                f"{path.name} has {image.plane_shape} pixels and its mask {mask.shape}; "
                "they must have the same size."
            )
        grey = Image(image.read(()), "YX", image.pixel_size, path.name)
        found.append(LabelledImage(grey, class_indices(mask), subject))
    if not found:
        raise InputError(
            f"{root} holds no labelled image (sub-*/micr/*.png with derivatives/labels/.../"
            f"*{MASK_SUFFIX}.png)."
        )
    return found


def make_fields(
    contrast: Literal["TEM", "SEM"], count: int, side: int, seed: int
) -> list[LabelledImage]:
    """Make labelled fields with the package's own generator; field i is "animal" ``sub-i``."""
    kind: Literal["tem", "sem"] = "tem" if contrast == "TEM" else "sem"
    fields = (em_field((side, side), kind, seed=seed + index) for index in range(count))
    return [
        LabelledImage(
            Image(field.image.astype(np.float32), "YX", field.pixel_size, f"field {index}"),
            class_indices(field.classes),
            f"sub-{index}",
        )
        for index, field in enumerate(fields)
    ]


def split_by_animal(
    images: Iterable[LabelledImage], held_out: Collection[str]
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Part images into training and held-out ones, whole animals at a time.

    Raises
    ------
    InputError
        An animal to hold out is not among the images, or nothing is left to train on.
    """
    images = list(images)
    animals = {image.animal for image in images}
    unknown = sorted(set(held_out) - animals)
    if unknown:
        raise InputError(
            f"Animals {', '.join(unknown)} are to be held out, but the data has only "
            f"{', '.join(sorted(animals))}."
        )
    train = [image for image in images if image.animal not in held_out]
    if not train:
        raise InputError("Every animal is held out; leave at least one to train on.")
    return train, [image for image in images if image.animal in held_out]
