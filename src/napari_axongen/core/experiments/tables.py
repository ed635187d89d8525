"""Tables of what the trials measured: scores of the arms, and differences between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from napari_axongen.core.evaluation import Curve, mean_interval
from napari_axongen.core.files import csv_text, write_text

from .plan import Experiment, Trial, trials
from .results import REAL, SURROGATE, ImageResult, Result, read_result
from .scoring import MEASURES, Measure

NOISE = 0.05
"""Differences below it are noise, whatever their interval."""

Interval: TypeAlias = tuple[float, float, float]
"""Mean, lower and upper end."""

Scores: TypeAlias = npt.NDArray[np.float64]
"""(seeds, images); NaN where a trial is missing."""


@dataclass(frozen=True)
class Row:
    """An arm on a data set.

    Attributes
    ----------
    data, arm
        Which.
    chosen_on
        Where the threshold is from.
    seeds, folds, of_folds, images
        How many the row is from; of how many folds.
    scores
        By name.
    oracle
        Mean over seeds of the best mean over images, at a threshold chosen on these very images.
    """

    data: str
    arm: str
    chosen_on: str
    seeds: int
    folds: int
    of_folds: int
    images: int
    scores: dict[str, Interval]
    oracle: float


_OF_DIFFERENCES = (
    "data", "arm", "minus", "threshold_from", "minus_threshold_from", "images", "difference", "low",
    "high", "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """The main score of an arm minus that of another one, on the same images.

    ``chosen_on`` says what the threshold of each of the two was chosen on.
    """

    data: str
    one: str
    other: str
    chosen_on: tuple[str, str]
    images: int
    value: Interval

    @property
    def verdict(self) -> str:
        """In words."""
        mean, low, high = self.value
        if math.isnan(mean):
            return "not measured"
        if abs(mean) < NOISE or low <= 0 <= high:
            return "not told apart"
        return "better" if mean > 0 else "worse"


class Outcome:
    """All results of an experiment that there are.

    Parameters
    ----------
    experiment
        The experiment.
    folder
        Of its trials.
    """

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment, self.folder = experiment, folder
        self.measure: Measure = MEASURES[experiment.measure]
        self.results: dict[Trial, Result] = {}
        self.missing: list[Trial] = []
        for trial in trials(experiment):
            result = read_result(folder, trial)
            if result is None:
                self.missing.append(trial)
            else:
                self.results[trial] = result

    @property
    def names(self) -> list[str]:
        """Baselines and arms, in the order of the tables."""
        return [*self.experiment.baselines, *self.experiment.arms]

    def of(self, data: str, arm: str) -> dict[Trial, Result]:
        """Results of an arm on a data set."""
        return {
            trial: result
            for trial, result in self.results.items()
            if (trial.data, trial.arm) == (data, arm)
        }

    def rows(self) -> list[Row]:
        """A row for each arm of which there is any result, and what its threshold was chosen on."""
        return [
            self._row(data, arm, chosen_on)
            for data in self.experiment.data
            for arm in self.names
            for chosen_on in (REAL, SURROGATE)
            if any(chosen_on in result.chosen for result in self.of(data, arm).values())
        ]

    def differences(self) -> list[Difference]:
        """Of the pairs that the experiment compares.

        Arms that see surrogates alone are compared a second time with thresholds from real images:
        a threshold is poorly chosen on surrogates, and that is another matter than what was learnt.
        """
        found = []
        for data in self.experiment.data:
            for pair in self.experiment.compare:
                usual = self.main_choice(pair[0]), self.main_choice(pair[1])
                for chosen_on in dict.fromkeys([usual, (REAL, REAL)]):
                    one, other = map(self.table, (data, data), pair, chosen_on)
                    images = int(np.isfinite(one - other).any(0).sum())
                    value = mean_interval(one - other)
                    found.append(Difference(data, *pair, chosen_on, images, value))
        return found

    def main_choice(self, arm: str) -> str:
        """What the threshold of an arm is chosen on: surrogates, if it sees nothing else."""
        arms = self.experiment.arms
        return REAL if arm not in arms or arms[arm].sees_real else SURROGATE

    def table(self, data: str, arm: str, chosen_on: str, score: str = "") -> Scores:
        """Scores of an arm on all test images of a data set; those of a filter for each seed."""
        places = self._places(data)
        values = np.full((len(self.experiment.seeds), len(places)), np.nan)
        for trial, result in self.of(data, arm).items():
            seeds = slice(None) if trial.seed is None else self.experiment.seeds.index(trial.seed)
            for name, image in result.images.items():
                if chosen_on in image.scores:
                    found = image.scores[chosen_on][score or self.measure.main]
                    values[seeds, places[trial.fold, name]] = found
        return values

    def _places(self, data: str) -> dict[tuple[str, str], int]:
        """Columns of the test images, by fold and name."""
        found = dict.fromkeys(
            (trial.fold, name)
            for trial, result in self.results.items()
            if trial.data == data
            for name in result.images
        )
        return {place: index for index, place in enumerate(sorted(found))}

    def _row(self, data: str, arm: str, chosen_on: str) -> Row:
        results = self.of(data, arm)
        return Row(
            data,
            arm,
            chosen_on,
            len({trial.seed for trial in results}),
            len({trial.fold for trial in results}),
            len(self.experiment.data[data].folds),
            len(
                {(trial.fold, name) for trial, result in results.items() for name in result.images}
            ),
            {
                name: mean_interval(self.table(data, arm, chosen_on, name))
                for name in self.measure.scores
            },
            self._oracle(results),
        )

    def _oracle(self, results: dict[Trial, Result]) -> float:
        if len({result.levels.tobytes() for result in results.values()}) > 1:
            return math.nan  # of a filter: each fold has thresholds of its own
        best = [
            mean_curves(r for t, r in results.items() if t.seed == seed)[self.measure.oracle].max()
            for seed in {trial.seed for trial in results}
        ]
        return float(np.mean(best))

    # ------------------------------------------------------------ writing

    def write(self) -> list[Path]:
        """Write ``table.csv``, ``differences.csv`` and ``table.md``; return their paths."""
        rows, differences = self.rows(), self.differences()
        contents = {
            "table.csv": self._csv(rows),
            "differences.csv": csv_text(
                _OF_DIFFERENCES,
                (
                    (d.data, d.one, d.other, *d.chosen_on, d.images, *d.value, d.verdict)
                    for d in differences
                ),
            ),
            "table.md": self._markdown(rows, differences),
        }
        for name, content in contents.items():
            write_text(self.folder / name, content)
        return [self.folder / name for name in contents]

    def _csv(self, rows: Sequence[Row]) -> str:
        names = [f"{name}{end}" for name in self.measure.scores for end in ("", "_low", "_high")]
        header = ("data", "arm", "threshold_from", "seeds", "folds", "images", *names, "oracle")
        return csv_text(
            header,
            (
                (row.data, row.arm, row.chosen_on, row.seeds, row.folds, row.images,
                 *(end for name in self.measure.scores for end in row.scores[name]), row.oracle)
                for row in rows
            ),
        )  # fmt: skip

    def _markdown(self, rows: Sequence[Row], differences: Sequence[Difference]) -> str:
        main, *others = self.measure.scores
        called = self.measure.scores
        parts = [f"# {self.experiment.title or self.experiment.name}", self.experiment.description]
        for data in self.experiment.data:
            own = [row for row in rows if row.data == data]
            header = [
                "arm", "threshold from", f"{called[main]} (95 %)", *map(called.get, others),
                f"{called[main]}, oracle", "seeds", "folds", "images",
            ]  # fmt: skip
            cells = [
                [
                    row.arm, row.chosen_on, _interval(row.scores[main]),
                    *(_number(row.scores[name][0]) for name in others),
                    _number(row.oracle), row.seeds, f"{row.folds}/{row.of_folds}", row.images,
                ]
                for row in own
            ]  # fmt: skip
            parts += [f"## {data}", _grid(header, cells)]
            pairs = [
                [
                    d.one, d.other, ", ".join(dict.fromkeys(d.chosen_on)),
                    _interval(d.value, "+"), d.verdict, d.images,
                ]
                for d in differences
                if d.data == data and d.images
            ]  # fmt: skip
            if pairs:
                parts.append(
                    f"Differences in {called[main]}, paired by image and seed. Below {NOISE:g}, or "
                    "with 0 in the interval, two arms are not told apart."
                )
                header = ["arm", "minus", "threshold from", "difference (95 %)", "", "images"]
                parts.append(_grid(header, pairs))
        titles = {name: arm.title for name, arm in self.experiment.arms.items() if arm.title}
        parts.append("\n".join(f"- {name}: {title}" for name, title in titles.items()))
        if self.missing:
            parts.append(f"{len(self.missing)} of {self._planned} trials are missing.")
        return "\n\n".join(part for part in parts if part) + "\n"

    @property
    def _planned(self) -> int:
        return len(self.missing) + len(self.results)


def mean_curves(results: Iterable[Result]) -> dict[str, Curve]:
    """Mean curves over all test images, threshold by threshold; nothing without any.

    The thresholds of a filter are at equal ranks of its response to the fold's training images.
    """
    images: list[ImageResult] = [image for one in results for image in one.images.values()]
    if not images:
        return {}
    tables = {
        name: np.array([image.curves[name] for image in images], np.float64)
        for name in images[0].curves
    }
    counts = {name: np.isfinite(table).sum(0) for name, table in tables.items()}
    with np.errstate(invalid="ignore"):
        return {name: np.nansum(table, 0) / counts[name] for name, table in tables.items()}


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}" if math.isfinite(value) else "–"


def _interval(value: Interval, sign: str = "") -> str:
    mean, low, high = value
    if not math.isfinite(mean):
        return "–"
    return f"{_number(mean, sign)} ({_number(low, sign)} to {_number(high, sign)})"


def _grid(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
