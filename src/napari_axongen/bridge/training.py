"""Training as the window needs it: foretold, run, and the model put among the others."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Partial, Progress, Steps
from napari_axongen.core.training.holding import held, is_held
from napari_axongen.core.training.recipe import AnyRecipe
from napari_axongen.core.training.runs import (
    StoredRun,
    find_runs,
    install_run,
    read_run,
    runs_folder,
)

from .beside_window import beside_a_window
from .open_pairs import labelled
from .plans import Plan, classes_of_recipe

if TYPE_CHECKING:
    from napari_axongen.core.models.card import Card
    from napari_axongen.core.training.checks import Finding
    from napari_axongen.core.training.estimate import Estimate


def animals_steps(root: str, classes: Sequence[str]) -> Steps[dict[str, int]]:
    """The animals of a folder, and how many images there are of each."""
    from napari_axongen.core.training.checks import find_images

    yield Notice(f"Looking into {root}.")
    animals: dict[str, int] = {}
    for pair in find_images(root, classes).pairs:
        animals[pair.animal] = animals.get(pair.animal, 0) + 1
    return dict(sorted(animals.items()))


@dataclass(frozen=True)
class Outlook:
    """What is known of a training before it starts.

    Attributes
    ----------
    findings
        What is wrong with its data, errors first.
    taken
        What labels were taken for, a sentence each.
    estimate
        How long it will take, and how much memory; None where an error keeps it from starting.
    """

    findings: list[Finding]
    taken: list[str]
    estimate: Estimate | None = None

    @property
    def may_start(self) -> bool:
        """Whether nothing keeps it from starting."""
        return all(finding.level != "error" for finding in self.findings)


def outlook_steps(plan: Plan, device: str) -> Steps[Outlook]:
    """Check the data of a plan, and do a little of it to tell how long the whole will take.

    Yields
    ------
    Progress; when the data are checked, the outlook without an estimate as a `Partial`.
    """
    from napari_axongen.core.training.checks import Finding, check_data_steps
    from napari_axongen.core.training.estimate import estimate_steps

    taken: list[str] = []
    with beside_a_window(), tempfile.TemporaryDirectory(prefix="axongen-") as place:
        trial = plan.at(Path(place))
        try:
            refused: list[InputError] = []
            yield from _written(trial, taken, refused)
            if refused:
                return Outlook([Finding(str(error), "error") for error in refused], taken)
            findings = yield from check_data_steps(trial.recipe)
            findings = [_of_layers(finding, trial) for finding in findings]
            outlook = Outlook(findings, taken)
            if outlook.may_start:
                yield Partial((), outlook)
                estimate = yield from estimate_steps(trial.recipe, device)
                outlook = replace(outlook, estimate=estimate)
        except InputError as error:
            return Outlook([_of_layers(Finding(str(error), "error"), trial)], taken)
    return outlook


def _of_layers(finding: Finding, plan: Plan) -> Finding:
    """The same, about the open layers and not about the folder that they were written to."""
    said = finding
    for slot in plan.pairs:
        place = str(plan.folder / slot)
        sentence = said.sentence.replace(f"{place}{os.sep}", "").replace(place, "The open layers")
        said = replace(said, sentence=sentence)
    return said


# ---------------------------------------------------------------- the run


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes
    ----------
    card
        Of the model, which is among the others now.
    folder
        Of the run.
    """

    card: Card
    folder: Path


def training_steps(plan: Plan, device: str) -> Steps[Trained]:
    """Train what a plan says, and put the model among the others.

    Yields
    ------
    what `core.training.train_steps` yields.

    Raises
    ------
    InputError
        A layer or file cannot be used, or training cannot go on; the sentence says why.
    """
    with beside_a_window():
        yield from _written(plan, [])
        return (yield from _run(plan.recipe, plan.folder, False, device))


def resumed_steps(folder: Path, device: str) -> Steps[Trained]:
    """Go on with the run of a folder, see `training_steps`."""
    with beside_a_window():
        return (yield from _run(read_run(folder).recipe, folder, True, device))


def _run(recipe: AnyRecipe, folder: Path, resume: bool, device: str) -> Steps[Trained]:
    from napari_axongen.core.training import train_steps

    yield from train_steps(recipe, folder, resume, device)
    return Trained(install_run(folder), folder)


def _written(plan: Plan, taken: list[str], refused: list[InputError] | None = None) -> Steps[None]:
    """Write the open pairs into the folder of the run.

    Parameters
    ----------
    taken
        Gets what labels were taken for.
    refused
        Gets what is wrong with a pair, instead of that being raised.
    """
    from napari_axongen.core.datasets.pair_folder import write_pairs

    classes = classes_of_recipe(plan.recipe)
    for slot, pairs in plan.pairs.items():
        images = []
        for count, pair in enumerate(pairs):
            yield Progress(count, len(pairs), "reading layers")
            try:
                found, said = labelled(pair, classes)
            except InputError as error:
                if refused is None:
                    raise
                refused.append(error)
            else:
                images += found
                taken += [sentence for sentence in [said] if sentence]
        if not refused:
            write_pairs(plan.folder / slot, images, classes)


# ---------------------------------------------------------------- runs that were stopped


def stopped_runs() -> list[StoredRun]:
    """Runs with something left to train, that which was stopped last first.

    One that goes on at this moment, in another dock or process, is none of them.
    """
    return [run for run in find_runs() if not run.finished and not is_held(run.folder)]


def kept_of(folder: Path) -> str:
    """What is kept of a run that is stopped, and how to go on with it."""
    try:
        run = read_run(folder)
    except InputError:  # it had not begun
        return "Nothing had been learnt yet."
    if not run.step:
        return "Nothing had been learnt yet."
    return f"A checkpoint of step {run.step:,} is kept in {folder}; it can be resumed."


def discard(run: StoredRun) -> None:
    """Delete a run, with its copies of the layers that it learnt from.

    Raises
    ------
    InputError
        It is no run of the user's folder, it goes on, or it cannot be deleted.
    """
    if run.folder.parent != runs_folder():
        raise InputError(f"{run.folder} is not in {runs_folder()}; delete it by hand.")
    with held(run.folder):
        pass  # nobody trains in it
    try:
        shutil.rmtree(run.folder)
    except OSError as error:
        raise InputError(f"{run.folder} cannot be deleted: {error.strerror}.") from error
