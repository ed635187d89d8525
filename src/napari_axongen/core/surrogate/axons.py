"""Axons and their branches: where they run, and how bright they are along the way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .courses import draw_course, draw_depth, draw_gaps
from .distributions import bounds, lower, upper
from .occupancy import Occupancy
from .parameters import AxonParameters
from .random import Draws, quantile
from .walks import fine, walk

_CANDIDATES = 4
_ROUNDS = 15  # together as many tries as the original takes before it starts the image anew
_LONGEST = 1.5  # diagonals of the field that a walk may take
_BRANCH_ANGLE = 1 / 8  # of a turn, either way


@dataclass
class Axons:
    """Branches of a batch in slots (B, A, J): image, axon, branch. Branch 0 is the mother.

    Attributes
    ----------
    points
        float64 (B, A, J, P, 2): rows and columns in px.
    headings
        float64 (B, A, J, P - 1): of the step after a point, in turns.
    count
        int64 (B, A, J): points of a branch; 0 where there is none.
    parent, sample
        int64 (B, A, J): branch and point of it that a daughter comes from.
    gap
        float64 (B, A, J, P): factor of the brightness, below 1 in a gap.
    brightness
        float64 (B, A, J, P): coefficient, gaps included.
    blur
        float64 (B, A, J, P): sigma by defocus in px.
    thickness, sigma, mask_distance
        float64 (B, A, J): px.
    missing
        int64 (B,): axons and daughters for which no room was found.
    """

    points: torch.Tensor
    headings: torch.Tensor
    count: torch.Tensor
    parent: torch.Tensor
    sample: torch.Tensor
    gap: torch.Tensor
    brightness: torch.Tensor
    blur: torch.Tensor
    thickness: torch.Tensor
    sigma: torch.Tensor
    mask_distance: torch.Tensor
    missing: torch.Tensor

    @property
    def valid(self) -> torch.Tensor:
        """Bool (B, A, J, P): whether a point is part of its branch."""
        return torch.arange(self.points.shape[3], device=self.count.device) < self.count[..., None]


def draw_axons(draws: Draws, parameters: AxonParameters, shape: tuple[int, int]) -> Axons:
    """Draw the axons of each image.

    Mothers enter the field and walk until its edge (Billot 2017, `walks`); daughters leave a
    branch of the same axon at any point outside gaps. Where crossings are not allowed, what meets
    another branch is drawn anew, at most sixty times.

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


