"""Time series: how the frames move, and when boutons come, change and go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boutons import Boutons
from .distributions import bounds, upper
from .parameters import BoutonParameters, SeriesParameters
from .random import Draws, Floats, quantile
from .walks import fine

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
        (B, T, 3, 3): (row, column, 1) of the tissue to that of the frame.
    left
        (B, T): part of the fluorescence that is not bleached.
    """

    field: tuple[int, int]
    matrices: Floats
    left: Floats

    def visible(self, points: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Whether points (B, N, 2) of the tissue lie in the image in all frames, (B, N)."""
        moved = transform(self.matrices[:, :, None], points[:, None])
        inside = (moved >= 0) & (moved <= [side - 1 for side in shape])
        found: NDArray[np.bool_] = np.logical_and.reduce(inside, axis=(1, 3))
        return found


def transform(matrices: Floats, points: Floats) -> Floats:
    """Apply matrices (..., 3, 3) to points (..., 2), rounded."""
    row, column = points[..., 0], points[..., 1]
    down = matrices[..., 0, 0] * row + matrices[..., 0, 1] * column + matrices[..., 0, 2]
    right = matrices[..., 1, 0] * row + matrices[..., 1, 1] * column + matrices[..., 1, 2]
    return fine(np.stack((down, right), axis=-1))


def at_rest(draws: Draws, shape: tuple[int, int]) -> Motion:
    """A single frame of each image, as the tissue is."""
    eye = np.broadcast_to(np.eye(3), (len(draws), 1, 3, 3))
    return Motion(shape, eye, np.ones((len(draws), 1)))


def draw_motion(draws: Draws, parameters: SeriesParameters, shape: tuple[int, int]) -> Motion:
    """Turn and shift the frames of each image; the first is not turned (Billot 2017, getSeries)."""
    images, frames = len(draws), parameters.frames

    def most(name: str) -> float:
        return upper(getattr(parameters, name), bounds(SeriesParameters, name)[1])

    pad = math.ceil(max(shape) / 2 * math.sin(math.radians(most("max_rotation"))))
    field = (
        shape[0] + int(most("row_shift")) - 1 + 2 * pad,
        shape[1] + int(most("column_shift")) - 1 + 2 * pad,
    )
    turn, down, right = np.moveaxis(
        draws.children("frame", frames).uniform("motion", 3).reshape(images, frames, 3), -1, 0
    )
    angle = np.floor(draws.parameter(parameters, "max_rotation"))[:, None]
    turn = np.floor(turn * (2 * angle + 1)) - angle
    turn[:, 0] = 0
    down = np.floor(down * draws.parameter(parameters, "row_shift")[:, None])
    right = np.floor(right * draws.parameter(parameters, "column_shift")[:, None])
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    row, column = ((side - 1) / 2 for side in field)
    matrices = np.zeros((images, frames, 3, 3))
    matrices[..., 0, 0], matrices[..., 0, 1] = cosine, -sine
    matrices[..., 1, 0], matrices[..., 1, 1] = sine, cosine
    matrices[..., 0, 2] = row - (cosine * row - sine * column) - pad - down
    matrices[..., 1, 2] = column - (sine * row + cosine * column) - pad - right
    matrices[..., 2, 2] = 1
    left = (1 - draws.parameter(parameters, "bleaching")[:, None]) ** np.arange(frames)
    return Motion(field, matrices, left)


def bouton_courses(
    draws: Draws, series: SeriesParameters, boutons: BoutonParameters, drawn: Boutons
) -> Floats:
    """Brightness of each bouton in each frame, (B, T, N); 0 where it is not there.

    A bouton appears in the first frame or in any later one, stays for at least two frames if there
    are as many, and brightens or fades all the while.
    """
    images, number = drawn.there.shape
    frames = series.frames
    chance, begin, stay, way, far = np.moveaxis(
        drawn.draws.uniform("course", 5).reshape(images, number, 5), -1, 0
    )
    later = 1 + np.floor(begin * max(frames - 1, 1))
    first = np.where(chance < draws.parameter(series, "first_frame")[:, None], 0.0, later)
    first = np.minimum(first, frames - 1)
    rest = frames - first
    some = _LEAST_FRAMES + np.floor(stay * (rest - _LEAST_FRAMES + 1))
    duration = np.where(rest <= _ALL_FRAMES, rest, some)
    u = drawn.draws.chance(boutons, "brightness").reshape(images, number)
    u = np.where(way < 0.5, u + (1 - u) * far, u * (1 - far))
    low, high, _ = bounds(BoutonParameters, "brightness")
    last = quantile(boutons.brightness, u, low, high)
    since = np.arange(frames)[:, None] - first[:, None]
    part = since / np.maximum(duration - 1, 1)[:, None]
    value = drawn.brightness[:, None] + (last - drawn.brightness)[:, None] * part
    there = (since >= 0) & (since < duration[:, None]) & drawn.there[:, None]
    return np.where(there, value, 0.0)
