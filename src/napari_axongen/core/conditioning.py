"""What a translator is told of the image that it shall make: mask, structure, noise.

The generator never sees grey values of the source. It sees where axons and myelin lie, and where
grey values change, whichever is bright: neither says which microscope took the picture, so a
network that learnt to make SEM images out of SEM conditions takes TEM conditions as well. Each part
may be missing (zeros), which it meets in training, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

SIGMAS = (1.0, 2.5)
"""Scales, in working pixels, at which changes of grey are measured."""

STRUCTURE_RADIUS = math.ceil(4 * max(SIGMAS))
"""How far from a pixel `gradients` looks."""

GRAINS = (48, 12, 1)
"""Distances, in working pixels, over which the noise changes: tissue, cells, single pixels.

All but the last are *shade*: by how many standard deviations a class is brighter here than usual.
"""

SHADES = len(GRAINS) - 1
"""Channels of shade: of how bright tissue is, and of how bright cells are."""

CLASS_COUNT = 3
CHANNELS = CLASS_COUNT + len(SIGMAS) + len(GRAINS)

GREY_RANGE = (-0.25, 1.25)
"""Normalised grey values (`image.IntensityRange`) that outputs of -1 and 1 stand for."""

_QUANTILES = 257
_LEAST_STEP = 2e-5  # between quantiles: in flat parts ranks would else be those of rounding errors
_BLOCK = 256  # side of a block of noise
_STRIP = 64  # outputs of a filter made by one product


def gradients(grey: Tensor) -> Tensor:
    """Magnitude of the Gaussian gradient at each of `SIGMAS`.

    Parameters
    ----------
    grey
        (N, 1, H, W).

    Returns
    -------
    (N, len(SIGMAS), H, W); unchanged when the image is inverted
    """
    found = []
    for sigma in SIGMAS:
        reach = math.ceil(4 * sigma)
        x = torch.arange(-reach, reach + 1, dtype=torch.float32, device=grey.device)
        smooth = torch.exp(-(x**2) / (2 * sigma**2))
        smooth = smooth / smooth.sum()
        slope = -x / sigma**2 * smooth
        padded = functional.pad(grey, (reach, reach, reach, reach), mode="replicate")
        smoothed, sloped = _filtered(padded, torch.stack([smooth, slope]))
        (along,), (across,) = (
            _filtered(smoothed.mT, slope[None]),
            _filtered(sloped.mT, smooth[None]),
        )
        found.append(torch.hypot(across, along).mT)
    return torch.cat(found, 1)


def _filtered(x: Tensor, kernels: Tensor) -> Tensor:
    """Correlate the last axis with some kernels (n, taps): (..., W + taps - 1) to (n, ..., W).

    As products with a band matrix, `_STRIP` outputs at a time: several times faster on a CPU than a
    convolution of one channel.
    """
    count, taps = kernels.shape
    width = x.shape[-1] - taps + 1
    band = kernels.new_zeros(count, _STRIP, _STRIP + taps - 1)
    for place in range(_STRIP):
        band[:, place, place : place + taps] = kernels
    strips = functional.pad(x, (0, -width % _STRIP)).unfold(-1, _STRIP + taps - 1, _STRIP)
    made = (strips @ band.flatten(0, 1).T).view(*strips.shape[:-1], count, _STRIP)
    return made.movedim(-2, 0).flatten(-2)[..., :width]


@dataclass(frozen=True)
class Ranks:
    """Tables that map gradient magnitudes to their rank: every image then has one histogram.

    Attributes
    ----------
    tables
        (len(SIGMAS), n): quantiles of the magnitudes, rising.
    """

    tables: Tensor

    @classmethod
    def of(cls, magnitudes: Tensor) -> Ranks:
        """Ranks among (N, len(SIGMAS), H, W) magnitudes: those of a whole plane, or a sample."""
        values = magnitudes.transpose(0, 1).flatten(1).sort(1).values
        places = np.linspace(0, values.shape[1] - 1, _QUANTILES).round().astype(np.int64)
        tables = values[:, torch.from_numpy(places).to(values.device)]
        steps = _LEAST_STEP * torch.arange(_QUANTILES, device=values.device)
        return cls(((tables - steps).cummax(1).values + steps).contiguous())

    def apply(self, magnitudes: Tensor) -> Tensor:
        """Ranks of (N, len(SIGMAS), H, W) magnitudes, from -1 (lowest) to 1 (highest)."""
        values = magnitudes.transpose(0, 1).flatten(1).contiguous()
        tables = self.tables.to(values.device)
        upper = torch.searchsorted(tables, values).clamp(1, _QUANTILES - 1)
        low, high = tables.gather(1, upper - 1), tables.gather(1, upper)
        part = ((values - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        ranks = (upper - 1 + part) / (_QUANTILES - 1) * 2 - 1
        shape = magnitudes.transpose(0, 1).shape
        return ranks.view(shape).transpose(0, 1)


def one_hot(classes: Tensor) -> Tensor:
    """Planes (N, CLASS_COUNT, H, W) float32 of class indices (N, H, W)."""
    return functional.one_hot(classes.long(), CLASS_COUNT).movedim(-1, 1).float()


def condition(classes: Tensor | None, structure: Tensor | None, noise: Tensor) -> Tensor:
    """Put together what a translator is given.

    Parameters
    ----------
    classes
        int64 (N, H, W): 0 background, 1 myelin, 2 axon. None: no mask.
    structure
        (N, len(SIGMAS), H, W): `Ranks.apply` of the gradients. None: no structure.
    noise
        (N, len(GRAINS), H, W), see `noise_window`.

    Returns
    -------
    (N, CHANNELS, H, W)
    """
    count, _, height, width = noise.shape
    if classes is None:
        mask = noise.new_zeros(count, CLASS_COUNT, height, width)
    else:
        mask = one_hot(classes)
    if structure is None:
        structure = noise.new_zeros(count, len(SIGMAS), height, width)
    return torch.cat([mask, structure, noise], 1)


def to_output(grey: Tensor) -> Tensor:
    """What a translator should return for normalised grey values: -1..1."""
    low, high = GREY_RANGE
    return ((grey - low) / (high - low) * 2 - 1).clamp(-1, 1)


def from_output(made: Tensor) -> Tensor:
    """Normalised grey values of what a translator returned."""
    low, high = GREY_RANGE
    return (made + 1) / 2 * (high - low) + low


def noise_window(
    seed: int,
    plane: int,
    rows: slice,
    columns: slice,
    classes: Tensor | None = None,
    variety: float = 1.0,
) -> Tensor:
    """A window of the noise that belongs to (seed, plane).

    A pixel's value depends on where it lies in the plane, not on the window: tiles agree.

    Parameters
    ----------
    seed, plane
        Of the noise.
    rows, columns
        Working pixels, from ``start`` to ``stop``.
    classes
        int64 (1, h, w). Each class has a shade of its own: a dark gap lies beside bright axons.
        None: one for all.
    variety
        Standard deviation of the shade.

    Returns
    -------
    (1, len(GRAINS), h, w) float32, on the CPU: shade of each grain, then white noise of standard
    deviation 1
    """
    classes = None if classes is None else classes.cpu()
    shade = torch.zeros(SHADES, rows.stop - rows.start, columns.stop - columns.start)
    for k in range(CLASS_COUNT if classes is not None else 1):
        fields = torch.stack(
            [_field((seed, plane, level, k), GRAINS[level], rows, columns)
             for level in range(SHADES)]
        )  # fmt: skip
        # Half of it is common to a whole stack, as images differ and not only their places.
        common = np.random.default_rng((seed, k)).standard_normal()
        fields[0] = (fields[0] + common) * math.sqrt(0.5)
        shade = fields if classes is None else torch.where(classes == k, fields, shade)
    return torch.cat([variety * shade, white_noise(seed, plane, rows, columns)[0]])[None]


def white_noise(seed: int, plane: int, rows: slice, columns: slice, step: int = 0) -> Tensor:
    """A window (1, 1, h, w) of white noise of deviation 1, likewise; ``step`` makes it anew."""
    key = (seed, plane, SHADES, *([step] if step else []))
    return _field(key, GRAINS[-1], rows, columns)[None, None]


def _field(key: tuple[int, ...], grain: int, rows: slice, columns: slice) -> Tensor:
    """A window (h, w) of noise with knots at every ``grain`` pixels, and lines between them."""
    spans = [
        slice(s.start // grain, (s.stop - 1) // grain + (2 if grain > 1 else 1))
        for s in (rows, columns)
    ]
    field = torch.from_numpy(_knots(key, *spans))
    if grain == 1:
        return field
    down, across = (
        _lines(wanted, span, grain) for wanted, span in zip((rows, columns), spans, strict=True)
    )
    return down @ field @ across.T * _OF_LINES


_OF_LINES = 1.5  # linear interpolation keeps two thirds of the deviation, along each axis 0.82


def _lines(wanted: slice, span: slice, grain: int) -> Tensor:
    """Weights (n_wanted, n_span) of knots in the pixels between them."""
    places = torch.arange(wanted.start, wanted.stop)[:, None] / grain
    return (1 - (places - torch.arange(span.start, span.stop)).abs()).clamp_min(0)


def _knots(key: tuple[int, ...], rows: slice, columns: slice) -> npt.NDArray[np.float32]:
    """A window of white noise, made of blocks that each have a generator of their own."""
    field = np.empty((rows.stop - rows.start, columns.stop - columns.start), dtype=np.float32)
    for i in range(rows.start // _BLOCK, (rows.stop - 1) // _BLOCK + 1):
        for j in range(columns.start // _BLOCK, (columns.stop - 1) // _BLOCK + 1):
            rng = np.random.default_rng((*key, i, j))
            block = rng.standard_normal((_BLOCK, _BLOCK), dtype=np.float32)
            (to_rows, of_rows), (to_columns, of_columns) = (
                _overlap(wanted, index * _BLOCK) for wanted, index in ((rows, i), (columns, j))
            )
            field[to_rows, to_columns] = block[of_rows, of_columns]
    return field


def _overlap(wanted: slice, start: int) -> tuple[slice, slice]:
    """Where a block that begins at ``start`` meets a window: in the window, and in the block."""
    first, last = max(wanted.start, start), min(wanted.stop, start + _BLOCK)
    return slice(first - wanted.start, last - wanted.start), slice(first - start, last - start)
