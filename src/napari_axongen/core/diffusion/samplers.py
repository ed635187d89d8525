"""The ways back from noise: what one call of the network makes of an image at some level of noise.

A sampler knows nothing of networks and keeps nothing. Call the network on x, hand what it returned
to `step`, and go on with the result; pixel by pixel, so that parts of an image may be done one
after the other, in any order.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from .schedules import Course, Prediction

_LEAST = 1e-12  # part of the image below which the solver's logarithms are infinite


class Sampler(ABC):
    """One way back."""

    @property
    def noisy(self) -> bool:
        """Whether `step` wants new noise."""
        return False

    @abstractmethod
    def estimate(self, made: Tensor, x: Tensor, index: int) -> Tensor:
        """The image that the network sees in ``x``; arguments as of `step`."""

    @abstractmethod
    def step(
        self,
        made: Tensor,
        x: Tensor,
        index: int,
        noise: Tensor | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """From one level of noise to the next.

        Parameters
        ----------
        made
            What the network returned for ``x``; any shape, as all others.
        x
            The image at this level.
        index
            Which step of the course it is.
        noise
            White, new at each step; only of samplers that are `noisy`.
        before
            `estimate` of the call before, None at the first; only `DpmSolver` looks at it.

        Returns
        -------
        The image at the next level
        """


@dataclass
class _OnCourse(Sampler):
    """A sampler that follows a course.

    Parameters
    ----------
    course
        Levels of noise.
    prediction
        What the network returns.
    """

    course: Course
    prediction: Prediction = "noise"

    def levels(self, index: int) -> tuple[float, float]:
        """What is kept of the image where a step starts and where it ends."""
        return float(self.course.kept[index]), float(self.course.kept[index + 1])

    def estimate(self, made: Tensor, x: Tensor, index: int) -> Tensor:
        """See `Sampler.estimate`."""
        return self.parts(made, x, index)[0]

    def parts(self, made: Tensor, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Image and noise of which ``x`` is made, as the network sees it."""
        kept, _ = self.levels(index)
        left, come = math.sqrt(kept), math.sqrt(1 - kept)
        if self.prediction == "velocity":
            return left * x - come * made, left * made + come * x
        if self.prediction == "image":
            return made, (x - left * made) / come if come else torch.zeros_like(x)
        return (x - come * made) / left, made


@dataclass
class Ancestral(_OnCourse):
    """The reverse Markov chain, of the smaller variance (Ho et al. 2020, eq. 7 and alg. 2)."""

    @property
    def noisy(self) -> bool:
        """It does."""
        return True

    def step(
        self,
        made: Tensor,
        x: Tensor,
        index: int,
        noise: Tensor | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """See `Sampler.step`; the last step adds no noise."""
        image, _ = self.parts(made, x, index)
        kept, then = self.levels(index)
        alpha, left = kept / then, (1 - then) / (1 - kept)
        mean = math.sqrt(then) * (1 - alpha) / (1 - kept) * image + math.sqrt(alpha) * left * x
        if then == 1 or noise is None:
            return mean
        return mean + math.sqrt(left * (1 - alpha)) * noise


@dataclass
class Ddim(_OnCourse):
    """The implicit model (Song et al. 2021, eq. 12); on a reversed course its inversion.

    Parameters
    ----------
    eta
        0: without noise, so that it can be inverted; 1: as much as `Ancestral`.
    """

    eta: float = 0.0

    @property
    def noisy(self) -> bool:
        """Unless eta is 0."""
        return self.eta > 0

    def step(
        self,
        made: Tensor,
        x: Tensor,
        index: int,
        noise: Tensor | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """See `Sampler.step`."""
        kept, then = self.levels(index)
        image, seen = self.parts(made, x, index)
        deviation = 0.0
        if self.eta and kept < then:
            deviation = self.eta * math.sqrt((1 - then) / (1 - kept) * (1 - kept / then))
        x = math.sqrt(then) * image + math.sqrt(max(1 - then - deviation**2, 0)) * seen
        return x if noise is None or deviation == 0 else x + deviation * noise


@dataclass
class DpmSolver(_OnCourse):
    """DPM-Solver++(2M): second order from the call before (Lu et al. 2022b, alg. 2).

    The first and the last step are of first order.
    """

    def step(
        self,
        made: Tensor,
        x: Tensor,
        index: int,
        noise: Tensor | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """See `Sampler.step`."""
        image = self.estimate(made, x, index)
        kept, then = (max(level, _LEAST) for level in self.levels(index))
        if then == 1:
            return image
        length = _half_log_ratio(then) - _half_log_ratio(kept)
        estimate = image
        if before is not None and index > 0:
            last = max(self.levels(index - 1)[0], _LEAST)
            ratio = length / (_half_log_ratio(kept) - _half_log_ratio(last))
            estimate = image + (image - before) * (ratio / 2)
        shrink = math.sqrt((1 - then) / (1 - kept))
        return shrink * x - math.sqrt(then) * math.expm1(-length) * estimate


def _half_log_ratio(kept: float) -> float:
    """Logarithm of the ratio of the image's to the noise's root: lambda."""
    return (math.log(kept) - math.log1p(-kept)) / 2


@dataclass
class FlowEuler(Sampler):
    """Straight on along a rectified flow (Liu et al. 2023, eq. 1).

    There ``x = (1 - s) x0 + s noise``, and the network, told of s, returns ``noise - x0``.

    Parameters
    ----------
    levels
        (n + 1,): s, from 1 or, of an image that was noised a part of the way, less, down to 0.
    """

    levels: tuple[float, ...]

    def estimate(self, made: Tensor, x: Tensor, index: int) -> Tensor:
        """See `Sampler.estimate`."""
        return x - self.levels[index] * made

    def step(
        self,
        made: Tensor,
        x: Tensor,
        index: int,
        noise: Tensor | None = None,
        before: Tensor | None = None,
    ) -> Tensor:
        """See `Sampler.step`."""
        return x + (self.levels[index + 1] - self.levels[index]) * made
