"""Surrogate images as layers, and as the preview needs them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.events import Notice, Partial, Steps
from napari_axongen.core.image import Image
from napari_axongen.core.surrogate.distributions import (
    Choice,
    LogNormal,
    LogUniform,
    Normal,
    Number,
    Uniform,
    bounds,
)
from napari_axongen.core.surrogate.parameters import SurrogateParameters

from .layers import RECIPE, UM

if TYPE_CHECKING:
    from napari.types import LayerData

    from napari_axongen.core.surrogate.matching import MatchResult
    from napari_axongen.core.surrogate.truth import Centreline, Surrogates

PREVIEW_SIDE = 512
"""Rows and columns of the largest preview."""

PREVIEW_FRAMES = 12
"""Frames of the longest series that is previewed."""

MOST_VERTICES = 20_000
"""Of centrelines in one Shapes layer: napari takes about a second to make so many."""

_SHOWN = (0.5, 99.7)  # percentiles: a few boutons are brighter by far
_TOLERANCE = 0.1  # px that a thinned centreline may lie off
_AXON_COLOUR, _BOUTON_COLOUR = "#59d0ff", "#ffb000"


# ---------------------------------------------------------------- the preview


def preview_parameters(
    parameters: SurrogateParameters, series: bool = False
) -> tuple[SurrogateParameters, str]:
    """Parameters of a preview, and a sentence where it is not the image or series itself.

    A larger field is previewed by a part of it that is as crowded: axons cross the field, so their
    number goes with its side, that of boutons and cells with its area.
    """
    frames = parameters.series.frames
    if series and frames > PREVIEW_FRAMES:
        shorter = parameters.series.model_copy(update={"frames": PREVIEW_FRAMES})
        part, note = preview_parameters(parameters.model_copy(update={"series": shorter}))
        return part, f"{note} Preview of {PREVIEW_FRAMES} of {frames} frames.".strip()
    width, height = (min(n, PREVIEW_SIDE) for n in (parameters.width, parameters.height))
    area = width * height / (parameters.width * parameters.height)
    if area == 1:
        return parameters, ""
    counts = {"axons": math.sqrt(area), "boutons": area, "cells": area}
    groups = {}
    for name, factor in counts.items():
        group = getattr(parameters, name)
        _, high, _ = bounds(type(group), "count")
        groups[name] = group.model_copy(update={"count": _times(group.count, factor, high)})
    return (
        parameters.model_copy(update={"width": width, "height": height, **groups}),
        f"Preview of {width} x {height} pixels, as crowded as the whole of "
        f"{parameters.width} x {parameters.height}.",
    )


def preview(parameters: SurrogateParameters, seed: int, series: bool) -> Steps[Surrogates]:
    """Make the first image of a seed, or its first series; imports torch."""
    from napari_axongen.core.surrogate.generator import generate_steps

    return (yield from generate_steps(parameters, seed=seed, series=series))


def match(
    image: Image, plane: tuple[int, ...], start: SurrogateParameters, seed: int, device: str
) -> Steps[MatchResult]:
    """Match one plane of an image, in grey; imports torch."""
    from napari_axongen.core.surrogate.matching import match_steps

    grey = Image(image.read(plane), "YX", image.pixel_size, image.name)
    return (yield from match_steps(grey, start, seed=seed, device=device))


def _times(count: Number, factor: float, high: float) -> Number:
    """A count made smaller; what is not nought stays at least one."""

    def less(value: float) -> float:
        return min(float(max(1, round(value * factor))), high) if value > 0 else 0.0

    if isinstance(count, Normal):
        return Normal(normal=(less(count.normal[0]), count.normal[1] * factor))
    if isinstance(count, LogNormal):
        return LogNormal(log_normal=(less(count.log_normal[0]), count.log_normal[1]))
    if isinstance(count, Uniform):
        return Uniform(uniform=(less(count.uniform[0]), less(count.uniform[1])))
    if isinstance(count, LogUniform):
        return LogUniform(log_uniform=(less(count.log_uniform[0]), less(count.log_uniform[1])))
    if isinstance(count, Choice):
        return Choice(choice=tuple(map(less, count.choice)))
    return less(count)


# ---------------------------------------------------------------- the layers


@dataclass(frozen=True)
class Made:
    """A layer to add; comes as the value of a `Partial`."""

    layer: LayerData


def generate_layers(
    parameters: SurrogateParameters,
    count: int,
    seed: int,
    series: bool,
    device: str = "auto",
    name: str | None = None,
) -> Steps[Surrogates]:
    """Make images, then their layers one by one.

    Yields
    ------
    what `core.surrogate.generator.generate_steps` yields; in the end a `Partial` for each layer,
    from the bottom of the layer list to its top, with a `Made` in it.
    """
    from napari_axongen.core.surrogate.generator import generate_steps

    made = yield from generate_steps(
        parameters, count=count, seed=seed, device=device, series=series
    )
    steps = layers_of(made, name or f"seed {seed}")
    for item in steps:
        yield item if isinstance(item, Notice) else Partial((), Made(item))
    return made


def layers_of(made: Surrogates, name: str) -> Iterator[LayerData | Notice]:
    """Layers of surrogate images and of all that is known of them.

    A single image, or a single series, has no axis of images.
    """
    place = Place(made)
    recipe = made.recipe()

    def look(output: str, **more: Any) -> dict[str, Any]:
        return {
            "name": f"{name} {output}",
            "metadata": {RECIPE: {**recipe, "output": output}},
            **place.keywords,
            **more,
        }

    top = made.parameters.max_intensity
    grey = {"colormap": "gray", "contrast_limits": grey_range(place.squeeze(made.images), top)}
    yield place.squeeze(made.clean_images), look("clean", visible=False, **grey), "image"
    yield place.squeeze(made.images), look("images" if place.many else "image", **grey), "image"
    yield place.squeeze(made.axon_labels), look("axons", opacity=0.3), "labels"
    boutons = place.squeeze(bouton_labels(made))
    yield boutons, look("boutons", visible=False), "labels"
    paths, features, left_out = _centrelines(made, place)
    if left_out:
        yield Notice(
            f"Centrelines of the first {left_out} images are shown: napari draws more of them "
            "slowly. An exported dataset has all."
        )
    shapes = look("centrelines", ndim=place.ndim, features=features, visible=False)
    shapes.update(shape_type="path", edge_width=1, edge_color=_AXON_COLOUR)
    yield paths, shapes, "shapes"
    points, size, features = _points(made, place)
    yield (
        points,
        look(
            "bouton centres",
            ndim=place.ndim,
            features=features,
            size=size,
            face_color="transparent",
            border_color=_BOUTON_COLOUR,
            border_width=0.15,
        ),
        "points",
    )
    if made.transforms is not None and len(made.tracks):
        yield *_tracks(made, place, look("bouton tracks", tail_length=2, head_length=0)), "tracks"


class Place:
    """Where the layers lie: their axes, and the size of a pixel."""

    def __init__(self, made: Surrogates) -> None:
        self.many = len(made) > 1
        self.first = made.first
        series = made.transforms is not None
        axes = ["image"] * self.many + ["t"] * series + ["y", "x"]
        self.ndim = len(axes)
        self.keywords: dict[str, Any] = {"axis_labels": tuple(axes)}
        size = made.parameters.pixel_size
        if size is not None:
            leading = self.ndim - 2
            self.keywords["scale"] = (1.0,) * leading + (size, size)
            self.keywords["units"] = ("pixel",) * leading + (UM, UM)

    def squeeze(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array if self.many else array[0]

    def at(self, image: Any, frame: Any, rest: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Coordinates (K, ndim) from (K, 2) rows and columns."""
        leading = [np.broadcast_to(image - self.first, len(rest))] if self.many else []
        if self.ndim - 2 > len(leading):
            leading.append(np.broadcast_to(frame, len(rest)))
        return np.column_stack([*leading, rest]).astype(float)


