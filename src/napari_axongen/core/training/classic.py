"""The reference's way of training its networks (pix2pix, Isola et al. 2017, section 3).

Adam at a constant rate, batches of one, 150 epochs; the discriminator takes its step first, on the
mean of its two losses, then the generator on its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)
L1_WEIGHT = 100.0


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Binary cross-entropy of the verdicts (logits) on real and made patches: their mean."""
    losses = [
        functional.binary_cross_entropy_with_logits(verdict, torch.full_like(verdict, truth))
        for verdict, truth in ((real, 1.0), (fake, 0.0))
    ]
    return torch.stack(losses).mean()


def generator_loss(fake: Tensor, made: Tensor, image: Tensor) -> Tensor:
    """Cross-entropy of verdicts that should be "real", and `L1_WEIGHT` times the L1 distance.

    Parameters
    ----------
    fake
        Logits of the discriminator on what was made.
    made, image
        (N, 1, H, W), what was made and the real image of the same mask.
    """
    fooled = functional.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))
    return fooled + L1_WEIGHT * functional.l1_loss(made, image)
