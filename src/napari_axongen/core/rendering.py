"""One plane through a translator, tile by tile: what it is conditioned on, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .conditioning import (
    CLASS_COUNT,
    SIGMAS,
    STRUCTURE_RADIUS,
    Ranks,
    condition,
    from_output,
    gradients,
    noise_window,
)
from .device import Device, choose_device
from .events import Steps
from .files import CLASS_VALUES
from .networks import TileExactNetwork
from .parameters import DEFAULT_MEMORY
from .tiling import Grid, Read, Window, Write, blocks, load, predict

_SAMPLE_SIDE = 256  # working pixels
_SAMPLES = 16  # windows that tell a plane's ranks
_ENOUGH = 1 << 18  # pixels in them that are
_LEAD = 1e-4  # of myelin over background, and of axon over myelin


@dataclass(frozen=True)
class Source:
    """What a translator is shown of one plane; either part may be None, but not both.

    Attributes
    ----------
    shape
        Rows and columns.
    classes
        Reads a window of the mask: 0 background, 127 myelin, 255 axon.
    grey
        Reads a window of the image, normalised to 0..1 (`image.IntensityRange`).
    """

    shape: tuple[int, int]
    classes: Read | None
    grey: Read | None

    def read(self, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        """A window as planes (n, h, w): the mask one-hot, then the grey values."""
        parts: list[npt.NDArray[Any]] = []
        if self.classes is not None:
            window = self.classes(rows, columns)
            parts += [window == value for value in CLASS_VALUES]
        if self.grey is not None:
            parts.append(self.grey(rows, columns))
        return np.stack(parts).astype(np.float32, copy=False)

    @property
    def planes(self) -> int:
        """How many `read` returns."""
        return CLASS_COUNT * (self.classes is not None) + (self.grey is not None)


def render_plane(
    network: TileExactNetwork,
    source: Source,
    write: Write,
    *,
    scale: float,
    seed: int,
    variety: float = 1.0,
    plane: int = 0,
    device: Device | None = None,
    memory: int = DEFAULT_MEMORY,
    tile: int | None = None,
    first: tuple[int, int] = (0, 0),
    part: Window | None = None,
) -> Steps[None]:
    """Translate one plane.

    Mask and grey values are brought to the working scale, where the condition is built; what the
    network makes of it is brought back. Every step looks a known way far and sits at absolute
    pixels, the noise too, so tiles equal the whole.

    Parameters
    ----------
    network
        A translator: (1, CHANNELS, H, W) to (1, 1, H, W) in -1..1.
    source
        What it is shown.
    write
        Called with row and column slices and the (1, h, w) output there, -1..1.
    scale
        Working pixels per pixel of the plane.
    seed, variety, plane
        Of the noise.
    device, memory, tile, first, part
        As of `tiling.predict`.
    """
    device = device or choose_device()
    margin, ranks = 0, None
    if source.grey is not None:
        margin = STRUCTURE_RADIUS
        ranks = Ranks(ranks_of(source.grey, source.shape, scale, device).tables.cpu())

    yield from predict(
        network,
        source.read,
        write,
        source.shape,
        scale=scale,
        device=device,
        memory=memory,
        tile=tile,
        prepare=_Condition(source.classes is not None, ranks, (seed, plane), variety),
        margin=margin,
        planes=source.planes,
        first=first,
        part=part,
    )


@dataclass(frozen=True)
class _Condition:
    """Makes a translator's input of a window: of all that it needs, small enough to be sent."""

    masked: bool
    ranks: Ranks | None
    key: tuple[int, int]
    variety: float

    def __call__(self, window: Tensor, rows: slice, columns: slice) -> Tensor:
        classes = structure = None
        if self.masked:
            classes = likeliest(window[:, :CLASS_COUNT])
        if self.ranks is not None:
            structure = self.ranks.apply(gradients(window[:, -1:]))
        noise = noise_window(*self.key, rows, columns, classes, self.variety)
        return condition(classes, structure, noise.to(window.device))


def rendered_from(
    network: TileExactNetwork, shape: tuple[int, int], scale: float, part: Window
) -> Window:
    """Rows and columns of a plane that `render_plane` reads to make a part of it, at most."""
    radius = network.receptive_radius + STRUCTURE_RADIUS
    rows, columns = (
        Grid(length, scale, radius, network.stride).source(wanted)
        for length, wanted in zip(shape, part, strict=True)
    )
    return rows, columns


def grey_levels(
    made: npt.NDArray[np.float32], grey_range: tuple[float, float]
) -> npt.NDArray[np.uint8]:
    """Grey values of a translator's output -1..1.

    Parameters
    ----------
    made
        Any shape.
    grey_range
        Usual 1st and 99th percentile of the images that it makes, 0 to 255.
    """
    low, high = grey_range
    grey = from_output(torch.from_numpy(made)) * (high - low) + low
    return grey.round_().clamp_(0, 255).to(torch.uint8).numpy()


def likeliest(shares: Tensor) -> Tensor:
    """Class of each working pixel (N, H, W) from the shares (N, 3, H, W) of the classes in it.

    Of equal shares the inner class wins, by a lead that rounding cannot turn: tiles agree.
    """
    background, myelin, axon = shares.unbind(1)
    myelin, axon = myelin + _LEAD, axon + 2 * _LEAD
    is_axon = axon > torch.maximum(background, myelin)
    return torch.where(is_axon, 2, (myelin > background).long())


@torch.inference_mode()
def ranks_of(grey: Read, shape: tuple[int, int], scale: float, device: Device) -> Ranks:
    """Ranks of the gradients of a plane, from windows spread over it: the same for every tile."""
    found = []
    for window, inner in _windows(grey, shape, scale, device):
        found.append(gradients(window)[..., *inner].reshape(1, len(SIGMAS), 1, -1))
    magnitudes = torch.cat(found, -1)
    return Ranks.of(magnitudes[..., :: math.ceil(magnitudes.shape[-1] / _ENOUGH)])


def samples_of(
    grey: Read, shape: tuple[int, int], scale: float, device: Device
) -> Iterator[Tensor]:
    """Windows (h, w) at the working scale, spread over a plane, that stand for it."""
    for window, inner in _windows(grey, shape, scale, device):
        yield window[0, 0][inner]


def _windows(
    grey: Read, shape: tuple[int, int], scale: float, device: Device
) -> Iterator[tuple[Tensor, tuple[slice, slice]]]:
    """Windows (1, 1, h, w) with margins for `gradients`, and where in them their middle lies."""
    lengths = [Grid(length, scale, 0, 1).working_length for length in shape]
    windows = list(product(*(blocks(length, _SAMPLE_SIDE) for length in lengths)))
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), _SAMPLES)).round().astype(int)
    for block in (windows[index] for index in chosen):
        wide = [
            slice(max(0, span.start - STRUCTURE_RADIUS), min(span.stop + STRUCTURE_RADIUS, length))
            for span, length in zip(block, lengths, strict=True)
        ]
        rows, columns = (
            slice(span.start - outer.start, span.stop - outer.start)
            for span, outer in zip(block, wide, strict=True)
        )
        yield load(grey, wide[0], wide[1], scale, shape, device), (rows, columns)