def grey_range(images: npt.NDArray[Any], highest: int) -> tuple[float, float]:
    """Contrast limits in which the first image is seen well, with room for brighter ones."""
    first = images.reshape(-1, *images.shape[-2:])[0]
    low, high = (float(n) for n in np.percentile(first, _SHOWN))
    if high <= low:
        return 0.0, float(highest)
    margin = (high - low) / 4
    return max(low - margin, 0.0), min(high + margin, float(highest))


def bouton_labels(made: Surrogates) -> npt.NDArray[np.int32]:
    """Number of the bouton for each pixel of the bouton masks: that whose centre is nearest.

    Returns
    -------
    int32 array of the masks' shape; numbers as in ``boutons`` and ``tracks``, from 1 within each
    image, 0 elsewhere.
    """
    from scipy.spatial import cKDTree

    labels = np.zeros(made.bouton_masks.shape, dtype=np.int32)
    where = made.boutons if made.transforms is None else made.tracks
    for plane in np.ndindex(*labels.shape[:-2]):
        here = where[where["image"] == plane[0] + made.first]
        if len(plane) > 1:
            here = here[here["frame"] == plane[1]]
        pixels = np.argwhere(made.bouton_masks[plane])
        if len(here) and len(pixels):
            tree = cKDTree(np.column_stack([here["row"], here["column"]]))
            nearest = tree.query(pixels)[1]
            labels[plane][tuple(pixels.T)] = here["bouton"][nearest]
    return labels


