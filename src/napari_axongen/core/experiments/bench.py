"""Doing the trials of an experiment, each once, whenever it was stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.datasets.scaling import scale_to
from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, Notice, Progress, Steps, T, quiet, run
from napari_axongen.core.files import write_image, write_text
from napari_axongen.core.image import SPARSE
from napari_axongen.core.models.store import RUN_MODEL, load_network
from napari_axongen.core.segmentation import predict_plane
from napari_axongen.core.surrogate.matching import match_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import PRESETS, load_parameters, preset
from napari_axongen.core.training import train_steps
from napari_axongen.core.training.holding import BusyError, held
from napari_axongen.core.training.pools import surrogates
from napari_axongen.core.training.recipe import Recipe, SurrogateData
from napari_axongen.core.training.runs import RECIPE, read_run, write_recipe

from .images import Case, case_of, load_images
from .plan import MATCHED, Experiment, Fold, Stage, Trial
from .results import REAL, SURROGATE, ImageResult, Result, read_result
from .scoring import MEASURES, Found, choose_threshold

_START = "two-photon"  # of matching
_JUDGING = 2  # raised when trials are to be judged anew, by the models that they have
_PAUSE = 2.0  # seconds, when all that is left is being done by other processes
_KEY = 16  # hexadecimal digits by which a run is known


@dataclass(frozen=True)
class _Run:
    """A training run: what it is known by, and what it makes a model from."""

    key: str
    recipe: Recipe


class Bench:
    """Where the trials of an experiment are done.

    Parameters
    ----------
    experiment
        The experiment.
    out
        Its folder. ``images/`` gets the real images as the runs read them, ``matched/`` parameters
        of surrogates, ``runs/`` the training runs, ``trials/`` the results. What is there already
        is not done again.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, experiment: Experiment, out: Path, device: str = "auto") -> None:
        self.experiment, self.out, self.device = experiment, out, device
        self.measure = MEASURES[experiment.measure]
        self.images = load_images(experiment, out)

    def do(self, trial: Trial) -> Steps[Result]:
        """Do a trial, or read what it gave before."""
        fold = self.experiment.data[trial.data].folds[trial.fold]
        steps = self._baseline if trial.seed is None else self._arm
        before = read_result(self.out, trial)
        result = yield from steps(trial, fold, before)
        if result is not before:
            result.write(self.out, trial)
        return result

    # ------------------------------------------------------------ a network

    def _arm(self, trial: Trial, fold: Fold, before: Result | None) -> Steps[Result]:
        assert trial.seed is not None
        arm, images = self.experiment.arms[trial.arm], self.images[trial.data]
        order = images.train(fold, trial.fold, trial.seed)
        runs: list[_Run] = []
        learnt: set[str] = set()
        for stage in arm.stages:
            taken = order[: stage.taken(len(order))]
            learnt.update(taken)
            runs.append((yield from self._run(trial, fold, stage, order, taken, runs)))
        key = self._trial_key(trial, [one.key for one in runs])
        if before is not None and before.key == key:
            return before
        for one in runs:
            if not self._model(one).exists():
                images.write()
                folder = self._model(one).parent
                _find_again(folder, one.recipe)
                yield from _quietly(train_steps(one.recipe, folder, True, self.device))
        last = runs[-1]
        chosen_on = {REAL: images.validation(fold)}
        if isinstance(last.recipe.data, SurrogateData):
            chosen_on = {SURROGATE: self._surrogates(last.recipe.data), **chosen_on}
        device = choose_device(self.device)
        network, _, _ = load_network(self._model(last), device)

        def found(case: Case, kept: Path | None = None) -> Found:
            steps = predict_plane(
                network,
                case.labelled.image,
                (),
                scale=scale_to(case.labelled, last.recipe.pixel_size),
                classes=len(self.experiment.classes),
                greys=SPARSE,
                device=device,
            )
            (probability,) = run(steps)
            if kept is not None:
                write_image(kept / f"{case.name}.png", probability)
            return self.measure.found(probability)

        chosen = {
            name: choose_threshold(self.measure, [found(case) for case in cases], cases)[0]
            for name, cases in chosen_on.items()
        }
        # The maps of one seed are kept, to be looked at.
        kept = self.out / trial.folder if trial.seed == self.experiment.seeds[0] else None
        test = images.test(fold)
        return self._judged(
            Result(key, chosen, sorted(learnt), [one.key for one in runs], {}),
            {case.name: (case, found(case, kept)) for case in test},
        )

    def _run(
        self,
        trial: Trial,
        fold: Fold,
        stage: Stage,
        order: Sequence[str],
        taken: Sequence[str],
        before: Sequence[_Run],
    ) -> Steps[_Run]:
        """The training run of a stage. Two trials that ask for the same run share it."""
        assert trial.seed is not None
        images = self.images[trial.data]
        made: dict[str, Any] | None = None
        if stage.surrogates is not None:
            parameters: Any = stage.surrogates
            if parameters == MATCHED:
                parameters = yield from self._matched(trial.data, images.field(order[0]))
            elif isinstance(parameters, str) and parameters not in PRESETS:
                parameters = _plain(load_parameters(parameters))  # a file may change
            common = self.experiment.surrogates_of(trial.data)
            count = stage.count or common.count
            stages = self.experiment.arms[trial.arm].stages
            rest = max(1, len(order) - max(one.taken(len(order)) for one in stages))
            made = {
                "source": "surrogate",
                "parameters": parameters,
                "seed": trial.seed,
                **common.model_dump(),
                "count": rest if count == "rest" else count,
            }
        real = {
            "source": "folder",
            "root": str(images.folder.resolve()),
            "train": sorted(taken),
            "validation": sorted({case.labelled.animal for case in images.validation(fold)}),
            "licence": images.data.licence,
        }
        main, beside = (real, made) if taken else (made, None)
        assert main is not None
        start = str(self._model(before[-1]).resolve()) if before else None
        recipe = self.experiment.stage_recipe(stage, trial.data, trial.seed, main, beside, start)
        identity = recipe.model_dump(mode="json", exclude={"start"})
        identity["data"].pop("root", None)  # where it is has no part in what it is
        read = self._data_identity(trial.data) if taken else None
        return _Run(_key(identity, read, before[-1].key if before else None), recipe)

    def _model(self, run: _Run) -> Path:
        return self.out / "runs" / run.key / RUN_MODEL

    def _matched(self, data: str, case: Case) -> Steps[dict[str, Any]]:
        """Parameters of surrogates that look like an image."""
        path = self.out / "matched" / data / f"{case.name}.json"
        if not path.exists():
            image = case.labelled.image
            result = yield from _quietly(match_steps(image, preset(_START), device=self.device))
            write_text(path, json.dumps(result.recipe(), indent=2) + "\n")
        return _plain(load_parameters(path))

    def _surrogates(self, data: SurrogateData) -> list[Case]:
        """Those that a run is validated on."""
        following = range(data.count, data.count + data.held_out)
        made = surrogates(data, self.experiment.classes, following)
        return [case_of(image, self.experiment.measure) for image in made]

    def _trial_key(self, trial: Trial, runs: Sequence[str]) -> str:
        fold = self.experiment.data[trial.data].folds[trial.fold]
        return _key(_JUDGING, trial.arm, runs, self._data_identity(trial.data), fold.model_dump())

    def _data_identity(self, name: str) -> Any:
        return self.experiment.data[name].model_dump(include={"root", "cut"})

    # ------------------------------------------------------------ a filter

    def _baseline(self, trial: Trial, fold: Fold, before: Result | None) -> Steps[Result]:
        images = self.images[trial.data]
        key = self._trial_key(trial, [])
        if before is not None and before.key == key:
            return before
        train = images.of(images.train(fold, trial.fold, 0))
        best = -1.0
        for respond in self.measure.filters:
            yield Progress(0, 1, str(trial))  # to cancel is to stop here
            responses = [respond(_grey(case)) for case in train]
            levels = self.measure.levels(responses)
            threshold, score = choose_threshold(self.measure, responses, train, levels)
            if score > best:
                best, filtered, chosen, tried = score, respond, threshold, levels
        found = {case.name: (case, filtered(_grey(case))) for case in images.test(fold)}
        learnt = sorted(case.name for case in train)
        return self._judged(Result(key, {REAL: chosen}, learnt, [], {}, tried), found)

    def _judged(self, result: Result, found: Mapping[str, tuple[Case, Found]]) -> Result:
        """A result with what was measured of the test images."""
        for name, (case, one) in found.items():
            curves = self.measure.curves(one, case, result.levels)
            result.images[name] = ImageResult(
                {on: self.measure.judge(one, case, at) for on, at in result.chosen.items()},
                {name: values.tolist() for name, values in curves.items()},
            )
        return result


