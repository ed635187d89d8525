"""Axons and their branches: where they run, and how bright they are along the way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import compiling
from .courses import draw_course, draw_depth, draw_gaps
from .distributions import bounds, lower
from .occupancy import Occupancy
from .parameters import AxonParameters
from .random import Draws, Floats, quantile, stream_numbers
from .walks import fine, walk

Ints = NDArray[np.int64]
_CANDIDATES = (3, 9, 12)  # tries of a branch, by round
_WIDE = 0.99  # quantile of the thickness that sets how far axons stay apart
_FREE_ROUNDS = 20  # where only a gap is in the way
_LONGEST = 1.25  # diagonals of the field that a walk may take
_BRANCH_ANGLE = 1 / 8  # of a turn, either way


@dataclass
class Axons:
    """Branches of a batch in slots (B, A, J): image, axon, branch. Branch 0 is the mother.

    Attributes
    ----------
    points
        (B, A, J, P, 2): rows and columns in px.
    headings
        (B, A, J, P - 1): of the step after a point, in turns.
    count
        (B, A, J): points of a branch; 0 where there is none.
    parent, sample
        (B, A, J): branch and point of it that a daughter comes from.
    gap
        (B, A, J, P): factor of the brightness, below 1 in a gap.
    brightness
        (B, A, J, P): coefficient, gaps included.
    blur
        (B, A, J, P): sigma by defocus in px.
    thickness, sigma, mask_distance
        (B, A, J): px.
    missing
        (B,): axons and daughters for which no room was found.
    """

    points: Floats
    headings: Floats
    count: Ints
    parent: Ints
    sample: Ints
    gap: Floats
    brightness: Floats
    blur: Floats
    thickness: Floats
    sigma: Floats
    mask_distance: Floats
    missing: Ints

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether a point is part of its branch, (B, A, J, P)."""
        return np.arange(self.points.shape[3]) < self.count[..., None]


def draw_axons(draws: Draws, parameters: AxonParameters, shape: tuple[int, int]) -> Axons:
    """Draw the axons of each image.

    Mothers enter the field and walk until its edge (Billot 2017, `walks`); daughters leave a
    branch of the same axon at any point outside gaps. Where crossings are not allowed, what meets
    another branch is drawn anew, up to two dozen times.

    Parameters
    ----------
    draws
        Random numbers of the images.
    parameters
        Of the axons.
    shape
        Rows and columns of the field, which may be larger than the image.
    """
    growth = _Growth(draws, parameters, shape)
    growth.grow()
    return growth.finish()


@dataclass
class _Tries:
    """Some branches j (n rows), and C candidates for each.

    Attributes
    ----------
    draws, name
        Random numbers of the branches, and the name of those that the candidates walk by.
    image, axon
        (n,): whose they are.
    j
        Which branch of the axon.
    ends
        (n,): part of its way that a branch goes.
    start, heading
        (n, C, 2), (n, C).
    good
        (n, C): whether a candidate may be used.
    """

    draws: Draws
    name: str
    image: Ints
    axon: Ints
    j: int
    ends: Floats
    start: Floats
    heading: Floats
    good: NDArray[np.bool_]


