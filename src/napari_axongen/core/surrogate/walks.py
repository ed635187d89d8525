"""Persistent random walks.

In the plane, directions drawn until the cosine to the last one exceeds the conformity (Billot 2017)
are exactly headings that turn by U(-alpha, alpha), alpha = acos(conformity): no rejection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .random import Floats


@dataclass
class Walks:
    """Paths of any leading shape (...).

    Attributes
    ----------
    points
        float64 (..., K + 1, 2): rows and columns in px; beyond ``count`` without meaning.
    headings
        float64 (..., K): of the step that follows a point, in turns; 0 points along the columns,
        1/4 along the rows.
    count
        int64 (...): points of the path.
    """

    points: Floats
    headings: Floats
    count: NDArray[np.int64]


def walk(
    start: Floats,
    heading: Floats,
    alpha: Floats,
    step: Floats,
    draws: Floats,
    shape: tuple[int, int],
    first_turn: bool = True,
) -> Walks:
    """Walk until the edge of the field; the last point is put onto it.

    Parameters
    ----------
    start
        (..., 2): rows and columns in px.
    heading, alpha
        (...): first heading and greatest turn, in turns.
    step
        (...): px.
    draws
        (..., K): uniform on (0, 1); K bounds the number of steps.
    shape
        Rows and columns of the field.
    first_turn
        Whether the first step turns, too.
    """
    turns = (2 * draws - 1) * alpha[..., None]
    if not first_turn:
        turns[..., 0] = 0
    headings = turns.cumsum(-1)
    headings += heading[..., None]
    angle = headings * (2 * math.pi)
    points = np.empty((*headings.shape[:-1], headings.shape[-1] + 1, 2))
    points[..., 0, :] = start
    inside = np.ones(headings.shape, dtype=bool)
    for axis, edge in enumerate((shape[0] - 1.0, shape[1] - 1.0)):
        component = np.cos(angle) if axis else np.sin(angle)
        component *= step[..., None]
        along = component.cumsum(-1)
        along += start[..., axis, None]
        inside &= (along > 0) & (along < edge)
        points[..., 1:, axis] = fine(np.clip(along, 0, edge, out=along))
    steps = np.where(inside.all(-1), draws.shape[-1], inside.argmin(-1) + 1)
    return Walks(points, headings, steps + 1)


def fine(lengths: Floats) -> Floats:
    """Round to 2**-12 px: float32 holds it exactly, and other machines compute the same."""
    return np.rint(lengths * 4096) / 4096


def directions(turns: Floats) -> Floats:
    """Sine and cosine of headings in turns, (..., 2): steps along rows and columns."""
    angle = 2 * math.pi * turns
    return np.stack((np.sin(angle), np.cos(angle)), axis=-1)
