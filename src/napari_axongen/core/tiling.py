"""Whole images through a network, tile by tile, without seams and within a memory budget.

The networks of this package are tile-exact (see `core.networks`): an output pixel depends on the
input within a known radius. A tile is therefore computed on a window that reaches that radius
beyond it, on the network's own stride, and only its core is kept: the result equals that of the
whole image in one piece, to rounding. Resampling to the network's scale and back is part of the
same chain, by filters of known support at absolute positions, so it is exact as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from .device import Device, choose_device
from .errors import InputError
from .events import Notice, Progress, Steps
from .networks import TileExactNetwork
from .parameters import DEFAULT_MEMORY

Window: TypeAlias = tuple[slice, slice]
Read: TypeAlias = Callable[[slice, slice], npt.NDArray[Any]]
Write: TypeAlias = Callable[[slice, slice, npt.NDArray[Any]], None]
Prepare: TypeAlias = Callable[[Tensor, slice, slice], Tensor]

_SMALLEST_TILE = 64
_RESAMPLED = 64  # outputs of the filter made by one product: further ones share no input


@dataclass(frozen=True)
class Span:
    """One axis of a tile: what it writes and, step by step, what that takes."""

    core: slice  # native pixels written
    output: slice  # working pixels whose predictions make the core
    window: slice  # working pixels that go through the network


@dataclass(frozen=True)
class Grid:
    """How one axis of an image is cut: its length, the scale, the network's reach and stride."""

    length: int
    scale: float
    radius: int
    stride: int

    @property
    def working_length(self) -> int:
        """Length at the network's scale."""
        return max(1, round(self.length * self.scale))

    def cut(self, tile: int, part: slice | None = None) -> list[Span]:
        """Cut the axis, or a part of it, into cores of at most ``tile`` native pixels.

        They are all but equal.
        """
        start, stop = (0, self.length) if part is None else (part.start, part.stop)
        count = math.ceil((stop - start) / tile)
        edges = [start + round(i * (stop - start) / count) for i in range(count + 1)]
        return [self._span(a, b) for a, b in pairwise(edges)]

    def source(self, part: slice) -> slice:
        """Native pixels that are read to make a part of the axis."""
        window = self._span(part.start, part.stop).window
        return taps(window.start, window.stop, self.scale, self.length)

    def _span(self, start: int, stop: int) -> Span:
        output = taps(start, stop, 1 / self.scale, self.working_length)
        first = max(0, output.start - self.radius) // self.stride * self.stride
        last = math.ceil((output.stop + self.radius) / self.stride) * self.stride
        return Span(slice(start, stop), output, slice(first, min(last, self.working_length)))


def blocks(length: int, side: int) -> list[slice]:
    """Cut an axis into parts of a length, the last of which may be shorter."""
    return [slice(start, min(start + side, length)) for start in range(0, length, side)]


def taps(start: int, stop: int, scale: float, length: int) -> slice:
    """Input pixels that `resample` reads to make the outputs ``start..stop``."""
    if scale == 1:
        return slice(start, stop)
    reach = max(1.0, 1 / scale)
    first = math.floor((start + 0.5) / scale - 0.5 - reach)
    last = math.ceil((stop - 0.5) / scale - 0.5 + reach) + 1
    return slice(max(0, min(first, length - 1)), max(1, min(last, length)))


def resample_matrix(out: slice, source: slice, scale: float, length: int) -> Tensor:
    """Weights of the triangle filter that makes the outputs ``out`` from the inputs ``source``.

    The filter is linear interpolation, widened to the output's spacing when that is coarser (as in
    antialiased bilinear resizing). Output j lies at (j + 0.5) / scale - 0.5; taps beyond the image
    are left out and the rest made to sum to 1.

    Returns
    -------
    (n_out, n_in) float32 tensor
    """
    width = max(1.0, 1 / scale)
    centres = (np.arange(out.start, out.stop)[:, None] + 0.5) / scale - 0.5
    centres = np.clip(centres, 0, length - 1)
    distance = np.abs(np.arange(source.start, source.stop)[None, :] - centres)
    weights = np.clip(1 - distance / width, 0, None)
    return torch.from_numpy((weights / weights.sum(1, keepdims=True)).astype(np.float32))


