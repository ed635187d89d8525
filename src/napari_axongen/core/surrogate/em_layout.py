"""Layouts of fibres in a cross-section of white matter, with the exact answer.

Sizes are drawn first, outlines around them, and then all are packed: no size is lost on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import AXON, MYELIN

from .em_laws import diameters, gratios
from .em_packing import Floats, pack
from .em_parameters import EmFibreParameters

_CORNERS = 96
_HARMONICS = np.arange(2, 6)
_LEAST_MEAN = 3.0  # px: mean axon below which a layout shows nothing
_LEAST_SHEATH = 1.5
_LEAST_GAP = 1.5
_BLOCK = 64  # fibres drawn at a time
_MOST_FIBRES = 200_000
_MISSED = 0.005  # part of the area by which a layout may miss its fraction unsaid


@dataclass(frozen=True)
class EmLayout:
    """A layout of fibres; images are (Y, X).

    Attributes
    ----------
    classes
        uint8: 0 background, 127 myelin, 255 axon. Axons without myelin are background here, as in
        masks of myelinated axons, on which models of the classes are trained.
    labels
        int32: numbers of the myelinated fibres from 1, in raster order of their axons' first
        pixels; 0 elsewhere. Myelin whose axon lies outside the image has no number, so the labels
        are those that `core.instances.label_fibres` finds.
    unmyelinated
        int32: numbers of the axons without myelin, likewise; 0 elsewhere.
    fibres
        Column to values, one a fibre: the fibres in order of their number, then the axons without
        myelin. They are those drawn: of a fibre cut by the edge, the whole. Columns as of
        `core.morphometry`, and ``myelinated`` (1 or 0) and ``centre_inside`` (1 if the centroid
        lies in the image). Among the latter sizes follow their laws; those that merely reach in
        from outside are more often large.
    filled
        Part of the area that the fibres take where they were packed, beyond the image, too.
    pixel_size
        um.
    """

    classes: NDArray[np.uint8]
    labels: NDArray[np.int32]
    unmyelinated: NDArray[np.int32]
    fibres: Mapping[str, NDArray[Any]]
    filled: float
    pixel_size: float


@dataclass(frozen=True)
class _Fibres:
    """Fibres as two outlines each, px; without myelin the two are one.

    ``axon`` and ``sheath`` are (N, corners) radii at equally spaced angles around (``y``, ``x``).
    """

    y: Floats
    x: Floats
    axon: Floats
    sheath: Floats
    myelinated: NDArray[np.bool_]


def em_fibres(parameters: EmFibreParameters, seed: int = 0, index: int = 0) -> EmLayout:
    """Lay out myelinated fibres at random.

    Diameters follow their law, g-ratios a normal one, outlines are smooth and irregular. At least a
    pixel of background parts two fibres. The fibres are packed on a torus that is larger than the
    image by the greatest of them, so that none shows twice.

    Parameters
    ----------
    parameters
        What to draw from.
    seed, index
        Image ``index`` of ``seed`` is the same whatever else is made.

    Returns
    -------
    Where the fraction asked for cannot be reached, a less dense layout (see `shortfall`) of the
    same laws.

    Raises
    ------
    InputError
        The pixel is too coarse or a law too wide to be drawn, the fibres would be too many, or seed
        or index are negative.
    """
    check(parameters, seed, index)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(index,))))
    fibres, filled = _place(rng, parameters)
    return _draw(fibres, filled, parameters)


def shortfall(layout: EmLayout, parameters: EmFibreParameters) -> str | None:
    """Say in a sentence that a layout fills less than was asked for; None if it does not."""
    if layout.filled >= parameters.fraction - _MISSED:
        return None
    return (
        f"Fibres fill {layout.filled:.2f} of the area instead of {parameters.fraction:.2f}: with "
        "this gap, roughness and part of unmyelinated axons they do not fit more densely."
    )


def check(parameters: EmFibreParameters, seed: int = 0, index: int = 0) -> None:
    """Refuse, with an `InputError`, what `em_fibres` cannot draw."""
    for name, value in (("seed", seed), ("index", index)):
        if value < 0:
            raise InputError(f"The {name} is {value}; it must be a whole number of at least 0.")
    p = parameters
    laws = [("axon", p.diameter_mean, p.diameter_sd)]
    if p.unmyelinated:
        laws.append(("unmyelinated axon", p.unmyelinated_mean, p.unmyelinated_sd))
    for name, mean, sd in laws:
        if mean < _LEAST_MEAN * p.pixel_size * (1 - 1e-9):
            raise InputError(
                f"A pixel of {p.pixel_size:g} um is too coarse for a mean {name} of {mean:g} um; "
                f"give at most {mean / _LEAST_MEAN:.2g} um."
            )
        if sd > mean:
            raise InputError(
                f"The standard deviation of the {name} diameter is {sd:g} um, more than the mean "
                f"of {mean:g} um; give at most that."
            )
    fibre = p.diameter_mean / p.gratio_mean / p.pixel_size
    number = 4 / math.pi * p.fraction * p.width * p.height / fibre**2 / (1 - p.unmyelinated)
    if number > _MOST_FIBRES:
        raise InputError(
            f"An image of {p.width} x {p.height} px would hold about {number:.0f} axons, and at "
            f"most {_MOST_FIBRES} are laid out; make it smaller, or its pixels finer."
        )


# ---------------------------------------------------------------- sizes and outlines


def random_outline(
    rng: np.random.Generator, radius: float | Floats, roughness: float
) -> NDArray[np.float64]:
    """Radii of smooth closed curves that enclose the area of circles of ``radius``.

    Low Fourier harmonics; shape (..., corners) for radii of shape (...).
    """
    circle = np.asarray(radius, float)[..., None]
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    drawn = (*circle.shape[:-1], len(_HARMONICS), 1)
    size = rng.normal(0, roughness, drawn) * (2 / _HARMONICS[:, None]) ** 1.5
    phase = rng.uniform(0, 2 * np.pi, drawn)
    waves = (size * np.cos(_HARMONICS[:, None] * angle + phase)).sum(axis=-2)
    outline = np.clip(1 + waves, 0.55, 1.45)
    return np.asarray(circle * outline / _mean_radius(outline)[..., None])


def _mean_radius(outline: Floats) -> Floats:
    """Radius of the circle of equal area."""
    return np.asarray(np.sqrt(np.mean(outline**2, axis=-1)))


def _sheathed(rng: np.random.Generator, axon: Floats, gratio: Floats, roughness: float) -> Floats:
    """Outlines of the fibres around axons: much the same thickness all around."""
    radius = _mean_radius(axon)
    thickness = random_outline(rng, radius * (1 / gratio - 1), roughness / 2)
    # The factor of the thickness with which the fibre has the area that the g-ratio asks for.
    a, b = np.mean(thickness**2, axis=1), np.mean(axon * thickness, axis=1)
    c = radius**2 * (1 - gratio**-2.0)
    factor = (np.sqrt(b * b - a * c) - b) / a
    return np.asarray(axon + np.maximum(factor[:, None] * thickness, _LEAST_SHEATH))


# ---------------------------------------------------------------- placing


def _place(rng: np.random.Generator, p: EmFibreParameters) -> tuple[_Fibres, float]:
    """Draw fibres and place them around the image; also the part of the area that they fill."""
    law = diameters(p, p.diameter_mean, p.diameter_sd)
    bare = diameters(p, p.unmyelinated_mean, p.unmyelinated_sd)
    gap = max(p.gap / p.pixel_size, _LEAST_GAP)
    ends = np.array([0.0, 1.0])
    thickest = law(ends)[1] / gratios(p, ends)[0] + 2 * _LEAST_SHEATH
    if p.unmyelinated:
        thickest = max(thickest, bare(ends)[1])
    thickest *= 1 + 4 * p.roughness
    sides = np.maximum(np.array([p.height, p.width]) + thickest, 2.1 * (thickest + gap))

    # As many as fill the torus. The last one overshoots, by which the torus is made larger: neither
    # leaving it out nor choosing another would keep the law (Wald's identity).
    axon, sheath = _draw_sizes(rng, p, law, p.fraction * float(np.prod(sides)))
    area = math.pi * float(np.sum(_mean_radius(sheath) ** 2))
    sides *= math.sqrt(max(1.0, area / (p.fraction * float(np.prod(sides)))))
    count = round(len(axon) * p.unmyelinated / (1 - p.unmyelinated))
    naked = random_outline(rng, bare(rng.random(count)) / 2, p.roughness)
    axon, sheath = np.concatenate([axon, naked]), np.concatenate([sheath, naked])

    centres, sides = pack(rng, sheath, gap, (float(sides[0]), float(sides[1])))
    # The torus is cut open far from the image, half a pixel out of which its edge lies.
    image = np.array([p.height, p.width])
    centres = np.where(centres > (image + sides) / 2, centres - sides, centres) - 0.5
    myelinated = np.arange(len(axon)) < len(axon) - count
    fibres = _Fibres(centres[:, 0], centres[:, 1], axon, sheath, myelinated)
    return fibres, area / float(np.prod(sides))


def _draw_sizes(
    rng: np.random.Generator,
    p: EmFibreParameters,
    law: Callable[[Floats], Floats],
    area: float,
) -> tuple[Floats, Floats]:
    """Draw axon and fibre outlines until the fibres take the area in px^2, or a little more."""
    axons, sheaths, taken = [], [], 0.0
    while taken < area:
        axon = random_outline(rng, law(rng.random(_BLOCK)) / 2, p.roughness)
        sheath = _sheathed(rng, axon, gratios(p, rng.random(_BLOCK)), p.roughness)
        total = taken + math.pi * np.cumsum(np.mean(sheath**2, axis=1))
        enough = int(np.searchsorted(total, area)) + 1
        axons.append(axon[:enough])
        sheaths.append(sheath[:enough])
        taken = float(total[-1])
    return np.concatenate(axons), np.concatenate(sheaths)


# ---------------------------------------------------------------- drawing


@dataclass(frozen=True)
class _Window:
    """The pixels around an outline: where they lie in the image and as seen from its centre.

    Attributes
    ----------
    place
        Slices of the image.
    distance
        Squared distance from the centre.
    turn
        Angle, counted in corners.
    """

    place: tuple[slice, slice]
    distance: Floats
    turn: Floats

    def inside(self, outline: Floats) -> NDArray[np.bool_]:
        """Whether pixels lie inside the outline: radii linear in the angle between corners."""
        closed = np.append(outline, outline[0])
        edge = np.interp(self.turn, np.arange(len(closed)), closed)
        return np.asarray(self.distance <= edge * edge)


def _window(y: float, x: float, reach: float, shape: tuple[int, int]) -> _Window:
    """Window of the pixels that are no farther than ``reach``; empty outside the image."""
    top, bottom = max(0, math.floor(y - reach)), min(shape[0], math.ceil(y + reach) + 1)
    left, right = max(0, math.floor(x - reach)), min(shape[1], math.ceil(x + reach) + 1)
    bottom, right = max(top, bottom), max(left, right)
    dy, dx = np.ogrid[top:bottom, left:right]
    dy, dx = dy - y, dx - x
    turn = np.arctan2(dy, dx) % (2 * np.pi) * (_CORNERS / (2 * np.pi))
    return _Window((slice(top, bottom), slice(left, right)), dy * dy + dx * dx, turn)


def outline_pixels(
    y: float, x: float, outline: Floats, shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels inside an outline (see `random_outline`) around (y, x), cut to the image."""
    window = _window(y, x, float(outline.max()), shape)
    rows, columns = np.nonzero(window.inside(outline))
    return rows + window.place[0].start, columns + window.place[1].start


