"""Cells: lobed, speckled bodies that keep clear of the axons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from . import compiling
from .axons import Axons, Ints
from .boutons import Boutons
from .parameters import CellParameters
from .random import Draws, Floats
from .walks import fine

LOBES = 5
_CANDIDATES = 8
_CLEARANCE = 4.0  # px between a cell and the centreline of an axon
EXTENT = 0.75
"""Radius of a lobe over its nominal radius: the original's smoothing wears the rest away."""


@dataclass
class Cells:
    """Cells of a batch in slots (B, N).

    Attributes
    ----------
    there
        (B, N).
    centres
        (B, N, LOBES, 2): rows and columns in px; the first is that of the cell.
    radius, brightness, dark
        (B, N).
    draws
        Random numbers of the cells, row ``image * N + cell``, for their speckle.
    missing
        (B,): cells for which no room was found.
    """

    there: NDArray[np.bool_]
    centres: Floats
    radius: Floats
    brightness: Floats
    dark: Floats
    draws: Draws
    missing: Ints


def draw_cells(
    draws: Draws,
    parameters: CellParameters,
    axons: Axons,
    boutons: Boutons,
    shape: tuple[int, int],
) -> Cells:
    """Place cells where no axon or bouton is; at most eight places are tried for each."""
    wanted = draws.parameter(parameters, "count").astype(np.int64)
    images, most = len(draws), int(wanted.max())
    by_cell = draws.children("cell", most)

    def of(name: str) -> Floats:
        return fine(by_cell.parameter(parameters, name).reshape(images, most))

    radius = of("radius")
    offsets = by_cell.uniform("lobes", LOBES, 2).reshape(images, most, LOBES, 2)
    offsets = fine((offsets - 0.5) * radius[..., None, None])
    offsets[:, :, 0] = 0
    reach = np.sqrt((offsets * offsets).sum(-1).max(-1)) + EXTENT * radius + _CLEARANCE
    places = by_cell.uniform("place", _CANDIDATES, 2).reshape(images, most, _CANDIDATES, 2)
    size = radius[..., None, None]
    places = fine(places * (np.array(shape) + size) - size / 2)
    free = _find_room(places, reach, axons, boutons)
    there = free.any(-1) & (np.arange(most) < wanted[:, None])
    first = free.argmax(-1)[..., None, None]
    return Cells(
        there,
        np.take_along_axis(places, first, axis=2) + offsets,
        radius,
        of("brightness"),
        by_cell.parameter(parameters, "dark").reshape(images, most),
        by_cell,
        wanted - there.sum(1),
    )


def _find_room(places: Floats, reach: Floats, axons: Axons, boutons: Boutons) -> NDArray[np.bool_]:
    """Whether axons and boutons are farther from places (B, N, C, 2) than the reach (B, N).

    What is said of the places after the first that is free does not matter.
    """
    free = np.ones(places.shape[:3], dtype=bool)
    loops = compiling.kernels()
    if loops:
        images, a, j, p = axons.points.shape[:4]
        points, count = axons.points.reshape(images, a * j, p, 2), axons.count.reshape(images, -1)
        loops.find_room(places, reach, points, count, boutons.centre, boutons.there, free)
        return free
    valid = axons.valid
    for image in range(len(places)):
        taken = np.concatenate(
            (axons.points[image][valid[image]], boutons.centre[image][boutons.there[image]])
        )
        if len(taken) and places.size:
            free[image] = cKDTree(taken).query(places[image])[0] > reach[image, :, None]
    return free
