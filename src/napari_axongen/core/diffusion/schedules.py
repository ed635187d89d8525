"""The forward process: how much of an image is left after each of T steps towards noise.

An image x0 becomes ``x_t = sqrt(a_t) x0 + sqrt(1 - a_t) noise`` (Ho et al. 2020, eq. 4), where a_t,
the product of ``1 - beta`` up to step t, falls from nearly 1 to nearly or exactly 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["noise", "velocity", "image"]
"""What a network returns: noise, ``sqrt(a) noise - sqrt(1 - a) x0`` (Salimans & Ho 2022), or x0."""

Spacing = Literal["leading", "trailing"]

_MOST_BETA = 0.999  # of the cosine schedule, whose last step would else be infinite
_OFFSET = 0.008  # its s


@dataclass(frozen=True)
class Schedule:
    """Parts of the variance that are the image's after each step.

    Attributes
    ----------
    kept
        a_t: (T,) float64, falling.
    """

    kept: Tensor

    @classmethod
    def linear(cls, steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Schedule:
        """Betas on a line (Ho et al. 2020, section 4)."""
        return cls((1 - torch.linspace(first, last, steps, dtype=torch.float64)).cumprod(0))

    @classmethod
    def cosine(cls, steps: int = 1000) -> Schedule:
        """A squared cosine (Nichol & Dhariwal 2021, eq. 17)."""
        at = torch.arange(steps + 1, dtype=torch.float64) / steps
        level = torch.cos((at + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2
        betas = (1 - level[1:] / level[:-1]).clamp_max(_MOST_BETA)
        return cls((1 - betas).cumprod(0))

    def ending_in_noise(self) -> Schedule:
        """The same, shifted and stretched so that nothing is left (Lin et al. 2024, alg. 1)."""
        roots = self.kept.sqrt()
        first, last = roots[0].clone(), roots[-1].clone()
        return Schedule(((roots - last) * first / (first - last)) ** 2)

    def __len__(self) -> int:
        return len(self.kept)

    def length(self, strength: float = 1.0) -> int:
        """Steps of the way back from a part of the way towards noise."""
        return round(len(self) * strength)

    def noised(self, images: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Images (N, ...) after ``steps`` (N,) towards ``noise``."""
        left, come = self._roots(steps, images)
        return left * images + come * noise

    def target(
        self, images: Tensor, noise: Tensor, steps: Tensor, prediction: Prediction
    ) -> Tensor:
        """What the network is to return for `noised` images."""
        if prediction == "noise":
            return noise
        if prediction == "image":
            return images
        left, come = self._roots(steps, images)
        return left * noise - come * images

    def _roots(self, steps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.kept.to(like.device)[steps].view(-1, *[1] * (like.ndim - 1))
        return kept.sqrt().to(like.dtype), (1 - kept).sqrt().to(like.dtype)

    def course(self, count: int, spacing: Spacing = "trailing", strength: float = 1.0) -> Course:
        """A way back from noise in ``count`` calls of the network.

        Parameters
        ----------
        count
            1 to T.
        spacing
            ``leading``: counted from 0, so that the last steps of T are never seen; ``trailing``:
            counted from T (Lin et al. 2024, table 2).
        strength
            Part of T at which it begins: from an image that was noised so far (SDEdit, Meng et al.
            2022).

        Raises
        ------
        ValueError
            There are not that many steps.
        """
        total = self.length(strength)
        if not 1 <= count <= total:
            raise ValueError(f"{count} steps were asked for; the schedule has 1 to {total}")
        if spacing == "leading":
            told = [k * (total // count) for k in reversed(range(count))]
        else:
            told = [round(total - k * total / count) - 1 for k in range(count)]
        one = torch.ones(1, dtype=torch.float64)
        return Course(tuple(told), torch.cat([self.kept[told], one]))


@dataclass(frozen=True)
class Course:
    """Levels of noise that a sampler passes.

    Attributes
    ----------
    told
        (n,): the step that the network is told of at each call.
    kept
        (n + 1,) float64: a where each call starts from, and where the last one ends.
    """

    told: tuple[int, ...]
    kept: Tensor

    def __len__(self) -> int:
        return len(self.told)

    def reversed(self) -> Course:
        """From the image to its noise (Song et al. 2021, section 4.3).

        Each call is told of the step that it leads to.
        """
        return Course(self.told[::-1], self.kept.flip(0))
