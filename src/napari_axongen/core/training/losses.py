"""Losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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


def segmentation_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy plus 1 - soft Dice, averaged over the foreground classes.

    Parameters
    ----------
    logits
        (N, C, H, W).
    classes
        (N, H, W) int64; 0 is background.
    """
    one_hot = functional.one_hot(classes, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    dice = soft_dice(torch.softmax(logits, 1), one_hot)[1:].mean()
    return functional.cross_entropy(logits, classes) + 1 - dice
