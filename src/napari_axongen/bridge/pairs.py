"""Images with their labels, from layers to files that a network can be trained on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer

from napari_axongen.core.events import Progress, Steps
from napari_axongen.core.files import numbered, write_image, write_text

from .layers import axes_of, level_0, pixel_size, recipe_of
from .masks import joined
from .recipes import EM_FIBRES

MADE = ("translate", EM_FIBRES)
"""Verbs whose images come with labels."""

PARTIAL = "partial"
"""Key in the recipe of an image that was stopped half-way."""

SAMPLE = "sample"
"""Label of the axis of several renderings of one image, which share their labels."""


@dataclass(frozen=True)
class LabelledPair:
    """An image and its labels as they were when the export was asked for.

    Attributes
    ----------
    stem
        Of the files: image, mask and recipe.
    image, axon, myelin
        Arrays of one shape.
    axes
        Of the image.
    pixel_size
        um, or None.
    recipe
        Of the image.
    """

    stem: str
    image: Any
    axon: Any
    myelin: Any
    axes: str
    pixel_size: float | None
    recipe: dict[str, Any]

    def planes(self) -> list[tuple[tuple[int, ...], str]]:
        """Index and stem of each plane: a mask file holds one."""
        stack = self.axes[:-2].lower()

        def stem(plane: tuple[int, ...]) -> str:
            return "".join(f"_{axis}{i:03d}" for axis, i in zip(stack, plane, strict=True))

        return [(plane, self.stem + stem(plane)) for plane in np.ndindex(*self.image.shape[:-2])]

    def files(self, stem: str) -> tuple[str, str, str]:
        """Names of image, mask and recipe of a plane, as data sets have them."""
        return f"{stem}.tif", f"{stem}_seg-axonmyelin.png", f"{stem}.json"


def labelled_pairs(layers: Iterable[Any]) -> list[LabelledPair]:
    """Whole images among some layers that this plugin made together with labels."""
    layers = list(layers)
    found: list[LabelledPair] = []
    for layer in layers:
        recipe = recipe_of(layer)
        if not isinstance(layer, ImageLayer) or not recipe or recipe.get("verb") not in MADE:
            continue
        axon, myelin = (labels_of(layers, layer, name) for name in ("axon", "myelin"))
        if axon is None or myelin is None or recipe.get(PARTIAL):
            continue
        image, axes = level_0(layer), axes_of(axon)
        classes: tuple[Any, ...] = level_0(axon), level_0(myelin)
        if layer.axis_labels[0] == SAMPLE:
            axes = f"S{axes}"
            classes = tuple(np.broadcast_to(one, image.shape) for one in classes)
        found.append(
            LabelledPair(
                _stem(layer, recipe, {pair.stem for pair in found}),
                image,
                classes[0],
                classes[1],
                axes,
                pixel_size(layer).um,
                recipe,
            )
        )
    return found


def labels_of(layers: Iterable[Any], image: Any, output: str) -> Any | None:
    """The layer of an image's own labels (axon or myelin) that were made with it."""
    own = recipe_of(image) or {}
    for layer in layers:
        recipe = recipe_of(layer)
        if (
            recipe
            and recipe.get("source") == image.name
            and recipe.get("output") == output
            and recipe.get("verb") == own.get("verb")
        ):
            return layer
    return None


def files_there(pairs: Sequence[LabelledPair], folder: Path) -> list[Path]:
    """Files of a folder that an export would replace."""
    names = [name for pair in pairs for _, stem in pair.planes() for name in pair.files(stem)]
    return [folder / name for name in names if (folder / name).exists()]


def export_pairs(pairs: Sequence[LabelledPair], folder: Path) -> Steps[list[Path]]:
    """Write images with their masks and recipes, each file whole or not at all.

    Of each plane, ``NAME.tif`` (grey values, with the pixel size), ``NAME_seg-axonmyelin.png`` (0
    background, 127 myelin, 255 axon) and ``NAME.json``: a folder that ``axongen prepare`` reads.

    Yields
    ------
    Progress by plane.

    Returns
    -------
    The images' paths.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    work = [(pair, *plane) for pair in pairs for plane in pair.planes()]
    written = []
    for count, (pair, plane, stem) in enumerate(work):
        yield Progress(count, len(work), "writing pairs")
        image, mask, recipe = (folder / name for name in pair.files(stem))
        classes = joined(pair.axon[plane], pair.myelin[plane])
        write_image(mask, classes, pair.pixel_size)
        write_text(recipe, json.dumps({**pair.recipe, "plane": list(plane)}, indent=2) + "\n")
        # the last: an image that is there has its mask
        write_image(image, np.asarray(pair.image[plane]), pair.pixel_size)
        written.append(image)
    return written


def _stem(layer: Any, recipe: dict[str, Any], taken: set[str]) -> str:
    """A name for files: that of the source and the contrast, as the command line gives it."""
    name = layer.name
    if recipe["verb"] == "translate" and recipe.get("target"):
        name = f"{recipe['source']}_{str(recipe['target']).lower()}"
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "image"
    return numbered(stem, taken.__contains__)
