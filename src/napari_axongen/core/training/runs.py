"""Runs on the disk: where they are, how far each has come, and its model among the others."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import numbered, write_text
from napari_axongen.core.models.card import Card
from napari_axongen.core.models.renaming import import_as
from napari_axongen.core.models.store import RUN_MODEL, user_folder

from .recipe import AnyRecipe, load_recipe

RECIPE, HISTORY, CHECKPOINT = "recipe.json", "history.json", "checkpoint.safetensors"
"""Files in the folder of a run, beside its model."""

STATE_KEY = "axongen_run"
"""Key of the run's state in the metadata of its checkpoint."""


@dataclass(frozen=True)
class StoredRun:
    """A run in its folder.

    Attributes
    ----------
    folder, recipe
        Where it is, and what it trains.
    step
        Steps of its checkpoint; of a finished run, those that it took. 0: it has neither.
    history
        One entry for each validation: its step, losses, and ``val_...``.
    finished
        Whether its model is there.
    """

    folder: Path
    recipe: AnyRecipe
    step: int
    history: tuple[dict[str, float], ...]
    finished: bool

    @property
    def best(self) -> dict[str, float] | None:
        """The entry of the best validation; None where nothing was scored."""
        return next((entry for entry in reversed(self.history) if entry.get("best")), None)

    @property
    def model(self) -> Path:
        """The file of its model, when it is finished."""
        return self.folder / RUN_MODEL


def runs_folder() -> Path:
    """Folder of the user's runs: ``AXONGEN_RUNS``, or ``runs`` beside the user's models."""
    named = os.environ.get("AXONGEN_RUNS")
    return Path(named) if named else user_folder().parent / "runs"


def free_run(name: str, place: Path | None = None) -> Path:
    """A folder for a run of this name that is not there yet.

    Parameters
    ----------
    name
        Of the model; followed by a number where such a folder is there already.
    place
        Where the runs are, by default `runs_folder`.
    """
    place = place or runs_folder()
    return place / numbered(name, lambda tried: (place / tried).exists())


def write_recipe(folder: Path, recipe: AnyRecipe) -> None:
    """Say in a run's folder what it trains.

    Raises
    ------
    InputError
        It cannot be written.
    """
    write_text(folder / RECIPE, json.dumps(recipe.model_dump(mode="json"), indent=2))


def read_run(folder: Path | str) -> StoredRun:
    """Read how far a run has come; its weights are not read.

    Raises
    ------
    InputError
        The folder holds no run, or a file in it is damaged.
    """
    folder = Path(folder)
    if not (folder / RECIPE).exists():
        raise InputError(f"{folder} holds no run; choose a folder with a {RECIPE}.")
    recipe = load_recipe(folder / RECIPE)
    finished = (folder / RUN_MODEL).exists()
    checkpoint = folder / CHECKPOINT
    try:
        if checkpoint.exists():
            # As one: what the checkpoint says holds even if the run was killed before its history.
            with safe_open(checkpoint, framework="np") as file:
                state = json.loads(file.metadata()[STATE_KEY])["state"]
            step, history = int(state["step"]), tuple(state["history"])
        else:
            step, history = 0, ()
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"The checkpoint {checkpoint} is damaged ({error}); remove the run, or begin it anew "
            "in another folder."
        ) from error
    return StoredRun(folder, recipe, step, history, finished)


def find_runs(folder: Path | None = None) -> list[StoredRun]:
    """The runs in a folder, by default `runs_folder`, that which was written last first.

    What cannot be read is left out.
    """
    place = folder or runs_folder()
    return sorted(_readable(place), key=lambda run: _written(run.folder), reverse=True)


def _readable(place: Path) -> Iterator[StoredRun]:
    for path in place.glob(f"*/{RECIPE}"):
        try:
            yield read_run(path.parent)
        except InputError:
            continue


def _written(folder: Path) -> float:
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    return max(path.stat().st_mtime for path in files)  # a lock is no sign of work


def install_run(folder: Path | str, name: str | None = None, replace: bool = False) -> Card:
    """Keep a copy of the model of a finished run among the user's models.

    Parameters
    ----------
    folder
        Of the run.
    name
        Of the copy; omitted, that which the recipe gives.
    replace
        Let it take the place of a model of the user with the same name.

    Raises
    ------
    InputError
        The run is not finished, its model cannot be used, or the name is taken.
    """
    model = Path(folder) / RUN_MODEL
    if not model.exists():
        raise InputError(f"{folder} holds no finished model; train it to its end first.")
    return import_as(model, name, replace)
