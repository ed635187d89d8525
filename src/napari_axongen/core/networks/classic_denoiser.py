"""The reference's denoiser: a U-Net with self-attention for squares of 64 pixels, told nothing.

Its modules are named as in the reference, whose checkpoints therefore fit as they are. Attention
and normalisation see the whole of a square and nothing beyond it: an image is worked on square by
square, and seams between them are inherent to it.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_axongen.core.diffusion.schedules import Schedule

from .denoiser import DiffusionNetwork, Objective

SIDE = 64
STEPS = 1000
_FIRST = 1  # of the steps that the reference trains: its step 0 is never drawn
_HEADS = 4
_SLOWEST = 10_000.0
_SQUARES = 8  # worked on at once
_ROOM = 25  # times the width: numbers that a call holds at most per pixel at work, measured


class ClassicDenoiser(DiffusionNetwork):
    """Noise in an image, by the U-Net that the reference trains one of per microscope.

    Three levels below the first, attention (Vaswani et al. 2017) among all places of a level at
    each of them and on the way up; GroupNorm of one group and GELU; the step, as sines and cosines,
    is added after each block. 23.3 million parameters.

    Parameters
    ----------
    channels
        1, or 3 as in the reference's files. Those have learnt grey images as RGB, with noise of its
        own in each channel: see Notes.
    width
        Channels of the first level, a multiple of 4; 2, 4 and 4 times as many further down.
    told
        Numbers that a step is told by.

    Notes
    -----
    Called as `Denoiser.forward` describes; of ``x`` only the last channel, the noisy image, is
    used, and the domain is not. H and W must be multiples of 64.

    Of several channels c with the same image x0, ``x_c = sqrt(a) x0 + sqrt(1 - a) noise_c``, all
    that is known of x0 is in their mean, whose noise is smaller by the root of their number; what
    is left of each is noise that has nothing to do with either. A network of three channels is
    therefore asked about the step whose mean is as noisy as the one channel here, shown that one
    with differences between channels added from a fixed pattern; the mean of its answers is brought
    back. Equal channels would be something that it never saw.
    """

    objective: Objective = "noise"
    centre = 0.0
    spread = 1.0
    conditional = False
    fixed_tile = SIDE
    stride = SIDE
    receptive_radius = 0  # beyond its own square

    def __init__(self, channels: int = 1, width: int = 64, told: int = 256) -> None:
        super().__init__()
        if channels < 1 or width < 1 or width % _HEADS or told < 2 or told % 2:
            raise TypeError(f"channels is at least 1, width a multiple of {_HEADS}, told even")
        self.channels, self._waves = channels, told // 2
        # As if all squares of a call were worked on at once: never less than it takes. The time of
        # a call grows with its squares as well, and cancelling waits for it.
        self.bytes_per_pixel = 4 * _ROOM * width
        wide, widest = 2 * width, 4 * width
        self.inc = _DoubleConv(channels, width)
        self.down1 = _Down(width, wide, told)
        self.sa1 = _SelfAttention(wide)
        self.down2 = _Down(wide, widest, told)
        self.sa2 = _SelfAttention(widest)
        self.down3 = _Down(widest, widest, told)
        self.sa3 = _SelfAttention(widest)
        self.bot1 = _DoubleConv(widest, 2 * widest)
        self.bot2 = _DoubleConv(2 * widest, 2 * widest)
        self.bot3 = _DoubleConv(2 * widest, widest)
        self.up1 = _Up(2 * widest, wide, told)
        self.sa4 = _SelfAttention(wide)
        self.up2 = _Up(2 * wide, width, told)
        self.sa5 = _SelfAttention(width)
        self.up3 = _Up(2 * width, width, told)
        self.sa6 = _SelfAttention(width)
        self.outc = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor, level: Tensor, domain: Tensor) -> Tensor:
        """Noise (N, 1, H, W) of the last channel of x (N, C, H, W), at levels (N,) in 0..1.

        Raises
        ------
        ValueError
            H or W is no multiple of 64.
        """
        count, _, height, width = x.shape
        if height % SIDE or width % SIDE:
            raise ValueError(f"{height} x {width} pixels are no multiple of {SIDE}")
        rows, columns = height // SIDE, width // SIDE
        squares = x[:, -1].reshape(count, rows, SIDE, columns, SIDE).transpose(2, 3)
        squares = squares.reshape(-1, 1, SIDE, SIDE)
        steps = (level * STEPS).round().long().clamp(1, STEPS) - 1
        steps = steps.repeat_interleave(rows * columns)
        parts = zip(torch.split(squares, _SQUARES), torch.split(steps, _SQUARES), strict=True)
        made = torch.cat([self._of_grey(*part) for part in parts])
        made = made.view(count, rows, columns, SIDE, SIDE).transpose(2, 3)
        return made.reshape(count, 1, height, width)

    def _of_grey(self, x: Tensor, steps: Tensor) -> Tensor:
        """Noise of squares (n, 1, 64, 64) at steps (n,)."""
        if self.channels == 1:
            return self.noise(x, steps)
        table, pattern = _asked(self.channels)
        asked, shrink, apart, of_x, of_made = torch.from_numpy(table).to(x.device)[:, steps]
        shrink, apart, of_x, of_made = (
            factor[:, None, None, None].to(x.dtype) for factor in (shrink, apart, of_x, of_made)
        )
        shown = shrink * x + apart * torch.from_numpy(pattern).to(x)
        result: Tensor = of_x * x + of_made * self.noise(shown, asked).mean(1, keepdim=True)
        return result

    def noise(self, x: Tensor, steps: Tensor) -> Tensor:
        """What the reference's network computes.

        Parameters
        ----------
        x
            (n, channels, 64, 64): noisy images.
        steps
            (n,): 0 to 999, as the reference counts them.

        Returns
        -------
        (n, channels, 64, 64)
        """
        told = _sines(steps.clamp_min(_FIRST), self._waves).to(x.dtype)
        first = self.inc(x)
        second = self.sa1(self.down1(first, told))
        third = self.sa2(self.down2(second, told))
        x = self.sa3(self.down3(third, told))
        x = self.bot3(self.bot2(self.bot1(x)))
        x = self.sa4(self.up1(x, third, told))
        x = self.sa5(self.up2(x, second, told))
        x = self.sa6(self.up3(x, first, told))
        result: Tensor = self.outc(x)
        return result


class _DoubleConv(nn.Module):
    """Two 3x3 convolutions, normalised over the whole square; beside the input or instead of it."""

    def __init__(
        self, inputs: int, outputs: int, between: int | None = None, beside: bool = False
    ) -> None:
        super().__init__()
        self.beside = beside
        between = between or outputs
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, between, 3, padding=1, bias=False),
            nn.GroupNorm(1, between),
            nn.GELU(),
            nn.Conv2d(between, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(1, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.double_conv(x)
        return functional.gelu(x + made) if self.beside else made


class _Down(nn.Module):
    """Half the resolution, four convolutions, and the step."""

    def __init__(self, inputs: int, outputs: int, told: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(
            nn.MaxPool2d(2), _DoubleConv(inputs, inputs, beside=True), _DoubleConv(inputs, outputs)
        )
        self.emb_layer = nn.Sequential(nn.SiLU(), nn.Linear(told, outputs))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        result: Tensor = self.maxpool_conv(x) + self.emb_layer(told)[:, :, None, None]
        return result


class _Up(nn.Module):
    """Twice the resolution beside what came from there, four convolutions, and the step."""

    def __init__(self, inputs: int, outputs: int, told: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _DoubleConv(inputs, inputs, beside=True), _DoubleConv(inputs, outputs, inputs // 2)
        )
        self.emb_layer = nn.Sequential(nn.SiLU(), nn.Linear(told, outputs))

    def forward(self, x: Tensor, skip: Tensor, told: Tensor) -> Tensor:
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
        x = self.conv(torch.cat([skip, x], 1))
        result: Tensor = x + self.emb_layer(told)[:, :, None, None]
        return result


class _SelfAttention(nn.Module):
    """Every place of a square looks at every other; then two layers for each place by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mha = _Heads(channels)
        self.ln = nn.LayerNorm([channels])
        self.ff_self = nn.Sequential(
            nn.LayerNorm([channels]),
            nn.Linear(channels, channels),
            nn.GELU(),
            nn.Linear(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        places: Tensor = x.flatten(2).mT
        places = places + self.mha(self.ln(places))
        places = places + self.ff_self(places)
        return places.mT.reshape(x.shape)


class _Heads(nn.Module):
    """The weights of `torch.nn.MultiheadAttention`, never with the matrix of all pairs in memory.

    At 64 x 64 places that would be 270 MB a square.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, places, channels) to the same."""
        each = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = (
            part.reshape(*x.shape[:2], _HEADS, -1).transpose(1, 2) for part in each.chunk(3, -1)
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return result


def _sines(steps: Tensor, waves: int) -> Tensor:
    """Sines, then cosines (n, 2 * waves) of steps (n,) (Vaswani et al. 2017, section 3.5)."""
    rates = torch.arange(waves, device=steps.device) * (-math.log(_SLOWEST) / waves)
    phase = steps[:, None].float() * rates.exp()
    return torch.cat([phase.sin(), phase.cos()], 1)


@cache
def _asked(count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """How a network of ``count`` channels is asked about one: see `ClassicDenoiser`.

    Returns
    -------
    table
        (5, 1000), of each step: the step that is asked about; factors of x and of the pattern in
        what is shown; factors of x and of the mean answer in the noise of x.
    pattern
        (1, count, 64, 64): what is left of white noise without its mean over the channels.
    """
    kept = Schedule.linear().kept.numpy()
    wanted = kept / (kept + count * (1 - kept))
    ratio, of_wanted = (np.log(part) - np.log1p(-part) for part in (kept, wanted))
    steps = _FIRST + np.abs(ratio[_FIRST:] - of_wanted[:, None]).argmin(1)
    then = kept[steps]
    # Where no step is as noisy, all but nothing is left of the image: there the noise shall be
    # right, and the answer's image counts; elsewhere the image is.
    shrink = np.where(
        wanted >= kept[-1], np.sqrt(then / kept), np.sqrt((1 - then) / (count * (1 - kept)))
    )
    of_x = (1 - shrink * np.sqrt(kept / then)) / np.sqrt(1 - kept)
    of_made = np.sqrt(kept * (1 - then) / (then * (1 - kept)))
    table = np.stack([steps, shrink, np.sqrt(1 - then), of_x, of_made]).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal((1, count, SIDE, SIDE), dtype=np.float32)
    return table, noise - noise.mean(1, keepdims=True)
