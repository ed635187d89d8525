"""What a caller of the public verbs may pass for an image, a mask or centrelines."""

from __future__ import annotations

import os
from typing import Any

from .core.errors import InputError
from .core.image import Image, check_pixel_size


def image_of(image: Any, pixel_size: float | None) -> Image:
    """An image from an array, a path or an `Image`; a pixel size (um) overrules what it says."""
    if isinstance(image, str | os.PathLike):
        from .core.files import read_image

        return read_image(image, pixel_size)
    if isinstance(image, Image):
        if pixel_size is None:
            return image
        size = check_pixel_size(pixel_size, image.name)
        return Image(image.data, image.axes, size, image.name)
    return Image.from_array(image, pixel_size=pixel_size)


def mask_of(mask: Any, pixel_size: float | None) -> Image:
    """A mask from what `image_of` takes, or from a segmentation of an electron micrograph."""
    if hasattr(mask, "probabilities"):
        if not hasattr(mask, "classes"):
            raise InputError(
                "This is a segmentation of a fluorescence image; pass one of an electron "
                "micrograph, which has myelin."
            )
        mask = Image.from_array(mask.classes(), pixel_size=mask.pixel_size, name="segmentation")
    return image_of(mask, pixel_size)


def lines_of(source: Any) -> Any:
    """Centrelines from a file of them; anything else as it is."""
    if isinstance(source, str | os.PathLike):
        from .core.centrelines import read_centrelines

        return read_centrelines(source)
    return source
