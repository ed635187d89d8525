"""Open layers as data to train on: which labels belong to which image, and who is held out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Points

from napari_axongen.core.classes import BOUTON_CLASSES, FIBRE_CLASSES
from napari_axongen.core.datasets.labelled import LabelledImage
from napari_axongen.core.datasets.labels import classes_of, classes_of_points
from napari_axongen.core.errors import InputError
from napari_axongen.core.image import Image

from .layers import (
    CURTAIN,
    image_of,
    is_image_of_its_own,
    level_0,
    pixel_size,
    recipe_of,
    spatial_shape,
    why_not,
)
from .masks import MaskLayers, belongs, find_masks

Part: TypeAlias = Literal["train", "validation", "test", "part"]

PARTS: dict[Part, str] = {
    "train": "Train",
    "validation": "Validate",
    "test": "Test",
    "part": "Train, hold out ¼",
}
"""What an image is used for, and what a person calls it."""

HELD_OUT = 0.25
"""Of an image's columns, where a part of one image is held out."""

_ANIMAL = re.compile(r"(?<![a-z0-9])sub-[a-z0-9]+", re.IGNORECASE)


@dataclass(frozen=True)
class OpenPair:
    """An image layer, the layers that label it, and what they are used for."""

    image: Any
    labels: MaskLayers
    part: Part = "train"
    animal: str = ""


def may_train(layer: Any) -> bool:
    """Whether a layer is an image that one can train on."""
    return isinstance(layer, ImageLayer) and is_image_of_its_own(layer) and why_not(layer) is None


def label_choices(image: Any, layers: Iterable[Any], classes: Sequence[str]) -> list[MaskLayers]:
    """What may label an image, that which is likeliest first.

    Parameters
    ----------
    image
        The layer.
    layers
        Of the viewer, from its bottom to its top.
    classes
        What is to be learnt. Of boutons, points are labels as well.
    """
    return [mask for _, mask in _ranked(image, list(layers), classes)]


def _ranked(
    image: Any, layers: list[Any], classes: Sequence[str]
) -> list[tuple[tuple[bool, bool, bool, int], MaskLayers]]:
    """What may label an image, with its rank: the lowest is likeliest."""
    masks = find_masks(image, layers) if tuple(classes) == FIBRE_CLASSES else []
    taken = [layer for mask in masks for layer in (mask.axon, mask.myelin)]
    shape = spatial_shape(image)
    for layer in layers:
        drawn = isinstance(layer, Labels) and spatial_shape(layer) == shape
        marked = (
            tuple(classes) == BOUTON_CLASSES
            and isinstance(layer, Points)
            and len(shape) == layer.ndim == 2
        )
        if (drawn or marked) and layer not in taken:
            masks.append(MaskLayers(layer.name, layer))
    above = layers.index(image)
    ranked = []
    for mask in masks:
        verb = (recipe_of(mask.axon) or {}).get("verb")
        if verb == CURTAIN:
            continue
        named = mask.myelin is not None or classes[-1] in mask.axon.name.lower()
        distance = (layers.index(mask.axon) - above) % len(layers)
        # what a network found is no truth, unless nothing else is there
        ranked.append(((verb == "segment", not belongs(mask, image), not named, distance), mask))
    return sorted(ranked, key=lambda one: one[0])


def fitting_pairs(layers: Iterable[Any], classes: Sequence[str]) -> list[OpenPair]:
    """Every image among some layers with its likeliest labels, of which none serves twice."""
    layers = list(layers)
    images = [layer for layer in layers if may_train(layer)]
    ways = [
        (rank, place, mask)
        for place, image in enumerate(images)
        for rank, mask in _ranked(image, layers, classes)
    ]
    found: dict[int, MaskLayers] = {}
    for _, place, mask in sorted(ways, key=lambda way: way[:2]):
        used = any(mask.axon == other.axon for other in found.values())
        if not used and place not in found:
            found[place] = mask
    return with_parts(
        [
            OpenPair(image, found[place], animal=animal_of(image))
            for place, image in enumerate(images)
            if place in found
        ]
    )


def with_parts(pairs: Sequence[OpenPair]) -> list[OpenPair]:
    """Hold out the last animal; of a single one, a part of its last image."""
    if not pairs:
        return []
    last = pairs[-1].animal
    if all(pair.animal == last for pair in pairs):
        return [*(replace(p, part="train") for p in pairs[:-1]), replace(pairs[-1], part="part")]
    return [replace(pair, part="validation" if pair.animal == last else "train") for pair in pairs]


