"""What a denoiser was trained for: how its images become noise, and what it is to return.

Levels run from 0 (image) to 1 (noise), whatever the process; a network is told of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from napari_axongen.core.networks.denoiser import Objective

from .samplers import Ancestral, Ddim, DpmSolver, FlowEuler, Sampler
from .schedules import Course, Prediction, Schedule

SamplerName: TypeAlias = Literal["dpm++", "ddim", "ddpm", "euler"]

_GAMMA = 5.0  # of Min-SNR (Hang et al. 2023): above it details are easy


@dataclass(frozen=True)
class Way:
    """A way from noise, or from an image, through some calls of a network.

    Attributes
    ----------
    sampler
        What it makes of each call.
    told
        The level that the network is told of at each call.
    image, noise
        Factors of image and white noise that it begins with.
    """

    sampler: Sampler
    told: tuple[float, ...]
    image: float
    noise: float

    def __len__(self) -> int:
        return len(self.told)


class Process(ABC):
    """Between images and noise."""

    samplers: tuple[SamplerName, ...]
    """Those that suit it, the best for few steps first."""

    @abstractmethod
    def noised(self, images: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """Images (N, ...) at levels (N,) in 0..1."""

    @abstractmethod
    def target(self, images: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """What the network is to return for them."""

    @abstractmethod
    def told(self, levels: Tensor) -> Tensor:
        """Levels (N,) as they are: a schedule of steps rounds them up to its own."""

    @abstractmethod
    def weights(self, levels: Tensor) -> Tensor:
        """Weights (N,) of the squared errors in training."""

    @abstractmethod
    def way(self, sampler: SamplerName, count: int, strength: float = 1.0) -> Way:
        """A way back to an image.

        Parameters
        ----------
        sampler
            One of `samplers`.
        count
            Calls of the network.
        strength
            Level at which it begins: 1 is noise.
        """

    def most_steps(self, strength: float = 1.0) -> int | None:
        """Calls of the network that a way may have; None: any number."""
        return None

    @abstractmethod
    def inversion(self, count: int, strength: float = 1.0) -> Way:
        """A way from an image to the noise of which it would be made."""


def process(objective: Objective) -> Process:
    """The process of an objective.

    Velocity: on a cosine that ends in noise; noise: on the line of Ho et al. (2020); or a rectified
    flow.
    """
    if objective == "flow":
        return Flow()
    if objective == "noise":
        return Scheduled(Schedule.linear(), "noise")
    return Scheduled(Schedule.cosine().ending_in_noise(), "velocity")


@dataclass(frozen=True)
class Scheduled(Process):
    """A schedule of steps."""

    schedule: Schedule
    prediction: Prediction
    samplers = ("dpm++", "ddim", "ddpm")

    def noised(self, images: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """See `Process`."""
        return self.schedule.noised(images, noise, self._steps(levels))

    def target(self, images: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """See `Process`."""
        return self.schedule.target(images, noise, self._steps(levels), self.prediction)

    def told(self, levels: Tensor) -> Tensor:
        """See `Process`."""
        return (self._steps(levels) + 1) / len(self.schedule)

    def weights(self, levels: Tensor) -> Tensor:
        """Of velocity: the ratio of signal to noise, from 1 to gamma, as a weight of the image.

        From 1, as without (Salimans & Ho 2022): where nothing but noise is left, a few steps begin.
        """
        if self.prediction != "velocity":
            return torch.ones_like(levels)
        kept = self.schedule.kept.to(levels.device)[self._steps(levels)]
        ratio = kept / (1 - kept)
        return (ratio.clamp(1, _GAMMA) / (ratio + 1)).to(levels.dtype)

    def way(self, sampler: SamplerName, count: int, strength: float = 1.0) -> Way:
        """See `Process`."""
        course = self.schedule.course(count, strength=strength)
        made: Sampler
        if sampler == "dpm++":
            made = DpmSolver(course, self.prediction)
        elif sampler == "ddim":
            made = Ddim(course, self.prediction)
        elif sampler == "ddpm":
            made = Ancestral(course, self.prediction)
        else:
            raise ValueError(f"{sampler} is for rectified flows")
        return self._way(made, course)

    def most_steps(self, strength: float = 1.0) -> int:
        """See `Process`."""
        return self.schedule.length(strength)

    def inversion(self, count: int, strength: float = 1.0) -> Way:
        """See `Process`."""
        course = self.schedule.course(count, strength=strength).reversed()
        return self._way(Ddim(course, self.prediction), course)

    def _way(self, sampler: Sampler, course: Course) -> Way:
        kept = float(course.kept[0])
        told = tuple((step + 1) / len(self.schedule) for step in course.told)
        return Way(sampler, told, kept**0.5, (1 - kept) ** 0.5)

    def _steps(self, levels: Tensor) -> Tensor:
        total = len(self.schedule)
        return (levels * total).ceil().long().clamp(1, total) - 1


class Flow(Process):
    """Straight lines (rectified flow, Liu et al. 2023)."""

    samplers = ("euler",)

    def noised(self, images: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """See `Process`."""
        part = levels.view(-1, *[1] * (images.ndim - 1))
        return (1 - part) * images + part * noise

    def target(self, images: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """See `Process`."""
        return noise - images

    def told(self, levels: Tensor) -> Tensor:
        """See `Process`."""
        return levels

    def weights(self, levels: Tensor) -> Tensor:
        """See `Process`."""
        return torch.ones_like(levels)

    def way(self, sampler: SamplerName, count: int, strength: float = 1.0) -> Way:
        """See `Process`."""
        if sampler != "euler":
            raise ValueError(f"{sampler} needs a schedule; a rectified flow has none")
        levels = tuple(strength * (1 - k / count) for k in range(count + 1))
        return Way(FlowEuler(levels), levels[:-1], 1 - strength, strength)

    def inversion(self, count: int, strength: float = 1.0) -> Way:
        """See `Process`."""
        levels = tuple(strength * k / count for k in range(count + 1))
        return Way(FlowEuler(levels), levels[:-1], 1.0, 0.0)
