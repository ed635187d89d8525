"""The generator of the default translator: a U-Net at half resolution, which tiles exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .base import TileExactNetwork, ascend
from .unet import input_interval

_FULL = 12  # channels at full resolution
_HEAD = 16


class Translator(TileExactNetwork):
    """U-Net (Ronneberger et al. 2015) on 2 x 2 blocks of pixels, without normalisation.

    The blocks (pixel unshuffle, Shi et al. 2016) make it four times cheaper than one at full
    resolution; two convolutions at the end, which meet the noise once more, work on single pixels.

    Parameters
    ----------
    channels
        Channels of each level, finest (half resolution) first.
    in_channels, out_channels
        Channels of the condition, white noise last, and of the image.

    Notes
    -----
    Input (N, in_channels, H, W), output (N, out_channels, H, W) in -1..1; H and W must be multiples
    of `stride`.
    """

    def __init__(
        self, channels: Sequence[int], in_channels: int = 8, out_channels: int = 1
    ) -> None:
        super().__init__()
        if len(channels) < 1 or min(channels) < 1:
            raise TypeError("channels needs at least one level of at least one channel")
        levels = len(channels)
        self.stride = 2**levels
        self.receptive_radius = receptive_radius(levels)
        # Peak of one call: at half resolution the upsampled map, the skip and their concatenation.
        finest = channels[0] + (channels[1] if levels > 1 else 0)
        self.bytes_per_pixel = 4 * (2 * finest // 4 + _FULL + _HEAD + in_channels)
        sizes = [4 * in_channels, *channels]
        self.encoder = nn.ModuleList(
            _block(inputs, outputs) for inputs, outputs in zip(sizes, channels, strict=False)
        )
        self.decoder = nn.ModuleList(
            _block(channels[level] + channels[level + 1], channels[level])
            for level in reversed(range(levels - 1))
        )
        self.blocks_to_pixels = nn.Conv2d(channels[0], 4 * _FULL, 1)
        self.head = nn.Sequential(
            nn.Conv2d(_FULL + 1, _HEAD, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(_HEAD, out_channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Image (N, out_channels, H, W) for a condition (N, in_channels, H, W)."""
        noise = x[:, -1:]
        x = functional.pixel_unshuffle(x, 2)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(functional.avg_pool2d(x, 2) if level else x)
            skips.append(x)
        x = ascend(skips.pop(), skips, self.decoder)
        x = functional.pixel_shuffle(self.blocks_to_pixels(x), 2)
        result: Tensor = torch.tanh(self.head(torch.cat([x, noise], 1)))
        return result


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    )


def receptive_radius(levels: int) -> int:
    """How far from a pixel the network looks, in pixels: exact, for the worst place."""
    reach = 0
    for pixel in range(2**levels):
        low, high = input_interval(levels, (pixel - 2) // 2, (pixel + 2) // 2)
        reach = max(reach, pixel - 2 * low, 2 * high + 1 - pixel)
    return reach
