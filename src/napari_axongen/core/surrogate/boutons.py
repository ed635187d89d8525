"""Boutons: on the axon (en passant), or at the end of a short stalk (terminal)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .axons import Axons
from .parameters import BoutonParameters
from .random import Draws
from .walks import directions, fine

_ROUNDS = 16


@dataclass
class Boutons:
    """Boutons of a batch in slots (B, N).

    Attributes
    ----------
    there
        bool (B, N): whether a slot is filled.
    centre, foot, control
        float64 (B, N, 2): rows and columns in px; where the stalk begins, and the point towards
        which it does.
    heading
        float64 (B, N): of the axon there, in turns.
    radius, elongation, brightness
        float64 (B, N).
    terminal
        bool (B, N).
    axon, branch
        int64 (B, N): slots in `Axons`.
    stalk
        float64 (B, N): coefficient of the axon at the foot.
    draws
        Random numbers of the boutons, row ``image * N + bouton``.
    missing
        int64 (B,): boutons for which no room was found.
    """

    there: torch.Tensor
    centre: torch.Tensor
    foot: torch.Tensor
    control: torch.Tensor
    heading: torch.Tensor
    radius: torch.Tensor
    elongation: torch.Tensor
    brightness: torch.Tensor
    terminal: torch.Tensor
    axon: torch.Tensor
    branch: torch.Tensor
    stalk: torch.Tensor
    draws: Draws
    missing: torch.Tensor


def draw_boutons(
    draws: Draws,
    parameters: BoutonParameters,
    axons: Axons,
    visible: Callable[[torch.Tensor], torch.Tensor],
) -> Boutons:
    """Put boutons on axons, farther apart than the least distance.

    Twice as many places as boutons are tried, and sixteen more; crowded parameters give fewer.

    Parameters
    ----------
    draws
        Random numbers of the images.
    visible
        Tells of centres (B, N, 2) whether they may be used, bool (B, N).
    """
    wanted = draws.parameter(parameters, "count").long()
    tries = torch.where(wanted > 0, 2 * wanted + 16, 0)
    most = int(tries.max())
    images = len(draws)
    by_try = draws.children("bouton", most)

    def of(name: str) -> torch.Tensor:
        return fine(by_try.parameter(parameters, name).view(images, most))

    place, kind, turn, side, up, across = (
        by_try.uniform("bouton", 6).view(images, most, 6).unbind(-1)
    )
    # any point outside gaps but the ends of the branches
    usable = axons.valid & (axons.gap == 1)
    usable[..., 0] = False
    usable = usable & (
        torch.arange(usable.shape[-1], device=usable.device) + 1 < axons.count[..., None]
    )
    end = usable.flatten(1).long().cumsum(1)
    total = end[:, -1:] if end.shape[1] else torch.zeros((images, 1), dtype=torch.int64)
    good = (torch.arange(most, device=total.device) < tries[:, None]) & (total > 0)
    if not most or not end.shape[1]:
        return _none(images, by_try, wanted)
    found = torch.searchsorted(end, torch.floor(place * total).long(), right=True)
    found = found.clamp(max=end.shape[1] - 1)
    j, p = axons.points.shape[2:4]
    rows = torch.arange(images, device=found.device)[:, None]
    at = (rows, found // (j * p), found // p % j, found % p)
    foot, heading = axons.points[at], axons.headings[(*at[:3], at[3].clamp(max=p - 2))]
    radius = of("radius")
    terminal = kind < draws.parameter(parameters, "terminal")[:, None]
    # far enough from the axon that bouton and axon stay apart: 2 R at least
    stalk = radius * of("stalk_length")
    least = torch.asin((2 * radius / stalk).clamp(max=1)) / (2 * math.pi)
    angle = least + (0.5 - 2 * least) * turn
    away = directions(heading + torch.where(side < 0.5, angle, -angle))
    centre = torch.where(terminal[..., None], fine(foot + stalk[..., None] * away), foot)
    good &= visible(centre)
    there = _apart(centre, good, fine(draws.parameter(parameters, "min_distance")))
    there &= there.long().cumsum(1) <= wanted[:, None]
    return Boutons(
        there,
        centre,
        foot,
        fine(foot + (centre - foot) * torch.stack((up, across), dim=-1)),
        heading,
        radius,
        torch.where(terminal, 1.0, of("elongation")),
        of("brightness"),
        terminal,
        at[1],
        at[2],
        axons.brightness[at],
        by_try,
        wanted - there.sum(1),
    )


def _apart(centre: torch.Tensor, good: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """Keep each place that is farther than a distance from all kept before it, bool (B, N).

    The one-by-one choice of the original, by rounds: what no undecided earlier place is near is
    kept, what a kept one is near is dropped. What is undecided after the last round is dropped.
    """
    off = centre[:, :, None] - centre[:, None]
    near = (off * off).sum(-1) <= (distance * distance)[:, None, None]
    near = near.tril(-1)
    kept = torch.zeros_like(good)
    open_ = good
    for _ in range(_ROUNDS):
        if not bool(open_.any()):
            break
        new = open_ & ~(near & open_[:, None]).any(-1)
        kept = kept | new
        open_ = open_ & ~new & ~(near & kept[:, None]).any(-1)
    return kept


def _none(images: int, draws: Draws, wanted: torch.Tensor) -> Boutons:
    number = torch.zeros((images, 0), dtype=torch.float64, device=draws.device)
    pair = number[..., None].expand(-1, -1, 2)
    slot, yes = number.long(), number.bool()
    draws = draws.select(slot.flatten())
    return Boutons(
        yes,
        pair,
        pair,
        pair,
        number,
        number,
        number,
        number,
        yes,
        slot,
        slot,
        number,
        draws,
        wanted,
    )
