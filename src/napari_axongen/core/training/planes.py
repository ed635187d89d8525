"""Images at the working scale, as tasks train on them, and what a translator is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_axongen.core.classes import IGNORED
from napari_axongen.core.conditioning import Ranks, condition, gradients, noise_window
from napari_axongen.core.datasets import LabelledImage, data_folder, load_dataset, split_by_animal
from napari_axongen.core.datasets.augment import Augmentation, Window, vary_greys
from napari_axongen.core.datasets.scaling import rescale, scale_to
from napari_axongen.core.errors import InputError
from napari_axongen.core.image import USUAL, Greys, intensity_range

if TYPE_CHECKING:
    from .recipe import Animals

VARIED = Augmentation(noise=0.08, blur=1.0)
"""How the grey values are varied that structures are taken from."""

_LOOK = 640  # side, in working pixels, of the part of a held-out image that is looked at


@dataclass(frozen=True)
class Plane:
    """An image at the working scale: normalised grey values and classes, both float32 (H, W).

    Crops are interpolated from floats: integers would be converted whole for each of them.
    """

    grey: Tensor
    classes: Tensor

    @cached_property
    def known(self) -> Window:
        """The smallest window outside of which no class is known; all, where none is."""
        known = (self.classes != IGNORED).numpy()
        rows, columns = (np.flatnonzero(known.any(axis)) for axis in (1, 0))
        if not len(rows):
            height, width = known.shape
            return (0, height), (0, width)
        return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


@dataclass(frozen=True)
class Planes:
    """Images of some animals: to train on, to validate on, and their usual 1st and 99th percentile.

    The percentiles are of 0..255, medians over the images to train on.
    """

    train: list[Plane]
    held_out: list[Plane]
    grey_range: tuple[float, float]


def draw(planes: list[Plane], rng: np.random.Generator) -> Plane:
    """One of some planes, by a chance between one vote an image and one vote a pixel."""
    votes = np.sqrt([plane.classes.numel() for plane in planes])
    return planes[rng.choice(len(votes), p=votes / votes.sum())]


def load_planes(animals: Animals, axon_diameter: float) -> Planes:
    """Read the images of some animals and bring them to a median axon diameter (px).

    Raises
    ------
    InputError
        The data set is not there, it lacks an animal, or an image has no axon to measure.
    """
    wanted = {*animals.train, *animals.validation}
    images = [i for i in load_dataset(data_folder(animals.root)) if i.animal in wanted]
    missing = sorted(wanted - {image.animal for image in images})
    if missing:
        raise InputError(f"{animals.root} has no animal {', '.join(missing)}; mend the recipe.")
    train, held_out = split_by_animal(images, animals.validation)
    ranges = [intensity_range(image.image, ()) for image in train]

    def brought(image: LabelledImage) -> Plane:
        return plane_at(image, scale_to(image, axon_diameter=axon_diameter))

    return Planes(
        [brought(image) for image in train],
        [middle(brought(image)) for image in held_out],
        (
            float(np.median([grey.low for grey in ranges])),
            float(np.median([grey.high for grey in ranges])),
        ),
    )


def plane_at(image: LabelledImage, scale: float, greys: Greys = USUAL) -> Plane:
    """An image at a scale, on its own range of grey values."""
    scaled = rescale(image, scale)
    values = intensity_range(image.image, (), greys).normalise(scaled.image.read(()))
    return Plane(torch.from_numpy(values), torch.from_numpy(scaled.classes.astype(np.float32)))


def middle(plane: Plane) -> Plane:
    """The middle of a plane: enough to see how training goes."""
    rows, columns = (
        slice(max(0, n - _LOOK) // 2, max(0, n - _LOOK) // 2 + min(n, _LOOK))
        for n in plane.classes.shape
    )
    return Plane(plane.grey[rows, columns], plane.classes[rows, columns])


def rough_structure(grey: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    """Structure (1, n, h, w) of a crop (1, h, w), so varied that only what is robust is learnt.

    Parameters
    ----------
    grey
        Normalised grey values.
    most
        Highest deviation of the noise that is added to the ranks.
    """
    x = gradients(vary_greys(grey[None], VARIED, rng))
    structure = Ranks.of(x).apply(x)
    deviation = rng.uniform(0, most)
    added = rng.standard_normal(structure.shape, dtype=np.float32)
    return (structure + deviation * torch.from_numpy(added)).clamp(-1, 1)


def told_of(plane: Plane, stride: int) -> dict[str, Tensor]:
    """Conditions (1, C, H, W) of a whole plane, padded to a stride, by what is told."""
    height, width = plane.classes.shape
    padding = (0, -width % stride, 0, -height % stride)
    grey = functional.pad(plane.grey[None, None], padding, mode="replicate")
    classes = functional.pad(plane.classes[None, None], padding, mode="replicate")[0].long()
    magnitudes = gradients(grey)
    structure = Ranks.of(magnitudes).apply(magnitudes)
    rows, columns = slice(0, grey.shape[2]), slice(0, grey.shape[3])
    noise = noise_window(0, 0, rows, columns, classes)
    return {
        "mask": condition(classes, None, noise),
        "both": condition(classes, structure, noise),
        "structure": condition(None, structure, noise_window(0, 0, rows, columns)),
    }
