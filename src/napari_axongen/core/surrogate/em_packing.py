"""Where outlines lie: dense random packing without overlap, in bounded time.

Every outline keeps its size and shape and none is left out, so packing cannot bias them. What does
not fit makes the field grow, which lowers the fraction that is filled.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_SLACK = 0.25  # px: kept besides the gap, and what may be left of it
_DENSEST = 0.86  # part of a plane that discs of many sizes take at random, at most
_PUSH, _MOMENTUM = 0.4, 0.8
_GROWTH = 1.005  # of the sides, where no room was found
_MOST_STEPS = 1500


def pack(
    rng: np.random.Generator, outlines: Floats, gap: float, sides: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Place outlines at random on a torus so that none overlaps another.

    They start anywhere and push each other apart where they overlap, the smaller of a pair the
    more, first as seen along the line between their centres, then as they are.

    Parameters
    ----------
    rng
        All randomness comes from it.
    outlines
        (N, K) radii at K equally spaced angles, px.
    gap
        Least distance between two, px.
    sides
        Height and width of the torus, px; each more than twice the greatest extent and the gap.

    Returns
    -------
    centres
        (N, 2) y and x.
    sides
        (2,), in their proportion; greater than those given where these were too small.
    """
    radii = np.sqrt(np.mean(outlines**2, axis=1))
    crowded = np.pi * np.sum((radii + gap / 2) ** 2) / (_DENSEST * sides[0] * sides[1])
    torus = np.asarray(sides) * np.sqrt(max(1.0, crowded))
    packing = _Packing(outlines, gap + _SLACK, torus, rng.random((len(outlines), 2)) * torus)
    packing.relax(np.zeros(1, int), patience=200)
    corners = outlines.shape[1]
    packing.relax(np.linspace(-corners // 5, corners // 5, 11).astype(int), patience=150)
    return packing.centres, packing.sides


class _Packing:
    """Outlines on their way to places where they do not overlap."""

    def __init__(self, outlines: Floats, gap: float, sides: Floats, centres: Floats) -> None:
        self.outlines, self.gap, self.sides, self.centres = outlines, gap, sides, centres
        self.reach = outlines.max(axis=1, initial=0)
        self.weight = outlines.mean(axis=1)

    def relax(self, facing: Ints, patience: int) -> None:
        """Push until nothing overlaps; the torus grows when that takes too many steps.

        Parameters
        ----------
        facing
            Which corners to test, counted from the one that faces the other outline.
        patience
            Steps before the torus grows; after that it does so every third of them.
        """
        skin = float(np.median(self.reach))
        first, second = self._neighbours(skin)
        listed, speed, grow_at = self.centres, np.zeros_like(self.centres), patience
        for step in range(_MOST_STEPS):
            if 2 * float(np.max(np.hypot(*(self.centres - listed).T))) > skin:
                first, second = self._neighbours(skin)
                listed = self.centres
            overlap, direction, distance = self._overlaps(first, second, facing)
            if overlap.max(initial=0) <= _SLACK:
                return
            if step == grow_at:
                self._grow(_GROWTH)
                listed = listed * _GROWTH
                grow_at += patience // 3
            speed = _MOMENTUM * speed + _PUSH * self._push(first, second, overlap, direction)
            self.centres = self.centres + speed
        self._grow(1 + float(np.max(overlap / distance)))  # no room in time: all move apart

    def _grow(self, factor: float) -> None:
        self.sides, self.centres = self.sides * factor, self.centres * factor

    def _push(self, first: Ints, second: Ints, overlap: Floats, direction: Floats) -> Floats:
        """How far each is pushed: the sum over those that it overlaps."""
        hit = np.flatnonzero(overlap > 0)
        first, second = first[hit], second[hit]
        share = self.weight[second] / (self.weight[first] + self.weight[second])
        move = overlap[hit, None] * direction[hit]
        count = len(self.centres)
        pushed = [
            np.bincount(second, along * (1 - share), count)
            - np.bincount(first, along * share, count)
            for along in move.T
        ]
        return np.stack(pushed, axis=1)

    def _between(self, first: Ints, second: Ints) -> tuple[Floats, Floats]:
        """Shortest ways from the first to the second, and their lengths."""
        way = self.centres[second] - self.centres[first]
        way -= self.sides * np.rint(way / self.sides)
        return way, np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-9)

    def _neighbours(self, skin: float) -> tuple[Ints, Ints]:
        """Pairs that may come to touch before all have moved by the skin; the larger first."""
        self.centres = self.centres % self.sides
        self.centres[self.centres >= self.sides] = 0  # a small negative number, rounded
        tree = cKDTree(self.centres, boxsize=self.sides)
        order = np.empty(len(self.reach), np.intp)
        order[np.argsort(-self.reach, kind="stable")] = np.arange(len(self.reach))
        found = tree.query_ball_point(self.centres, 2 * self.reach + self.gap + skin)
        first = np.repeat(np.arange(len(found)), [len(near) for near in found])
        second = np.fromiter(itertools.chain.from_iterable(found), np.intp, len(first))
        larger = order[first] < order[second]
        first, second = first[larger], second[larger]
        _, distance = self._between(first, second)
        near = distance < self.reach[first] + self.reach[second] + self.gap + skin
        return first[near], second[near]

    def _overlaps(self, first: Ints, second: Ints, facing: Ints) -> tuple[Floats, Floats, Floats]:
        """How deep each pair overlaps, the direction to the second, and the distance."""
        corners = self.outlines.shape[1]
        turn = corners / (2 * np.pi)
        way, distance = self._between(first, second)
        near = np.flatnonzero(distance < self.reach[first] + self.reach[second] + self.gap)
        first, second, apart = first[near], second[near], distance[near]
        ahead = np.rint(np.arctan2(way[near, 0], way[near, 1]) * turn).astype(np.intp)
        overlap = np.full(len(near), -np.inf)
        sight = [(first, second, ahead), (second, first, ahead + corners // 2)]
        if len(facing) == 1:  # of the two corners that face each other, one tells all
            del sight[1]
        for one, other, toward in sight:
            for offset in facing:
                # A corner of the one, as seen from the other: where does its own outline lie?
                radius = self.outlines[one, (toward + offset) % corners]
                along = radius * np.cos(offset / turn) - apart
                across = radius * np.sin(offset / turn)
                seen = np.rint(np.arctan2(across, along) * turn).astype(np.intp)
                edge = self.outlines[other, (toward + seen) % corners]
                depth = edge + self.gap - np.hypot(along, across)
                np.maximum(overlap, depth, out=overlap)
        whole = np.full(len(distance), -np.inf)
        whole[near] = overlap
        return whole, way / distance[:, None], distance
