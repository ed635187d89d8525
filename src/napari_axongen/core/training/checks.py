"""What is wrong with the data of a recipe, before a training starts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from napari_axongen.core.classes import AXON_CLASSES, FIBRE_CLASSES, IGNORED
from napari_axongen.core.datasets import LabelledImage, data_folder, find_pairs
from napari_axongen.core.datasets.layouts import Layout, Pair
from napari_axongen.core.datasets.scaling import scale_to
from napari_axongen.core.datasets.sources import load_labelled
from napari_axongen.core.datasets.splitting import PARTS, Split, split_by_name
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Progress, Steps, run
from napari_axongen.core.matching import median_axon_diameter
from napari_axongen.core.surrogate.presets import load_parameters

from .recipe import Animals, AnyRecipe, DiffusionRecipe, FolderData, Recipe, SurrogateData

FAR = 2.5
"""How many times larger or smaller than the others' an image's axons may be."""


@dataclass(frozen=True)
class Finding:
    """Something about the data that a person should know before training on it.

    Attributes
    ----------
    sentence
        What is wrong, where, and what to do.
    level
        ``error``: the training could not start, or its figures would mean nothing.
    where
        The image, layer, file or folder that it is about; empty: all of them.
    """

    sentence: str
    level: Literal["error", "warning"]
    where: str = ""


def check_data(recipe: AnyRecipe) -> list[Finding]:
    """Look at all data of a recipe: see `check_data_steps`."""
    return run(check_data_steps(recipe))


def check_data_steps(recipe: AnyRecipe) -> Steps[list[Finding]]:
    """Look at all data of a recipe, one image at a time.

    Yields
    ------
    Progress by image.

    Returns
    -------
    What was found, errors first; empty: all is well.
    """
    found: list[Finding] = []
    wanted = _folders(recipe)
    for data in wanted:
        try:
            layout = find_images(data.root, data.classes)
        except InputError as error:
            found.append(Finding(str(error), "error", data.root))
            continue
        found += yield from _check(layout, data)
    found += _check_made(recipe)
    if wanted and not any(data.named["val"] for data in wanted):
        found.append(_nothing_held_out(wanted[0].root))
    return sorted(found, key=lambda each: each.level)


def check_images(images: Sequence[LabelledImage], recipe: Recipe) -> list[Finding]:
    """Look at open images as if they were the folder of a recipe: see `check_data_steps`.

    Parameters
    ----------
    images
        With the classes of the recipe.
    recipe
        Its data says which animals are in which part.
    """
    (data,) = _folders(recipe)
    pairs = [Pair(i.image.name, i.image.name, i.animal, partial(_itself, i)) for i in images]
    found = run(_check(Layout("open images", pairs), data))
    if not data.named["val"]:
        found.append(_nothing_held_out(data.root))
    return sorted(found, key=lambda each: each.level)


def find_images(root: Path | str, classes: Sequence[str]) -> Layout:
    """The images of a folder that have a truth, whatever its layout: see `load_labelled`.

    Those with another truth than masks are read at once, the others when they are asked for.

    Raises
    ------
    InputError
        No such folder, or no such image in it.
    """
    folder = data_folder(root)
    try:
        return find_pairs(folder, classes)
    except InputError:
        images = load_labelled(folder, classes)
        pairs = [Pair(i.image.name, i.image.name, i.animal, partial(_itself, i)) for i in images]
        return Layout("images with a truth", pairs)


# ---------------------------------------------------------------- what a recipe names


@dataclass(frozen=True)
class _Folder:
    """A folder that a recipe names, and what it wants of its images."""

    root: str
    named: Mapping[str, Sequence[str]]
    classes: tuple[str, ...]
    crop: int
    pixel_size: float | None = None
    axon_diameter: float | None = None
    unknown: bool = True
    """Whether the truth may be unknown in part."""


def _folders(recipe: AnyRecipe) -> list[_Folder]:
    crop = recipe.optimisation.crop
    if isinstance(recipe, Recipe):
        data = recipe.data
        if not isinstance(data, FolderData):
            return []
        return [_Folder(data.root, data.named, tuple(recipe.classes), crop, recipe.pixel_size)]
    parts: list[Animals]
    if isinstance(recipe, DiffusionRecipe):
        parts = [*recipe.data.values()]
    else:
        parts = [recipe.data, recipe.sources]
    return [
        _Folder(
            part.root,
            {"train": part.train, "val": part.validation},
            FIBRE_CLASSES,
            crop,
            axon_diameter=recipe.axon_diameter,
            unknown=False,
        )
        for part in parts
    ]


def _itself(image: LabelledImage) -> LabelledImage:
    return image


def _check_made(recipe: AnyRecipe) -> Iterator[Finding]:
    """Whether surrogates can be made as the recipe asks."""
    for data in (recipe.data, recipe.made) if isinstance(recipe, Recipe) else ():
        if isinstance(data, SurrogateData):
            try:
                load_parameters(data.parameters)
            except InputError as error:
                yield Finding(str(error), "error", "surrogates")
            if data is recipe.data and data.held_out == 0:
                yield _nothing_held_out("surrogates")


def _nothing_held_out(where: str) -> Finding:
    return Finding(
        "Nothing is held out, so the curves will not show whether what is learnt holds for other "
        "images, and the last weights are kept, not the best; name an animal for validation.",
        "warning",
        where,
    )


# ---------------------------------------------------------------- images


@dataclass(frozen=True)
class _Seen:
    """What is remembered of an image that was looked at."""

    name: str
    part: str
    digest: bytes
    labelled: bool
    shape: tuple[int, ...]
    """At the working scale."""
    diameter: float


def _check(layout: Layout, data: _Folder) -> Steps[list[Finding]]:
    found = [Finding(sentence, "warning", data.root) for sentence in layout.refused]
    try:
        split = split_by_name({pair.animal for pair in layout.pairs}, data.named)
    except InputError as error:
        return [*found, Finding(str(error), "error", data.root)]
    if any(data.named.values()):  # else nothing is to be kept apart
        found += [Finding(sentence, "warning", data.root) for sentence in layout.notes]
    parts = {animal: part for part, animals in split.items() for animal in animals}
    pairs = [pair for pair in layout.pairs if pair.animal in parts]
    seen = []
    for count, pair in enumerate(pairs):
        yield Progress(count, len(pairs), "images checked")
        try:
            image = pair.read()
            own, looked = _look(image, parts[pair.animal], data)
        except InputError as error:
            own, looked = [Finding(str(error), "error", pair.source)], None
        found += own
        seen += [looked] if looked is not None else []
    yield Progress(len(pairs), len(pairs), "images checked")
    return [*found, *_among(seen, split, data)]


def _look(image: LabelledImage, part: str, data: _Folder) -> tuple[list[Finding], _Seen | None]:
    """What is wrong with one image by itself.

    Raises
    ------
    InputError
        It cannot be brought to the scale of the recipe.
    """
    name, classes = image.image.name, image.classes
    grey = image.image.read(())
    finite = grey[np.isfinite(grey)]
    if finite.size == 0 or finite.min() == finite.max():
        return [Finding(f"{name} has the same grey value everywhere; export it again or take it "
                        "out.", "error", name)], None  # fmt: skip
    if (classes == IGNORED).all():
        return [Finding(f"The truth of {name} is unknown everywhere; label some of it or take it "
                        "out.", "error", name)], None  # fmt: skip
    found = []
    missing = [
        kind for index, kind in enumerate(data.classes) if index and not (classes == index).any()
    ]
    labelled = len(missing) < len(data.classes) - 1
    if missing:
        what = "no " + " and no ".join(missing)
        found.append(Finding(f"{name} has {what} in its truth; label it, or take the image out if "
                             "that is not so.", "warning", name))  # fmt: skip
    if not data.unknown and (classes == IGNORED).any():
        found.append(Finding(f"The truth of {name} is unknown in part, and a segmenter alone can "
                             "leave that out; take the image out.", "error", name))  # fmt: skip
    scale = scale_to(image, data.pixel_size, data.axon_diameter)
    shape = tuple(round(length * scale) for length in classes.shape)
    # of axons in fluorescence the pieces of a mask say nothing: they are as long as the field
    diameter = 0.0
    if data.classes != AXON_CLASSES:
        diameter = median_axon_diameter([classes == len(data.classes) - 1]) * scale
    pixels = np.ascontiguousarray(image.image.data)
    digest = hashlib.sha256(repr((pixels.shape, pixels.dtype.str)).encode() + pixels.tobytes())
    return found, _Seen(name, part, digest.digest(), labelled, shape, diameter)


def _among(seen: Sequence[_Seen], split: Split, data: _Folder) -> Iterator[Finding]:
    """What is wrong with images beside each other."""
    kind = data.classes[-1]
    for part in split:
        those = [image for image in seen if image.part == part]
        if those and not any(image.labelled for image in those):
            yield Finding(
                f"Nothing is labelled in the {len(those)} image(s) of '{part}'; label some {kind}.",
                "error",
                data.root,
            )
    train = [image for image in seen if image.part == PARTS[0]]
    small = [image for image in train if min(image.shape) < data.crop]
    if small:
        yield Finding(
            f"{len(small)} of {len(train)} images to train on have fewer pixels at the working "
            f"scale than a crop of {data.crop} x {data.crop}, such as {small[0].name} with "
            f"{' x '.join(map(str, small[0].shape))}, and are filled up with their mirror images; "
            "choose smaller crops.",
            "warning",
            small[0].name,
        )
    sized = [image for image in seen if image.diameter > 0]
    for image in sized:
        others = [other.diameter for other in sized if other is not image]
        usual = float(np.median(others)) if others else image.diameter
        if not usual / FAR <= image.diameter <= usual * FAR:
            yield Finding(
                f"{image.name}: its {kind}s have a median diameter of {image.diameter:.0f} px at "
                f"the working scale, those of the others {usual:.0f} px; mend its pixel size, "
                "resample it, or take it out.",
                "warning",
                image.name,
            )
    first: dict[bytes, _Seen] = {}
    for image in sorted(seen, key=lambda each: PARTS.index(each.part)):
        other = first.setdefault(image.digest, image)
        if other.part != image.part:
            yield Finding(
                f"{image.name} ({image.part}) and {other.name} ({other.part}) are the same image, "
                "so what is held out would have been seen; take one of them out.",
                "error",
                image.name,
            )