def _draw(fibres: _Fibres, filled: float, p: EmFibreParameters) -> EmLayout:
    """Draw fibres into images, number them and tabulate those that have a number."""
    shape = (p.height, p.width)
    classes, owner = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    reach = fibres.sheath.max(axis=1, initial=0)
    seen = np.flatnonzero(
        (np.abs(fibres.y - (shape[0] - 1) / 2) <= reach + shape[0] / 2)
        & (np.abs(fibres.x - (shape[1] - 1) / 2) <= reach + shape[1] / 2)
    )
    for index in seen:
        window = _window(fibres.y[index], fibres.x[index], reach[index], shape)
        axon = window.inside(fibres.axon[index])
        sheath = axon | window.inside(fibres.sheath[index])
        owner[window.place][sheath] = index + 1
        if fibres.myelinated[index]:
            classes[window.place][sheath] = MYELIN
            classes[window.place][axon] = AXON
    _part(owner)
    classes[owner == 0] = 0

    axons = np.where(classes == MYELIN, 0, owner)
    shown, first = np.unique(axons, return_index=True)
    shown = shown[np.argsort(first)]
    shown = shown[shown > 0] - 1
    images, order = [], []
    for kind in (True, False):
        mine = shown[fibres.myelinated[shown] == kind]
        numbers = np.zeros(len(fibres.y) + 1, np.int32)
        numbers[mine + 1] = np.arange(1, len(mine) + 1)
        images.append(numbers[owner])
        order.append(mine)
    table = _tabulate(fibres, np.concatenate(order), owner, p)
    return EmLayout(classes, images[0], images[1], table, filled, p.pixel_size)


