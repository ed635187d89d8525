"""A labelled image: grey values, the class of each pixel, and the animal that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.classes import FIBRE_CLASSES, IGNORED
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import AXON, BACKGROUND, CLASS_VALUES, MYELIN, read_image, to_classes
from napari_axongen.core.image import Image, to_grey


@dataclass(frozen=True)
class LabelledImage:
    """A grey image, the class of each of its pixels, and the animal that it comes from.

    Attributes
    ----------
    image
        One plane (YX) with its pixel size.
    classes
        uint8 of the image's size: indices into the classes that it is labelled with (see
        `core.classes`), or `IGNORED`.
    animal
        Subject (``sub-rat4``): splits keep an animal on one side.
    """

    image: Image
    classes: npt.NDArray[np.uint8]
    animal: str


def class_indices(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Class indices 0 background, 1 myelin, 2 axon of a mask of 0, 127 and 255."""
    return np.searchsorted(CLASS_VALUES, mask).astype(np.uint8)


def mask_values(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Mask of 0 background, 127 myelin, 255 axon of class indices; the unknown is background."""
    values = np.full(IGNORED + 1, BACKGROUND, dtype=np.uint8)
    values[: len(CLASS_VALUES)] = CLASS_VALUES
    return values[classes]


def labelled(image: Image, mask: npt.NDArray[np.uint8], animal: str) -> LabelledImage:
    """Take one plane and its mask as a labelled image.

    Parameters
    ----------
    image
        One plane. Alpha is dropped, colour becomes luminance; the type of the values stays.
    mask
        uint8 array of 0 background, 127 myelin, 255 axon.
    animal
        Subject.

    Raises
    ------
    InputError
        The image is a stack, or the mask has another size.
    """
    return with_classes(image, class_indices(mask), animal)


def with_classes(image: Image, classes: npt.NDArray[np.uint8], animal: str) -> LabelledImage:
    """Take one plane and the classes of its pixels as a labelled image: see `labelled`."""
    if len(image.spatial_shape) > 2:
        raise InputError(
            f"{image.name} is a stack ({image.axes}); save the planes that have masks as images of "
            "their own."
        )
    _check_sizes(image.name, image.plane_shape, "its mask", classes.shape)
    plane = Image(_grey(image), "YX", image.pixel_size, image.name)
    return LabelledImage(plane, classes, animal)


def read_files(
    image: Path,
    masks: Sequence[Path],
    animal: str,
    classes: Sequence[str] = FIBRE_CLASSES,
    unknown: Path | None = None,
) -> LabelledImage:
    """Read an image file with its mask.

    Parameters
    ----------
    image
        The image; its pixel size is found as `core.files.read_image` says.
    masks
        The mask of axons and myelin; or two, of axons and of myelin, where each value but the
        background's means the one class. Where both claim a pixel it is axon. Of two classes, the
        mask of the one that is not background, likewise.
    animal
        Subject.
    classes
        What the pixels can be.
    unknown
        A mask that is not 0 where the truth is unknown.

    Raises
    ------
    InputError
        A file cannot be read, or does not fit the other.
    """
    found = _read_classes(masks, classes)
    if unknown is not None:
        hidden = read_image(unknown).read(())
        _check_sizes(unknown.name, hidden.shape, masks[0].name, found.shape)
        found[hidden > 0] = IGNORED
    return with_classes(read_image(image), found, animal)


def _read_classes(masks: Sequence[Path], classes: Sequence[str]) -> npt.NDArray[np.uint8]:
    if len(classes) == 2:
        return (read_image(masks[0]).read(()) > 0).astype(np.uint8)
    planes = [_mask(read_image(path)) for path in masks]
    if len(planes) == 1:
        return class_indices(planes[0])
    axon, myelin = planes
    _check_sizes(masks[0].name, axon.shape, masks[1].name, myelin.shape)
    mask = np.where(myelin > BACKGROUND, np.uint8(MYELIN), np.uint8(BACKGROUND))
    mask[axon > BACKGROUND] = AXON
    return class_indices(mask)


def from_arrays(
    images: Sequence[Any],
    masks: Sequence[Any],
    animals: Sequence[str] | None = None,
    pixel_size: float | Sequence[float | None] | None = None,
    names: Sequence[str] | None = None,
) -> list[LabelledImage]:
    """Take open arrays as labelled images.

    Parameters
    ----------
    images
        (Y, X) arrays of any real type, or (Y, X, C) with alpha (C = 2), RGB or RGBA.
    masks
        (Y, X) arrays of the same sizes: 0 background, 127 myelin, 255 axon.
    animals
        Subject of each; omitted, each image is a field of its own.
    pixel_size
        um: one for all, or one for each.
    names
        How messages and files call each; omitted, ``image-0`` and so on.

    Raises
    ------
    InputError
        Not as many of one as of the other, or an image and its mask that do not fit.
    """
    names = names if names is not None else [f"image-{index}" for index in range(len(images))]
    animals = animals if animals is not None else names
    sizes = [pixel_size] * len(images) if isinstance(pixel_size, int | float | None) else pixel_size
    for what, values in (("masks", masks), ("animals", animals), ("pixel sizes", sizes),
                         ("names", names)):  # fmt: skip
        if len(values) != len(images):
            raise InputError(
                f"{len(images)} images come with {len(values)} {what}; give one for each."
            )
    return [
        labelled(
            Image.from_array(image, _axes(image), size, name),
            _mask(Image.from_array(mask, name=f"the mask of {name}")),
            animal,
        )
        for image, mask, animal, size, name in zip(
            images, masks, animals, sizes, names, strict=True
        )
    ]


def _axes(array: Any) -> str | None:
    """Few values along a third axis are colour here: there are no stacks."""
    shape = np.shape(array)
    return "YXC" if len(shape) == 3 and shape[-1] <= 4 else None


def _mask(image: Image) -> npt.NDArray[np.uint8]:
    """A mask of 0, 127 and 255; of 16 bits, its values are brought to 8."""
    array = np.asarray(image.data)
    if array.dtype == np.uint16 and array.max() > np.iinfo(np.uint8).max:
        image = Image((array // 257).astype(np.uint8), image.axes, image.pixel_size, image.name)
    return to_classes(image)


def _grey(image: Image) -> npt.NDArray[Any]:
    """Grey values of one plane in the type of the image; luminance of 8 bits is rounded to it."""
    array = np.asarray(image.data)
    if array.dtype == np.bool_:
        array = array.view(np.uint8) * np.uint8(255)
    if not image.is_colour:
        return array
    if array.shape[-1] < 3:
        return np.ascontiguousarray(array[..., 0])
    grey = to_grey(array)
    return np.rint(grey).astype(np.uint8) if array.dtype == np.uint8 else grey


def _check_sizes(one: str, shape: Sequence[int], other: str, others: Sequence[int]) -> None:
    if tuple(shape) != tuple(others):
        raise InputError(
            f"{one} has {_size(shape)} pixels and {other} {_size(others)}; they must have the same "
            "size."
        )


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