def resample(x: Tensor, rows: tuple[slice, slice], columns: tuple[slice, slice], scale: float,
             shape: tuple[int, int]) -> Tensor:  # fmt: skip
    """Resample a window of an image.

    Parameters
    ----------
    x
        (..., h, w): the pixels ``rows[0]``, ``columns[0]`` of an image of size ``shape``.
    rows, columns
        Input and output extent along each axis.
    scale
        Output pixels per input pixel.
    shape
        Rows and columns of the whole input image.
    """
    if scale == 1:
        inner = [slice(o.start - i.start, o.stop - i.start) for i, o in (rows, columns)]
        return x[..., inner[0], inner[1]]
    x = _resample_rows(x, *rows, scale, shape[0])
    return _resample_rows(x.mT, *columns, scale, shape[1]).mT


def _resample_rows(x: Tensor, source: slice, out: slice, scale: float, length: int) -> Tensor:
    """Rows ``out`` from the rows ``source``, some at a time: the filter's matrix is a band."""
    parts = []
    for start in range(out.start, out.stop, _RESAMPLED):
        part = slice(start, min(start + _RESAMPLED, out.stop))
        read = taps(part.start, part.stop, scale, length)
        matrix = resample_matrix(part, read, scale, length).to(x.device)
        parts.append(matrix @ x[..., read.start - source.start : read.stop - source.start, :])
    return torch.cat(parts, -2)


def resample_image(image: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float32]:
    """Resample a whole (..., H, W) image exactly as `predict` does for its network."""
    height, width = image.shape[-2:]
    x = torch.from_numpy(np.ascontiguousarray(image))
    rows = slice(0, height), slice(0, max(1, round(height * scale)))
    columns = slice(0, width), slice(0, max(1, round(width * scale)))
    return resample(x, rows, columns, scale, (height, width)).numpy()


def predict(
    network: TileExactNetwork,
    read: Read,
    write: Write,
    shape: tuple[int, int],
    *,
    scale: float = 1.0,
    device: Device | None = None,
    memory: int = DEFAULT_MEMORY,
    tile: int | None = None,
    activation: Callable[[Tensor], Tensor] | None = None,
    prepare: Prepare | None = None,
    margin: int = 0,
    planes: int = 1,
    first: tuple[int, int] = (0, 0),
    part: Window | None = None,
) -> Steps[None]:
    """Send an image through a network, tile by tile.

    Parameters
    ----------
    network
        In eval mode.
    read
        Called with row and column slices; returns that window of the normalised image, (h, w) or
        (planes, h, w).
    write
        Called with row and column slices and the (channels, h, w) output there; called again for
        the same pixels if the tiles had to be made smaller.
    shape
        Rows and columns of the image.
    scale
        Network pixels per image pixel. The output has the image's size.
    device
        Where to compute; chosen automatically when omitted.
    memory
        Megabytes that one network call may take: sets the tile.
    tile
        Side of a tile's core in image pixels, instead of ``memory``.
    activation
        Applied to the network's output before it is brought back to the image's scale.
    prepare
        Makes the network's input (1, channels, h, w) of a window (1, planes, h, w) at the network's
        scale, and of the rows and columns there that it covers.
    margin
        How far from a pixel ``prepare`` looks, in network pixels.
    planes
        How many ``read`` returns.
    first
        Row and column around which to begin.
    part
        Rows and columns that are wanted, from ``start`` to ``stop``; omitted, all. They come out
        as of the whole.

    Yields
    ------
    Progress by tile. A Notice when the device ran out of memory and what was done: a tile of half
    the side, and at the smallest tile the CPU.
    """
    device = device or choose_device()
    network = network.to(device.torch)
    radius = network.receptive_radius + margin
    side = tile or tile_side(network, shape, scale, memory, margin, planes)
    while True:
        rows, columns = (
            Grid(length, scale, radius, network.stride).cut(side, wanted)
            for length, wanted in zip(shape, part or (None, None), strict=True)
        )
        tiles = sorted(product(rows, columns), key=lambda spans: distance(spans, first))
        if device.cluster is not None and len(tiles) > 1:
            yield from device.cluster.predict(
                network, read, write, shape, tiles, scale=scale, memory=memory, tile=side,
                activation=activation, prepare=prepare, margin=margin, planes=planes,
            )  # fmt: skip
            return
        try:
            for count, (row, column) in enumerate(tiles):
                x = load(read, row.window, column.window, scale, shape, device)
                if prepare is not None:
                    x = prepare(x, row.window, column.window)
                output = _one_tile(network, x, row, column, shape, scale, device, activation)
                write(row.core, column.core, output)
                yield Progress(count + 1, len(tiles), "tiles")
            return
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Started over with smaller tiles: what was written is written again with equal values.
        side, device = smaller(side, device, shape)
        network = network.to(device.torch)
        yield Notice(f"Out of memory; going on with tiles of {side} px on {device}.", "warning")


