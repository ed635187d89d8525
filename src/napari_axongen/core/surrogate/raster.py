"""From points and lines to pixels: windows of pixels around each object, merged by scatter.

What decides about labels is made of operations that every device rounds alike (sums, products,
quotients, roots, table look-ups), and what is merged is whole numbers: neither the order of the
objects nor the device changes a bit of it.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch

from napari_axongen.core.errors import InputError

from .exact import root_

NOTHING = 2**31 - 1
"""Key of a pixel that no line is near to."""
LIGHT = 1 << 18
"""Intensities are summed as whole parts of 1/LIGHT."""
GAUSSIAN = 1 << 14  # entries of the table of a squared distance to 25
SIGMAS = 3.2  # beyond which a profile is not drawn
SPACING = 1.25  # sigmas between the points of a line
ID_BITS = 18
MOST_SEGMENTS = (1 << ID_BITS) - 1
"""That can be told apart in one canvas."""
FINE = 128  # steps of distance in a px
FURTHEST = (1 << 13) - 1  # of these steps
_CHUNK = 1 << 17  # window pixels at a time: what a cache holds
_CHUNK_GPU = 1 << 25
_MOST_SPARE = 16  # canvases kept for the next image
WINDOWS = (3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)  # half of them
_FEW_PIXELS = 1 << 17


class _Spare:
    """Pixels that are used again: new memory costs more than what is done with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pixels: list[torch.Tensor] = []

    def take(self, size: int) -> torch.Tensor:
        with self._lock:
            while self._pixels:
                pixels = self._pixels.pop()
                if len(pixels) == size:
                    return pixels
        return torch.empty(size, dtype=torch.int32)

    def give(self, pixels: list[torch.Tensor]) -> None:
        with self._lock:
            self._pixels = (pixels + self._pixels)[:_MOST_SPARE]


_spare = _Spare()


@dataclass
class Canvas:
    """Pixels of a batch (B, H, W) with a border of one, which takes what falls outside.

    Attributes
    ----------
    images, height, width
        Extent without the border.
    device
        Where the pixels are.
    """

    images: int
    height: int
    width: int
    device: torch.device
    _taken: list[torch.Tensor] = field(default_factory=list)

    @property
    def area(self) -> int:
        """Pixels of an image, border included."""
        return (self.height + 2) * (self.width + 2)

    def full(self, value: int) -> torch.Tensor:
        """Flat int32 pixels, border included; they are the canvas's until it is let go."""
        size = self.images * self.area
        if self.device.type != "cpu":
            return torch.full((size,), value, dtype=torch.int32, device=self.device)
        pixels = _spare.take(size)
        self._taken.append(pixels)
        return pixels.fill_(value)

    def let_go(self) -> None:
        """Give the pixels back, for the next canvas."""
        _spare.give(self._taken)
        self._taken = []

    def crop(self, pixels: torch.Tensor, frames: int) -> torch.Tensor:
        """(B / T, T, H, W) of flat pixels."""
        bordered = pixels.view(-1, frames, self.height + 2, self.width + 2)
        return bordered[..., 1:-1, 1:-1]

    def windows(
        self, frame: torch.Tensor, centre: torch.Tensor, half: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Window of ``D = 2 half + 1`` pixels squared around each point.

        Parameters
        ----------
        frame, centre
            int64 (n,), float32 (n, 2).

        Returns
        -------
        Flat index int64 (n, D, D), and rows and columns of the pixels from the point, float32
        (n, D) each.
        """
        index, row, column = self._window(frame[:, None], centre[:, :1], centre[:, 1:], half, 1)
        return index[0][:, :, None] + index[1][:, None], row, column

    def strips(
        self, frame: torch.Tensor, centre: torch.Tensor, half: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same with the objects last, (D, D, n) and (D, n): faster for many small windows."""
        index, row, column = self._window(frame, centre[:, 0], centre[:, 1], half, 0)
        return index[0][:, None] + index[1][None], row, column

    def _window(
        self, frame: torch.Tensor, row: torch.Tensor, column: torch.Tensor, half: int, axis: int
    ) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor, torch.Tensor]:
        offset = torch.arange(-half, half + 1, dtype=torch.float32, device=self.device)
        offset = offset if axis else offset[:, None]
        rows, columns = torch.floor(row + 0.5) + offset, torch.floor(column + 0.5) + offset
        down = rows.clamp(-1, self.height).to(torch.int32).add_(1).mul_(self.width + 2)
        down += (frame * self.area).to(torch.int32)
        right = columns.clamp(-1, self.width).to(torch.int32).add_(1)
        return (down.long(), right.long()), rows - row, columns - column


