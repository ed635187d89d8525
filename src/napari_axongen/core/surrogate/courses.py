"""What happens along a branch: gaps, the course of the brightness, the depth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .parameters import AxonParameters, Profile
from .random import Draws, Floats


def draw_gaps(
    draws: Draws, parameters: AxonParameters, count: NDArray[np.int64], step: Floats, places: int
) -> Floats:
    """Gaps of some branches: the brightness falls linearly to zero and rises again.

    Parameters
    ----------
    draws
        Random numbers of the branches (n rows).
    count
        (n,): points of a branch.
    step
        (n,): px between points.
    places
        P, the greatest number of points.

    Returns
    -------
    (n, P): factor of the brightness; below 1 in a gap.
    """
    factor = np.ones((len(draws), places))
    number = draws.parameter(parameters, "gaps")
    most = int(number.max(initial=0))
    if not most:
        return factor
    by_gap = draws.children("gap", most)
    centres = np.floor(by_gap.uniform("centre").reshape(-1, most) * count[:, None])
    halves = by_gap.parameter(parameters, "gap_length").reshape(-1, most) / (2 * step[:, None])
    halves = np.where(np.arange(most) < number[:, None], halves, 0.0)
    for centre, half in zip(centres.T, halves.T, strict=True):
        away = np.abs(np.arange(places) - centre[:, None])
        np.multiply(
            factor, away / np.maximum(half, 1e-9)[:, None], out=factor, where=away < half[:, None]
        )
    return factor


def draw_course(
    draws: Draws, parameters: AxonParameters, profile: Profile, begin: Floats, fraction: Floats
) -> Floats:
    """Course of the brightness, as quantiles of its distribution.

    For a uniform distribution this is the original's: a start, a cosine between a level above and
    one below it, or a straight line from the start.

    Parameters
    ----------
    draws
        Random numbers of the branches (n rows).
    begin
        (n,): quantile at the start.
    fraction
        (n, P): place along the branch, 0 to 1.

    Returns
    -------
    (n, P), within (0, 1).
    """
    reach = draws.parameter(parameters, "variation")
    above, below, way = draws.uniform("course", 3).T
    top = begin + (1 - begin) * above * reach
    bottom = begin - begin * below * reach
    if profile == "constant":
        return np.broadcast_to(begin[:, None], fraction.shape)
    if profile == "linear":
        end = np.where(way < 0.5, top, bottom)
        return _line(begin, end, fraction)
    middle, swing = (top + bottom) / 2, (top - bottom) / 2
    phase = np.arccos(np.clip((begin - middle) / np.maximum(swing, 1e-12), -1, 1))
    phase = np.where(way < 0.5, phase, -phase)  # falling or rising at first
    angle = 2 * math.pi * draws.parameter(parameters, "periods")[:, None] * fraction
    course: Floats = middle[:, None] + swing[:, None] * np.cos(angle + phase[:, None])
    return course


def draw_depth(draws: Draws, begin: Floats, fraction: Floats) -> Floats:
    """Depth along branches, from ``begin`` (n,) to an end of its own: (n, P), -1 to 1."""
    end = 2 * draws.uniform("depth") - 1
    return _line(begin, end, fraction)


def _line(begin: Floats, end: Floats, fraction: Floats) -> Floats:
    line: Floats = begin[:, None] + (end - begin)[:, None] * fraction
    return line
