"""From the mask of axons to their centrelines: the skeleton, cut at its junctions, as paths."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import skeletonize

from .centrelines import Centreline, Points

SPUR = 5.0
"""px: a side branch that sticks out of its axon by less is none."""

Pixel: TypeAlias = tuple[int, int]

_SMOOTHING = 1.5  # px along a path: takes out the steps from pixel to pixel
_REACH = 6  # points on either side that it looks at
_AROUND = np.ones((3, 3), dtype=np.uint8)
_STEPS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))


def trace_labels(labels: npt.NDArray[Any], spur: float = SPUR) -> list[Centreline]:
    """Centrelines of labelled axons.

    Their skeleton (Zhang and Suen 1984) is cut where branches meet: what lies between junctions and
    ends is a path. A closed loop is one path, whose first point is its last one, too.

    Parameters
    ----------
    labels
        (H, W): 0, or the number of an axon. Two axons do not touch, not even by a corner.
    spur
        px: a path from a junction to a free end is left out when it reaches less than this beyond
        the edge that the axon has there without it.

    Returns
    -------
    ``axon`` is the label; branches count from 0 within each. Points are about a pixel apart, and
    smoothed a little along the path.
    """
    mask = np.pad(labels > 0, 1)
    graph = _Graph(skeletonize(mask), ndimage.distance_transform_edt(mask))
    graph.prune(spur)
    lines: list[Centreline] = []
    paths = ((np.array(edge.pixels) - 1, edge.is_ring) for edge in graph.edges.values())
    owned = [(int(labels[tuple(path[0])]), path, ring) for path, ring in paths if len(path) > 1]
    for axon, path, ring in sorted(owned, key=lambda found: (found[0], *found[1][0].tolist())):
        branch = lines[-1].branch + 1 if lines and lines[-1].axon == axon else 0
        lines.append(Centreline(_smoothed(path, ring), axon=axon, branch=branch))
    return lines


def _smoothed(path: npt.NDArray[np.int_], ring: bool) -> Points:
    """The path without the steps of its pixels; its ends stay, where it has any."""
    if ring:
        closed = ndimage.gaussian_filter1d(path[:-1].astype(float), _SMOOTHING, 0, mode="wrap")
        return np.concatenate([closed, closed[:1]])
    wide = np.pad(path.astype(float), ((_REACH, _REACH), (0, 0)), "reflect", reflect_type="odd")
    smooth: Points = ndimage.gaussian_filter1d(wide, _SMOOTHING, 0)[_REACH:-_REACH]
    return smooth


@dataclass
class _Edge:
    """Pixels from one end to the other, and the junction at each end, 0 for none.

    Junctions are among the pixels.
    """

    pixels: list[Pixel]
    ends: tuple[int, int]

    @property
    def is_ring(self) -> bool:
        """Whether it is closed without a junction."""
        return not any(self.ends) and len(self.pixels) > 2 and self.pixels[0] == self.pixels[-1]

    @property
    def length(self) -> float:
        return sum(math.dist(a, b) for a, b in pairwise(self.pixels))

    def turned(self) -> _Edge:
        """The same from its other end."""
        return _Edge(self.pixels[::-1], self.ends[::-1])


class _Graph:
    """A skeleton as edges between junctions.

    Parameters
    ----------
    skeleton
        (H, W), False at its border.
    depth
        Distance of each pixel to the edge of what the skeleton is of.
    """

    def __init__(self, skeleton: npt.NDArray[np.bool_], depth: npt.NDArray[np.float64]) -> None:
        self._depth = depth
        crossing = skeleton & (_neighbours(skeleton) > 2)
        self._junctions, count = ndimage.label(crossing, _AROUND)
        self._places = _places(self._junctions)
        self._at: dict[int, list[int]] = {number: [] for number in range(1, count + 1)}
        self.edges: dict[int, _Edge] = {}
        self._made = 0
        for chain in _chains(skeleton & ~crossing):
            self._add(self._joined(chain))
        for junction in self._at:
            self._pass(junction)

    def _joined(self, chain: list[Pixel]) -> _Edge:
        """A chain with the junctions that it leads to."""
        if len(chain) > 2 and chain[0] == chain[-1]:
            return _Edge(chain, (0, 0))
        near = [self._near(chain[0]), self._near(chain[-1])]
        if len(chain) == 1:  # both ends are at its one pixel
            near = [near[0][:1], near[0][1:]]
        first, last = (found[0] if found else 0 for found in near)
        before, after = ([self._places[end]] if end else [] for end in (first, last))
        return _Edge([*before, *chain, *after], (first, last))

    def _near(self, pixel: Pixel) -> list[int]:
        """Junctions at a pixel, each once."""
        y, x = pixel
        found = (int(self._junctions[y + dy, x + dx]) for dy, dx in _STEPS)
        return [number for number in dict.fromkeys(found) if number]

    def _add(self, edge: _Edge) -> None:
        self._made += 1
        self.edges[self._made] = edge
        for junction in filter(None, edge.ends):
            self._at[junction].append(self._made)

    def _remove(self, number: int) -> _Edge:
        edge = self.edges.pop(number)
        for junction in filter(None, edge.ends):
            self._at[junction].remove(number)
        return edge

    def _pass(self, junction: int) -> None:
        """Where no branches meet, there is no junction: join two edges, or let one end there."""
        numbers = list(self._at[junction])
        if len(numbers) > 2 or len(set(numbers)) < len(numbers):
            return
        edges = [self._remove(number) for number in numbers]
        edges = [edge if edge.ends[1] == junction else edge.turned() for edge in edges]
        if len(edges) == 1:
            self._add(_Edge(edges[0].pixels, (edges[0].ends[0], 0)))
        elif edges:
            one, other = edges[0], edges[1].turned()
            self._add(_Edge([*one.pixels, *other.pixels[1:]], (one.ends[0], other.ends[1])))

    def prune(self, spur: float) -> None:
        """Take out the side branches that are none, the shortest first."""
        while found := sorted(self._spurs(spur)):
            for _, number, junction in found:
                if number in self.edges and len(self._at[junction]) > 2:
                    self._remove(number)
                    self._pass(junction)

    def _spurs(self, spur: float) -> list[tuple[float, int, int]]:
        """How far they reach, their edges and their junctions."""
        found = []
        for number, edge in self.edges.items():
            junction = max(edge.ends)
            if min(edge.ends) or not junction or len(self._at[junction]) < 3:
                continue
            base, tip = edge.pixels[0], edge.pixels[-1]
            if edge.ends[1]:
                base, tip = tip, base
            reach = edge.length + float(self._depth[tip] - self._depth[base])
            if reach < spur:
                found.append((reach, number, junction))
        return found


def _neighbours(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """How many of the eight pixels around each are in a mask, itself included less one."""
    around: npt.NDArray[np.uint8] = ndimage.convolve(mask.view(np.uint8), _AROUND, mode="constant")
    return around - mask


def _places(junctions: npt.NDArray[np.int32]) -> dict[int, Pixel]:
    """The pixel of each junction that is nearest to its middle."""
    pixels = np.argwhere(junctions)
    numbers = junctions[tuple(pixels.T)]
    size = np.maximum(np.bincount(numbers), 1)
    middle = np.column_stack([np.bincount(numbers, axis) / size for axis in pixels.T])
    off = np.hypot(*(pixels - middle[numbers]).T)
    found: dict[int, Pixel] = {}
    for index in np.argsort(off, kind="stable"):
        found.setdefault(int(numbers[index]), (int(pixels[index, 0]), int(pixels[index, 1])))
    return found


def _chains(mask: npt.NDArray[np.bool_]) -> Iterator[list[Pixel]]:
    """Pixels that have two neighbours at most, in the order of the paths that they make.

    A closed one ends where it begins.
    """
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    ends = np.argwhere(mask & (_neighbours(mask) < 2))
    for closed, starts in ((False, ends), (True, np.argwhere(mask))):
        for y, x in starts.tolist():
            if (y, x) not in left:
                continue
            chain: list[Pixel] = []
            pixel: Pixel | None = (y, x)
            while pixel is not None:
                left.remove(pixel)
                chain.append(pixel)
                row, column = pixel
                beside = ((row + dy, column + dx) for dy, dx in _STEPS)
                pixel = next((other for other in beside if other in left), None)
            yield [*chain, chain[0]] if closed else chain