@dataclass
class Listed:
    """Objects as they are drawn, sorted by frame.

    Attributes
    ----------
    frame
        int64 (n,).
    """

    frame: torch.Tensor

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, rows: torch.Tensor | slice) -> Self:
        """Some of them."""
        return type(self)(*(value[rows] for value in vars(self).values()))

    def within(self, frames: range, device: torch.device) -> Self:
        """Those of some frames, which are counted from the first of these, on the device."""
        ends = torch.tensor((frames.start, frames.stop))
        first, last = torch.searchsorted(self.frame.contiguous(), ends).tolist()
        part = self if last - first == len(self) else self.select(slice(first, last))
        if frames.start:
            part = replace(part, frame=part.frame - frames.start)
        return type(self)(*(value.to(device) for value in vars(part).values()))


@dataclass
class Segments(Listed):
    """Straight pieces of branches.

    Attributes
    ----------
    start, end
        float32 (n, 2): rows and columns in px.
    brightness, sigma, half_width
        float32 (n,): coefficient, of the profile with all blur in px, of the mask in px.
    axon, branch
        int32 (n,): labels.
    """

    start: torch.Tensor
    end: torch.Tensor
    brightness: torch.Tensor
    sigma: torch.Tensor
    half_width: torch.Tensor
    axon: torch.Tensor
    branch: torch.Tensor

    def length(self) -> torch.Tensor:
        """px, float32 (n,)."""
        off = self.end - self.start
        return root_((off * off).sum(1))


@dataclass
class Spots(Listed):
    """Boutons.

    Attributes
    ----------
    centre, along
        float32 (n, 2): px, and unit vector along the axon.
    radius, elongation, brightness, psf
        float32 (n,).
    keys
        int64 (n,): of their random numbers.
    """

    centre: torch.Tensor
    along: torch.Tensor
    radius: torch.Tensor
    elongation: torch.Tensor
    brightness: torch.Tensor
    psf: torch.Tensor
    keys: torch.Tensor


@dataclass
class Bodies(Listed):
    """Cells.

    Attributes
    ----------
    centres
        float32 (n, LOBES, 2): of the lobes in px; the first is that of the cell.
    radius, brightness, dark
        float32 (n,).
    keys
        int64 (n,): of their random numbers.
    """

    centres: torch.Tensor
    radius: torch.Tensor
    brightness: torch.Tensor
    dark: torch.Tensor
    keys: torch.Tensor


