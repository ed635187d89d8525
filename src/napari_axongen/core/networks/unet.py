"""The U-Net (Ronneberger et al. 2015) in a form that tiles exactly."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from .base import TileExactNetwork, ascend


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each with batch normalisation and ReLU.

    Batch normalisation has frozen statistics at inference, so it acts on each pixel alone.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class UNet(TileExactNetwork):
    """U-Net with zero padding, max pooling and bilinear upsampling.

    Parameters
    ----------
    channels
        Channels of each level, finest first; each further level halves the resolution.
    in_channels, out_channels
        Channels of input and output.

    Notes
    -----
    Input (N, in_channels, H, W), output (N, out_channels, H, W) logits; H and W must be multiples
    of `stride`.
    """

    def __init__(
        self, channels: Sequence[int], in_channels: int = 1, out_channels: int = 3
    ) -> None:
        super().__init__()
        if len(channels) < 1 or min(channels) < 1:
            raise TypeError("channels needs at least one level of at least one channel")
        levels = len(channels)
        self.stride = 2 ** (levels - 1)
        self.receptive_radius = receptive_radius(levels)
        # Peak of one call: at the finest level the upsampled map, the skip and their concatenation.
        finest = channels[0] + channels[1] if levels > 1 else channels[0]
        self.bytes_per_pixel = 4 * 2 * finest
        sizes = [in_channels, *channels]
        self.encoder = nn.ModuleList(
            ConvBlock(inputs, outputs) for inputs, outputs in zip(sizes, channels, strict=False)
        )
        self.decoder = nn.ModuleList(
            ConvBlock(channels[level] + channels[level + 1], channels[level])
            for level in reversed(range(levels - 1))
        )
        self.head = nn.Conv2d(channels[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of (N, out_channels, H, W) for an input of (N, in_channels, H, W)."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = ascend(skips.pop(), skips, self.decoder)
        result: Tensor = self.head(x)
        return result


def receptive_radius(levels: int) -> int:
    """How far from a pixel the U-Net looks, in pixels: exact, for the worst place on the stride."""
    reach = 0
    for pixel in range(2 ** (levels - 1)):
        low, high = input_interval(levels, pixel, pixel)
        reach = max(reach, pixel - low, high - pixel)
    return reach


def input_interval(levels: int, low: int, high: int) -> tuple[int, int]:
    """Input pixels, first and last, that the output pixels ``low..high`` of a U-Net depend on.

    Followed back level by level: two 3x3 convolutions widen an interval by 2, pooling maps it to
    pairs, and bilinear upsampling to both neighbours.
    """

    def encoder(level: int, low: int, high: int) -> tuple[int, int]:
        low, high = low - 2, high + 2
        return (low, high) if level == 0 else encoder(level - 1, 2 * low, 2 * high + 1)

    def decoder(level: int, low: int, high: int) -> tuple[int, int]:
        if level == levels - 1:
            return encoder(level, low, high)
        low, high = low - 2, high + 2
        skip = encoder(level, low, high)
        below = decoder(level + 1, (low - 1) // 2, (high + 1) // 2)
        return min(skip[0], below[0]), max(skip[1], below[1])

    return decoder(0, low, high)
