"""Experiment files: which arms are compared, on which images, in YAML.

``axongen evaluate experiments/NAME.yaml --out DIR`` runs one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_axongen.core.classes import AXON_CLASSES, BOUTON_CLASSES
from napari_axongen.core.errors import InputError
from napari_axongen.core.models.card import NAME_PATTERN
from napari_axongen.core.training.recipe import Recipe

MeasureName: TypeAlias = Literal["axon", "bouton"]
Baseline: TypeAlias = Literal["frangi", "log"]

CLASSES: Mapping[MeasureName, tuple[str, ...]] = {"axon": AXON_CLASSES, "bouton": BOUTON_CLASSES}
FILTERS: Mapping[MeasureName, Baseline] = {"axon": "frangi", "bouton": "log"}
"""The baseline of each measure."""

MATCHED = "matched"
"""Surrogates whose parameters are found from a training image of the fold."""

_AMOUNT = re.compile(r"all|(\d+(?:\.\d+)?) ?%")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fold(_Section):
    """Which animals train, choose and judge; the wildcards ``*``, ``?`` and ``[0-9]`` are known."""

    train: list[str] = Field(title="To train on", min_length=1)
    validation: list[str] = Field(title="To choose checkpoints and thresholds by", min_length=1)
    test: list[str] = Field(title="To be judged on", min_length=1)


class DataSet(_Section):
    """Real images with manual truth, and how they are divided."""

    root: str = Field(
        title="Folder", description="Path, or name below AXONGEN_DATA or ../shared/data."
    )
    licence: str = Field("", title="Licence", description="Licence of the data.")
    cut: int | None = Field(
        None,
        ge=32,
        title="Side of the parts",
        description="To train and validate, the truth of an image is cut into squares of this "
        "side: ANIMAL-ROW-COLUMN is the image with the truth of one of them, if it has any. "
        "Tests are on whole images.",
        json_schema_extra={"unit": "px"},
    )
    recipe: dict[str, Any] = Field({}, title="Recipe", description="What differs from the base's.")
    surrogates: dict[str, Any] = Field(
        {}, title="Surrogates", description="What differs from those of the experiment."
    )
    folds: dict[str, Fold] = Field(title="Folds", min_length=1)


class Surrogates(_Section):
    """What the surrogates of all arms have in common: fields of `recipe.SurrogateData`."""

    count: int = Field(64, ge=1, title="Images", description="Of an arm that does not say.")
    held_out: int = Field(4, ge=1, title="Held out", description="Further ones, to validate on.")
    visible: float = Field(0.0, ge=0, title="Visible")
    width: float | None = Field(None, gt=0, title="Width", json_schema_extra={"unit": "px"})


class Stage(_Section):
    """One training run of an arm."""

    real: int | str = Field(
        0,
        title="Real images",
        description="How many of the fold's training images: a number, a part ('25 %'), or 'all'. "
        "Which ones is drawn; fewer are among more.",
    )
    surrogates: str | dict[str, Any] | None = Field(
        None,
        title="Surrogates",
        description="Preset, file, what is to differ from a preset, or 'matched'.",
    )
    count: int | Literal["rest"] | None = Field(
        None,
        title="Surrogate images",
        description="'rest': as many as there are real training images that the arm never takes.",
    )
    share: float | None = Field(
        None, ge=0, le=1, title="Share", description="Part of the crops that is of surrogates."
    )
    recipe: dict[str, Any] = Field({}, title="Recipe", description="What differs from the base's.")

    @field_validator("real")
    @classmethod
    def _is_amount(cls, value: int | str) -> int | str:
        if value < 0 if isinstance(value, int) else not _AMOUNT.fullmatch(value):
            raise ValueError("a number of images, a part such as '25 %', or 'all'")
        return value

    @model_validator(mode="after")
    def _has_images(self) -> Stage:
        if self.real == 0 and self.surrogates is None:
            raise ValueError("neither real images nor surrogates are given")
        if self.surrogates is None and (self.count is not None or self.share is not None):
            raise ValueError("a count or a share of surrogates is given, but no surrogates")
        return self

    def taken(self, available: int) -> int:
        """How many real images are taken of those that there are."""
        if isinstance(self.real, int):
            return min(self.real, available)
        if self.real == "all":
            return available
        part = float(self.real.rstrip("% ")) / 100
        return max(1, round(part * available)) if part else 0


class Arm(_Section):
    """What is compared: one run, or several of which each goes on from the one before."""

    title: str = Field("", title="Title")
    stages: list[Stage] = Field(title="Stages", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _one_stage(cls, values: Any) -> Any:
        """A single stage may be written without the list."""
        if not isinstance(values, Mapping) or "stages" in values:
            return values
        stage = {key: value for key, value in values.items() if key != "title"}
        return {"title": values.get("title", ""), "stages": [stage]}

    @property
    def sees_real(self) -> bool:
        """Whether its last stage trains on real images."""
        return self.stages[-1].real != 0


class Experiment(_Section):
    """An experiment: every arm on every fold with every seed."""

    name: str = Field(pattern=NAME_PATTERN, title="Name")
    title: str = Field("", title="Title")
    description: str = Field("", title="Description")
    measure: MeasureName = Field(title="What is found")
    data: dict[str, DataSet] = Field(title="Real images", min_length=1)
    seeds: list[int] = Field([0, 1, 2], title="Seeds", min_length=1)
    recipe: dict[str, Any] = Field(
        title="Recipe", description="Of a segmenter, but for its name, classes, data and seed."
    )
    surrogates: Surrogates = Surrogates()
    arms: dict[str, Arm] = Field(title="Arms", min_length=1)
    baselines: list[Baseline] = Field([], title="Baselines")
    compare: list[tuple[str, str]] = Field(
        [], title="Differences", description="Pairs of arms: the first minus the second."
    )
    maps: list[str] = Field([], title="Arms whose maps are drawn", description="Empty: all.")

    @model_validator(mode="after")
    def _fits(self) -> Experiment:
        for baseline in self.baselines:
            if baseline != FILTERS[self.measure]:
                raise ValueError(f"{baseline} is no baseline for {self.measure}s")
            if baseline in self.arms:
                raise ValueError(f"an arm has the name of a baseline, '{baseline}'")
        folds = (fold for one in self.data.values() for fold in one.folds)
        for name in (*self.arms, *self.data, *folds):
            if not re.fullmatch(NAME_PATTERN, name):
                raise ValueError(f"'{name}' cannot name a folder; use letters, digits and '-'")
        for name in (*self.maps, *(name for pair in self.compare for name in pair)):
            if name not in (*self.arms, *self.baselines):
                raise ValueError(f"'{name}' is to be compared or drawn, but there is no such arm")
        for data in self.data:
            try:
                self.surrogates_of(data)
            except ValidationError as error:
                raise ValueError(f"surrogates of {data}: {_first(error)}") from error
            for name, arm in self.arms.items():
                for stage in arm.stages:
                    try:
                        self.stage_recipe(stage, data, 0, {"source": "surrogate"}, None)
                    except ValidationError as error:
                        raise ValueError(f"arm '{name}' on {data}: {_first(error)}") from error
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """What a pixel can be."""
        return CLASSES[self.measure]

    def surrogates_of(self, data: str) -> Surrogates:
        """What the surrogates of a data set have in common."""
        own = self.data[data].surrogates
        return Surrogates.model_validate(self.surrogates.model_dump() | own)

    def stage_recipe(
        self,
        stage: Stage,
        data: str,
        seed: int,
        main: Mapping[str, Any],
        made: Mapping[str, Any] | None,
        start: str | None = None,
    ) -> Recipe:
        """Recipe of a stage on a data set; its name is that of the experiment."""
        entries = _merged(_merged(self.recipe, self.data[data].recipe), stage.recipe)
        fixed = {
            "name": self.name,
            "contrast": "fluorescence",
            "classes": list(self.classes),
            "data": main,
            "made": made,
            "share": stage.share if made is not None else None,
            "start": start,
            "seed": seed,
        }
        return Recipe.model_validate(entries | fixed)


@dataclass(frozen=True)
class Trial:
    """One arm, or baseline, on one fold with one seed; a baseline has none."""

    arm: str
    data: str
    fold: str
    seed: int | None

    @property
    def folder(self) -> Path:
        """Where its result is, below the folder of the experiment."""
        seed = "" if self.seed is None else f"-seed-{self.seed}"
        return Path("trials") / self.arm / self.data / f"{self.fold}{seed}"

    def __str__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.arm}, {self.data} {self.fold}{seed}"


def trials(
    experiment: Experiment,
    only: Sequence[str] = (),
    seeds: Sequence[int] = (),
    folds: Sequence[str] = (),
) -> list[Trial]:
    """Trials of an experiment, or of a part of it; one seed after the other.

    Parameters
    ----------
    experiment
        The experiment.
    only, seeds, folds
        Arms and baselines, seeds, and folds to do; empty: all.

    Raises
    ------
    InputError
        The experiment has no such arm, seed or fold.
    """
    names = [*experiment.baselines, *experiment.arms]
    known = dict.fromkeys(fold for one in experiment.data.values() for fold in one.folds)
    for what, asked, there in (
        ("arm", only, names), ("seed", seeds, experiment.seeds), ("fold", folds, [*known])
    ):  # fmt: skip
        for each in asked:
            if each not in there:
                raise InputError(
                    f"Experiment {experiment.name} has no {what} '{each}'; it has "
                    f"{', '.join(map(str, there))}."
                )

    def every() -> Iterator[Trial]:
        for seed in (None, *experiment.seeds):
            for data, one in experiment.data.items():
                for fold in one.folds:
                    for arm in experiment.baselines if seed is None else experiment.arms:
                        yield Trial(arm, data, fold, seed)

    return [
        trial
        for trial in every()
        if (not only or trial.arm in only)
        and (not seeds or trial.seed is None or trial.seed in seeds)
        and (not folds or trial.fold in folds)
    ]


def load_experiment(path: Path | str) -> Experiment:
    """Read and check an experiment file.

    Raises
    ------
    InputError
        The file cannot be read, is not YAML, or an entry is unknown, missing or wrong: the entry is
        named.
    """
    try:
        return Experiment.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"Experiment {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"Experiment {path} is not YAML: {reason}.") from error
    except ValidationError as error:
        raise InputError(f"Experiment {path}: {_first(error)}.") from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, in a few words."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"'{where}': {message}" if where else message


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Groups are changed where they are, all else is replaced."""
    made = dict(base)
    for name, change in changes.items():
        before = made.get(name)
        if isinstance(before, Mapping) and isinstance(change, Mapping):
            change = _merged(before, change)
        made[name] = change
    return made
