"""The default network of the diffusion model: a residual U-Net at half resolution, tile-exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from .base import TileExactNetwork, ascend
from .translator import receptive_radius

DOMAINS = ("none", "TEM", "SEM")
"""What a network can be told of whose image it shall make, by index."""

Objective: TypeAlias = Literal["velocity", "flow", "noise"]
"""What the network returns: see `core.diffusion`."""

_FULL = 12  # channels at full resolution
_HEAD = 16
_WAVES = 32  # frequencies that tell the level of noise
_SLOWEST, _FASTEST = 1.0, 1000.0
_TOLD = 128  # channels of what is known of level and domain


class DiffusionNetwork(TileExactNetwork):
    """A network that tells noise from image, called as `Denoiser.forward` describes.

    Attributes
    ----------
    objective
        What it returns.
    centre, spread
        Mean and standard deviation of its images, -1..1: the noise is added to
        ``(image - centre) / spread``.
    conditional
        Whether it heeds mask, structure and microscope; else the noisy image and its level alone.
    """

    objective: Objective
    centre: float
    spread: float
    conditional: bool = True


class Denoiser(DiffusionNetwork):
    """What is image and what is noise, told mask, structure, level of noise and microscope.

    A U-Net of residual blocks on 2 x 2 blocks of pixels (pixel unshuffle), normalised pixel by
    pixel (root mean square over channels, Zhang & Sennrich 2019): no attention and no statistics
    over space, so that tiles equal the whole. Level and domain scale and shift the channels of each
    block (Perez et al. 2018). Two convolutions at the end meet the noisy image once more.

    Parameters
    ----------
    channels
        Channels of each level, finest (half resolution) first.
    in_channels
        Of the condition, the noisy image last.
    objective
        What is returned.
    centre, spread
        Mean and standard deviation of the images that it was trained on, -1..1: the noise is added
        to ``(image - centre) / spread``.

    Notes
    -----
    Input (N, in_channels, H, W), output (N, 1, H, W); H and W must be multiples of `stride`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        in_channels: int = 6,
        objective: Objective = "velocity",
        centre: float = 0.0,
        spread: float = 1.0,
    ) -> None:
        super().__init__()
        if len(channels) < 1 or min(channels) < 1:
            raise TypeError("channels needs at least one level of at least one channel")
        if objective not in ("velocity", "flow", "noise") or spread <= 0:
            raise TypeError("objective is velocity, flow or noise, and spread is positive")
        levels = len(channels)
        self.objective = objective
        self.centre, self.spread = float(centre), float(spread)
        self.stride = 2**levels
        self.receptive_radius = receptive_radius(levels)
        finest = channels[0] + (channels[1] if levels > 1 else 0)
        self.bytes_per_pixel = 4 * (3 * finest // 4 + _FULL + _HEAD + in_channels)
        self.told = nn.Sequential(nn.Linear(2 * _WAVES, _TOLD), nn.SiLU(), nn.Linear(_TOLD, _TOLD))
        self.domain = nn.Embedding(len(DOMAINS), _TOLD)
        sizes = [4 * in_channels, *channels]
        self.encoder = nn.ModuleList(
            _Block(inputs, outputs) for inputs, outputs in zip(sizes, channels, strict=False)
        )
        self.decoder = nn.ModuleList(
            _Block(channels[level] + channels[level + 1], channels[level])
            for level in reversed(range(levels - 1))
        )
        self.blocks_to_pixels = nn.Conv2d(channels[0], 4 * _FULL, 1)
        self.head = nn.Sequential(
            nn.Conv2d(_FULL + 1, _HEAD, 3, padding=1),
            nn.SiLU(inplace=True),
            nn.Conv2d(_HEAD, 1, 3, padding=1),
        )

    def forward(self, x: Tensor, level: Tensor, domain: Tensor) -> Tensor:
        """What the objective asks for.

        Parameters
        ----------
        x
            (N, in_channels, H, W): `core.conditioning.condition` with the noisy image as noise.
        level
            (N,): how far it is towards noise, 0 to 1.
        domain
            (N,) int64, index in `DOMAINS`.

        Returns
        -------
        (N, 1, H, W)
        """
        told = functional.silu(self.told(_waves(level)) + self.domain(domain))
        noisy = x[:, -1:]
        x = functional.pixel_unshuffle(x, 2)
        skips: list[Tensor] = []
        for depth, block in enumerate(self.encoder):
            x = block(functional.avg_pool2d(x, 2) if depth else x, told)
            skips.append(x)
        x = ascend(skips.pop(), skips, self.decoder, told)
        x = functional.pixel_shuffle(self.blocks_to_pixels(x), 2)
        result: Tensor = self.head(torch.cat([x, noisy], 1))
        return result


class _Block(nn.Module):
    """Two 3x3 convolutions, told of level and domain in between, beside a 1x1 one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.beside = nn.Conv2d(inputs, outputs, 1)
        self.scale_and_shift = nn.Linear(_TOLD, 2 * outputs)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.scale_and_shift.weight)
        for layer in (self.second, self.scale_and_shift):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift(told)[..., None, None].chunk(2, 1)
        y = self.first(x)
        y = y * torch.rsqrt(y.square().mean(1, keepdim=True) + 1e-6)
        y = functional.silu(torch.addcmul(shift, y, 1 + scale), inplace=True)
        result: Tensor = self.beside(x) + self.second(y)
        return result


def _waves(level: Tensor) -> Tensor:
    """Sines and cosines (N, 2 * _WAVES) of levels (N,), slow to fast."""
    steps = torch.linspace(math.log(_SLOWEST), math.log(_FASTEST), _WAVES, device=level.device)
    phase = level[:, None].float() * steps.exp()
    return torch.cat([phase.sin(), phase.cos()], 1)
