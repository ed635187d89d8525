"""A run: how far it has come, what it measured, its best weights, and its folder."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from torch import Tensor

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Steps
from napari_axongen.core.files import write_text
from napari_axongen.core.models.store import RUN_MODEL

from .checkpoint import load_checkpoint, save_checkpoint
from .recipe import AnyRecipe
from .runs import CHECKPOINT, HISTORY, RECIPE, write_recipe
from .watching import Watch

if TYPE_CHECKING:
    from .loop import Task

logger = logging.getLogger(__name__)


class Run:
    """A run of a task, opened or begun in its folder.

    Parameters
    ----------
    task, recipe, folder
        What is trained, how, and where its files are.
    resume
        Go on from the checkpoint in the folder, if there is one.
    leads
        Whether this process writes: it does so alone.

    Attributes
    ----------
    step
        Steps done.
    history
        One entry for each validation: its step, losses and values; where it was the best so far,
        ``best``.

    Raises
    ------
    InputError
        The folder holds another run, or cannot be written.
    """

    def __init__(
        self, task: Task, recipe: AnyRecipe, folder: Path, resume: bool, leads: bool = True
    ) -> None:
        self.task, self.recipe, self.folder = task, recipe, folder
        self.step = 0
        self.history: list[dict[str, float]] = []
        self._watch = Watch()
        self._best: dict[str, Tensor] = {}
        self._saved_step, self._saved_at = 0, time.monotonic()
        self._failing = self._doubtful = False
        if leads:
            self._prepare(resume)
        if resume and (folder / CHECKPOINT).exists():
            state, self._best = load_checkpoint(folder, task.modules, task.optimisers)
            self.step, self.history = int(state["step"]), list(state["history"])
            self._watch = Watch(**state.get("watch", {}))  # older ones have neither
            task.parts = int(state.get("parts", 1))
            self._saved_step = self.step

    def _prepare(self, resume: bool) -> None:
        path = self.folder / RECIPE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                if not resume:
                    raise InputError(
                        f"{self.folder} already holds a run; continue it with --resume, or choose "
                        "another folder."
                    )
                if not self._is_of(path.read_text(encoding="utf-8")):
                    raise InputError(
                        f"{self.folder} holds a run of another recipe; resume with the recipe that "
                        f"it was made by, {path}, or choose another folder."
                    )
                for left in self.folder.glob(".*.partial"):  # what a killed process was writing
                    left.unlink()
            else:
                write_recipe(self.folder, self.recipe)
        except OSError as error:
            raise InputError(
                f"The run cannot be written to {self.folder}: {error.strerror}."
            ) from error

    def _is_of(self, description: str) -> bool:
        try:
            return type(self.recipe).model_validate_json(description) == self.recipe
        except ValidationError:
            return False

    # ------------------------------------------------------------ how far it is

    @property
    def best_entry(self) -> int | None:
        """Which entry of the history is the best; None where nothing was scored."""
        found = [index for index, entry in enumerate(self.history) if "best" in entry]
        return found[-1] if found else None

    @property
    def lost_patience(self) -> bool:
        """Whether validation has not improved for so long that training ends."""
        patience, best = self.recipe.patience, self.best_entry
        if patience is None or best is None:
            return False
        return len(self.history) - 1 - best >= patience

    @property
    def over(self) -> bool:
        """Whether no step is left to do."""
        return self.step == self.recipe.optimisation.steps or self.lost_patience

    @property
    def model(self) -> Path:
        """Path of the finished model."""
        return self.folder / RUN_MODEL

    def took(self, losses: dict[str, float]) -> None:
        """Count a step.

        Raises
        ------
        InputError
            Its loss is not finite, or the loss diverges (see `Watch`). The checkpoint stays as it
            was: the weights are spoilt.
        """
        self.step += 1
        if not all(map(math.isfinite, losses.values())):
            raise self._spoilt("The loss is no longer finite")
        if len(self.task.optimisers) == 1:
            self._watch.follow(losses["loss"])
            self._doubtful = self._watch.too_high(losses["loss"])
            if self._watch.diverged:
                raise self._spoilt(
                    f"The loss diverges (now {self._watch.mean:.3g}, {self._watch.lowest:.3g} "
                    "before)"
                )

    def judged(self, losses: dict[str, float], values: dict[str, float]) -> bool:
        """Put a validation into the history; return whether it is the best so far."""
        entry = {"step": float(self.step), **losses, **values}
        score, before = self.task.score(values), self.best_entry
        best = score is not None and not math.isnan(score)
        if score is not None and before is not None:
            highest = self.task.score(_measured(self.history[before]))
            best = highest is None or score > highest
        if best:
            entry["best"] = True
            if self.recipe.keep == "best":
                weights = self.task.modules[self.task.shipped].state_dict()
                self._best = {k: v.detach().to("cpu", copy=True) for k, v in weights.items()}
        self.history.append(entry)
        return best

    # ------------------------------------------------------------ writing

    def keep(self, now: bool = False) -> Iterator[Notice]:
        """Write a checkpoint when it is time, or now. If that fails, say so once and go on.

        None is written while the loss is so high that it may turn out to diverge.

        Raises
        ------
        InputError
            The weights are no longer finite.
        """
        due = time.monotonic() - self._saved_at > self.recipe.checkpoint_seconds
        if self._saved_step == self.step or not (now or (due and not self._doubtful)):
            return
        self._check_weights()
        try:
            self._save()
            self._failing = False
        except InputError as error:
            self._saved_at = time.monotonic()  # to be tried again as if it had been
            if not self._failing:
                self._failing = True
                yield Notice(f"{error} Until then training goes on without.", "warning")

    def leave(self) -> None:
        """Write a checkpoint because the run is stopped; if it cannot be, the log says so."""
        if self._saved_step == self.step:
            return
        try:
            self._check_weights()
            self._save()
        except Exception as error:  # whoever closes the run must come to an end
            logger.warning("Step %d is lost: %s", self.step, error)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "history": self.history,
            "watch": asdict(self._watch),
            "parts": self.task.parts,
        }
        save_checkpoint(self.folder, self.task.modules, self.task.optimisers, state, self._best)
        self._saved_step, self._saved_at = self.step, time.monotonic()
        write_text(self.folder / HISTORY, json.dumps(self.history, indent=2))

    def _check_weights(self) -> None:
        for module in self.task.modules.values():
            if not all(bool(x.isfinite().all()) for x in module.state_dict().values()):
                raise self._spoilt("The weights are no longer finite")

    def _spoilt(self, what: str) -> InputError:
        """What is said when the weights are lost; those on the disk are not."""
        kept = ""
        if (self.folder / CHECKPOINT).exists():
            kept = f", or try again with --resume from step {self._saved_step}, which is kept"
        return InputError(
            f"{what} at step {self.step}; lower the learning rate and start in another folder"
            f"{kept}."
        )

    def finish(self) -> Steps[None]:
        """Write the model: the weights of the best validation, or the last.

        Stopped before, it is done anew when the run goes on.

        Raises
        ------
        InputError
            It cannot be written. The checkpoint stays as it was.
        """
        if self._best:
            self.task.modules[self.task.shipped].load_state_dict(self._best)
        try:
            yield from self.task.save(self.model, self.history)
        except InputError as error:
            reason = getattr(error.__cause__, "strerror", None) or error
            raise InputError(
                f"Training is done, but its model cannot be written to {self.folder}: {reason}; "
                "make room there and finish the run with --resume."
            ) from error


def _measured(entry: dict[str, float]) -> dict[str, float]:
    """What was measured on held-out data."""
    return {name: value for name, value in entry.items() if name.startswith("val_")}
