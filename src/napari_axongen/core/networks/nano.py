"""The reference's segmentation network: a U-Net of one convolution a level (Billot 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .base import TileExactNetwork

_CHANNELS = (32, 64, 128)
_DROPOUT = 0.3


class NanoUNet(TileExactNetwork):
    """Three levels of one 5x5 convolution with ReLU, max pooling, nearest upsampling, no norm.

    Parameters
    ----------
    in_channels
        Of the input.
    out_channels
        Classes. The logit of the first, background, is 0 and is not computed: with two classes the
        softmax of the output is the reference's one sigmoid.

    Notes
    -----
    Input (N, in_channels, H, W), output (N, out_channels, H, W) logits; H and W must be multiples
    of `stride`. 641,153 parameters with two classes. Dropout acts where the reference's has an
    effect: on what goes down from the finest level, and on what comes up to it. Weights are drawn
    as Glorot and Bengio (2010) do, the default of the reference's library.
    """

    stride = 4
    receptive_radius = 23  # it sees 44 pixels, at most 23 of them on one side of its own

    def __init__(self, in_channels: int = 1, out_channels: int = 3) -> None:
        super().__init__()
        if in_channels < 1 or out_channels < 2:
            raise TypeError("it needs at least one channel and two classes")
        finest, middle, coarsest = _CHANNELS
        # Peak of one call: the upsampled map, the skip and their concatenation.
        self.bytes_per_pixel = 4 * 2 * (finest + middle)
        self.down = nn.ModuleList(
            [
                _convolution(in_channels, finest),
                _convolution(finest, middle),
                _convolution(middle, coarsest),
            ]
        )
        self.up = nn.ModuleList(
            [_convolution(coarsest + middle, middle), _convolution(middle + finest, finest)]
        )
        self.head = nn.Conv2d(finest, out_channels - 1, 1)
        self.dropout = nn.Dropout(_DROPOUT)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of (N, out_channels, H, W) for an input of (N, in_channels, H, W)."""
        fine = functional.relu(self.down[0](x))
        middle = functional.relu(self.down[1](self.dropout(functional.max_pool2d(fine, 2))))
        x = functional.relu(self.down[2](functional.max_pool2d(middle, 2)))
        x = functional.relu(self.up[0](_joined(x, middle)))
        x = functional.relu(self.up[1](_joined(self.dropout(x), fine)))
        logits = self.head(x)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 5, padding=2)


def _joined(coarse: Tensor, skip: Tensor) -> Tensor:
    """A coarse map at twice its resolution, with what came down there."""
    return torch.cat([functional.interpolate(coarse, scale_factor=2.0, mode="nearest"), skip], 1)