def thinned(points: npt.NDArray[Any], tolerance: float = _TOLERANCE) -> npt.NDArray[Any]:
    """Path without the points that lie within `tolerance` of it anyhow.

    As Douglas and Peucker (1973), all parts of the path at once, which is ten times as fast as
    `skimage.measure.approximate_polygon`.
    """
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, -1]] = True
    while True:
        ends = np.flatnonzero(keep)
        part = np.cumsum(keep[:-1]) - 1  # which part a point is in; the last point is in none
        begin = points[ends[part]]
        along, off = points[ends[part + 1]] - begin, points[:-1] - begin
        length = np.maximum(np.hypot(*along.T), 1e-9)
        away = np.abs(along[:, 0] * off[:, 1] - along[:, 1] * off[:, 0]) / length
        furthest = np.maximum.reduceat(away, ends[:-1]) if len(away) else away
        found = (away == furthest[part]) & (away > tolerance)
        if not found.any():
            return np.asarray(points[keep])
        keep[:-1] |= found


def _centrelines(
    made: Surrogates, place: Place
) -> tuple[list[npt.NDArray[np.float64]], dict[str, list[int]], int]:
    """Paths, their features, and how many images are shown where that is not all."""
    paths: list[npt.NDArray[np.float64]] = []
    features: dict[str, list[int]] = {name: [] for name in ("image", "axon", "branch", "parent")}
    vertices, image = 0, -1
    for line in sorted(made.centrelines, key=lambda line: line.image):
        if line.image != image and vertices > MOST_VERTICES:
            return paths, features, line.image - made.first
        image = line.image
        points = thinned(line.points)
        for frame, moved in _in_frames(made, line, points):
            paths.append(place.at(image, frame, moved))
            vertices += len(moved)
            for name, values in features.items():
                values.append(getattr(line, name))
    return paths, features, 0


def _in_frames(
    made: Surrogates, line: Centreline, points: npt.NDArray[Any]
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """A path as it lies in each frame of its series; of a single image, as it is."""
    if made.transforms is None:
        yield 0, points
        return
    for frame, affine in enumerate(made.transforms[line.image - made.first]):
        yield frame, points @ affine[:2, :2].T + affine[:2, 2]


def _points(
    made: Surrogates, place: Place
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any], dict[str, Any]]:
    """Centres, diameters and features of boutons, in a series frame by frame."""
    boutons, amplitude = made.boutons, made.boutons["amplitude"]
    where, frame = boutons, np.zeros(len(boutons), int)
    if made.transforms is not None:
        where, frame, amplitude = made.tracks, made.tracks["frame"], made.tracks["amplitude"]
        order = {(int(b["image"]), int(b["bouton"])): k for k, b in enumerate(made.boutons)}
        boutons = boutons[[order[int(t["image"]), int(t["bouton"])] for t in made.tracks]]
    features = {name: boutons[name] for name in ("image", "bouton", "axon", "branch", "radius")}
    features["kind"] = np.where(boutons["terminal"], "terminal", "en passant")
    features["amplitude"] = amplitude
    if made.transforms is not None:
        features |= {name: boutons[name] for name in ("first_frame", "last_frame")}
    centres = place.at(where["image"], frame, np.column_stack([where["row"], where["column"]]))
    return centres, 2 * boutons["radius"], features


def _tracks(
    made: Surrogates, place: Place, look: dict[str, Any]
) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """Rows of a Tracks layer; no two boutons, of whatever image, have one number."""
    tracks = np.sort(made.tracks, order=("image", "bouton", "frame"))
    number = tracks["bouton"].astype(int)
    if place.many:
        number += (tracks["image"] - made.first) * (int(tracks["bouton"].max()) + 1)
        look["tail_length"] = 1
    where = np.column_stack([tracks["row"], tracks["column"]])
    look["features"] = {name: tracks[name] for name in ("image", "bouton", "amplitude")}
    return np.column_stack([number, place.at(tracks["image"], tracks["frame"], where)]), look