class _Growth:
    """The axons of a batch while they grow."""

    def __init__(self, draws: Draws, parameters: AxonParameters, shape: tuple[int, int]) -> None:
        self.draws, self.parameters, self.shape = draws, parameters, shape
        axons = draws.parameter(parameters, "count").astype(np.int64)
        self.oblique = draws.parameter(parameters, "oblique")
        self.starts_inside = draws.parameter(parameters, "starts_inside")
        self.ends_inside = draws.parameter(parameters, "ends_inside")
        images, self.a = len(draws), int(axons.max())
        by_axon = draws.children("axon", self.a)
        daughters = by_axon.parameter(parameters, "daughters").reshape(images, self.a)
        self.j = 1 + int(daughters.max(initial=0))
        self.slots = (images, self.a, self.j)
        exists = np.arange(self.a) < axons[:, None]
        self.wanted = exists[..., None] & (np.arange(self.j) <= daughters[..., None])
        self.by_branch = by_axon.children("branch", self.j)
        self.chances = self.by_branch.uniform("chances", 4).reshape(*self.slots, 4)
        conformity = by_axon.parameter(parameters, "conformity").reshape(images, self.a)
        self.alpha = np.arccos(conformity) / (2 * math.pi)
        self.defocus = by_axon.parameter(parameters, "defocus").reshape(images, self.a)
        self.step = fine(draws.parameter(parameters, "step"))
        shortest = lower(parameters.step, bounds(AxonParameters, "step")[0])
        self.steps = math.ceil(_LONGEST * math.hypot(*shape) / shortest)
        self.places = np.arange(self.steps + 1)
        self.thickness = self.of_branch("thickness")
        self.tolerance = self.of_branch("straight_branching") * self.thickness
        self.points = np.zeros((*self.slots, self.steps + 1, 2))
        self.headings = np.zeros((*self.slots, self.steps))
        self.gap = np.ones((*self.slots, self.steps + 1))
        self.count, self.parent, self.sample = np.zeros((3, *self.slots), dtype=np.int64)
        self.taken = None
        if not parameters.crossings:
            low, high, _ = bounds(AxonParameters, "thickness")
            wide = quantile(parameters.thickness, np.array([_WIDE]), low, high)
            self.taken = Occupancy(images, shape, 2 * float(wide[0]))

    def of_branch(self, name: str) -> Floats:
        """A parameter of each branch (B, A, J)."""
        return fine(self.by_branch.parameter(self.parameters, name).reshape(self.slots))

    # ------------------------------------------------------------ where they run

    def grow(self) -> None:
        """First all mothers, then the first daughter of each axon, and so on."""
        for j in range(self.j):
            wanted = self.wanted[..., j]
            image, axon = np.nonzero(wanted & (self.count[..., 0] > 0) if j else wanted)
            # where nothing is in the way the first candidate is as good as any
            rounds = _CANDIDATES if self.taken else (1,) * _FREE_ROUNDS
            for attempt, candidates in enumerate(rounds):
                if not len(image):
                    break
                left = self._try(image, axon, j, attempt, candidates)
                image, axon = image[left], axon[left]

    def _try(
        self, image: Ints, axon: Ints, j: int, attempt: int, candidates: int
    ) -> NDArray[np.bool_]:
        """Walk some candidates for each of some branches and keep the first good one.

        Returns whether none was, (n,).
        """
        draws = self.by_branch.select((image * self.a + axon) * self.j + j)
        if j:
            parent, sample, start, heading, good = self._branch_off(
                draws, image, axon, j, attempt, candidates
            )
        else:
            start, heading = self._enter(draws, image, axon, attempt, candidates)
            parent = sample = np.zeros(heading.shape, dtype=np.int64)
            good = np.ones(heading.shape, dtype=bool)
        ends = self._end(image, axon, j)
        tries = _Tries(draws, f"walk {attempt}", image, axon, j, ends, start, heading, good)
        loops = compiling.kernels()
        chosen = self._walk_by(loops, tries) if loops else self._walk(tries)
        new: NDArray[np.bool_] = chosen >= 0
        at, row = (image[new], axon[new], j), (np.flatnonzero(new), chosen[new])
        self.parent[at], self.sample[at] = parent[row], sample[row]
        self.gap[at] = draw_gaps(
            draws.select(new),
            self.parameters,
            self.count[at],
            self.step[image[new]],
            self.steps + 1,
        )
        left: NDArray[np.bool_] = np.logical_not(new)
        return left

    def _walk(self, tries: _Tries) -> Ints:
        """Walk all candidates and take the first good one of each; which, or -1, (n,)."""
        image, axon, j, good = tries.image, tries.axon, tries.j, tries.good
        walks = walk(
            tries.start,
            tries.heading,
            np.broadcast_to(self.alpha[image, axon, None], good.shape),
            np.broadcast_to(self.step[image, None], good.shape),
            tries.draws.uniform(tries.name, good.shape[1], self.steps),
            self.shape,
            first_turn=j == 0,
        )
        shorter = np.ceil(walks.count * tries.ends[:, None]).astype(np.int64)
        count = np.clip(shorter, 2, walks.count)

        def keep(row: Ints) -> None:
            row = row[good[row].any(1)]
            first = good[row].argmax(1)
            at = (image[row], axon[row], j)
            self.points[at] = walks.points[row, first]
            self.headings[at] = walks.headings[row, first]
            self.count[at] = count[row, first]
            if self.taken:
                self.taken.add(image[row], self.points[at], self.places < self.count[at][:, None])

        if not self.taken:
            keep(np.arange(len(image)))
        else:  # one axon after the other, as each takes room from the next
            inside = self.places < count[..., None]
            for a in np.unique(axon).tolist():
                row = np.flatnonzero(axon == a)
                meets = self.taken.meets(image[row], walks.points[row]) & inside[row]
                if j:
                    off = walks.points[row] - tries.start[row][..., None, :]
                    tolerance = self.tolerance[image[row], a, j]
                    meets &= (off * off).sum(-1) > (tolerance * tolerance)[:, None, None]
                good[row] &= ~meets.any(-1)
                keep(row)
        return np.where(good.any(1), good.argmax(1), -1)

    def _walk_by(self, loops: compiling.Kernels, tries: _Tries) -> Ints:
        """Do the same by compiled loops."""
        image, axon, j, taken = tries.image, tries.axon, tries.j, self.taken
        chosen = np.empty(len(image), dtype=np.int64)
        loops.grow(
            tries.draws.keys,
            stream_numbers(tries.name),
            tries.start,
            tries.heading,
            tries.good,
            self.alpha[image, axon],
            self.step[image],
            tries.ends,
            self.tolerance[image, axon, j] ** 2 if j else np.full(len(image), -1.0),
            j == 0,
            (self.shape[0] - 1.0, self.shape[1] - 1.0),
            image,
            taken.taken if taken else np.zeros((1, 1), dtype=bool),
            (taken.margin, taken.columns) if taken else (0, 0),
            (image * self.a + axon) * self.j + j,
            self.points.reshape(-1, self.steps + 1, 2),
            self.headings.reshape(-1, self.steps),
            self.count.reshape(-1),
            chosen,
        )
        return chosen

    def _enter(
        self, draws: Draws, image: Ints, axon: Ints, attempt: int, candidates: int
    ) -> tuple[Floats, Floats]:
        """Starts (n, C, 2) and headings (n, C) of mothers: on the edge, or within the field."""
        u, v, side, around = np.moveaxis(draws.uniform(f"enter {attempt}", 4, candidates), 1, 0)
        chances = self.chances[image, axon, 0]
        oblique = (chances[:, 0] < self.oblique[image])[:, None]
        within = (chances[:, 1] < self.starts_inside[image])[:, None]
        side = np.floor(side * 4)  # top, right, bottom, left
        along = np.where(oblique, u, 0.25 + u / 2)
        row = np.where(side == 0, 0.0, np.where(side == 2, 1.0, along))
        column = np.where(side == 3, 0.0, np.where(side == 1, 1.0, along))
        inwards = (side + 1) / 4  # from the top along the rows, which is a quarter of a turn
        # light falls on a line from all sides: the angle to its normal has a uniform sine
        lean = np.where(oblique, np.arcsin(2 * v - 1) / (2 * math.pi), 0.0)
        start = np.stack((np.where(within, u, row), np.where(within, v, column)), axis=-1)
        start = fine(start * [side - 1.0 for side in self.shape])
        return start, np.where(within, around, inwards + lean)

    def _branch_off(
        self, draws: Draws, image: Ints, axon: Ints, j: int, attempt: int, candidates: int
    ) -> tuple[Ints, Ints, Floats, Floats, NDArray[np.bool_]]:
        """Parent, point of it, start, heading and whether that is outside gaps; each (n, C).

        Any point but the first of the axon's branches is as likely; the direction is that of the
        step to it, give or take 45 degrees.
        """
        u, turn = np.moveaxis(draws.uniform(f"branch off {attempt}", 2, candidates), 1, 0)
        points = np.maximum(self.count[image, axon, :j] - 1, 0)
        end = points.cumsum(1)
        number = np.floor(u * end[:, -1:]).astype(np.int64)
        parent = (number[..., None] >= end[:, None]).sum(-1)
        sample = 1 + number - np.take_along_axis(end - points, parent, axis=1)
        at = (image[:, None], axon[:, None], parent)
        heading = self.headings[(*at, sample - 1)] + (2 * turn - 1) * _BRANCH_ANGLE
        return parent, sample, self.points[(*at, sample)], heading, self.gap[(*at, sample)] == 1

    def _end(self, image: Ints, axon: Ints, j: int) -> Floats:
        """Part of its way that a branch goes, (n,): some end within the field."""
        chance, part = self.chances[image, axon, j, 2:].T
        return np.where(chance < self.ends_inside[image], 0.2 + 0.8 * part, 1.0)

    # ------------------------------------------------------------ what they look like

    def finish(self) -> Axons:
        """Brightness and depth along the branches, mothers first: daughters go on from them."""
        parameters = self.parameters
        fraction = self.places / np.maximum(self.count[..., None] - 1, 1)
        course, depth = np.zeros((2, *self.gap.shape))
        image, axon = np.indices(self.slots[:2])
        flat = (-1, self.steps + 1)
        for j in range(self.j):
            draws = self.by_branch.select(((image * self.a + axon) * self.j + j).ravel())
            if j:
                at = (image, axon, self.parent[..., j], self.sample[..., j])
                begin, top = course[at].ravel(), depth[at].ravel()
            else:
                begin, top = draws.uniform("begin", 2).T
                top = 2 * top - 1
            profile = parameters.branch_profile if j else parameters.profile
            along = fraction[:, :, j].reshape(flat)
            drawn = draw_course(draws, parameters, profile, begin, along)
            course[:, :, j] = drawn.reshape(course[:, :, j].shape)
            depth[:, :, j] = draw_depth(draws, top, along).reshape(depth[:, :, j].shape)
        low, high, _ = bounds(AxonParameters, "brightness")
        valid = self.places < self.count[..., None]
        brightness = np.zeros(self.gap.shape)
        # the ends of a distribution may be infinite
        chance = np.clip(course[valid], 2.0**-24, 1 - 2.0**-24)
        brightness[valid] = quantile(parameters.brightness, chance, low, high) * self.gap[valid]
        return Axons(
            self.points,
            self.headings,
            self.count,
            self.parent,
            self.sample,
            self.gap,
            brightness,
            self.defocus[..., None, None] * np.abs(depth),
            self.thickness,
            self.of_branch("sigma"),
            self.of_branch("mask_distance"),
            (self.wanted & (self.count == 0)).sum((1, 2)),
        )