def experiment_steps(
    experiment: Experiment,
    out: Path | str,
    chosen: Sequence[Trial],
    device: str = "auto",
) -> Steps[None]:
    """Do trials of an experiment, but for those that are done.

    Other processes may do the same in the same folder. A trial that one is at, or that needs a
    training run that one is at, is left for the end.

    Parameters
    ----------
    experiment, out, device
        As of `Bench`.
    chosen
        Which, see `plan.trials`.

    Yields
    ------
    Progress over the trials, losses of the run that is trained, and what there is to say of it.

    Raises
    ------
    InputError
        The data is not there or does not fit the folds, or a run fails: the trial is named.
    """
    bench = Bench(experiment, Path(out), device)
    done, left = 0, list(chosen)
    while left:
        before, busy = done, list[Trial]()
        for trial in left:
            yield Progress(done, len(chosen), str(trial))
            try:
                with held(bench.out / trial.folder):
                    yield from quiet(bench.do(trial))
                done += 1
            except BusyError:
                busy.append(trial)
            except InputError as error:
                raise InputError(f"Trial {trial}: {error}") from error
        left = busy
        if left and done == before:
            time.sleep(_PAUSE)
    yield Progress(len(chosen), len(chosen))


def _grey(case: Case) -> npt.NDArray[Any]:
    return np.asarray(case.labelled.image.data)


def _plain(parameters: SurrogateParameters) -> dict[str, Any]:
    return parameters.model_dump(mode="json", by_alias=True)


def _find_again(folder: Path, recipe: Recipe) -> None:
    """Tell a run that was stopped where its data are, if the experiment's folder was moved since.

    Its key says that it is the same but for that.
    """
    if (folder / RECIPE).exists():
        with held(folder):
            if read_run(folder).recipe != recipe:
                write_recipe(folder, recipe)


def _key(*parts: Any) -> str:
    """A name for what is made of these."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY]


def _quietly(steps: Steps[T]) -> Steps[T]:
    """A job of which only losses and warnings are passed on."""
    try:
        while True:
            try:
                event = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(event, Metrics) or (
                isinstance(event, Notice) and event.level == "warning"
            ):
                yield event
    finally:
        steps.close()
