"""How bright each class is around a pixel of a real image: what a translator's shade stands for.

Two images with one mask differ in how bright their axons are and in where the tissue between them
is dark. A generator that is told neither makes the mean of all. It is told the real image's own
shade, standardised, while it learns to make that image; later it is given noise of the same spread
(`conditioning.noise_window`), and makes the variety that real images have.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from napari_axongen.core.conditioning import CLASS_COUNT, one_hot

from .planes import Plane, middle

_SIGMAS = (20.0, 5.0)  # px: the grains of the noise, interpolated between knots, are as smooth
_POOL = 4  # px: shade has no detail finer than its smaller sigma
_PRIOR = 0.05  # weight of "as usual" beside the share of the surroundings that is of the class
_FARTHEST = 4.0  # standard deviations


@dataclass(frozen=True)
class Shading:
    """Usual grey value (3,) of each class, and standard deviation (2, 3) of its shades."""

    usual: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, planes: list[Plane]) -> Shading:
        """That of some images, each counting alike."""
        parts = [(plane.grey, plane.classes) for plane in map(middle, planes)]
        usual = _over_images([_by_class(grey, classes) for grey, classes in parts])
        raw = cls(usual, torch.ones(len(_SIGMAS), CLASS_COUNT))
        squares = _over_images([_by_class(raw.shades(*part) ** 2, part[1]) for part in parts])
        return cls(usual, squares.sqrt().clamp_min(1e-3))

    def shades(self, grey: Tensor, classes: Tensor) -> Tensor:
        """By how many deviations an image's classes are brighter than usual around each pixel.

        Parameters
        ----------
        grey, classes
            (H, W).

        Returns
        -------
        (2, H, W): over tens of pixels, and what differs from that over some
        """
        part = one_hot(classes[None])[0]
        residual = (grey - (self.usual.view(-1, 1, 1) * part).sum(0)) * part
        stacked = torch.cat([residual, part])[None]
        pooled = functional.avg_pool2d(stacked, _POOL, ceil_mode=True).numpy()
        found = []
        for sigma in _SIGMAS:
            width = (0, 0, sigma / _POOL, sigma / _POOL)
            filtered = ndimage.gaussian_filter(pooled, width, mode="nearest", truncate=3)
            smooth = torch.from_numpy(filtered)
            mean = smooth[:, :CLASS_COUNT] / (smooth[:, CLASS_COUNT:] + _PRIOR)
            wide = functional.interpolate(mean, scale_factor=_POOL, mode="bilinear")
            wide = wide[0, :, : grey.shape[0], : grey.shape[1]]
            found.append((wide * part).sum(0))
        coarse, fine = found
        own = (self.deviation.view(len(_SIGMAS), -1, 1, 1) * part).sum(1)
        return (torch.stack([coarse, fine - coarse]) / own).clamp(-_FARTHEST, _FARTHEST)


def _by_class(values: Tensor, classes: Tensor) -> Tensor:
    """Mean (..., 3) of values (..., H, W) in each class; NaN where there is none of it."""
    part = one_hot(classes[None])[0]
    return (values[..., None, :, :] * part).sum((-2, -1)) / part.sum((1, 2))


def _over_images(found: list[Tensor]) -> Tensor:
    """Mean of what images say; of a class that no image has, any number."""
    return torch.stack(found).nanmean(0).nan_to_num(1.0)
