"""How well traced centrelines follow the true ones.

The measure of the original (Billot 2017, "tracking accuracy") was the mean distance of traced
points to the line through the two nearest true points, of whatever axon. Here distances are to
segments, in both directions, within one axon; and what was missed, or invented, counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from .centrelines import AxonKey, Centreline, Points, as_centrelines
from .errors import InputError

STEP = 0.25
"""Distance (px) between the samples of a path, at most: the error of its integrals is below it."""

_REACH = 5.0  # tolerances: farther than this from an axon, a path does not follow it
_BLOCK = 64  # samples at a time: neighbours on a path, so that few segments can be nearest


@dataclass(frozen=True)
class Agreement:
    """Traced paths against true ones: of one axon, or of all.

    Attributes
    ----------
    truth_length, traced_length
        Lengths in pixels, without what is ignored.
    found_length
        Length of truth within the tolerance of the paths that follow its axon.
    right_length
        Length of paths within the tolerance of the axon that they follow.
    met_length, following_length
        Length of the axons that some path follows, and of the paths that follow some axon.
    truth_offset, traced_offset
        Integrals, over these two lengths, of the distance to the other side (px^2).
    """

    truth_length: float = 0.0
    traced_length: float = 0.0
    found_length: float = 0.0
    right_length: float = 0.0
    met_length: float = 0.0
    following_length: float = 0.0
    truth_offset: float = 0.0
    traced_offset: float = 0.0

    def __add__(self, other: Agreement) -> Agreement:
        names = (field.name for field in fields(self))
        return Agreement(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def precision(self) -> float:
        """Part of the traced length that is right; NaN where nothing was traced."""
        return _ratio(self.right_length, self.traced_length)

    @property
    def recall(self) -> float:
        """Part of the true length that was found; NaN where there is none."""
        return _ratio(self.found_length, self.truth_length)

    @property
    def traced_to_truth(self) -> float:
        """Mean distance (px) of the paths to the axons that they follow; NaN without such."""
        return _ratio(self.traced_offset, self.following_length)

    @property
    def truth_to_traced(self) -> float:
        """Mean distance (px) of the axons to the paths that follow them; NaN without such."""
        return _ratio(self.truth_offset, self.met_length)


@dataclass(frozen=True)
class TracingAccuracy:
    """What `tracing_accuracy` found.

    Attributes
    ----------
    overall
        All axons, and the paths that follow none.
    axons
        For each true axon.
    followed
        For each traced path the axon that it follows, or None.
    tolerance
        px.
    """

    overall: Agreement
    axons: dict[AxonKey, Agreement]
    followed: tuple[AxonKey | None, ...]
    tolerance: float


def tracing_accuracy(
    traced: Sequence[Centreline | npt.ArrayLike],
    truth: Sequence[Centreline | npt.ArrayLike],
    tolerance: float = 2.0,
    *,
    ignore: Sequence[npt.ArrayLike] = (),
    ignore_distance: float = 6.0,
    reach: float | None = None,
) -> TracingAccuracy:
    """Compare traced paths with true centrelines.

    Each path is compared with one axon, all branches of it together: the one to which its mean
    distance is smallest, where distances beyond `reach` count as `reach`. Less than half of its
    length within reach of that axon, it follows none: it lowers the precision and nothing else.
    Were each sample compared with whatever lies nearest, a path that jumps from axon to axon at
    crossings would look perfect, and one beside its axon would be excused by those that it crosses.
    The cap keeps one stray end from deciding.

    Paths and axons are sampled evenly along their length (`STEP`), so the spacing of their vertices
    does not matter. Distances are from a sample to the nearest point of the other side's segments.

    Parameters
    ----------
    traced
        Paths, as `Centreline` (whose image counts, not its axon) or as (K, 2) arrays of (row,
        column) in pixels.
    truth
        True centrelines, likewise; an array is an axon by itself. Those that are ``faint`` join
        `ignore`.
    tolerance
        px; up to it, a path is right.
    ignore
        (K, 2) arrays, of every image. Of paths and axons, what is within `ignore_distance` (px) of
        these is left out.
    reach
        px; omitted, five times the tolerance.

    Raises
    ------
    InputError
        A path is no (K, 2) array, or a distance is not positive.
    """
    reach = _REACH * tolerance if reach is None else reach
    for name, value in (("tolerance", tolerance), ("reach", reach)):
        if not 0 < value < math.inf:
            raise InputError(f"The {name} is {value} px; give a positive distance.")
    paths, lines = as_centrelines(traced), as_centrelines(truth)
    always = [line.points for line in as_centrelines(ignore)]
    overall = Agreement()
    axons: dict[AxonKey, Agreement] = {}
    followed: list[AxonKey | None] = [None] * len(paths)
    for image in sorted({line.image for line in (*paths, *lines)}):
        here = [line for line in lines if line.image == image]
        blurred = _Segments.of(always + [line.points for line in here if line.faint])
        clear: dict[AxonKey, list[Points]] = {}
        for line in here:
            if not line.faint:
                clear.setdefault(line.key, []).append(line.points)
        true = {key: _Segments.of(points) for key, points in clear.items()}
        found = dict.fromkeys(true, Agreement())
        followers: dict[AxonKey, list[Points]] = {key: [] for key in true}

        for index, path in enumerate(paths):
            if path.image != image or path.faint:
                continue
            samples = _Segments.of([path.points]).samples(blurred, ignore_distance)
            key, distance = _most_alike(samples, true, reach)
            if key is None:
                overall += Agreement(traced_length=samples.length)
                continue
            followed[index] = key
            followers[key].append(path.points)
            found[key] += Agreement(
                traced_length=samples.length,
                following_length=samples.length,
                right_length=samples.total(distance <= tolerance),
                traced_offset=samples.total(distance),
            )
        for key, axon in true.items():
            samples = axon.samples(blurred, ignore_distance)
            found[key] += Agreement(truth_length=samples.length)
            if followers[key]:
                distance = _Segments.of(followers[key]).distance(samples.points)
                found[key] += Agreement(
                    met_length=samples.length,
                    found_length=samples.total(distance <= tolerance),
                    truth_offset=samples.total(distance),
                )
        axons |= found
    return TracingAccuracy(sum(axons.values(), overall), axons, tuple(followed), tolerance)


# ---------------------------------------------------------------- geometry


@dataclass(frozen=True)
class _Samples:
    """Points (N, 2) on paths, and the length that each stands for."""

    points: Points
    weights: npt.NDArray[np.float64]

    @property
    def length(self) -> float:
        return float(self.weights.sum())

    def total(self, values: npt.NDArray[Any]) -> float:
        """Integral of what has a value at each point."""
        return float(self.weights @ values)


@dataclass(frozen=True)
class _Segments:
    """Straight pieces of paths, from `starts` to `ends`, each (S, 2)."""

    starts: Points
    ends: Points

    @classmethod
    def of(cls, paths: Sequence[Points]) -> _Segments:
        none = [np.empty((0, 2))]
        return cls(
            np.concatenate(none + [path[:-1] for path in paths]),
            np.concatenate(none + [path[1:] for path in paths]),
        )

    def samples(self, blurred: _Segments, ignore_distance: float) -> _Samples:
        """Midpoints of pieces of at most `STEP`, but for those near what is to be ignored."""
        along = self.ends - self.starts
        lengths = np.hypot(*along.T)
        pieces = np.ceil(lengths / STEP).astype(int)
        segment = np.repeat(np.arange(len(pieces)), pieces)
        number = np.arange(len(segment)) - (np.cumsum(pieces) - pieces)[segment]
        part = (number + 0.5) / pieces[segment]
        points = self.starts[segment] + part[:, None] * along[segment]
        weights = (lengths / np.maximum(pieces, 1))[segment]
        if len(blurred.starts):
            keep = blurred.distance(points) > ignore_distance
            points, weights = points[keep], weights[keep]
        return _Samples(points, weights)

    def distance(self, points: Points) -> npt.NDArray[np.float64]:
        """Distance of each point (N, 2) to the nearest segment; infinite without any."""
        nearest = np.full(len(points), np.inf)
        if not len(self.starts):
            return nearest
        lowest, highest = np.minimum(self.starts, self.ends), np.maximum(self.starts, self.ends)
        for first in range(0, len(points), _BLOCK):
            block = points[first : first + _BLOCK]
            low, high = block.min(0), block.max(0)
            # A segment that is farther from the box around the block than another one is from the
            # box's farthest corner is nearest to none of the block.
            gap = np.hypot(*np.maximum(np.maximum(lowest - high, low - highest), 0).T)
            far = np.hypot(*np.maximum(self.starts - low, high - self.starts).T)
            near = gap <= far.min()
            (r0, c0), (r1, c1) = self.starts[near].T, self.ends[near].T
            rows, columns = r1 - r0, c1 - c0
            square = np.maximum(rows**2 + columns**2, np.finfo(float).tiny)
            dr, dc = block[:, :1] - r0, block[:, 1:] - c0
            part = np.clip((dr * rows + dc * columns) / square, 0, 1)
            dr -= part * rows
            dc -= part * columns
            nearest[first : first + _BLOCK] = np.sqrt((dr**2 + dc**2).min(1))
        return nearest

    def misses(self, points: Points, reach: float) -> bool:
        """Whether the boxes around the points and around the paths say that none is in reach."""
        if not len(points) or not len(self.starts):
            return True
        ends = np.concatenate([self.starts, self.ends])
        gap = np.maximum(points.min(0) - ends.max(0), ends.min(0) - points.max(0))
        return bool((gap > reach).any())


def _most_alike(
    samples: _Samples, axons: dict[AxonKey, _Segments], reach: float
) -> tuple[AxonKey | None, npt.NDArray[np.float64]]:
    """The axon that a path follows, if any, and the path's distance to it."""
    best: AxonKey | None = None
    found, least = np.full(len(samples.points), np.inf), math.inf
    for key, axon in axons.items():
        if axon.misses(samples.points, reach):
            continue
        distance = axon.distance(samples.points)
        capped = samples.total(np.minimum(distance, reach))
        if capped < least:
            best, found, least = key, distance, capped
    follows = samples.total(found <= reach) >= samples.length / 2
    return (best if follows else None), found


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
