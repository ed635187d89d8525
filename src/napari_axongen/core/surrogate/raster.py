"""From points and lines to pixels: windows of pixels around each object, merged by scatter.

What decides about labels is made of operations that every device rounds alike (sums, products,
quotients, roots, table look-ups), and what is merged is whole numbers: neither the order of the
objects nor the device changes a bit of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.special import ndtr

from napari_axongen.core.errors import InputError

NOTHING = 2**31 - 1
"""Key of a pixel that no line is near to."""
LIGHT = 1 << 18
"""Intensities are summed as whole parts of 1/LIGHT."""
_GAUSSIAN = 1 << 14  # entries of the table of a squared distance to 25
_NORMAL = 1 << 13  # entries of the tables from -5 to 5
_SIGMAS = 3.2  # beyond which a profile is not drawn
_ID_BITS = 16
_FINE = 256  # steps of distance in a px
_FURTHEST = (1 << 15) - 1
_CHUNK = 1 << 17  # window pixels at a time: what a cache holds
_CHUNK_GPU = 1 << 25
_WINDOWS = (3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 26, 32, 48, 64, 96, 128)


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

    @property
    def area(self) -> int:
        """Pixels of an image, border included."""
        return (self.height + 2) * (self.width + 2)

    def full(self, value: int) -> torch.Tensor:
        """Flat int32 pixels, border included."""
        size = self.images * self.area
        return torch.full((size,), value, dtype=torch.int32, device=self.device)

    def crop(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, H, W) of flat pixels."""
        return pixels.view(self.images, self.height + 2, self.width + 2)[:, 1:-1, 1:-1]

    def windows(
        self, image: torch.Tensor, centre: torch.Tensor, half: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Window of ``D = 2 half + 1`` pixels squared around each point.

        Parameters
        ----------
        image, centre
            int64 (n,), float32 (n, 2).

        Returns
        -------
        Flat index int64 (n, D, D), and rows and columns of the pixels from the point, float32
        (n, D) each.
        """
        corner = torch.floor(centre + 0.5) - half
        offset = torch.arange(2 * half + 1, dtype=torch.float32, device=centre.device)
        rows, columns = corner[:, :1] + offset, corner[:, 1:] + offset
        down = rows.clamp(-1, self.height).long().add_(1).mul_(self.width + 2)
        right = columns.clamp(-1, self.width).long().add_(1)
        down += image[:, None] * self.area
        index = down[:, :, None] + right[:, None, :]
        return index, rows - centre[:, :1], columns - centre[:, 1:]


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
        first, last = torch.searchsorted(self.frame.contiguous(), torch.tensor((frames.start, frames.stop)))
        part = self.select(slice(int(first), int(last)))
        part.frame = part.frame - frames.start
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
        return (off * off).sum(1).sqrt()


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
    pixels = _CHUNK if reach.device.type == "cpu" else _CHUNK_GPU
    sizes = torch.tensor(_WINDOWS, dtype=reach.dtype, device=reach.device)
    group = torch.searchsorted(sizes, reach).clamp(max=len(_WINDOWS) - 1)
    for number in torch.unique(group).tolist():
        half = _WINDOWS[number]
        rows = (group == number).nonzero()[:, 0]
        for part in rows.split(max(1, pixels // (2 * half + 1) ** 2)):
            yield half, part


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
        float32 (m,): px, in steps of 1/256.
    """
    keys = canvas.full(NOTHING)
    first = torch.searchsorted(segments.frame, torch.arange(canvas.images, device=keys.device))
    number = torch.arange(len(segments), device=keys.device) - first[segments.frame]
    if len(segments) and int(number.max()) >= 1 << _ID_BITS:
        raise InputError(
            f"An image would have {int(number.max()) + 1} segments of axons, and at most "
            f"{1 << _ID_BITS} can be drawn; ask for fewer axons, or longer steps."
        )
    number = number.to(torch.int32)
    for half, part in by_window(reach + segments.length() / 2):
        distance, index = _distance(canvas, segments.select(part), half)
        key = distance.mul_(_FINE).clamp_(max=_FURTHEST).to(torch.int32)
        key.mul_(1 << _ID_BITS).add_(number[part, None, None])
        keys.scatter_reduce_(0, index.view(-1), key.view(-1), "amin")
    pixel = (keys < _FURTHEST << _ID_BITS).nonzero()[:, 0]
    key = keys[pixel]
    segment = first[pixel // canvas.area] + (key & ((1 << _ID_BITS) - 1))
    return pixel, segment, (key >> _ID_BITS).float() / _FINE


def _distance(canvas: Canvas, segments: Segments, half: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance of the pixels around each segment from it, (n, D, D), and their index."""
    along = segments.end - segments.start
    index, row, column = canvas.windows(segments.frame, segments.start + along / 2, half)
    row, column = row + along[:, :1] / 2, column + along[:, 1:] / 2  # from the start, now
    unit = along / (along * along).sum(1).clamp(min=1e-12)[:, None]
    place = (row * unit[:, :1])[:, :, None] + (column * unit[:, 1:])[:, None, :]
    place.clamp_(0, 1)
    down = row[:, :, None] - place * along[:, :1, None]
    right = column[:, None, :] - place.mul_(along[:, 1:, None])
    return down.mul_(down).add_(right.mul_(right)).sqrt_(), index


def add_lines(canvas: Canvas, light: torch.Tensor, segments: Segments) -> None:
    """Add blurred lines: what an evenly fluorescent filament gives under a Gaussian PSF.

    A segment of line density b contributes b G(d) (F(t1) - F(t0)) at distance d from its line, G
    the normal density, F its integral and t the places of its ends from the foot of the pixel,
    all in units of sigma; pieces of a path add up to the whole path's image.

    Parameters
    ----------
    light
        int32 flat pixels of the canvas, in 1/LIGHT; changed in place.
    """
    density, integral = normal_tables(canvas.device)
    for half, part in by_window(_SIGMAS * segments.sigma + segments.length() / 2):
        some = segments.select(part)
        along, length = some.end - some.start, some.length()
        index, row, column = canvas.windows(some.frame, some.start + along / 2, half)
        unit = along / (length.clamp(min=1e-6) * some.sigma)[:, None]
        forth = (row * unit[:, :1])[:, :, None] + (column * unit[:, 1:])[:, None, :]
        off = (row * unit[:, 1:])[:, :, None] - (column * unit[:, :1])[:, None, :]
        reach = (length / (2 * some.sigma))[:, None, None]
        share = _look_up(integral, forth + reach).sub_(_look_up(integral, forth.sub_(reach)))
        share.mul_(_look_up(density, off))
        share.mul_((some.brightness / some.sigma * LIGHT)[:, None, None])
        light.scatter_add_(0, index.view(-1), share.add_(0.5).to(torch.int32).view(-1))


def gaussian(ratio: torch.Tensor) -> torch.Tensor:
    """exp(-ratio / 2) of squared distances in units of sigma, float32, from a table to 5 sigma."""
    place = (ratio * (_GAUSSIAN / 25)).clamp_(max=_GAUSSIAN).to(torch.int32)
    return torch.index_select(_gaussian_table(ratio.device), 0, place.view(-1)).view(ratio.shape)


def _look_up(table: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    place = ((x + 5) * (_NORMAL / 10)).clamp_(0, _NORMAL).to(torch.int32)
    return torch.index_select(table, 0, place.view(-1)).view(x.shape)


@functools.lru_cache
def normal_tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Normal density and distribution from -5 to 5, float32; the density ends in zero."""
    x = (np.arange(_NORMAL + 1) + 0.5) / _NORMAL * 10 - 5
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (
        torch.tensor(density, dtype=torch.float32, device=device),
        torch.tensor(ndtr(x), dtype=torch.float32, device=device),
    )


@functools.lru_cache
def _gaussian_table(device: torch.device) -> torch.Tensor:
    values = np.exp(-(np.arange(_GAUSSIAN + 1) + 0.5) / _GAUSSIAN * 25 / 2)
    values[-1] = 0
    return torch.tensor(values, dtype=torch.float32, device=device)
