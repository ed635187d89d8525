"""How axons, boutons and cells find room, in loops that numba compiles.

Axons walk no farther than they get, where `axons` in NumPy walks every candidate to the end of its
numbers. As in `kernels`, the result is the same.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from .kernels import bits_at, compiled, stream
from .occupancy import CELL


@compiled
def _walk(
    key: Any,
    numbers: Any,
    first: Any,
    row: Any,
    column: Any,
    heading: Any,
    alpha: Any,
    step: Any,
    edges: Any,
    turns: Any,
    points: Any,
    headings: Any,
) -> Any:
    """`walks.walk` of one path; how many points it has."""
    low, high = stream(key, numbers)
    turned, down, right = 0.0, 0.0, 0.0
    points[0, 0], points[0, 1] = row, column
    for k in range(len(headings)):
        if k or turns:
            u = (np.float64(bits_at(low, high, first + k)) + 0.5) * 2.0**-32
            turned += (2 * u - 1) * alpha
        headings[k] = turned + heading
        angle = headings[k] * (2 * math.pi)
        down += math.sin(angle) * step
        right += math.cos(angle) * step
        to_row, to_column = down + row, right + column
        points[k + 1, 0] = np.rint(min(max(to_row, 0.0), edges[0]) * 4096) / 4096
        points[k + 1, 1] = np.rint(min(max(to_column, 0.0), edges[1]) * 4096) / 4096
        if not (0 < to_row < edges[0] and 0 < to_column < edges[1]):
            return k + 2
    return len(headings) + 1


@compiled
def _meets(taken: Any, grid: Any, points: Any, tolerance: Any) -> Any:
    """`Occupancy.meets` of one path, but near its start."""
    margin, columns = grid
    for p in range(len(points)):
        row, column = points[p, 0], points[p, 1]
        if taken[(int(row * (1 / CELL)) + margin) * columns + int(column * (1 / CELL)) + margin]:
            down, right = row - points[0, 0], column - points[0, 1]
            if down * down + right * right > tolerance:
                return True
    return False


@compiled
def _take(taken: Any, grid: Any, points: Any) -> None:
    """`Occupancy.add` of one path."""
    margin, columns = grid
    before = -1
    for p in range(len(points)):
        row, column = int(points[p, 0] * (1 / CELL)), int(points[p, 1] * (1 / CELL))
        if row * columns + column == before:
            continue
        before = row * columns + column
        for y in range(row, row + 2 * margin + 1):
            for x in range(column, column + 2 * margin + 1):
                taken[y * columns + x] = True


@compiled
def grow(
    keys: Any,
    numbers: Any,
    start: Any,
    heading: Any,
    good: Any,
    alpha: Any,
    step: Any,
    ends: Any,
    tolerance: Any,
    turns: Any,
    edges: Any,
    image: Any,
    taken: Any,
    grid: Any,
    slot: Any,
    points: Any,
    headings: Any,
    count: Any,
    chosen: Any,
) -> None:
    """Walk the candidates of each of some branches until one is good.

    Parameters
    ----------
    keys, numbers
        uint64 (n,): of the branches; what the name of the numbers does to a key.
    start, heading, good
        (n, C, 2), (n, C), (n, C): of the candidates, and whether they may be used.
    alpha, step, ends, tolerance
        (n,) each; ``ends`` is the part of its way after which a branch ends within the field,
        ``tolerance`` the squared distance from its start within which it may meet others, or -1.
    turns
        Whether the first step turns.
    edges
        The greatest row and column.
    image, taken, grid
        int64 (n,); of `Occupancy` bool (B, cells), margin and columns (0 columns: all is free).
    slot
        int64 (n,): where a branch is in these:
    points, headings, count
        (S, P, 2), (S, P - 1), (S,), to be filled: the path.
    chosen
        int64 (n,), to be filled: which candidate it is, -1 where none was good.
    """
    candidates, steps = heading.shape[1], headings.shape[1]
    for n in range(len(keys)):
        chosen[n] = -1
        way = points[slot[n]]
        for c in range(candidates):
            if not good[n, c]:
                continue
            number = _walk(
                keys[n],
                numbers,
                c * steps,
                start[n, c, 0],
                start[n, c, 1],
                heading[n, c],
                alpha[n],
                step[n],
                edges,
                turns,
                way,
                headings[slot[n]],
            )
            if ends[n] < 1:
                number = min(max(math.ceil(number * ends[n]), 2), number)
            path = way[:number]
            if grid[1] and _meets(taken[image[n]], grid, path, tolerance[n]):
                continue
            if grid[1]:
                _take(taken[image[n]], grid, path)
            count[slot[n]], chosen[n] = number, c
            break


@compiled
def keep_apart(centre: Any, distance: Any, kept: Any) -> None:
    """`boutons._apart`.

    Parameters
    ----------
    centre, distance
        (B, N, 2), (B,).
    kept
        bool (B, N): those that are good; those too near to one before them are taken out.
    """
    images, number = kept.shape
    for b in range(images):
        if distance[b] <= 0:
            continue
        for second in range(number):
            for first in range(second):
                if kept[b, second] and kept[b, first]:
                    down = centre[b, first, 0] - centre[b, second, 0]
                    right = centre[b, first, 1] - centre[b, second, 1]
                    if down * down + right * right <= distance[b] * distance[b]:
                        kept[b, second] = False


@compiled
def _near(place: Any, reach: Any, point: Any) -> Any:
    down, right = place[0] - point[0], place[1] - point[1]
    squared = down * down + right * right
    return squared <= (reach + 1) * (reach + 1) and np.sqrt(squared) <= reach


@compiled
def _is_free(place: Any, reach: Any, points: Any, count: Any, boutons: Any, there: Any) -> Any:
    for s in range(len(count)):
        for p in range(count[s]):
            if _near(place, reach, points[s, p]):
                return False
    for m in range(len(there)):  # noqa: SIM110, as numba has no all() of a generator
        if there[m] and _near(place, reach, boutons[m]):
            return False
    return True


@compiled
def find_room(
    places: Any, reach: Any, points: Any, count: Any, boutons: Any, there: Any, free: Any
) -> None:
    """`cells._find_room`, but no farther than to the first place that is free.

    Parameters
    ----------
    places, reach
        (B, N, C, 2), (B, N).
    points, count
        (B, S, P, 2), (B, S): paths.
    boutons, there
        (B, M, 2), (B, M).
    free
        bool (B, N, C), to be filled: the first place that all of them are farther away from.
    """
    images, number, candidates = free.shape
    for b in range(images):
        for n in range(number):
            free[b, n] = False
            for c in range(candidates):
                if _is_free(
                    places[b, n, c], reach[b, n], points[b], count[b], boutons[b], there[b]
                ):
                    free[b, n, c] = True
                    break


_numbers, _integers = nb.float64[:], nb.int64[:]
SIGNATURES = {
    grow: [
        (
            nb.uint64[:],
            nb.types.UniTuple(nb.uint32, 2),
            nb.float64[:, :, :],
            nb.float64[:, :],
            nb.boolean[:, :],
            *[_numbers] * 4,
            nb.boolean,
            nb.types.UniTuple(nb.float64, 2),
            _integers,
            nb.boolean[:, ::1],
            nb.types.UniTuple(nb.int64, 2),
            _integers,
            nb.float64[:, :, ::1],
            nb.float64[:, ::1],
            *[_integers] * 2,
        )
    ],
    keep_apart: [(nb.float64[:, :, :], _numbers, nb.boolean[:, :])],
    find_room: [
        (
            nb.float64[:, :, :, :],
            nb.float64[:, :],
            nb.float64[:, :, :, ::1],
            nb.int64[:, ::1],
            nb.float64[:, :, :],
            nb.boolean[:, :],
            nb.boolean[:, :, ::1],
        )
    ],
}
"""What there is to compile."""