def animal_of(layer: Any) -> str:
    """The animal of an image as its metadata or its name says, else the image's own name."""
    said = layer.metadata.get("animal")
    named = _ANIMAL.search(layer.name)
    return str(said) if said else named[0] if named else str(layer.name)


def split_of(pairs: Iterable[OpenPair]) -> dict[str, list[str]]:
    """Animals by part, as recipes name them."""
    split: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for pair in pairs:
        both = pair.part == "part"
        for part in ("train", "validation") if both else (pair.part,):
            animal = held_out_animal(pair.animal) if both and part != "train" else pair.animal
            if animal not in split[part]:
                split[part].append(animal)
    return split


def held_out_animal(animal: str) -> str:
    """Whose the held-out part of an image is said to be."""
    return f"{animal} (held-out part)"


def common_pixel_size(pairs: Sequence[OpenPair]) -> float | None:
    """The coarsest pixel size (um), to which all can be brought; None if one is unknown."""
    sizes = [pixel_size(pair.image).um for pair in pairs]
    known = [size for size in sizes if size is not None]
    return max(known) if known and len(known) == len(sizes) else None


def labelled(pair: OpenPair, classes: Sequence[str]) -> tuple[list[LabelledImage], str]:
    """Take an open pair as labelled images, as it is now; of a stack, the planes with labels.

    Returns
    -------
    images
        One a plane; two where a part of it is held out.
    sentence
        What the labels were taken for.

    Raises
    ------
    InputError
        The image cannot be taken, or its labels cannot be the classes: the layer is named.
    """
    images: list[LabelledImage] = []
    image = image_of(pair.image, pixel_size(pair.image).um)
    planes, said = list(image.plane_indices()), ""
    for plane in planes:
        truth, sentence = _classes(pair, plane, classes)
        if len(planes) > 1 and not truth.any():
            continue
        said = sentence
        name = "-".join([pair.image.name, *(f"{i:03d}" for i in plane)])
        grey = Image.from_array(_grey(image, plane), "YX", image.pixel_size, name)
        images += _parts(LabelledImage(grey, truth, pair.animal), pair.part == "part")
    if not images:
        raise InputError(f"'{pair.labels.axon.name}' is empty on every plane; label some of them.")
    return images, said


def _classes(
    pair: OpenPair, plane: tuple[int, ...], classes: Sequence[str]
) -> tuple[npt.NDArray[np.uint8], str]:
    first, second = pair.labels.axon, pair.labels.myelin
    if isinstance(first, Points):
        shape = spatial_shape(pair.image)
        to_image = pair.image.world_to_data
        places = [to_image(first.data_to_world(point)) for point in first.data]
        scale = float(abs(first.scale[-1] / pair.image.scale[-1]))
        found = classes_of_points(places, np.asarray(first.size) * scale, (shape[0], shape[1]))
        return found, f"'{first.name}': every point is a {classes[-1]}."
    if spatial_shape(first) != spatial_shape(pair.image):
        raise InputError(
            f"'{first.name}' has {_size(first)} pixels and the image '{pair.image.name}' "
            f"{_size(pair.image)}; choose labels of the same size."
        )
    arrays = [None if one is None else np.asarray(level_0(one)[plane]) for one in (first, second)]
    where = "".join(f", plane {i}" for i in plane)
    return classes_of(arrays[0], classes, arrays[1], f"The labels '{first.name}'{where}")


def _grey(image: Image, plane: tuple[int, ...]) -> npt.NDArray[Any]:
    """One plane in its own type; of colours the luminance."""
    return image.read(plane) if image.is_colour else np.asarray(image.data[plane])


def _parts(image: LabelledImage, divided: bool) -> list[LabelledImage]:
    """The image, or that part of it which trains and that which is held out."""
    if not divided:
        return [image]
    width = image.classes.shape[1]
    cut = round(width * (1 - HELD_OUT))
    parts = []
    for columns, animal, name in (
        (slice(0, cut), image.animal, image.image.name),
        (slice(cut, width), held_out_animal(image.animal), f"{image.image.name}-held-out"),
    ):
        data = np.asarray(image.image.data)[:, columns]
        grey = Image.from_array(data, "YX", image.image.pixel_size, name)
        parts.append(LabelledImage(grey, image.classes[:, columns], animal))
    return parts


def _size(layer: Any) -> str:
    return " x ".join(map(str, spatial_shape(layer)))