class _Growth:
    """The axons of a batch while they grow."""

    def __init__(self, draws: Draws, parameters: AxonParameters, shape: tuple[int, int]) -> None:
        self.draws, self.parameters, self.shape = draws, parameters, shape
        self.axons = draws.parameter(parameters, "count").long()
        self.oblique = draws.parameter(parameters, "oblique")
        self.starts_inside = draws.parameter(parameters, "starts_inside")
        self.ends_inside = draws.parameter(parameters, "ends_inside")
        images, device = len(draws), draws.device
        self.a = int(self.axons.max())
        by_axon = draws.children("axon", self.a)
        self.daughters = by_axon.parameter(parameters, "daughters").long().view(images, self.a)
        self.j = 1 + (int(self.daughters.max()) if self.a else 0)
        self.slots = (images, self.a, self.j)
        self.by_branch = by_axon.children("branch", self.j)
        self.chances = self.by_branch.uniform("chances", 4).view(*self.slots, 4)
        conformity = by_axon.parameter(parameters, "conformity").view(images, self.a)
        self.alpha = torch.acos(conformity) / (2 * math.pi)
        self.defocus = by_axon.parameter(parameters, "defocus").view(images, self.a)
        self.step = fine(draws.parameter(parameters, "step"))
        shortest = lower(parameters.step, bounds(AxonParameters, "step")[0])
        self.steps = math.ceil(_LONGEST * math.hypot(*shape) / shortest)
        self.thickness = self.of_branch("thickness")
        self.tolerance = self.of_branch("straight_branching") * self.thickness
        path = (*self.slots, self.steps + 1)
        self.points = torch.zeros((*path, 2), dtype=torch.float64, device=device)
        self.headings = torch.zeros((*self.slots, self.steps), dtype=torch.float64, device=device)
        self.gap = torch.ones(path, dtype=torch.float64, device=device)
        self.count, self.parent, self.sample = torch.zeros(
            (3, *self.slots), dtype=torch.int64, device=device
        )

    def of_branch(self, name: str) -> torch.Tensor:
        """A parameter of each branch (B, A, J), rounded so that all devices have the same."""
        return fine(self.by_branch.parameter(self.parameters, name).view(self.slots))

    # ------------------------------------------------------------ where they run

    def grow(self) -> None:
        """First all mothers, then the first daughter of each axon, and so on."""
        exists = torch.arange(self.a, device=self.axons.device) < self.axons[:, None]
        branch = torch.arange(self.j, device=self.axons.device)
        self.wanted = exists[..., None] & (branch <= self.daughters[..., None])
        taken = None
        if not self.parameters.crossings:
            widest = upper(self.parameters.thickness, bounds(AxonParameters, "thickness")[1])
            taken = Occupancy(len(self.draws), self.shape, 2 * widest, self.axons.device)
        for j in range(self.j):
            wanted = self.wanted[..., j] & (self.count[..., 0] > 0 if j else True)
            image, axon = wanted.nonzero(as_tuple=True)
            for attempt in range(_ROUNDS):
                if not len(image):
                    break
                left = self._try(image, axon, j, attempt, taken)
                image, axon = image[left], axon[left]

    def _try(
        self,
        image: torch.Tensor,
        axon: torch.Tensor,
        j: int,
        attempt: int,
        taken: Occupancy | None,
    ) -> torch.Tensor:
        """Walk several candidates each of some branches and keep the first good one.

        Returns whether none was, bool (n,).
        """
        draws = self.by_branch.select((image * self.a + axon) * self.j + j)
        if j:
            parent, sample, start, heading, good = self._branch_off(draws, image, axon, j, attempt)
        else:
            start, heading = self._enter(draws, image, axon, attempt)
            parent = sample = torch.zeros_like(heading, dtype=torch.int64)
            good = torch.ones_like(heading, dtype=torch.bool)
        walks = walk(
            start,
            heading,
            self.alpha[image, axon, None].expand_as(heading),
            self.step[image, None].expand_as(heading),
            draws.uniform(f"walk {attempt}", _CANDIDATES, self.steps),
            self.shape,
            first_turn=j == 0,
        )
        count = self._cut_short(image, axon, j, walks.count)

        def keep(row: torch.Tensor) -> None:
            row = row[good[row].any(1)]
            first = good[row].long().argmax(1)
            at = (image[row], axon[row], j)
            self.points[at] = walks.points[row, first]
            self.headings[at] = walks.headings[row, first]
            self.count[at] = count[row, first]
            self.parent[at], self.sample[at] = parent[row, first], sample[row, first]
            if taken is not None:
                taken.add(image[row], self.points[at], self._places() < self.count[at][:, None])

        if taken is None:
            keep(torch.arange(len(image), device=image.device))
        else:  # one axon after the other, as each takes room from the next
            inside = self._places() < count[..., None]
            for a in torch.unique(axon).tolist():
                row = (axon == a).nonzero()[:, 0]
                meets = taken.meets(image[row], walks.points[row]) & inside[row]
                if j:
                    off = walks.points[row] - start[row][..., None, :]
                    tolerance = self.tolerance[image[row], a, j]
                    meets &= (off * off).sum(-1) > (tolerance * tolerance)[:, None, None]
                good[row] &= ~meets.any(-1)
                keep(row)
        new = good.any(1)
        at = (image[new], axon[new], j)
        self.gap[at] = draw_gaps(
            draws.select(new),
            self.parameters,
            self.count[at],
            self.step[image[new]],
            self.steps + 1,
        )
        return ~new

    def _enter(
        self, draws: Draws, image: torch.Tensor, axon: torch.Tensor, attempt: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Starts (n, C, 2) and headings (n, C) of mothers: on the edge, or within the field."""
        u, v, side, around = draws.uniform(f"enter {attempt}", 4, _CANDIDATES).unbind(1)
        chances = self.chances[image, axon, 0]
        oblique = (chances[:, 0] < self.oblique[image])[:, None]
        within = (chances[:, 1] < self.starts_inside[image])[:, None]
        side = torch.floor(side * 4)  # top, right, bottom, left
        along = torch.where(oblique, u, 0.25 + u / 2)
        row = torch.where(side == 0, 0.0, torch.where(side == 2, 1.0, along))
        column = torch.where(side == 3, 0.0, torch.where(side == 1, 1.0, along))
        inwards = (side + 1) / 4  # from the top along the rows, which is a quarter of a turn
        lean = torch.where(oblique, torch.asin(2 * v - 1) / (2 * math.pi), 0.0)
        start = torch.stack(
            (torch.where(within, u, row), torch.where(within, v, column)), dim=-1
        ) * torch.tensor([side - 1 for side in self.shape], device=image.device)
        heading = torch.where(within, around, inwards + lean)
        return start, heading

    def _branch_off(
        self, draws: Draws, image: torch.Tensor, axon: torch.Tensor, j: int, attempt: int
    ) -> tuple[torch.Tensor, ...]:
        """Parent, point of it, start, heading and whether that is outside gaps; each (n, C).

        Any point but the first of the axon's branches is as likely; the direction is that of the
        step to it, give or take 45 degrees.
        """
        u, turn = draws.uniform(f"branch off {attempt}", 2, _CANDIDATES).unbind(1)
        points = (self.count[image, axon, :j] - 1).clamp(min=0)
        end = points.cumsum(1)
        number = torch.floor(u * end[:, -1:]).long()
        parent = (number[..., None] >= end[:, None]).sum(-1)
        sample = 1 + number - (end - points).gather(1, parent)
        at = (image[:, None], axon[:, None], parent, sample)
        heading = self.headings[image[:, None], axon[:, None], parent, sample - 1]
        heading = heading + (2 * turn - 1) * _BRANCH_ANGLE
        return parent, sample, self.points[at], heading, self.gap[at] == 1

    def _cut_short(
        self, image: torch.Tensor, axon: torch.Tensor, j: int, count: torch.Tensor
    ) -> torch.Tensor:
        """Let some branches end within the field."""
        chance, part = self.chances[image, axon, j, 2:, None].unbind(1)
        shorter = torch.ceil(count * (0.2 + 0.8 * part)).long().clamp(min=2)
        ends = chance < self.ends_inside[image, None]
        return torch.where(ends, torch.minimum(shorter, count), count)

    def _places(self) -> torch.Tensor:
        return torch.arange(self.steps + 1, device=self.axons.device)

    # ------------------------------------------------------------ what they look like

    def finish(self) -> Axons:
        """Brightness and depth along the branches, mothers first: daughters go on from them."""
        parameters = self.parameters
        fraction = self._places() / (self.count[..., None] - 1).clamp(min=1)
        course, depth = torch.zeros(
            (2, *self.gap.shape), dtype=torch.float64, device=fraction.device
        )
        image, axon = torch.meshgrid(
            torch.arange(self.slots[0]), torch.arange(self.a), indexing="ij"
        )
        for j in range(self.j):
            draws = self.by_branch.select(((image * self.a + axon) * self.j + j).view(-1))
            profile = parameters.branch_profile if j else parameters.profile
            if j:
                at = (image, axon, self.parent[..., j], self.sample[..., j])
                begin, top = course[at].view(-1), depth[at].view(-1)
            else:
                begin, top = draws.uniform("begin"), 2 * draws.uniform("begin deep") - 1
            along = fraction[:, :, j].reshape(-1, self.steps + 1)
            course[:, :, j] = draw_course(draws, parameters, profile, begin, along).view_as(
                course[:, :, j]
            )
            depth[:, :, j] = draw_depth(draws, top, along).view_as(depth[:, :, j])
        low, high, _ = bounds(AxonParameters, "brightness")
        coefficient = quantile(
            parameters.brightness, course.clamp(2.0**-24, 1 - 2.0**-24), low, high
        )
        return Axons(
            self.points,
            self.headings,
            self.count,
            self.parent,
            self.sample,
            self.gap,
            coefficient * self.gap,
            self.defocus[..., None, None] * depth.abs(),
            self.thickness,
            self.of_branch("sigma"),
            self.of_branch("mask_distance"),
            (self.wanted & (self.count == 0)).sum((1, 2)),
        )
