"""Losses."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from napari_axongen.core.classes import IGNORED


def soft_dice(probabilities: Tensor, one_hot: Tensor, smooth: float = 1.0) -> Tensor:
    """Soft Dice coefficient of each class over the whole batch (Milletari et al. 2016).

    Parameters
    ----------
    probabilities, one_hot
        (N, C, H, W).
    smooth
        Added to numerator and denominator: a class that is absent and not predicted scores 1.

    Returns
    -------
    (C,)
    """
    axes = (0, 2, 3)
    overlap = (probabilities * one_hot).sum(axes)
    total = probabilities.sum(axes) + one_hot.sum(axes)
    return (2 * overlap + smooth) / (total + smooth)


def dice_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """1 - soft Dice, averaged over the foreground classes: see `segmentation_loss`."""
    known = (classes != IGNORED)[:, None]
    one_hot = functional.one_hot(classes * known[:, 0], logits.shape[1]).movedim(-1, 1)
    dice = soft_dice(torch.softmax(logits, 1) * known, one_hot.to(logits.dtype) * known)
    return 1 - dice[1:].mean()


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy, the mean over what is known: see `segmentation_loss`.

    Where classes are rare it ranks what is found better than a loss with Dice in it, which makes
    probabilities all but 0 or 1.
    """
    known = (classes != IGNORED).sum().clamp_min(1)  # nothing known, no loss
    entropy = functional.cross_entropy(logits, classes, ignore_index=IGNORED, reduction="sum")
    return entropy / known


def segmentation_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """`cross_entropy` plus `dice_loss`.

    Parameters
    ----------
    logits
        (N, C, H, W).
    classes
        (N, H, W) int64; 0 is background, what is `IGNORED` does not count.
    """
    return cross_entropy(logits, classes) + dice_loss(logits, classes)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy + dice": segmentation_loss,
    "cross-entropy": cross_entropy,
    "dice": dice_loss,
}
"""By the names that recipes have for them."""
