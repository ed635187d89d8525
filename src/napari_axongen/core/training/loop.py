"""The one training loop: any task, any number of processes, exact resume, safe to kill."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_axongen.core.device import Device, choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Metrics, Notice, Progress, Samples, Steps, Validation
from napari_axongen.core.events import run as run_steps

from . import memory, parallel
from .building import begin_with_start, check_start
from .holding import held
from .recipe import AnyRecipe, DiffusionRecipe, Recipe
from .run import Run
from .runs import CHECKPOINT


class Task(Protocol):
    """What is trained. The loop knows nothing else about it.

    `step` and `validate` must depend on the modules, the optimisers, the step's number and the
    recipe alone: then a resumed run equals an uninterrupted one to the bit (on a CPU). What torch
    draws by itself during a step, such as dropout, does: the loop seeds it by the step's number.

    Attributes
    ----------
    modules, optimisers
        All that a checkpoint must hold. The first module is what is trained; it, or its average, is
        shipped, and the others are needed for training alone. With several optimisers the networks
        play against each other: their losses say little, and a step that failed half-way cannot be
        taken again.
    shipped
        Which of the modules becomes the model.
    parts
        Into how many parts `step` cuts its batch (`building.descend_in_parts`); the loop doubles it
        when memory runs out. Tasks of several optimisers need not heed it.
    """

    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    shipped: str
    parts: int

    @property
    def titles(self) -> tuple[str, ...]:
        """What the pictures of a tile are: see `events.Samples`."""

    def step(self, step: int) -> dict[str, float]:
        """Train on the batch of this step; return its losses."""

    def validate(self) -> dict[str, float]:
        """Measure on the held-out data; nothing where there are none."""

    def score(self, values: dict[str, float]) -> float | None:
        """How good the weights are by what `validate` measured: higher is better.

        None where it cannot say; the last weights are kept then.
        """

    def samples(self) -> npt.NDArray[np.uint8] | None:
        """Pictures of fixed held-out tiles as of the last validation: see `events.Samples`."""

    def save(self, path: Path, history: list[dict[str, float]]) -> Steps[None]:
        """Write the finished model; where images are kept back for it, first score them."""


def train(task: Task, recipe: AnyRecipe, out: Path, resume: bool = False) -> Steps[Path]:
    """Train a task to its last step, or until validation has not improved for its patience.

    Parameters
    ----------
    task, recipe
        What to train and how.
    out
        Folder of the run. It gets ``checkpoint.safetensors`` every ``checkpoint_seconds`` and when
        the run is stopped, ``recipe.json``, ``history.json``, and at the end ``model.safetensors``:
        of the best validation or of the last step, as the recipe says.
    resume
        Go on from the checkpoint in ``out``. A run that was killed before its first checkpoint
        starts anew; a finished one is left as it is.

    Returns
    -------
    Path of the finished model.

    Raises
    ------
    InputError
        The folder holds another run, or the model cannot be written; the loss is no longer finite
        or diverges (`watching.Watch`); not one crop fits into the memory. The last good checkpoint
        stays.

    Notes
    -----
    When memory runs out the batch is cut into twice as many parts, and the step is taken again. The
    running statistics of batch normalisation have then seen some crops twice. When a checkpoint
    cannot be written, training goes on and tries again.
    """
    opened = Run(task, recipe, out, resume) if parallel.rank() == 0 else None
    step = parallel.as_first(opened.step if opened else 0)
    run = opened or Run(task, recipe, out, resume, leads=False)
    if run.step != step:
        raise InputError(f"{out} must be one folder that all processes of the run see.")
    last = recipe.optimisation.steps
    device = next(next(iter(task.modules.values())).parameters()).device
    first, busy = run.step, 0.0
    try:
        if run.over and run.model.exists():
            yield Notice(f"{run.model} is finished; nothing is left to do.")
            return run.model
        if run.step:
            yield Notice(f"Going on from step {run.step} of {last}.")
        while parallel.as_first(not run.over):
            began = time.monotonic()
            losses, events = take_step(task, recipe, run.step)
            if parallel.rank() > 0:
                run.step += 1  # the first process does all the rest
                continue
            with parallel.leading():
                run.took(losses)
                events.append(Metrics(run.step, losses))
                if run.step % recipe.validate_every == 0 or run.step == last:
                    events += _validate(task, run, losses)
                busy += time.monotonic() - began
                pace = f"{(run.step - first) / busy:.2g} steps/s{memory.used(device)}"
                yield from [*events, Progress(run.step, last, pace)]
                yield from run.keep()
        if parallel.rank() == 0:
            if run.lost_patience:
                yield Notice(_impatient(run))
            yield from run.keep(now=True)
            yield from run.finish()
    except GeneratorExit:
        run.leave()
        raise
    return run.model


def take_step(task: Task, recipe: AnyRecipe, step: int) -> tuple[dict[str, float], list[Event]]:
    """Take a step, in smaller parts if memory runs out.

    Returns
    -------
    Its losses, the mean of all processes, and what there is to say of it.
    """
    notices: list[Event] = []
    key = np.random.SeedSequence((recipe.seed, step, parallel.rank()))
    while True:
        torch.manual_seed(int(key.generate_state(1, np.uint64)[0]))
        try:
            losses = task.step(step)
            break
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
        # Here, not above: what the step held is free only when its error is forgotten.
        memory.free()
        notices.append(_cut(task, recipe, step))
    parallel.average_buffers(task.modules.values())
    return parallel.average_losses(losses), notices


def _cut(task: Task, recipe: AnyRecipe, step: int) -> Notice:
    """Have the batch cut into twice as many parts."""
    setting = recipe.optimisation
    whole = len(task.optimisers) > 1
    now = setting.batch if whole else math.ceil(setting.batch / task.parts)
    if now == 1 or whole:
        network = next(iter(task.modules.values()))
        size = sum(parameter.numel() for parameter in network.parameters())
        fewer = "fewer or smaller crops" if whole else "smaller crops"
        raise InputError(
            f"Memory runs out at step {step + 1} with {now} crop{'s' * (now > 1)} of "
            f"{setting.crop} x {setting.crop} px at once in a network of {size:,} weights; choose "
            f"{fewer} or a smaller network, or another device."
        )
    task.parts = min(2 * task.parts, setting.batch)
    return Notice(
        f"Memory ran out at step {step + 1}: {math.ceil(setting.batch / task.parts)} of "
        f"{setting.batch} crops at once go through the network from now on.",
        "warning",
    )


def _validate(task: Task, run: Run, losses: dict[str, float]) -> list[Event]:
    values = task.validate()
    best = run.judged(losses, values)
    events: list[Event] = [Validation(run.step, values, best)] if values else []
    tiles = task.samples()
    if tiles is not None:
        events.append(Samples(run.step, task.titles, tiles))
    return events


def _impatient(run: Run) -> str:
    assert run.best_entry is not None
    best = int(run.history[run.best_entry]["step"])
    return f"Validation has not improved since step {best}: training ends at step {run.step}."


def train_steps(
    recipe: AnyRecipe, out: Path | str, resume: bool = False, device: str = "auto"
) -> Steps[Path]:
    """Train what a recipe describes, in a folder that nobody else trains in: see `train`.

    Of several processes (`parallel`) the first alone yields events.

    Raises
    ------
    InputError
        As `make_task` and `train`; `holding.BusyError`: another trains in the folder.
    """
    with parallel.processes(device):
        steps = _train_steps(recipe, Path(out), resume, device)
        if parallel.rank() > 0:
            return run_steps(steps)
        return (yield from steps)


def _train_steps(recipe: AnyRecipe, out: Path, resume: bool, device: str) -> Steps[Path]:
    chosen = choose_device(device)
    others = f", {parallel.count()} processes together" if parallel.count() > 1 else ""
    with held(out) if parallel.rank() == 0 else contextlib.nullcontext():
        yield Notice(f"Training {recipe.name} on {chosen.reason}{others}.")
        begun = resume and (out / CHECKPOINT).exists()
        return (yield from train(make_task(recipe, chosen, not begun), recipe, out, resume))


def make_task(recipe: AnyRecipe, device: Device, from_start: bool = True) -> Task:
    """The task that a recipe describes, with its data read.

    Parameters
    ----------
    recipe, device
        What to train, and where.
    from_start
        Give it the weights that the recipe starts from. Not where a checkpoint takes their place:
        the start may be gone by then.

    Raises
    ------
    InputError
        The recipe cannot be trained: no such network, start or data, or they do not fit.
    """
    if not from_start:
        return _task(recipe, device)
    check_start(recipe)  # before the data are read, which may take minutes
    task = _task(recipe, device)
    begin_with_start(task, recipe)
    return task


def _task(recipe: AnyRecipe, device: Device) -> Task:
    from .classic import ClassicTask  # a task knows the loop, not the loop its tasks
    from .denoiser import DiffusionTask
    from .segmenter import SegmentationTask
    from .translator import TranslationTask

    if isinstance(recipe, Recipe):
        return SegmentationTask(recipe, device)
    if isinstance(recipe, DiffusionRecipe):
        return DiffusionTask(recipe, device)
    if recipe.network.get("name") == "classic":
        return ClassicTask(recipe, device)
    return TranslationTask(recipe, device)
