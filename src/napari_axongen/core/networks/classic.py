"""The reference's networks: pix2pix (Isola et al. 2017), which renders an image from its mask.

Generator ``unet_256`` and the 70 x 70 PatchGAN discriminator. The generator's bottleneck is one
pixel, normalised like all others by BatchNorm: it sees the whole of its tile and nothing beyond, so
an image is rendered square by square, and seams between the squares are inherent to it. What is
repaired here is how it is used: values span -1..1, and in eval mode the normalisation uses the
statistics of the training instead of those of the tile.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .base import TileExactNetwork

_MYELIN = 127 / 127.5 - 1  # a mask file's 0, 127, 255 as the reference scales them: -1, ~0, 1
_WIDEST = 8  # times the width, from the fourth level on
_DEEPEST = 12
_SQUARES = 4  # rendered at once


class ClassicGenerator(TileExactNetwork):
    """U-Net from a mask of three levels to an image.

    Parameters
    ----------
    in_channels
        1, or 3 as in the reference's files: the mask's one channel is repeated.
    out_channels
        1, or 3 as in the reference's files: their mean is the image.
    width
        Channels of the first level; they double at each level up to 8 times as many.
    depth
        Levels, each of half the resolution. The tile has a side of ``2 ** depth`` pixels.
    value_range
        What the tensors inside hold for -1 and 1, of the mask as well as of the image; other than
        -1 and 1 in the reference's files, see `core.models.importing`.

    Notes
    -----
    Input (N, C >= 3, H, W): the condition of `core.conditioning`, of which the one-hot mask
    (background, myelin, axon: channels 0 to 2) becomes one channel of -1, ~0 and 1; structure and
    noise are not used, and without a mask there is nothing to render. Output (N, 1, H, W) in -1..1.
    H and W must be multiples of `fixed_tile`; each square of that side is rendered by itself. There
    is no dropout: one condition gives one image.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 64,
        depth: int = 8,
        value_range: Sequence[float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, width) < 1 or not 2 <= depth <= _DEEPEST:
            raise TypeError(f"channels and width are at least 1, depth is 2 to {_DEEPEST}")
        low, high = value_range
        if not low < high:
            raise TypeError("value_range is not rising")
        self.in_channels = in_channels
        self.fixed_tile = 2**depth
        self.stride = self.fixed_tile
        self.receptive_radius = 0  # beyond its own square
        # Condition, mask and image. What is needed within the few squares that are rendered at a
        # time (90 MB) and for the weights (220 MB) does not grow with the tile.
        self.bytes_per_pixel = 128
        self._offset, self._factor = (low + high) / 2, (high - low) / 2
        channels = [width * min(2**level, _WIDEST) for level in range(depth)]
        self.down = nn.ModuleList([nn.Sequential(_halve(in_channels, width))])
        for level in range(1, depth):
            block = nn.Sequential(nn.LeakyReLU(0.2), _halve(channels[level - 1], channels[level]))
            if level < depth - 1:  # one pixel has no statistics
                block.append(nn.BatchNorm2d(channels[level]))
            self.down.append(block)
        self.up = nn.ModuleList()
        for level in reversed(range(1, depth)):
            inputs = channels[level] * (1 if level == depth - 1 else 2)
            self.up.append(
                nn.Sequential(
                    nn.ReLU(inplace=True),
                    _double(inputs, channels[level - 1]),
                    nn.BatchNorm2d(channels[level - 1]),
                )
            )
        self.up.append(
            nn.Sequential(nn.ReLU(inplace=True), _double(2 * width, out_channels, bias=True))
        )
        initialise(self)

    def forward(self, condition: Tensor) -> Tensor:
        """Image (N, 1, H, W) for a condition (N, C, H, W).

        Raises
        ------
        ValueError
            H or W is no multiple of `fixed_tile`.
        """
        count, _, height, width = condition.shape
        side = self.stride
        if height % side or width % side:
            raise ValueError(f"{height} x {width} pixels are no multiple of {side}")
        mask = mask_channel(condition)
        rows, columns = height // side, width // side
        squares = mask.reshape(count, rows, side, columns, side).transpose(2, 3)
        squares = squares.reshape(-1, 1, side, side)
        # In training all at once: the normalisation takes its statistics from the whole batch.
        parts = [squares] if self.training else list(torch.split(squares, _SQUARES))
        images = torch.cat([self._render(part) for part in parts])
        images = images.view(count, rows, columns, side, side).transpose(2, 3)
        return images.reshape(count, 1, height, width)

    def _render(self, mask: Tensor) -> Tensor:
        x = (mask * self._factor + self._offset).expand(-1, self.in_channels, -1, -1)
        skips: list[Tensor] = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = skips.pop()
        for block in self.up:
            x = block(x)
            if skips:
                x = torch.cat([skips.pop(), x], 1)
        image = torch.tanh(x).mean(1, keepdim=True)
        return ((image - self._offset) / self._factor).clamp(-1, 1)


class ClassicDiscriminator(nn.Module):
    """PatchGAN: says of each patch of (mask, image) whether the image is real.

    A patch has 70 x 70 pixels with three layers.

    Parameters
    ----------
    in_channels
        Channels of mask and image together: 2, or 6 in the reference's files (either repeated
        three times).
    width
        Channels of the first layer; they double at each layer up to 8 times as many.
    layers
        Layers that halve the resolution.

    Notes
    -----
    Input: condition (N, C >= 3, H, W) as `ClassicGenerator` takes it, and image (N, 1, H, W) in
    -1..1. Output (N, 1, h, w) logits: the reference's sigmoid is part of its loss here.
    """

    def __init__(self, in_channels: int = 2, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        if in_channels < 2 or in_channels % 2 or min(width, layers) < 1:
            raise TypeError("in_channels is even and at least 2, width and layers at least 1")
        self.in_channels = in_channels
        channels = [width * min(2**layer, _WIDEST) for layer in range(layers + 1)]
        blocks: list[nn.Module] = [
            nn.Conv2d(in_channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for layer in range(1, layers + 1):
            stride = 2 if layer < layers else 1
            blocks += [
                nn.Conv2d(channels[layer - 1], channels[layer], 4, stride, padding=1, bias=False),
                nn.BatchNorm2d(channels[layer]),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(channels[-1], 1, 4, padding=1))
        initialise(self)

    def forward(self, condition: Tensor, image: Tensor) -> Tensor:
        """Logits (N, 1, h, w), one a patch: positive for a real image."""
        half = self.in_channels // 2
        mask = mask_channel(condition).expand(-1, half, -1, -1)
        result: Tensor = self.layers(torch.cat([mask, image.expand(-1, half, -1, -1)], 1))
        return result


def mask_channel(condition: Tensor) -> Tensor:
    """One channel (N, 1, H, W) of -1 background, ~0 myelin, 1 axon from the one-hot mask."""
    background, myelin, axon = (condition[:, c : c + 1] for c in range(3))
    return axon + _MYELIN * myelin - background


def initialise(network: nn.Module) -> None:
    """Draw all weights as pix2pix does: N(0, 0.02), those of the normalisation N(1, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            if module.weight.is_meta:
                continue  # shapes alone; drawing those loads a compiler, for seconds
            mean = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
            nn.init.normal_(module.weight, mean, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _halve(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)


def _double(inputs: int, outputs: int, bias: bool = False) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
