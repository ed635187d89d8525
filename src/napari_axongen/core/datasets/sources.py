"""Where labelled images come from: folders of them, or fields made by this package."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_axongen.core.classes import AXON_CLASSES, FIBRE_CLASSES
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import run
from napari_axongen.core.image import Image
from napari_axongen.core.models.store import load_card

from .labelled import LabelledImage, class_indices
from .layouts import find_bids, find_pairs

if TYPE_CHECKING:
    from napari_axongen.core.surrogate.em_fields import EmField
    from napari_axongen.core.surrogate.parameters import SurrogateParameters

__all__ = [
    "LabelledImage",
    "class_indices",
    "data_folder",
    "load_bids",
    "load_dataset",
    "load_labelled",
    "make_fields",
    "make_micrographs",
    "make_surrogates",
    "split_by_animal",
]


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

    Where images and masks are to lie says `layouts.find_bids`; pixel sizes are in the side-cars.
    Images without a mask are left out.

    Raises
    ------
    InputError
        No labelled image at all, or an image and its mask differ in size.
    """
    return [pair.read() for pair in find_bids(root).pairs]


def load_dataset(root: Path | str) -> list[LabelledImage]:
    """Read all pairs of a data set in any layout that `layouts.find_pairs` knows.

    What is no pair is left out.

    Raises
    ------
    InputError
        No such data set (see `data_folder`), no pair in it, or a pair that cannot be used.
    """
    return [pair.read() for pair in find_pairs(data_folder(root)).pairs]


def load_labelled(root: Path | str, classes: Sequence[str]) -> list[LabelledImage]:
    """Read the images of a folder that have a truth for some classes (see `core.classes`).

    Raises
    ------
    InputError
        No such data set (see `data_folder`), no such image in it, or one that cannot be used.
    """
    if tuple(classes) == FIBRE_CLASSES:
        return load_dataset(root)
    from .fluorescence import load_fluorescence  # loads SciPy

    return load_fluorescence(data_folder(root), classes)


def make_surrogates(
    parameters: str | dict[str, Any] | SurrogateParameters,
    count: int,
    seed: int,
    classes: Sequence[str],
    first: int = 0,
    visible: float = 0.0,
    width: float | None = None,
) -> list[LabelledImage]:
    """Make surrogate two-photon images; image k is "animal" ``sub-k``.

    Parameters
    ----------
    parameters
        As `surrogate.presets.load_parameters` takes them.
    count, seed, first
        Images ``first`` to ``first + count - 1`` of the seed.
    classes
        `classes.AXON_CLASSES`, or `classes.BOUTON_CLASSES`.
    visible
        How much an object must stand out: see `fluorescence.visible_classes`; 0: all count.
    width
        px: axons are paths of this width, as those that a person traces; None: as wide as they are.
    """
    from scipy import ndimage

    from napari_axongen.core.surrogate.generator import generate_steps  # loads numba
    from napari_axongen.core.surrogate.presets import load_parameters

    from .fluorescence import path_labels, visible_classes

    made = run(generate_steps(load_parameters(parameters), count, seed, first, "cpu"))
    labels: list[npt.NDArray[Any]]
    if tuple(classes) == AXON_CLASSES and width is not None:
        lines = [[line.points for line in made.centrelines if line.image == first + index]
                 for index in range(count)]  # fmt: skip
        labels = [path_labels(each, made.images.shape[1:], width / 2) for each in lines]
    elif tuple(classes) == AXON_CLASSES:
        labels = list(made.branch_labels)
    else:
        labels = [ndimage.label(mask)[0] for mask in made.bouton_masks]
    found = []
    for index, (values, objects) in enumerate(zip(made.images, labels, strict=True), first):
        image = Image(values, "YX", None, f"surrogate {index}")
        truth = (
            visible_classes(image, objects, visible) if visible else (objects > 0).astype(np.uint8)
        )
        found.append(LabelledImage(image, truth, f"sub-{index}"))
    return found


def make_fields(
    contrast: Literal["TEM", "SEM"], count: int, side: int, seed: int
) -> list[LabelledImage]:
    """Make labelled fields with the package's own generator; field i is "animal" ``sub-i``."""
    from napari_axongen.core.surrogate.em_fields import em_field  # loads SciPy

    kind: Literal["tem", "sem"] = "tem" if contrast == "TEM" else "sem"
    fields = [em_field((side, side), kind, seed=seed + index) for index in range(count)]
    return _labelled(fields, "field {}", "sub-{}")


def make_micrographs(
    contrast: Literal["TEM", "SEM"],
    count: int,
    side: int,
    seed: int,
    model: str = "auto",
    variety: float = 1.0,
    **rendering: Any,
) -> list[LabelledImage]:
    """Lay out fibres and render them; image i is "animal" ``sub-made00i``.

    Parameters
    ----------
    contrast
        What the images shall be.
    count, side
        How many, and their rows and columns at the scale at which the model works.
    seed
        Of layouts and renderings.
    model
        Name or file of a model; ``auto``: one that makes this contrast by the method.
    variety
        Of the brightness.
    **rendering
        Further fields of `surrogate.em_parameters.EmFibreParameters`: ``method`` and, of diffusion,
        ``steps`` and ``guidance``.

    Raises
    ------
    InputError
        There is no such model, or none that makes this contrast.
    """
    from napari_axongen.core.checking import checked
    from napari_axongen.core.surrogate.em_images import em_images_steps  # loads torch
    from napari_axongen.core.surrogate.em_laws import suited
    from napari_axongen.core.surrogate.em_parameters import PRESETS, EmFibreParameters
    from napari_axongen.core.translators import model_file, task_of, translator_to

    kind: Literal["tem", "sem"] = "tem" if contrast == "TEM" else "sem"
    asked = {"width": side, "height": side, "variety": variety, **rendering}
    tissue = checked(EmFibreParameters, PRESETS[kind].model_dump() | asked)
    name = translator_to(contrast, task_of(tissue.method)) if model == "auto" else model
    parameters = suited(tissue, load_card(model_file(name)).axon_diameter)
    fields = run(em_images_steps(parameters, kind, count, seed, model=name))
    return _labelled(fields, "made{:03d}", "sub-made{:03d}")


def _labelled(fields: Iterable[EmField], name: str, animal: str) -> list[LabelledImage]:
    """Fields as images, their names and animals by number."""
    return [
        LabelledImage(
            Image(field.image.astype(np.float32), "YX", field.pixel_size, name.format(index)),
            class_indices(field.classes),
            animal.format(index),
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