@torch.inference_mode()
def load(
    read: Read,
    rows: slice,
    columns: slice,
    scale: float,
    shape: tuple[int, int],
    device: Device,
) -> Tensor:
    """Read a window at the network's scale; arguments as of `predict`.

    Parameters
    ----------
    rows, columns
        The window, in network pixels.

    Returns
    -------
    (1, planes, h, w)
    """
    source = [
        taps(span.start, span.stop, scale, length)
        for span, length in zip((rows, columns), shape, strict=True)
    ]
    window = np.ascontiguousarray(read(*source), dtype=np.float32)
    x = torch.from_numpy(window).to(device.torch)
    x = resample(x, (source[0], rows), (source[1], columns), scale, shape)
    return x.reshape(1, -1, *x.shape[-2:])


@torch.inference_mode()
def _one_tile(
    network: TileExactNetwork,
    x: Tensor,
    row: Span,
    column: Span,
    shape: tuple[int, int],
    scale: float,
    device: Device,
    activation: Callable[[Tensor], Tensor] | None,
) -> npt.NDArray[np.float32]:
    stride = network.stride
    padding = (0, -x.shape[3] % stride, 0, -x.shape[2] % stride)  # only at the image's far edges
    x = functional.pad(x, padding, mode="replicate")
    y = network(x.contiguous(memory_format=device.memory_format))[0]
    inner = [slice(s.output.start - s.window.start, s.output.stop - s.window.start)
             for s in (row, column)]  # fmt: skip
    y = y[:, inner[0], inner[1]]
    if activation is not None:
        y = activation(y)
    working = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
    y = resample(y, (row.output, row.core), (column.output, column.core), 1 / scale, working)
    result: npt.NDArray[np.float32] = y.cpu().numpy()
    return result


def distance(spans: tuple[Span, Span], point: tuple[int, int]) -> float:
    """From the nearest pixel of a tile's core to a point."""
    return math.hypot(
        *(
            max(span.core.start - at, 0, at - span.core.stop + 1)
            for span, at in zip(spans, point, strict=True)
        )
    )


def tile_side(
    network: TileExactNetwork,
    shape: tuple[int, int],
    scale: float,
    memory: int,
    margin: int = 0,
    planes: int = 1,
) -> int:
    """Largest core whose window fits the budget."""
    per_pixel = network.bytes_per_pixel + 4 * (planes + 1) / scale**2
    window = math.sqrt(memory * 2**20 / per_pixel)
    longest = max(shape)
    reach = 2 * (network.receptive_radius + margin + network.stride)
    for count in range(1, longest + 1):
        core = math.ceil(longest / count)
        # A core at the image's edge has a margin on one side only, so two need no more than one.
        beyond = 0 if count == 1 else reach / (2 if count == 2 else 1)
        if core * scale + beyond <= window or core <= _SMALLEST_TILE:
            return max(core, 1)
    return _SMALLEST_TILE


def smaller(side: int, device: Device, shape: tuple[int, int]) -> tuple[int, Device]:
    """Tiles and device to go on with where memory ran out."""
    if side > _SMALLEST_TILE:
        return max(_SMALLEST_TILE, min(side, *shape) // 2), device
    if device.torch.type != "cpu":
        return side, choose_device("cpu")
    raise InputError(
        f"Out of memory even with tiles of {side} px on the CPU; close other programs, or open a "
        "part of the image."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()  # the CPU's and MPS's allocators raise a plain RuntimeError
    return "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
