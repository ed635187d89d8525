"""Where fibres lie in a cross-section of white matter: sizes, outlines, packing, label images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_axongen.core.files import AXON, MYELIN

_CORNERS = 96
_HARMONICS = np.arange(2, 6)


@dataclass(frozen=True)
class Tissue:
    """What a field of fibres is drawn from; lengths in um.

    Attributes
    ----------
    diameter, spread
        Median axon diameter, and the standard deviation of its logarithm.
    gratio, gratio_spread
        Mean and standard deviation of the g-ratio.
    roughness
        Relative amplitude of an outline's second harmonic; the higher ones fall off.
    filling
        Part of the area that fibres are to take; fewer are placed where no room is found.
    gap
        Least and greatest distance kept around a fibre.
    """

    diameter: float
    spread: float
    gratio: float
    gratio_spread: float
    roughness: float
    filling: float
    gap: tuple[float, float]


@dataclass(frozen=True)
class Fibre:
    """One fibre as two outlines; lengths in pixels.

    Attributes
    ----------
    y, x
        Centre.
    axon, sheath
        Radius of the axon's and the fibre's outline at equally spaced angles.
    """

    y: float
    x: float
    axon: NDArray[np.float64]
    sheath: NDArray[np.float64]

    def pixels(
        self, shape: tuple[int, int], radius: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pixels inside the outline of these radii, cut to the image."""
        return outline_pixels(self.y, self.x, radius, shape)


def outline_pixels(
    y: float, x: float, radius: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels inside a star-shaped outline around (y, x), cut to the image.

    The radii are those at equally spaced angles, linear in the angle between them.
    """
    reach = float(radius.max())
    top, bottom = max(0, math.floor(y - reach)), min(shape[0], math.ceil(y + reach) + 1)
    left, right = max(0, math.floor(x - reach)), min(shape[1], math.ceil(x + reach) + 1)
    dy, dx = np.ogrid[top:bottom, left:right]
    dy, dx = dy - y, dx - x
    closed = np.append(radius, radius[0])
    turn = np.arctan2(dy, dx) % (2 * np.pi) * (len(radius) / (2 * np.pi))
    edge = np.interp(turn, np.arange(len(closed)), closed)
    rows, columns = np.nonzero(dy * dy + dx * dx <= edge * edge)
    return rows + top, columns + left


def random_outline(
    rng: np.random.Generator, radius: float, roughness: float, corners: int = _CORNERS
) -> NDArray[np.float64]:
    """Radii of a smooth closed curve of mean radius ``radius``: low Fourier harmonics."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    size = rng.normal(0, roughness, len(_HARMONICS)) * (2 / _HARMONICS) ** 1.5
    phase = rng.uniform(0, 2 * np.pi, len(_HARMONICS))
    waves = size[:, None] * np.cos(_HARMONICS[:, None] * angle + phase[:, None])
    return np.asarray(radius * np.clip(1 + waves.sum(axis=0), 0.55, 1.45))


def draw_fibre(rng: np.random.Generator, tissue: Tissue, pixel_size: float) -> Fibre:
    """Draw the size and shape of one fibre, centred on (0, 0)."""
    diameter = tissue.diameter * np.exp(np.clip(rng.normal(), -2.2, 2.2) * tissue.spread)
    gratio = float(np.clip(rng.normal(tissue.gratio, tissue.gratio_spread), 0.45, 0.85))
    radius = diameter / 2 / pixel_size
    axon = random_outline(rng, radius, tissue.roughness)
    # The sheath has much the same thickness all around, and at least two pixels.
    thickness = random_outline(rng, radius * (1 / gratio - 1), tissue.roughness / 2)
    return Fibre(0.0, 0.0, axon, axon + np.maximum(thickness, 2.0))


def pack_fibres(
    rng: np.random.Generator,
    shape: tuple[int, int],
    tissue: Tissue,
    pixel_size: float,
    tries: int = 60,
) -> list[Fibre]:
    """Place fibres at random without overlap, the largest first.

    Parameters
    ----------
    rng
        All randomness comes from it.
    shape
        Rows and columns of the field.
    tissue
        What to draw from.
    pixel_size
        um.
    tries
        Places tried for a fibre before it is given up.

    Returns
    -------
    Fibres of which at least a third of the axon lies in the field.
    """
    height, width = shape
    drawn, area = [], 0.0
    while area < tissue.filling * height * width:
        drawn.append(draw_fibre(rng, tissue, pixel_size))
        area += float(np.pi * np.mean(drawn[-1].sheath ** 2))
    drawn.sort(key=lambda fibre: -float(fibre.sheath.mean()))
    taken = np.zeros(shape, bool)
    probe = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[::4]
    sine, cosine = np.sin(probe), np.cos(probe)
    placed = []
    for fibre in drawn:
        gap = max(1.5, float(rng.uniform(*tissue.gap)) / pixel_size)
        ring = np.append(fibre.sheath[::4], 0.0)
        dy, dx = ring * np.append(sine, 0), ring * np.append(cosine, 0)
        reach = float(fibre.axon.mean()) / 2  # beyond the edge, too: fields cut fibres
        whole = float(np.pi * np.mean(fibre.axon**2))
        places = rng.uniform((-reach, -reach), (height + reach, width + reach), (tries, 2))
        for y, x in places[_free(taken, places, dy, dx)]:
            here = Fibre(float(y), float(x), fibre.axon, fibre.sheath)
            if len(here.pixels(shape, here.axon)[0]) < max(4.0, whole / 3):
                continue
            if taken[here.pixels(shape, here.sheath)].any():
                continue
            taken[here.pixels(shape, here.sheath + gap)] = True
            placed.append(here)
            break
    return placed


def _free(
    taken: NDArray[np.bool_],
    places: NDArray[np.float64],
    dy: NDArray[np.float64],
    dx: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether no probe point (dy, dx) around a place is taken: a quick first test of many."""
    rows = np.rint(places[:, :1] + dy).astype(int)
    columns = np.rint(places[:, 1:] + dx).astype(int)
    height, width = taken.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    hit = taken[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)] & inside
    return np.asarray(~hit.any(axis=1))


def draw_labels(
    fibres: list[Fibre], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw fibres into a class image and a label image, both (Y, X).

    Returns
    -------
    classes
        uint8: 0 background, 127 myelin, 255 axon.
    labels
        int32: fibre numbers from 1, in raster order of the axons' first pixels; above 0 exactly
        where ``classes`` is.
    """
    classes, labels = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    outlines = [(f.pixels(shape, f.axon), f.pixels(shape, f.sheath)) for f in fibres]
    outlines.sort(key=lambda both: int(np.min(both[0][0].astype(np.int64) * shape[1] + both[0][1])))
    for number, (axon, sheath) in enumerate(outlines, start=1):
        classes[sheath], labels[sheath] = MYELIN, number
        classes[axon], labels[axon] = AXON, number
    return classes, labels
