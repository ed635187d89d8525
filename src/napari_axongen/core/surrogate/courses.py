"""What happens along a branch: gaps, the course of the brightness, the depth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from .random import Draws
from .walks import directions

if TYPE_CHECKING:
    from .parameters import AxonParameters, Profile


def draw_gaps(
    draws: Draws, parameters: AxonParameters, count: torch.Tensor, step: torch.Tensor, places: int
) -> torch.Tensor:
    """Gaps of some branches: the brightness falls linearly to zero and rises again.

    Parameters
    ----------
    draws
        Random numbers of the branches (n rows).
    count
        int64 (n,): points of a branch.
    step
        float64 (n,): px between points.
    places
        P, the greatest number of points.

    Returns
    -------
    float64 (n, P): factor of the brightness; below 1 in a gap.
    """
    place = torch.arange(places, dtype=torch.float64, device=draws.device)
    factor = torch.ones((len(draws), places), dtype=torch.float64, device=draws.device)
    number = draws.parameter(parameters, "gaps")
    most = int(number.max()) if len(draws) else 0
    if not most:
        return factor
    by_gap = draws.children("gap", most)
    centres = torch.floor(by_gap.uniform("centre").view(len(draws), most) * count[:, None])
    halves = by_gap.parameter(parameters, "gap_length").view(len(draws), most) / (2 * step[:, None])
    halves = torch.where(torch.arange(most, device=draws.device) < number[:, None], halves, 0.0)
    for centre, half in zip(centres.unbind(1), halves.unbind(1), strict=True):
        away = (place - centre[:, None]).abs()
        factor = torch.where(away < half[:, None], factor * away / half[:, None], factor)
    return factor


def draw_course(
    draws: Draws,
    parameters: AxonParameters,
    profile: Profile,
    begin: torch.Tensor,
    fraction: torch.Tensor,
) -> torch.Tensor:
    """Course of the brightness, as quantiles of its distribution.

    For a uniform distribution this is the original's: a start, a cosine between a level above and
    one below it, or a straight line from the start.

    Parameters
    ----------
    draws
        Random numbers of the branches (n rows).
    begin
        float64 (n,): quantile at the start.
    fraction
        float64 (n, P): place along the branch, 0 to 1.

    Returns
    -------
    float64 (n, P), within (0, 1).
    """
    reach = draws.parameter(parameters, "variation")
    above, below, way = draws.uniform("course", 3).unbind(1)
    top = begin + (1 - begin) * above * reach
    bottom = begin - begin * below * reach
    if profile == "constant":
        return begin[:, None].expand_as(fraction)
    if profile == "linear":
        end = torch.where(way < 0.5, top, bottom)
        return begin[:, None] + (end - begin)[:, None] * fraction
    middle, swing = (top + bottom) / 2, (top - bottom) / 2
    ratio = (begin - middle) / swing.clamp(min=1e-12)
    phase = torch.acos(ratio.clamp(-1, 1)) / (2 * math.pi)
    phase = torch.where(way < 0.5, phase, -phase)  # rising or falling at first
    periods = draws.parameter(parameters, "periods")
    wave = directions(periods[:, None] * fraction + phase[:, None])[..., 1]
    return middle[:, None] + swing[:, None] * wave


def draw_depth(draws: Draws, begin: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Depth along branches, from ``begin`` (n,) to an end of its own: float64 (n, P), -1 to 1."""
    end = 2 * draws.uniform("depth") - 1
    return begin[:, None] + (end - begin)[:, None] * fraction
