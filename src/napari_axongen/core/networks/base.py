"""What a network must say of itself to be run in tiles."""

from __future__ import annotations

from torch import nn


class TileExactNetwork(nn.Module):
    """A network whose output at a pixel depends on the input within a known radius alone.

    Attributes
    ----------
    stride
        Tiles must begin at multiples of it, and be multiples of it in size.
    receptive_radius
        How far from a pixel the network looks, in pixels.
    bytes_per_pixel
        Memory of one call, per input pixel.
    """

    stride: int
    receptive_radius: int
    bytes_per_pixel: int
