"""Random training crops: a random similarity, then random grey values.

Everything random comes from the generator that is handed in, so that crop i of step t is a function
of (seed, t, i) and a resumed run sees the crops that an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_axongen.core.classes import IGNORED

from .augmentation import Augmentation

__all__ = ["Augmentation", "Window", "random_crop", "vary_greys"]

Window: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""First row and that after the last, and likewise of columns."""


def random_crop(
    image: Tensor,
    classes: Tensor,
    side: int,
    amount: Augmentation,
    rng: np.random.Generator,
    within: Window | None = None,
) -> tuple[Tensor, Tensor]:
    """Cut a randomly turned, mirrored, zoomed and stretched square out of an image.

    Parameters
    ----------
    image
        (H, W) float32, normalised to 0..1.
    classes
        (H, W) uint8.
    side
        Rows and columns of the crop.
    within
        Where to cut: of an image that is labelled in part, where. A crop that is larger has it in
        its middle.

    Returns
    -------
    (1, side, side) float32 image and (side, side) int64 classes
    """
    within = within or ((0, image.shape[0]), (0, image.shape[1]))
    if amount.whole_pixels:
        x, truth = _whole_pixels(image, classes, side, rng, within)
        return vary_greys(x[None, None], amount, rng)[0], truth.long()
    centre = None
    if amount.focus and rng.random() < amount.focus:
        centre = _some_pixel(classes, rng)
    grid = _random_grid(image.shape, side, amount, rng, within, centre)
    x = functional.grid_sample(
        image[None, None], grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    y = functional.grid_sample(
        classes[None, None].float(),
        grid,
        mode="nearest",
        padding_mode="reflection",
        align_corners=False,
    )
    return vary_greys(x, amount, rng)[0], y[0, 0].long()


def _whole_pixels(
    image: Tensor, classes: Tensor, side: int, rng: np.random.Generator, within: Window
) -> tuple[Tensor, Tensor]:
    """A square out of an image and its classes, mirrored and turned; reflected if that is small."""
    both = torch.stack([image, classes.to(image.dtype)])
    missing = [(0, max(0, side - length)) for length in image.shape]
    if any(most for _, most in missing):
        both = torch.from_numpy(np.pad(both.numpy(), [(0, 0), *missing], mode="symmetric"))
    row, column = (
        rng.integers(int(first - side / 2), int(last - side / 2) + 1)
        for first, last in (
            _middles(side / 2, window, length)
            for window, length in zip(within, both.shape[1:], strict=True)
        )
    )
    both = both[:, row : row + side, column : column + side]
    if rng.random() < 0.5:
        both = both.flip(-1)
    x, truth = both.rot90(int(rng.integers(4)), (-2, -1)).contiguous()
    return x, truth


def _middles(reach: float, window: tuple[int, int], length: int) -> tuple[float, float]:
    """Between which places along an axis the middle of a crop may be.

    So that it reaches out of the window as little as can be, and not out of the image.
    """
    low, high = window
    least, most = min(reach, length / 2), max(length - reach, length / 2)
    first, last = min(low + reach, (low + high) / 2), max(high - reach, (low + high) / 2)
    return max(least, min(first, most)), max(least, min(last, most))


def _some_pixel(classes: Tensor, rng: np.random.Generator) -> tuple[int, int] | None:
    """A random pixel of some class; None where all is background or unknown."""
    places = torch.nonzero((classes.flatten() != 0) & (classes.flatten() != IGNORED))
    if not len(places):
        return None
    row, column = divmod(int(places[rng.integers(len(places))]), classes.shape[1])
    return row, column


def _random_grid(
    shape: torch.Size,
    side: int,
    amount: Augmentation,
    rng: np.random.Generator,
    within: Window,
    centre: tuple[int, int] | None,
) -> Tensor:
    height, width = shape
    zoom = math.exp(rng.uniform(-amount.zoom, amount.zoom))
    stretch = 1 + rng.uniform(-amount.stretch, amount.stretch)
    mirror = rng.choice((-1, 1))
    angle = rng.uniform(-math.pi, math.pi)
    half = side / 2 / zoom
    reach = 0.7 * half  # of half a turned square: a little reflection at the border is harmless
    row, column = (
        rng.uniform(*_middles(reach, window, length))
        for window, length in zip(within, shape, strict=True)
    )
    if centre is not None:  # somewhere in the crop, not in its middle
        row, column = (place + rng.uniform(-half, half) / 2 for place in centre)
    cos, sin = math.cos(angle), math.sin(angle)
    theta = [
        [
            cos * mirror * stretch * half * 2 / width,
            -sin * half * 2 / width,
            2 * column / width - 1,
        ],
        [sin * mirror * stretch * half * 2 / height, cos * half * 2 / height, 2 * row / height - 1],
    ]
    return functional.affine_grid(
        torch.tensor([theta], dtype=torch.float32), [1, 1, side, side], align_corners=False
    )


def vary_greys(x: Tensor, amount: Augmentation, rng: np.random.Generator) -> Tensor:
    """Vary gamma, contrast, brightness, blur, shading and noise of a (1, 1, h, w) image."""
    if rng.random() < 0.7:
        x = x.clamp(0, 1.5) ** math.exp(rng.uniform(-amount.gamma, amount.gamma))
    contrast = math.exp(rng.uniform(-amount.contrast, amount.contrast))
    x = (x - 0.5) * contrast + 0.5 + rng.uniform(-amount.brightness, amount.brightness)
    if rng.random() < 0.3:
        x = _blur(x, rng.uniform(0.3, max(0.3, amount.blur)))
    if rng.random() < 0.3:
        coarse = torch.from_numpy(rng.normal(0, amount.shading, (1, 1, 4, 4))).float()
        x = x + functional.interpolate(coarse, x.shape[-2:], mode="bicubic", align_corners=False)
    if rng.random() < 0.5:
        sigma = rng.uniform(0, amount.noise)
        x = x + sigma * torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    return x


def _blur(x: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-(torch.arange(-reach, reach + 1).float() ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    x = functional.pad(x, (reach, reach, reach, reach), mode="reflect")
    return functional.conv2d(
        functional.conv2d(x, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)
    )
