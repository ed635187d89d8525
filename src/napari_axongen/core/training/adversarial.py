"""What adversarial training needs: hinge losses, feature matching, augmentation of both sides."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the verdicts on real and made patches (Lim & Ye 2017)."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """What the generator wants: high verdicts on what it made."""
    return -fake.mean()


def feature_matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean difference of what the discriminator's layers see in two images (Wang et al. 2018)."""
    parts = [functional.l1_loss(b, a.detach()) for a, b in zip(real, fake, strict=True)]
    return torch.stack(parts).mean()


def low_pass(x: Tensor) -> Tensor:
    """Means of 8 x 8 pixels, at every fourth: what is left when texture is not asked about."""
    return functional.avg_pool2d(x, 8, stride=4)


def differentiable_augment(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Vary what a discriminator sees: few images last longer (DiffAugment, Zhao et al. 2020).

    Brightness and contrast of the first channel, a shift of up to an eighth and a cut-out of a
    quarter of the side, of all channels alike; each sample its own.

    Parameters
    ----------
    x
        (N, C, H, W): image first, then what it is judged with.
    rng
        Equal states give equal changes.
    """
    count, _, height, width = x.shape
    brightness, contrast = (
        torch.from_numpy(rng.uniform(low, high, (count, 1, 1, 1))).to(x)
        for low, high in ((-0.25, 0.25), (0.75, 1.25))
    )
    image = x[:, :1]
    mean = image.mean((1, 2, 3), keepdim=True)
    x = torch.cat([(image - mean) * contrast + mean + brightness, x[:, 1:]], 1)
    reach = height // 8, width // 8
    padded = functional.pad(x, (reach[1], reach[1], reach[0], reach[0]))
    hole = height // 4, width // 4
    mask = torch.ones(count, 1, height, width, device=x.device, dtype=x.dtype)
    shifted = []
    for index in range(count):
        row, column = (int(rng.integers(0, 2 * r + 1)) for r in reach)
        shifted.append(padded[index, :, row : row + height, column : column + width])
        top, left = (int(rng.integers(0, n - h + 1)) for n, h in zip((height, width), hole,
                                                                     strict=True))  # fmt: skip
        mask[index, :, top : top + hole[0], left : left + hole[1]] = 0
    return torch.stack(shifted) * mask
