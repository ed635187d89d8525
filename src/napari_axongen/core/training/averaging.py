"""The moving average of weights that is validated and shipped."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def follow_weights(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move an average of weights towards those after a step (0, 1, ...), faster at the beginning.

    Counters of a network are copied, not averaged.
    """
    decay = min(decay, (step + 1) / (step + 10))
    new = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(new[name], 1 - decay)
        else:
            value.copy_(new[name])
