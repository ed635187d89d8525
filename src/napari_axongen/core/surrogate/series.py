"""Time series: how the frames move, and when boutons come, change and go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .boutons import Boutons
from .distributions import bounds, upper
from .parameters import BoutonParameters, SeriesParameters
from .random import Draws, quantile
from .walks import directions, fine

_LEAST_FRAMES = 2  # that a bouton is there, where as many are left
_ALL_FRAMES = 3  # with so many left or fewer, it stays to the end


@dataclass
class Motion:
    """Where the frames of each image see the tissue.

    Attributes
    ----------
    field
        Rows and columns of the tissue that is drawn.
    matrices
        float64 (B, T, 3, 3): (row, column, 1) of the tissue to that of the frame.
    left
        float64 (B, T): part of the fluorescence that is not bleached.
    """

    field: tuple[int, int]
    matrices: torch.Tensor
    left: torch.Tensor

    def visible(self, points: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Whether points (B, N, 2) of the tissue lie in the image in all frames, bool (B, N)."""
        moved = transform(self.matrices[:, :, None], points[:, None])
        edge = torch.tensor([side - 1.0 for side in shape], dtype=moved.dtype, device=moved.device)
        return ((moved >= 0) & (moved <= edge)).all(-1).all(1)


def transform(matrices: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Apply matrices (..., 3, 3) to points (..., 2), rounded to where all devices agree."""
    row, column = points.unbind(-1)
    down = matrices[..., 0, 0] * row + matrices[..., 0, 1] * column + matrices[..., 0, 2]
    right = matrices[..., 1, 0] * row + matrices[..., 1, 1] * column + matrices[..., 1, 2]
    return fine(torch.stack((down, right), dim=-1))


def at_rest(draws: Draws, shape: tuple[int, int]) -> Motion:
    """A single frame of each image, as the tissue is."""
    eye = torch.eye(3, dtype=torch.float64, device=draws.device)
    left = torch.ones((len(draws), 1), dtype=torch.float64, device=draws.device)
    return Motion(shape, eye.expand(len(draws), 1, 3, 3), left)


def draw_motion(draws: Draws, parameters: SeriesParameters, shape: tuple[int, int]) -> Motion:
    """Turn and shift the frames of each image; the first is not turned (Billot 2017, getSeries)."""
    images, frames = len(draws), parameters.frames
    high = {
        name: bounds(SeriesParameters, name)[1]
        for name in SeriesParameters.model_fields
        if name != "frames"
    }
    most = [upper(getattr(parameters, name), high[name]) for name in ("row_shift", "column_shift")]
    widest = upper(parameters.max_rotation, high["max_rotation"])
    pad = math.ceil(max(shape) / 2 * math.sin(math.radians(widest))) + 1 if widest else 0
    field = (shape[0] + int(most[0]) - 1 + 2 * pad, shape[1] + int(most[1]) - 1 + 2 * pad)
    by_frame = draws.children("frame", frames).uniform("motion", 3).view(images, frames, 3)
    angle = draws.parameter(parameters, "max_rotation")[:, None]
    turn = torch.floor(by_frame[..., 0] * (2 * torch.floor(angle) + 1)) - torch.floor(angle)
    turn[:, 0] = 0
    shift = torch.stack(
        [
            torch.floor(by_frame[..., 1 + axis] * draws.parameter(parameters, name)[:, None])
            for axis, name in enumerate(("row_shift", "column_shift"))
        ],
        dim=-1,
    )
    sine, cosine = directions(turn / 360).unbind(-1)
    centre = torch.tensor(
        [(side - 1) / 2 for side in field], dtype=torch.float64, device=draws.device
    )
    matrices = torch.zeros((images, frames, 3, 3), dtype=torch.float64, device=draws.device)
    matrices[..., 0, 0], matrices[..., 0, 1] = cosine, -sine
    matrices[..., 1, 0], matrices[..., 1, 1] = sine, cosine
    matrices[..., 2, 2] = 1
    turned = (matrices[..., :2, :2] * centre).sum(-1)
    matrices[..., :2, 2] = fine(centre - turned - pad - shift)
    lost = draws.parameter(parameters, "bleaching")[:, None]
    left = (1 - lost) ** torch.arange(frames, device=draws.device)
    return Motion(field, matrices, left)


def bouton_courses(
    draws: Draws, series: SeriesParameters, boutons: BoutonParameters, drawn: Boutons
) -> torch.Tensor:
    """Brightness of each bouton in each frame, float64 (B, T, N); 0 where it is not there.

    A bouton appears in the first frame or in any later one, stays for at least two frames if there
    are as many, and brightens or fades all the while.
    """
    images, number = drawn.there.shape
    frames = series.frames
    chance, begin, stay, way, far = (
        drawn.draws.uniform("course", 5).view(images, number, 5).unbind(-1)
    )
    first = 1 + torch.floor(begin * (frames - 1)).clamp(max=max(frames - 2, 0))
    first = torch.where(chance < draws.parameter(series, "first_frame")[:, None], 0.0, first)
    if frames == 1:
        first = torch.zeros_like(first)
    rest = frames - first
    some = _LEAST_FRAMES + torch.floor(stay * (rest - _LEAST_FRAMES + 1))
    duration = torch.where(rest <= _ALL_FRAMES, rest, torch.minimum(some, rest))
    u = drawn.draws.chance(boutons, "brightness").view(images, number)
    u = torch.where(way < 0.5, u + (1 - u) * far, u * (1 - far))
    low, high, _ = bounds(BoutonParameters, "brightness")
    last = quantile(boutons.brightness, u, low, high)
    frame = torch.arange(frames, device=u.device)[:, None]
    since = frame - first[:, None]
    part = since / (duration - 1).clamp(min=1)[:, None]
    value = drawn.brightness[:, None] + (last - drawn.brightness)[:, None] * part
    there = (since >= 0) & (since < duration[:, None]) & drawn.there[:, None]
    return torch.where(there, value, 0.0)
