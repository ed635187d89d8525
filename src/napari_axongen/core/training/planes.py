"""What translators are trained on: images at the working scale, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_axongen.core.conditioning import Ranks, condition, gradients, noise_window
from napari_axongen.core.datasets import LabelledImage, data_folder, load_dataset, split_by_animal
from napari_axongen.core.datasets.scaling import rescale, scale_to
from napari_axongen.core.errors import InputError
from napari_axongen.core.image import IntensityRange, intensity_range
from napari_axongen.core.models.card import Card
from napari_axongen.core.segmentation import CLASSES

if TYPE_CHECKING:
    from .recipe import Animals, TranslationRecipe

_LOOK = 640  # side, in working pixels, of the part of a held-out image that is looked at


@dataclass(frozen=True)
class Plane:
    """An image at the working scale: normalised grey values and classes, both float32 (H, W).

    Crops are interpolated from floats: integers would be converted whole for each of them.
    """

    grey: Tensor
    classes: Tensor


@dataclass(frozen=True)
class Planes:
    """Images of some animals: to train on, to validate on, and their usual 1st and 99th percentile.

    The percentiles are of 0..255, medians over the images to train on.
    """

    train: list[Plane]
    held_out: list[Plane]
    grey_range: tuple[float, float]

    def draw(self, rng: np.random.Generator) -> Plane:
        """One to train on, by a chance between one vote an image and one vote a pixel."""
        votes = np.sqrt([plane.classes.numel() for plane in self.train])
        return self.train[rng.choice(len(votes), p=votes / votes.sum())]


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
    return Planes(
        [_plane(image, axon_diameter, grey) for image, grey in zip(train, ranges, strict=True)],
        [_middle(_plane(i, axon_diameter, intensity_range(i.image, ()))) for i in held_out],
        (
            float(np.median([grey.low for grey in ranges])),
            float(np.median([grey.high for grey in ranges])),
        ),
    )


def _plane(image: LabelledImage, axon_diameter: float, grey: IntensityRange) -> Plane:
    scaled = rescale(image, scale_to(image, axon_diameter=axon_diameter))
    values = grey.normalise(scaled.image.read(()))
    return Plane(torch.from_numpy(values), torch.from_numpy(scaled.classes.astype(np.float32)))


def _middle(plane: Plane) -> Plane:
    """The middle of a plane: enough to see how training goes."""
    rows, columns = (
        slice(max(0, n - _LOOK) // 2, max(0, n - _LOOK) // 2 + min(n, _LOOK))
        for n in plane.classes.shape
    )
    return Plane(plane.grey[rows, columns], plane.classes[rows, columns])


def told_of(plane: Plane, stride: int) -> dict[str, Tensor]:
    """Conditions (1, C, H, W) of a whole plane, padded to a stride, by what is told."""
    height, width = plane.classes.shape
    padding = (0, -width % stride, 0, -height % stride)
    grey = functional.pad(plane.grey[None, None], padding, mode="replicate")
    classes = functional.pad(plane.classes[None, None], padding, mode="replicate")[0].long()
    magnitudes = gradients(grey)
    structure = Ranks.of(magnitudes).apply(magnitudes)
    noise = noise_window(0, 0, slice(0, grey.shape[2]), slice(0, grey.shape[3]))
    return {
        "mask": condition(classes, None, noise),
        "both": condition(classes, structure, noise),
        "structure": condition(None, structure, noise),
    }


def translator_card(
    recipe: TranslationRecipe, targets: Planes, device: str, history: list[dict[str, float]]
) -> Card:
    """Card of a translator that was trained by a recipe."""
    training: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json"),
        "images": len(targets.train),
        "licence": sorted({recipe.data.licence, recipe.sources.licence}),
        "device": device,
    }
    return Card(
        name=recipe.name,
        title=recipe.title,
        description=recipe.description,
        task="translation",
        contrast=recipe.contrast,
        source=recipe.source,
        network=recipe.network,
        classes=list(CLASSES),
        axon_diameter=recipe.axon_diameter,
        grey_range=targets.grey_range,
        training=training,
        metrics={"validation": {k: v for k, v in history[-1].items() if k.startswith("val_")}},
    )
