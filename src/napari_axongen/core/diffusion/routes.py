"""The methods: from noise, or from an image, to the target's image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .process import Process, SamplerName, Way

Beginning: TypeAlias = Literal["noise", "image", "matched"]


@dataclass(frozen=True)
class Leg:
    """A way, and whose images the network shall see on it.

    Attributes
    ----------
    way
        From one level of noise to another.
    domain
        ``TEM``, ``SEM`` or ``none``.
    """

    way: Way
    domain: str


@dataclass(frozen=True)
class Route:
    """What is done to a plane.

    Attributes
    ----------
    legs
        One after the other.
    begins_with
        ``noise``; ``image``: the source as it is; ``matched``: the source with the target's grey
        values.
    inverted
        Whether the source is dark where the target is bright; of ``matched``.
    structure
        Whether the network is told where the source's grey values change.
    guidance
        1: the network as it is; else its difference from what it makes of nothing, so many times
        (classifier-free guidance, Ho & Salimans 2022).
    """

    legs: tuple[Leg, ...]
    begins_with: Beginning
    inverted: bool
    structure: bool
    guidance: float


def route(
    process: Process,
    method: str,
    sampler: SamplerName | None,
    steps: int,
    strength: float,
    guidance: float,
    structure: bool,
    source: str,
    target: str,
) -> Route:
    """The route of a method.

    Parameters
    ----------
    process
        Of the network.
    method
        ``ddpm`` and ``generate``: from noise. ``sdedit``: from the image, noised up to ``strength``
        (Meng et al. 2022). ``ddib``: from the image to its noise as the source's, and back as the
        target's (dual diffusion implicit bridges, Su et al. 2023).
    sampler
        None: the first of the process.
    steps
        Calls of the network, each way.
    strength, guidance
        As in `parameters.TranslateParameters`.
    structure
        Whether the network is told of the source's.
    source, target
        ``TEM``, ``SEM`` or ``none``.
    """
    name = sampler or process.samplers[0]
    if method == "ddib":
        back: SamplerName = "euler" if "euler" in process.samplers else "ddim"  # as the way there
        legs = (
            Leg(process.inversion(steps), source),
            Leg(process.way(back, steps), target),
        )
        return Route(legs, "image", False, structure, guidance=1.0)  # else the ways would differ
    if method == "sdedit":
        leg = Leg(process.way(name, steps, strength), target)
        return Route((leg,), "matched", source != target, structure, guidance)
    return Route((Leg(process.way(name, steps), target),), "noise", False, structure, guidance)
