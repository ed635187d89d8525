"""napari layers to core images, and results back to layers that lie on their source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.utils.transforms import Affine

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import TIFF_SUFFIXES
from napari_axongen.core.image import Image
from napari_axongen.core.pixel_size import from_sidecar, from_tiff

UM = "um"
RECIPE = "axongen"
"""Key of a layer's metadata that holds the recipe it was made by."""

CURTAIN = "curtain"
"""The verb of a layer that only compares two others: see `widgets.compare`."""

SPREAD = "spread"
"""The output of a translation that says how much its samples differ."""

MIN_SIDE = 16
"""Fewer rows or columns hold no fibre."""

_LINEAR = ("scale", "translate", "rotate", "shear")
_SQUARE = 0.01  # relative difference of Y and X below which a pixel counts as square


@dataclass(frozen=True)
class PixelSize:
    """Side of a pixel in um or None, and a sentence where that needs one."""

    um: float | None
    note: str = ""


def pixel_size(layer: Any) -> PixelSize:
    """Pixel size along Y and X from a layer's scale and units.

    Only physical lengths count: napari's default unit is the pixel, and a scale in pixels says
    nothing of the specimen. Such a layer's recipe is asked then, and the file that it came from:
    napari's readers leave out what a side-car or a TIFF says.
    """
    sides = []
    for scale, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True):
        if dict(unit.dimensionality) != {"[length]": 1}:
            return _pixel_size_elsewhere(layer)
        sides.append(float((abs(float(scale)) * unit).to(UM).magnitude))
    y, x = sides
    if not (y > 0 and x > 0):
        return PixelSize(None)
    if abs(y - x) <= _SQUARE * max(y, x):
        return PixelSize((y + x) / 2 if y != x else y)
    side = math.sqrt(y * x)
    return PixelSize(
        side,
        f"Pixels are {y:.4g} x {x:.4g} um (Y x X); sizes are given as for square pixels of the "
        f"same area ({side:.4g} um).",
    )


def _pixel_size_elsewhere(layer: Any) -> PixelSize:
    recipe = recipe_of(layer)
    if recipe and recipe.get("parameters", {}).get("pixel_size"):
        return PixelSize(float(recipe["parameters"]["pixel_size"]))
    path = Path(layer.source.path) if layer.source.path else None
    if path is None or not path.is_file():
        return PixelSize(None)
    try:
        size = from_sidecar(path)
        if size is None and path.suffix.lower() in TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as tif:
                size = from_tiff(tif, path.name)
    except InputError as error:
        return PixelSize(None, str(error))
    except (OSError, tifffile.TiffFileError):
        return PixelSize(None)
    return PixelSize(
        size, "" if size is None else f"Pixel size as the file of '{layer.name}' says."
    )


def level_0(layer: Any) -> Any:
    """The array of a layer at full resolution, lazy if it was."""
    return layer.data[0] if layer.multiscale else layer.data


def spatial_shape(layer: Any) -> tuple[int, ...]:
    """Shape of a layer at full resolution, without its colours."""
    shape = tuple(int(n) for n in level_0(layer).shape)
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def axes_of(layer: Any) -> str:
    """Axes of an image layer, by its axis labels where they say so.

    Raises
    ------
    InputError
        Too few or too many axes.
    """
    stack = layer.ndim - 2
    if stack < 0 or stack > 2:
        raise InputError(
            f"Layer '{layer.name}' has {layer.ndim} axes; images of 2, 3 (Z or T) or 4 (T and Z) "
            "are read."
        )
    axes = {0: "YX", 1: "ZYX", 2: "TZYX"}[stack]
    if stack == 1 and str(layer.axis_labels[0]).lower() in ("t", "time", "frame"):
        axes = "TYX"
    return axes + ("C" if getattr(layer, "rgb", False) else "")


def image_of(layer: Any, pixel_size_um: float | None) -> Image:
    """Take an image layer as a core image; a lazy array stays lazy.

    Parameters
    ----------
    layer
        napari Image layer; of a multiscale one the full resolution is taken.
    pixel_size_um
        um, or None when it is unknown; see `pixel_size` for what the layer says.

    Raises
    ------
    InputError
        The layer cannot be taken; the message says why.
    """
    if not isinstance(layer, ImageLayer):
        kind = "labels" if isinstance(layer, Labels) else type(layer).__name__.lower()
        raise InputError(f"'{layer.name}' is a {kind} layer; choose an image layer.")
    axes, data = axes_of(layer), level_0(layer)
    if np.dtype(data.dtype).kind == "b":
        raise InputError(
            f"'{layer.name}' is a mask (true and false), not a micrograph; choose an image of "
            "grey values."
        )
    rows, columns = (int(n) for n in data.shape[len(axes.rstrip("C")) - 2 :][:2])
    if rows * columns > 0 and min(rows, columns) < MIN_SIDE:
        raise InputError(
            f"'{layer.name}' is {rows} x {columns} pixels; an image needs at least "
            f"{MIN_SIDE} on each side."
        )
    return Image.from_array(data, axes, pixel_size_um, f"'{layer.name}'")


def why_not(layer: Any) -> str | None:
    """Say in one sentence why a layer cannot be segmented; None if it can."""
    try:
        image_of(layer, None)
    except InputError as error:
        return str(error)
    return None


def is_image_of_its_own(layer: Any) -> bool:
    """Whether a layer neither compares two others nor says how much images differ."""
    recipe = recipe_of(layer) or {}
    return recipe.get("verb") != CURTAIN and recipe.get("output") != SPREAD


def placement(layer: Any, front: str | None = None) -> dict[str, Any]:
    """Keyword arguments that lay a new layer exactly on another one.

    Parameters
    ----------
    layer
        The other one.
    front
        Label of an axis, counted in pixels, that the new layer has before those of the other.
    """
    place = {name: np.asarray(getattr(layer, name)) for name in _LINEAR}
    affine, units, labels = layer.affine, tuple(layer.units), tuple(layer.axis_labels)
    if front is not None:
        wide = Affine(**place).expand_dims([0])
        place = {name: np.asarray(getattr(wide, name)) for name in _LINEAR}
        if not place["shear"].any():  # napari says none with too many numbers
            place["shear"] = np.zeros(wide.ndim * (wide.ndim - 1) // 2)
        affine, units, labels = affine.expand_dims([0]), ("pixel", *units), (front, *labels)
    return {
        "scale": tuple(place["scale"]),
        "translate": tuple(place["translate"]),
        "rotate": place["rotate"],
        "shear": place["shear"],
        "affine": np.asarray(affine),
        "units": units,
        "axis_labels": labels,
    }


def with_recipe(layer: Any, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of an output: the source's, and the recipe that made the output."""
    return {**layer.metadata, RECIPE: {**recipe, "source": layer.name}}


def recipe_of(layer: Any) -> dict[str, Any] | None:
    """The recipe that a layer carries, or None."""
    recipe = layer.metadata.get(RECIPE)
    return dict(recipe) if isinstance(recipe, Mapping) else None