def _part(owner: NDArray[np.int32]) -> None:
    """Clear, in place, pixels beside one of another owner: what the gap, rounded, may leave."""
    for one, other in ((owner[:-1], owner[1:]), (owner[:, :-1], owner[:, 1:])):
        other[(one != other) & (one > 0) & (other > 0)] = 0


def _tabulate(
    fibres: _Fibres, order: NDArray[np.intp], owner: NDArray[np.int32], p: EmFibreParameters
) -> dict[str, NDArray[Any]]:
    axon, sheath = fibres.axon[order], fibres.sheath[order]
    myelinated = fibres.myelinated[order]
    inner, outer = 2 * _mean_radius(axon), 2 * _mean_radius(sheath)
    # Centroid of a star-shaped outline: the mean of r^3 / 3 over that of r^2 / 2.
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    weight = 2 / 3 * axon**3 / np.mean(axon**2, axis=1, keepdims=True)
    y = fibres.y[order] + np.mean(weight * np.sin(angle), axis=1)
    x = fibres.x[order] + np.mean(weight * np.cos(angle), axis=1)
    inside = (y >= -0.5) & (y < p.height - 0.5) & (x >= -0.5) & (x < p.width - 0.5)
    edge = np.unique([*owner[0], *owner[-1], *owner[:, 0], *owner[:, -1]])
    number = np.cumsum(myelinated)
    return {
        "label": np.where(myelinated, number, np.cumsum(~myelinated)),
        "myelinated": myelinated.astype(np.int64),
        "x0 (px)": x,
        "y0 (px)": y,
        "gratio": np.where(myelinated, inner / outer, np.nan),
        "axon_diam (um)": inner * p.pixel_size,
        "myelin_thickness (um)": (outer - inner) / 2 * p.pixel_size,
        "axonmyelin_diam (um)": outer * p.pixel_size,
        "centre_inside": inside.astype(np.int64),
        "image_border_touching": np.isin(order + 1, edge).astype(np.int64),
    }
