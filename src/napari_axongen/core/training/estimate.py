"""How long a training will take, and how much memory: by doing a little of it."""

from __future__ import annotations

import contextlib
import math
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from napari_axongen.core.datasets import make_micrographs
from napari_axongen.core.device import choose_device
from napari_axongen.core.events import Notice, Progress, Steps

from . import memory
from .loop import Task, make_task, take_step
from .pools import PIXEL_BYTES, SurrogatePool
from .recipe import AnyRecipe, MadeData, Recipe
from .segmenter import SegmentationTask, em_contrast

_WARM = 2  # steps that are taken before the time of one counts
_TIMED = 2  # at least; more of them where they are short
_MOST, _LONG = 12, 1.5  # steps, seconds
_EVERY = 0.01  # s between two looks at the memory of a process


@dataclass(frozen=True)
class Estimate:
    """What a training will take.

    Attributes
    ----------
    seconds
        Of the whole run, with its data read and its validations.
    steps_per_second
        Between two validations.
    validation
        Seconds of one.
    memory
        Bytes, at most, beyond what the process holds without it; None where it cannot be known.
    device
        What it was measured on, and why that was chosen.
    parts
        Into how many parts a batch is cut so that it fits into the memory.
    """

    seconds: float
    steps_per_second: float
    validation: float
    memory: int | None
    device: str
    parts: int


def estimate_steps(recipe: AnyRecipe, device: str = "auto") -> Steps[Estimate]:
    """Read the data of a recipe, take a few steps and validate once; nothing of it is kept.

    Yields
    ------
    Progress; a Notice when the batch has to be cut for want of memory.

    Raises
    ------
    InputError
        The recipe cannot be trained: see `loop.make_task`.
    """
    chosen = choose_device(device)
    work = _WARM + _TIMED + 2
    yield Progress(0, work, "reading the data")
    with _peak(chosen.torch) as peak:
        began = time.monotonic()
        task = make_task(_with_one_micrograph(recipe), chosen)
        reading = time.monotonic() - began
        spent: list[float] = []
        while _more(spent[_WARM:]):
            yield Progress(min(1 + len(spent), work - 2), work, "trying some steps")
            # the last ones draw what was drawn: making surrogates is counted by itself
            began = time.monotonic()
            _, events = take_step(task, recipe, min(len(spent), _WARM - 1))
            spent.append(time.monotonic() - began)
            yield from (event for event in events if isinstance(event, Notice))
        yield Progress(work - 1, work, "trying a validation")
        began = time.monotonic()
        task.validate()
        validation = time.monotonic() - began
        setting = recipe.optimisation
        making, kept = _surrogates(task, setting.steps * setting.batch)
        rendering, rendered = _micrographs(recipe)
    step = statistics.median(spent[_WARM:])
    validations = math.ceil(setting.steps / recipe.validate_every)
    yield Progress(work, work)
    return Estimate(
        reading + rendering + setting.steps * step + validations * validation + making,
        1 / (step + making / setting.steps),
        validation,
        None if peak.count is None else peak.count + kept + rendered,
        chosen.reason,
        task.parts,
    )


def _more(timed: Sequence[float]) -> bool:
    """Whether another step is to be timed."""
    return len(timed) < _TIMED or (len(timed) < _MOST and sum(timed) < _LONG)


def _surrogates(task: Task, draws: int) -> tuple[float, int]:
    """Seconds for the surrogates of a run, and bytes that are kept of them."""
    if not isinstance(task, SegmentationTask) or task.mixture.pool is None:
        return 0.0, 0
    pool = task.mixture.pool
    drawn = draws * task.mixture.pool_share
    return pool.made(drawn) * _one(pool), pool.kept(drawn)


def _one(pool: SurrogatePool) -> float:
    """Seconds in which a surrogate is made."""
    fresh = SurrogatePool(pool.data, pool.classes)
    began = time.monotonic()
    fresh[0]
    return time.monotonic() - began


def _with_one_micrograph(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe with a single micrograph to render: of many that takes long."""
    if not isinstance(recipe, Recipe) or not isinstance(recipe.made, MadeData):
        return recipe
    one = recipe.made.model_copy(update={"count": 1})
    return recipe.model_copy(update={"made": one})


def _micrographs(recipe: AnyRecipe) -> tuple[float, int]:
    """Seconds and bytes for the other micrographs of a recipe."""
    if not isinstance(recipe, Recipe) or not isinstance(recipe.made, MadeData):
        return 0.0, 0
    wanted = recipe.made.model_dump(exclude={"source"}) | {"count": 1}
    began = time.monotonic()
    make_micrographs(em_contrast(recipe), **wanted)
    others = recipe.made.count - 1
    return others * (time.monotonic() - began), others * PIXEL_BYTES * recipe.made.side**2


# ---------------------------------------------------------------- memory


class _Peak:
    """The most memory that was in use beyond what was at the beginning."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = memory.held(device)
        self.count = None if self._before is None else 0

    def look(self) -> None:
        now = memory.held(self._device)
        if self.count is not None and now is not None and self._before is not None:
            self.count = max(self.count, now - self._before)


@contextlib.contextmanager
def _peak(device: torch.device) -> Iterator[_Peak]:
    """Watch the memory of a device, and give back what was taken."""
    memory.free()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    peak, over = _Peak(device), threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY):
            peak.look()

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
        peak.look()
        memory.free()
