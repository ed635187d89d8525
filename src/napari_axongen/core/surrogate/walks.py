"""Persistent random walks: the same path, to the bit, on every device.

In the plane, directions drawn until the cosine to the last one exceeds the conformity (Billot 2017)
are exactly headings that turn by U(-alpha, alpha), alpha = acos(conformity): no rejection.

Headings are whole multiples of 2**-20 of a turn, their sines and cosines of 2**-14, steps and
positions of 2**-12 px. Sums and products of such numbers are exact in float64, in any order.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

_TURNS = 1 << 20
_TABLE_BITS = 14


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

    points: torch.Tensor
    headings: torch.Tensor
    count: torch.Tensor


def walk(
    start: torch.Tensor,
    heading: torch.Tensor,
    alpha: torch.Tensor,
    step: torch.Tensor,
    draws: torch.Tensor,
    shape: tuple[int, int],
    first_turn: bool = True,
) -> Walks:
    """Walk until the edge of the field; the last point is put onto it.

    Parameters
    ----------
    start
        float64 (..., 2): rows and columns in px.
    heading, alpha
        float64 (...): first heading and greatest turn, in turns.
    step
        float64 (...): px.
    draws
        float64 (..., K): uniform on (0, 1); K bounds the number of steps.
    shape
        Rows and columns of the field.
    first_turn
        Whether the first step turns, too.
    """
    most = torch.round(alpha * _TURNS)[..., None]
    turns = torch.floor(draws * (2 * most + 1)) - most
    if not first_turn:
        turns[..., 0] = 0
    headings = torch.round(heading * _TURNS)[..., None] + turns.cumsum(-1)
    moves = directions(headings / _TURNS) * fine(step)[..., None, None]
    points = torch.cat((fine(start)[..., None, :], moves), dim=-2).cumsum(-2)
    edge = torch.tensor([side - 1.0 for side in shape], dtype=points.dtype, device=points.device)
    inside = ((points[..., 1:, :] > 0) & (points[..., 1:, :] < edge)).all(-1)
    steps = inside.to(torch.uint8).cumprod(-1).sum(-1)
    points = torch.minimum(fine(points).clamp_(min=0), edge)
    return Walks(points, headings / _TURNS, (steps + 2).clamp(max=draws.shape[-1] + 1))


def fine(lengths: torch.Tensor) -> torch.Tensor:
    """Round to 2**-12 px: what devices compute a hair apart becomes the same."""
    return torch.round(lengths * 4096) / 4096


def directions(turns: torch.Tensor) -> torch.Tensor:
    """Sine and cosine of headings in turns, float64 (..., 2), from a table."""
    place = torch.floor(turns * (1 << _TABLE_BITS)).to(torch.int32) & ((1 << _TABLE_BITS) - 1)
    found = torch.index_select(_direction_table(turns.device), 0, place.flatten())
    return found.view(*turns.shape, 2)


@functools.lru_cache
def _direction_table(device: torch.device) -> torch.Tensor:
    angle = 2 * math.pi * np.arange(1 << _TABLE_BITS) / (1 << _TABLE_BITS)
    both = np.rint(np.stack((np.sin(angle), np.cos(angle)), axis=-1) * 2**14) / 2**14
    return torch.tensor(both, device=device)
