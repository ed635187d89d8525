"""The one training loop: any task, exact resume, safe to kill."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, Notice, Progress, Steps
from napari_axongen.core.files import atomic_path
from napari_axongen.core.models.store import RUN_MODEL

from .checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from .recipe import AnyRecipe, DiffusionRecipe, Recipe


class Task(Protocol):
    """What is trained. The loop knows nothing else about it.

    `step` and `validate` must depend on the modules, the optimisers, the step's number and the
    recipe alone: then a resumed run equals an uninterrupted one to the bit (on a CPU).
    """

    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]

    def step(self, step: int) -> dict[str, float]:
        """Train on the batch of this step; return its losses."""

    def validate(self) -> dict[str, float]:
        """Measure on the held-out data."""

    def save(self, path: Path, history: list[dict[str, float]]) -> None:
        """Write the finished model."""


def train(task: Task, recipe: AnyRecipe, out: Path, resume: bool = False) -> Steps[Path]:
    """Train a task to its last step.

    Parameters
    ----------
    task, recipe
        What to train and how.
    out
        Folder of the run. It gets ``checkpoint.safetensors`` every ``checkpoint_seconds``,
        ``recipe.json``, ``history.json``, and at the end ``model.safetensors``.
    resume
        Go on from the checkpoint in ``out``. A run that was killed before its first checkpoint
        starts anew; a finished one is left as it is.

    Returns
    -------
    Path of the finished model.

    Raises
    ------
    InputError
        The folder holds another run, or cannot be written; the loss is no longer finite (the last
        good checkpoint stays).
    """
    last = recipe.optimisation.steps
    step, history = _open(task, recipe, out, resume)
    if step:
        yield Notice(f"Going on from step {step} of {last}.")
    model = out / RUN_MODEL
    if step == last and model.exists():
        yield Notice(f"{model} is finished; nothing is left to do.")
        return model
    started, first, saved = time.monotonic(), step, time.monotonic()
    while step < last:
        losses = task.step(step)
        if not all(map(math.isfinite, losses.values())):
            raise InputError(
                f"The loss is no longer finite at step {step + 1}; lower the learning rate in the "
                f"recipe. The state before is kept in {out / FILE_NAME}."
            )
        step += 1
        if step % recipe.validate_every == 0 or step == last:
            losses = losses | task.validate()
            history.append({"step": float(step), **losses})
        yield Metrics(step, losses)
        rate = (step - first) / (time.monotonic() - started)
        yield Progress(step, last, f"{rate:.2g} steps/s")
        if time.monotonic() - saved > recipe.checkpoint_seconds or step == last:
            _save(task, out, step, history)
            saved = time.monotonic()
    task.save(model, history)
    return model


def _open(
    task: Task, recipe: AnyRecipe, out: Path, resume: bool
) -> tuple[int, list[dict[str, float]]]:
    """Prepare the folder; return the steps done and their history."""
    description = recipe.model_dump(mode="json")
    path = out / "recipe.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if not resume:
                raise InputError(
                    f"{out} already holds a run; continue it with --resume, or choose another "
                    "folder."
                )
            if json.loads(path.read_text(encoding="utf-8")) != description:
                raise InputError(
                    f"{out} holds a run of another recipe; resume with the recipe that it was made "
                    "by, or choose another folder."
                )
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(description, indent=2), encoding="utf-8")
    except OSError as error:
        raise InputError(f"The run cannot be written to {out}: {error.strerror}.") from error
    if resume and (out / FILE_NAME).exists():
        state = load_checkpoint(out, task.modules, task.optimisers)
        return int(state["step"]), list(state["history"])
    return 0, []


def _save(task: Task, out: Path, step: int, history: list[dict[str, float]]) -> None:
    state: dict[str, Any] = {"step": step, "history": history}
    save_checkpoint(out, task.modules, task.optimisers, state)
    with atomic_path(out / "history.json") as path:
        path.write_text(json.dumps(history, indent=2), encoding="utf-8")


def train_steps(
    recipe: AnyRecipe, out: Path | str, resume: bool = False, device: str = "auto"
) -> Steps[Path]:
    """Train what a recipe describes: see `train`."""
    from .classic import ClassicTask  # a task knows the loop, not the loop its tasks
    from .denoiser import DiffusionTask
    from .segmenter import SegmentationTask
    from .translator import TranslationTask

    chosen = choose_device(device)
    yield Notice(f"Training {recipe.name} on {chosen.reason}.")
    task: Task
    if isinstance(recipe, Recipe):
        task = SegmentationTask(recipe, chosen)
    elif isinstance(recipe, DiffusionRecipe):
        task = DiffusionTask(recipe, chosen)
    elif recipe.network.get("name") == "classic":
        task = ClassicTask(recipe, chosen)
    else:
        task = TranslationTask(recipe, chosen)
    return (yield from train(task, recipe, Path(out), resume))
