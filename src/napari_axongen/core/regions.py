"""Areas, moments, hulls and perimeters of every region of a label image at once.

``skimage.regionprops`` visits regions one by one, which takes seconds for the thousands of fibres
of one micrograph. Here a region is a set of horizontal *runs* (row, first and last column, label):
an image has some twenty times fewer runs than pixels, and sums over runs are plain ``bincount``.
The image is read in strips of rows, so no full-size temporary is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
_STRIP = 1 << 20  # pixels per strip


@dataclass(frozen=True)
class Runs:
    """Horizontal runs of equal label, in raster order.

    Attributes
    ----------
    ids
        The labels that occur, ascending, shape (N,).
    region, row, start, stop
        Per run: the index of its label in ``ids``, its row, its first column and the column after
        its last. All of one length.
    """

    ids: Ints
    region: NDArray[np.int32]
    row: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]

    def sum(self, per_run: NDArray[Any]) -> Floats:
        """Sum a quantity of the runs over each region, shape (N,)."""
        total = np.bincount(self.region, weights=per_run, minlength=len(self.ids))
        return total.astype(np.float64)  # of nothing, it is of integers

    def areas(self) -> Floats:
        """Pixels of each region, shape (N,)."""
        return self.sum(self.stop - self.start)

    def boxes(self) -> Ints:
        """Bounding boxes, shape (N, 4): first row, first column, row after, column after."""
        box = np.empty((len(self.ids), 4), np.int64)
        box[:, :2], box[:, 2:] = np.iinfo(np.int64).max, 0
        np.minimum.at(box[:, 0], self.region, self.row)
        np.minimum.at(box[:, 1], self.region, self.start)
        np.maximum.at(box[:, 2], self.region, self.row + 1)
        np.maximum.at(box[:, 3], self.region, self.stop)
        return box


@dataclass(frozen=True)
class Moments:
    """Centroids and the ellipses of equal second moments, each of shape (N,), in pixels.

    The definitions are those of ``skimage.measure.regionprops``: axis lengths are four times the
    standard deviation along the axis; ``orientation`` is the angle (radians, -pi/2 to pi/2,
    counter-clockwise) from the row axis (downwards) to the major axis.
    """

    y: Floats
    x: Floats
    major: Floats
    minor: Floats
    eccentricity: Floats
    orientation: Floats


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut the rows of an image into slices of about a million pixels."""
    rows = max(1, _STRIP // max(1, shape[1]))
    for top in range(0, shape[0], rows):
        yield slice(top, min(top + rows, shape[0]))


def _strip(
    labels: NDArray[Any], rows: slice, classes: NDArray[np.uint8] | None, lowest: int
) -> NDArray[Any]:
    """Labels of some rows with a frame of zeros left and right; 0 where the class is too low."""
    block = labels[rows]
    framed = np.zeros((block.shape[0], labels.shape[1] + 2), labels.dtype)
    framed[:, 1:-1] = block if classes is None else block * (classes[rows] >= lowest)
    return framed


def find_runs(
    labels: NDArray[Any], classes: NDArray[np.uint8] | None = None, lowest: int = 1
) -> Runs:
    """Find the runs of a label image.

    Parameters
    ----------
    labels
        (Y, X) integers, 0 is background.
    classes, lowest
        If given, (Y, X): only pixels of at least this class count.
    """
    labelled: list[Ints] = []
    placed: list[NDArray[np.int32]] = []
    for rows in strips(labels.shape):
        block = _strip(labels, rows, classes, lowest)
        # A change lies between a pixel and its right neighbour. The frame makes the first and last
        # pixel of a row 0, so that a run of a label above 0 never passes from one row to the next.
        change = np.flatnonzero(block[:, 1:] != block[:, :-1])
        row, column = np.divmod(change, block.shape[1] - 1)
        label = block[row, column + 1]
        at = np.flatnonzero(label > 0)
        labelled.append(label[at].astype(np.int64))
        placed.append(np.stack([row[at] + rows.start, column[at], column[at + 1]]).astype(np.int32))
    ids, region = np.unique(np.concatenate([np.zeros(0, np.int64), *labelled]), return_inverse=True)
    where = np.concatenate([np.zeros((3, 0), np.int32), *placed], axis=1)
    return Runs(ids, region.astype(np.int32), where[0], where[1], where[2])


def moments(runs: Runs) -> Moments:
    """Compute centroids and equivalent ellipses from closed sums over the runs."""
    first, last = runs.start.astype(np.float64), runs.stop.astype(np.float64)
    count = last - first
    row = runs.row.astype(np.float64)
    sum_x = count * (first + last - 1) / 2
    area = np.maximum(runs.areas(), 1)
    y, x = runs.sum(count * row) / area, runs.sum(sum_x) / area

    def squares(stop: Floats) -> Floats:
        return np.asarray(stop * (stop - 1) * (2 * stop - 1) / 6)

    yy = np.maximum(runs.sum(count * row * row) / area - y * y, 0)
    xx = np.maximum(runs.sum(squares(last) - squares(first)) / area - x * x, 0)
    xy = runs.sum(sum_x * row) / area - x * y
    mean, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    large, small = mean + spread, np.maximum(mean - spread, 0)
    # What rounding leaves of the moments of a pixel or a straight line is no axis.
    large, small = (np.where(value < 1e-6, 0, value) for value in (large, small))
    ratio = np.divide(small, large, out=np.ones_like(large), where=large > 0)
    return Moments(
        y,
        x,
        4 * np.sqrt(large),
        4 * np.sqrt(small),
        np.sqrt(np.maximum(1 - ratio, 0)),
        0.5 * np.arctan2(2 * xy, yy - xx),
    )


def perimeters(
    labels: NDArray[Any], runs: Runs, classes: NDArray[np.uint8] | None = None, lowest: int = 1
) -> Floats:
    """Perimeter of each region by the Cauchy-Crofton formula in four directions, shape (N,).

    A curve's length is pi/2 times the mean, over all directions, of the number of its crossings
    with parallel lines times the lines' distance: 1 px along rows and columns, 1/sqrt(2) px along
    the diagonals. Equal to ``skimage.measure.perimeter_crofton(directions=4)`` of each region
    alone; the edge of the image counts as boundary, and so do holes.

    Parameters
    ----------
    labels, classes, lowest
        As given to `find_runs`.
    runs
        What `find_runs` returned for them.
    """
    crossings = 2 * runs.sum(np.ones(len(runs.region)))  # each run is entered and left once
    if not len(runs.ids):
        return crossings
    straight, diagonal = np.zeros_like(crossings), np.zeros_like(crossings)

    def count(into: Floats, here: NDArray[Any], there: NDArray[Any]) -> None:
        differ = here != there
        for side in (here[differ], there[differ]):
            region = np.searchsorted(runs.ids, side[side > 0])
            into += np.bincount(region, minlength=len(into))

    above = np.zeros((1, labels.shape[1] + 2), labels.dtype)
    for rows in [*strips(labels.shape), None]:
        below = np.zeros_like(above) if rows is None else _strip(labels, rows, classes, lowest)
        block = np.concatenate([above, below])
        count(straight, block[:-1], block[1:])
        count(diagonal, block[:-1, :-1], block[1:, 1:])
        count(diagonal, block[:-1, 1:], block[1:, :-1])
        above = below[-1:]
    return np.asarray(np.pi / 8 * (crossings + straight + diagonal / np.sqrt(2)))


def hull_areas(runs: Runs) -> Floats:
    """Pixels of each region's convex hull, shape (N,): those in the hull of its pixel centres.

    The hull is a polygon with corners on the pixel grid, so Pick's theorem counts its pixels
    exactly: area + boundary points / 2 + 1. A digitally convex region equals its hull.
    """
    order = np.argsort(runs.region, kind="stable")  # by region, then by row
    region, row = runs.region[order].astype(np.int64), runs.row[order].astype(np.int64)
    fresh = np.flatnonzero(np.diff(region, prepend=-1) | np.diff(row, prepend=-1))
    count = len(runs.ids)
    if not count:
        return np.zeros(0)
    left = np.minimum.reduceat(runs.start[order].astype(np.int64), fresh)
    right = np.maximum.reduceat(runs.stop[order].astype(np.int64), fresh) - 1
    region, row = region[fresh], row[fresh]
    first = np.flatnonzero(np.diff(region, prepend=-1))
    last = np.append(first[1:], len(region)) - 1
    boundary = ((right - left)[first] + (right - left)[last]).astype(np.float64)
    area = np.zeros(count)
    for side in (left, -right):  # the right flank is a left flank in the mirror
        owner, y, x = _flank(region, row, side)
        edge = owner[1:] == owner[:-1]
        height, shift = np.diff(y)[edge], np.diff(x)[edge]
        middle = (x[1:] + x[:-1])[edge] / 2
        area -= np.bincount(owner[1:][edge], weights=height * middle, minlength=count)
        boundary += np.bincount(
            owner[1:][edge], weights=np.gcd(height, np.abs(shift)), minlength=count
        )
    return np.asarray(area + boundary / 2 + 1)


def _flank(region: Ints, row: Ints, column: Ints) -> tuple[Ints, Ints, Ints]:
    """Keep the corners of the convex left flank of every region.

    All points that lie on or right of the line between their neighbours are dropped together, until
    none is left. A corner of the hull never does, whatever its neighbours, so none is lost.
    """
    while True:
        keep = np.ones(len(region), bool)
        chord = (column[2:] - column[:-2]) * (row[1:-1] - row[:-2])
        point = (column[1:-1] - column[:-2]) * (row[2:] - row[:-2])
        keep[1:-1] = (region[2:] != region[:-2]) | (point < chord)
        if keep.all():
            return region, row, column
        region, row, column = region[keep], row[keep], column[keep]
