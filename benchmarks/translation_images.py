"""The images that translations are judged on: both microscopes at one scale, split by animal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from napari_axongen.core.baselines import grey_quantiles, invert_and_match
from napari_axongen.core.datasets import LabelledImage, data_folder, load_bids, split_by_animal
from napari_axongen.core.datasets.labelled import mask_values
from napari_axongen.core.datasets.scaling import rescale, scale_to
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import run
from napari_axongen.core.image import Image, intensity_range
from napari_axongen.core.models.store import load_card
from napari_axongen.core.parameters import TranslateParameters
from napari_axongen.core.translation import translate_steps

Condition = Literal["mask", "mask and structure", "structure"]


@dataclass(frozen=True)
class Domain:
    """The images of one microscope, and the animals that nothing is trained on."""

    contrast: Literal["TEM", "SEM"]
    root: str
    test: tuple[str, ...]
    segmenter: str


SEM = Domain("SEM", "data_axondeepseg_sem", ("sub-rat3", "sub-rat4"), "axon-myelin-sem")
TEM = Domain("TEM", "data_axondeepseg_srf_testing", ("sub-373C", "sub-374"), "axon-myelin-tem")


@dataclass(frozen=True)
class Direction:
    """From which microscope to which, and the median axon diameter (px) of all images."""

    name: str
    source: Domain
    target: Domain
    usual_diameter: int

    @property
    def axon_diameter(self) -> int:
        """That of the shipped translator's card; the usual one while there is none."""
        try:
            return round(load_card(self.name).axon_diameter or self.usual_diameter)
        except InputError:
            return self.usual_diameter


DIRECTIONS = {
    direction.name: direction
    for direction in (
        Direction("tem-to-sem", TEM, SEM, 28),
        Direction("sem-to-tem", SEM, TEM, 40),
    )
}


def normalised(grey: np.ndarray) -> np.ndarray:
    """Grey values with the 1st percentile at 0 and the 99th at 1."""
    image = Image.from_array(grey.astype(np.float32), "YX")
    return intensity_range(image, ()).normalise(image.read(()))


def with_greys(labelled: LabelledImage, grey: np.ndarray) -> LabelledImage:
    """The same fibres with other grey values."""
    image = Image(normalised(grey), "YX", None, labelled.image.name)
    return LabelledImage(image, labelled.classes, labelled.animal)


def harmonise(labelled: LabelledImage, axon_diameter: float) -> LabelledImage:
    """Bring an image to a median axon diameter (px) and to the grey range 0..1."""
    scaled = rescale(labelled, scale_to(labelled, axon_diameter=axon_diameter))
    return with_greys(scaled, scaled.image.read(()))


@cache
def native(domain: Domain) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Training and test images of a microscope as they are."""
    return split_by_animal(load_bids(data_folder(domain.root)), domain.test)


@cache
def images(domain: Domain, axon_diameter: int) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Training and test images of a microscope at one scale."""
    train, test = ([harmonise(image, axon_diameter) for image in part] for part in native(domain))
    return train, test


def centre(labelled: LabelledImage, side: int) -> LabelledImage:
    """The middle of an image: enough to judge by."""
    rows, columns = (
        slice(max(0, (length - side) // 2), max(0, (length - side) // 2) + side)
        for length in labelled.classes.shape
    )
    image = Image(labelled.image.read((), rows, columns), "YX", None, labelled.image.name)
    return LabelledImage(image, labelled.classes[rows, columns], labelled.animal)


def mosaic(parts: list[LabelledImage], side: int) -> LabelledImage:
    """One large image of mirrored copies of others: speed and seams want more than a small one."""
    rows = []
    smallest = min(min(part.classes.shape) for part in parts)
    count = -(-side // smallest)
    for index in range(count):
        pieces = [centre(parts[(index + k) % len(parts)], smallest) for k in range(count)]
        rows.append([np.hstack(arrays) for arrays in zip(*map(_arrays, pieces), strict=True)])
    grey, classes = (np.vstack(arrays)[:side, :side] for arrays in zip(*rows, strict=True))
    return LabelledImage(Image(grey, "YX", None, "mosaic"), classes, "")


def _arrays(part: LabelledImage) -> tuple[np.ndarray, np.ndarray]:
    return part.image.read(()), part.classes


# ---------------------------------------------------------------- what renders them


Render = Callable[[LabelledImage], LabelledImage]
"""A translation of one image at the working scale; its classes stay."""


def untouched(labelled: LabelledImage) -> LabelledImage:
    """Identity."""
    return labelled


def inversion(target: Iterable[LabelledImage]) -> Render:
    """Inversion and histogram matching to some images of the target."""
    quantiles = grey_quantiles(image.image.read(()) for image in target)
    return lambda labelled: with_greys(
        labelled, invert_and_match(labelled.image.read(()), quantiles)
    )


def translator(
    model: str, condition: Condition, axon_diameter: float | None, seed: int, **more: Any
) -> Render:
    """A model, given the image and its manual mask at the scale that the model works at."""
    parameters = TranslateParameters(
        model=model, condition=condition, seed=seed, axon_diameter=axon_diameter, **more
    )

    def render(labelled: LabelledImage) -> LabelledImage:
        mask = mask_values(labelled.classes)
        return with_greys(labelled, run(translate_steps(labelled.image, parameters, mask)).image)

    return render


def one_click(model: str, **more: Any) -> Render:
    """A model, given an image as it comes and nothing else: the program finds scale and mask."""
    parameters = TranslateParameters(model=model, **more)
    return lambda labelled: with_greys(
        labelled, run(translate_steps(labelled.image, parameters)).image
    )
