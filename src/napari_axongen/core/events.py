"""What a running job tells its listener.

Every long computation of this package is a generator: it *yields* events and *returns* its
result. The window, the command line and a notebook iterate the same generator. To cancel is to
stop iterating (``generator.close()``); work stops at the next ``yield``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` units of work (tiles, steps, files) are finished."""

    done: int
    total: int
    message: str = ""


@dataclass(frozen=True)
class Notice:
    """Something the user should know: what was found, chosen or changed, in one sentence."""

    message: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Metrics:
    """Losses of a training step, by name; who listens may leave some out."""

    step: int
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """What a training run measured on held-out data, by name (``val_dice_axon``, ...).

    ``best`` says whether it is the best so far.
    """

    step: int
    values: dict[str, float]
    best: bool = False


@dataclass(frozen=True)
class Samples:
    """Pictures of fixed held-out tiles, as training sees them now.

    Attributes
    ----------
    step
        Of training.
    titles
        What the pictures of a tile are, such as ``image``, ``truth``, ``found``.
    tiles
        uint8 (tiles, titles, H, W, 3), RGB.
    """

    step: int
    titles: tuple[str, ...]
    tiles: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Partial:
    """One plane of a stack is finished: its index and its part of the result."""

    plane: tuple[int, ...]
    value: Any


Event: TypeAlias = Progress | Notice | Metrics | Validation | Samples | Partial
Steps: TypeAlias = Generator[Event, None, T]
"""A job: yields events, returns its result."""


def run(steps: Steps[T], on_event: Callable[[Event], None] | None = None) -> T:
    """Run a job to its end and return its result.

    Parameters
    ----------
    steps
        The job.
    on_event
        Called with every event; omitted, the events are dropped.
    """
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if on_event is not None:
            on_event(event)


def quiet(steps: Steps[T]) -> Steps[T]:
    """A job within a job, without its progress."""
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if not isinstance(event, Progress):
            yield event


def counted(steps: Steps[T], part: int, parts: int, message: str = "") -> Steps[T]:
    """One of several equal jobs within a job: its progress counts over all of them.

    Parameters
    ----------
    steps
        The job.
    part, parts
        Which it is, from 0, and of how many.
    message
        Said instead of its own.
    """
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if isinstance(event, Progress):
            done, total = part * event.total + event.done, parts * event.total
            event = Progress(done, total, message or event.message)
        yield event