def by_window(reach: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Half windows of few sizes, and pieces of the objects, of reach (n,) px, that fit into each.

    The size depends on the object alone, so that it is drawn the same in every batch.
    """
    if not len(reach):
        return
    sizes = torch.tensor(WINDOWS, dtype=reach.dtype, device=reach.device)
    group = torch.searchsorted(sizes, reach).clamp_(max=len(WINDOWS) - 1)
    for number in torch.unique(group).tolist():
        yield from _pieces(WINDOWS[number], places(group == number))


def by_largest(reach: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """The same for objects whose looks do not depend on their window: few share the largest."""
    if not len(reach):
        return
    half = min(math.ceil(float(reach.max())), WINDOWS[-1])
    if len(reach) * (2 * half + 1) ** 2 <= _FEW_PIXELS:
        yield half, torch.arange(len(reach), device=reach.device)
    else:
        yield from by_window(reach)


def _pieces(half: int, rows: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    pixels = _CHUNK if rows.device.type == "cpu" else _CHUNK_GPU
    for part in torch.split(rows, max(1, pixels // (2 * half + 1) ** 2)):
        yield half, part


def window_places(half: int, device: torch.device) -> torch.Tensor:
    """Number of each pixel of a window, the same in windows of all sizes, int64 (D, D)."""
    offset = torch.arange(-half, half + 1, device=device) + WINDOWS[-1]
    return offset[:, None] * (2 * WINDOWS[-1] + 1) + offset


WINDOW_PLACES = (2 * WINDOWS[-1] + 1) ** 2
"""What those numbers are below."""


def nearest(canvas: Canvas, segments: Segments, reach: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Nearest segment of each pixel.

    Parameters
    ----------
    reach
        float32 (n,): px around a segment in which pixels are found at least.

    Returns
    -------
    pixel
        int64 (m,): flat index of the pixels that have one.
    segment
        int64 (m,).
    distance
        float32 (m,): px, in steps of 1/128.

    Raises
    ------
    InputError
        More segments than can be told apart.
    """
    check_number(len(segments))
    keys = canvas.full(NOTHING)
    number = torch.arange(len(segments), dtype=torch.int32, device=keys.device)
    for half, part in by_window(reach + segments.length() / 2):
        distance, index = _distance(canvas, segments.select(part), half)
        key = distance.mul_(FINE).clamp_(max=FURTHEST).to(torch.int32)
        key.mul_(1 << ID_BITS).add_(pick(number, part))
        keys.scatter_reduce_(0, index.view(-1), key.view(-1), "amin")
    pixel = places(keys < FURTHEST << ID_BITS)
    key = pick(keys, pixel)
    return pixel, key & ((1 << ID_BITS) - 1), (key >> ID_BITS).float() / FINE


def check_number(segments: int) -> None:
    """Raise `InputError` where an image has more segments than can be told apart."""
    if segments > MOST_SEGMENTS:
        raise InputError(
            f"An image would have {segments} segments of axons, and at most {MOST_SEGMENTS} "
            "can be drawn; ask for fewer axons, or longer steps."
        )


def places(mask: torch.Tensor) -> torch.Tensor:
    """Flat index of what is true, int64."""
    if mask.device.type == "cpu":  # several times faster than torch's
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.view(-1).nonzero()[:, 0]


def pick(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Some of the values (of any shape, as if flat): several times faster than indexing."""
    return torch.index_select(values.reshape(-1), 0, rows)


def _distance(canvas: Canvas, segments: Segments, half: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance of the pixels around each segment from it, (D, D, n), and their index."""
    along = segments.end - segments.start
    index, row, column = canvas.strips(segments.frame, segments.start + along / 2, half)
    down, right = along[:, 0], along[:, 1]
    row, column = row + down / 2, column + right / 2  # from the start, now
    squared = (along * along).sum(1).clamp(min=1e-12)
    place = (row * (down / squared))[:, None] + (column * (right / squared))[None]
    place.clamp_(0, 1)
    away = row[:, None] - place * down
    off = column[None] - place.mul_(right)
    return root_(away.mul_(away).add_(off.mul_(off))), index


def add_lines(canvas: Canvas, lights: tuple[torch.Tensor, ...], segments: Segments) -> None:
    """Add blurred lines: what an evenly fluorescent filament gives under a Gaussian PSF.

    The integral along the line is a sum over points: of points 1.25 sigma apart it is right to
    1e-5, as the trapezoidal rule is for Gaussians. A Gaussian point is a product of a row and a
    column, which is what makes this fast.

    Parameters
    ----------
    lights
        int32 flat pixels of the canvas, in 1/LIGHT; all are changed in place.
    """
    length = segments.length()
    pieces = torch.ceil(length / (SPACING * segments.sigma)).clamp_(min=1).long()
    number = torch.repeat_interleave(torch.arange(len(segments), device=length.device), pieces)
    first = pieces.cumsum(0) - pieces
    place = torch.arange(len(number), device=length.device) - pick(first, number)
    place = (place + 0.5) / pick(pieces, number)
    start, sigma = segments.start[number], pick(segments.sigma, number)
    point = start + place[:, None] * (segments.end[number] - start)
    weight = pick(segments.brightness * length / pieces, number) * (LIGHT / (2 * math.pi))
    weight = weight / (sigma * sigma)
    frame = pick(segments.frame, number)
    for half, part in by_window(SIGMAS * sigma):
        index, row, column = canvas.strips(frame[part], point[part], half)
        row, column = row / pick(sigma, part), column / pick(sigma, part)
        value = (gaussian(row * row) * pick(weight, part))[:, None] * gaussian(column * column)
        whole = value.to(torch.int32).view(-1)
        for light in lights:
            light.scatter_add_(0, index.view(-1), whole)


def gaussian(ratio: torch.Tensor) -> torch.Tensor:
    """exp(-ratio / 2) of squared distances in units of sigma, float32, from a table to 5 sigma."""
    place = (ratio * (GAUSSIAN / 25)).clamp_(max=GAUSSIAN).to(torch.int32)
    return torch.index_select(gaussian_table(ratio.device), 0, place.view(-1)).view(ratio.shape)


@functools.lru_cache
def gaussian_table(device: torch.device) -> torch.Tensor:
    """What `gaussian` looks up, float32."""
    values = np.exp(-(np.arange(GAUSSIAN + 1) + 0.5) / GAUSSIAN * 25 / 2)
    values[-1] = 0
    return torch.tensor(values, dtype=torch.float32, device=device)
