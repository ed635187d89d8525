"""Experiments: what is asked for is checked, done once, and counted right."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from napari_axongen.core.classes import IGNORED
from napari_axongen.core.datasets.pair_folder import write_pairs
from napari_axongen.core.datasets.sources import load_labelled, make_surrogates
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, Progress, run
from napari_axongen.core.experiments import Experiment, Trial, bench, load_experiment, trials
from napari_axongen.core.experiments.bench import experiment_steps
from napari_axongen.core.experiments.images import load_images
from napari_axongen.core.experiments.plan import Stage
from napari_axongen.core.experiments.plots import write_maps, write_plots
from napari_axongen.core.experiments.results import REAL, SURROGATE, ImageResult, Result
from napari_axongen.core.experiments.scoring import MEASURES
from napari_axongen.core.experiments.tables import Difference, Outcome
from napari_axongen.core.training import holding
from napari_axongen.core.training.holding import held

SMALL = {"preset": "original", "width": 64, "height": 64, "axons": {"count": 2}}


def described(root: object, **changes: Any) -> dict[str, Any]:
    """A tiny experiment on four images of a folder, one for each of sub-0 to sub-3."""
    folds = {
        "a": {"train": ["sub-[01]"], "validation": ["sub-2"], "test": ["sub-3"]},
        "b": {"train": ["sub-[23]"], "validation": ["sub-0"], "test": ["sub-1"]},
    }
    return {
        "name": "tiny",
        "measure": "axon",
        "data": {"made": {"root": str(root), "folds": folds}},
        "seeds": [4, 5],
        "surrogates": {"count": 2, "held_out": 1},
        "recipe": {
            "network": {"name": "unet", "channels": [4, 6]},
            "optimisation": {"steps": 2, "batch": 2, "crop": 32, "warm_up": 0},
            "validate_every": 2,
        },
        "baselines": ["frangi"],
        "arms": {
            "real-1": {"real": 1, "title": "one real image"},
            "made": {"surrogates": SMALL},
            "tuned": {
                "stages": [
                    {"surrogates": SMALL},
                    {"real": 1, "recipe": {"optimisation": {"steps": 1}}},
                ]
            },
        },
        "compare": [["tuned", "real-1"], ["real-1", "frangi"]],
    } | changes


def tiny(root: object, **changes: Any) -> Experiment:
    return Experiment.model_validate(described(root, **changes))


@pytest.fixture(scope="module")
def axons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images with axons."""
    folder = tmp_path_factory.mktemp("data") / "axons"
    classes = ["background", "axon"]
    return write_pairs(folder, make_surrogates(SMALL, 4, 9, classes), classes)


# ---------------------------------------------------------------- what is asked for


def test_the_experiments_of_the_repository_are_experiments(repository: Path) -> None:
    files = sorted((repository / "experiments").glob("*.yaml"))
    assert len(files) == 4
    for file in files:
        experiment = load_experiment(file)
        assert experiment.name == file.stem
        assert len(experiment.seeds) >= 3
        assert experiment.baselines


def test_no_image_of_the_repositorys_experiments_is_on_two_sides(
    repository: Path, shared_data: Path, tmp_path: Path
) -> None:
    """Fields that overlap, and volumes that are crops of one, are never both trained and judged."""
    groups = [
        {"01", "02"}, {"03", "04", "15", "16", "17", "18"}, {"06", "07"}, {"10", "11", "12"},
        {"volume_00", "volume_05", "volume_09"}, {"volume_01", "volume_02", "volume_03"},
        {"volume_04", "volume_07"}, {"volume_06", "volume_08"},
    ]  # fmt: skip
    for file in sorted((repository / "experiments").glob("*.yaml")):
        experiment = load_experiment(file)
        for name, images in load_images(experiment, tmp_path / file.stem).items():
            tested = []
            for key, fold in experiment.data[name].folds.items():
                test = {case.labelled.animal for case in images.test(fold)}
                tested += sorted(test)
                seen = [*images.of(images.train(fold, key, 0)), *images.validation(fold)]
                fields = {case.labelled.animal.split("-")[0] for case in seen}
                near = set().union(*(group for group in groups if group & test))
                assert not fields & (near | test), (file.stem, key)
            assert len(tested) == len(set(tested))


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    arms, made = {"one": {"real": 1}}, described(tmp_path)["data"]["made"]
    for changes, message in (  # what is compared is left out unless it is what is wrong
        ({"arms": {"one": {}}}, "arms.one.stages.0.*neither real images nor surrogates"),
        ({"arms": {"one": {"real": "half"}}}, "arms.one.stages.0.real.*'25 %'"),
        ({"arms": {"one": {"real": 1, "share": 0.5}}}, "no surrogates"),
        ({"arms": {"one": {"real": 1, "recipe": {"keep": "all"}}}}, "arm 'one' on made: 'keep'"),
        ({"arms": arms | {"a/b": {"real": 1}}}, "'a/b' cannot name a folder"),
        ({"arms": arms, "compare": [["one", "two"]]}, "'two' is to be compared"),
        ({"measure": "bouton"}, "frangi is no baseline for boutons"),
        ({"seed": 3}, "'seed': Extra inputs"),
        ({"data": {"made": {**made, "surrogates": {"held_out": 0}}}}, "surrogates of made: 'held_"),
    ):
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump(described(tmp_path, **{"compare": []} | changes)))
        with pytest.raises(InputError, match=f"experiment.yaml: .*{message}"):
            load_experiment(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_experiment(tmp_path / "none.yaml")
    path.write_text("a: [")
    with pytest.raises(InputError, match="is not YAML"):
        load_experiment(path)


def test_trials_and_parts_of_them() -> None:
    experiment = tiny("anywhere")
    every = trials(experiment)
    assert len(every) == 2 + 3 * 2 * 2
    assert every[0] == Trial("frangi", "made", "a", None)
    assert every[2] == Trial("real-1", "made", "a", 4)
    assert trials(experiment, ["tuned"], [5], ["b"]) == [Trial("tuned", "made", "b", 5)]
    for part in (["none"], [], []), ([], [3], []), ([], [], ["c"]):
        with pytest.raises(InputError, match="has no"):
            trials(experiment, *part)


def test_amounts_of_real_images() -> None:
    stages = [
        Stage.model_validate({"real": amount, "surrogates": SMALL})
        for amount in (0, 3, "all", "25 %", "1%")
    ]
    assert [stage.taken(8) for stage in stages] == [0, 3, 8, 2, 1]
    assert [stage.taken(2) for stage in stages] == [0, 2, 2, 1, 1]


# ---------------------------------------------------------------- images


def test_fewer_images_are_among_more_and_the_seed_chooses(axons: Path, tmp_path: Path) -> None:
    experiment = tiny(axons)
    images = load_images(experiment, tmp_path)["made"]
    fold = experiment.data["made"].folds["a"]
    orders = {tuple(images.train(fold, "a", seed)) for seed in range(12)}
    assert orders == {("sub-0", "sub-1"), ("sub-1", "sub-0")}
    assert [case.labelled.animal for case in images.test(fold)] == ["sub-3"]
    assert images.train(fold, "a", 3) == images.train(fold, "a", 3)


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        ({"train": ["sub-*"], "validation": ["sub-2"], "test": ["sub-3"]}, "to test and in train"),
        ({"train": ["sub-2"], "validation": ["sub-?"], "test": ["sub-3"]}, "test and in valid"),
        ({"train": ["sub-2"], "validation": ["sub-2"], "test": ["sub-3"]}, "train and to valid"),
        ({"train": ["rat"], "validation": ["sub-2"], "test": ["sub-3"]}, "no image 'rat'"),
    ],
)
def test_an_image_is_on_one_side(axons: Path, tmp_path: Path, fold: Any, message: str) -> None:
    experiment = tiny(axons, data={"made": {"root": str(axons), "folds": {"a": fold}}})
    with pytest.raises(InputError, match=message):
        load_images(experiment, tmp_path)


def test_parts_know_the_truth_of_a_square_and_keep_the_whole_image(
    axons: Path, tmp_path: Path
) -> None:
    fold = {"train": ["sub-0-0-*"], "validation": ["sub-0-1-*"], "test": ["sub-3"]}
    data = {"root": str(axons), "cut": 32, "folds": {"a": fold}}
    images = load_images(tiny(axons, data={"made": data}), tmp_path)["made"]
    whole = next(case for case in images.whole if case.labelled.animal == "sub-0")
    parts = [case for case in images.units if case.name.startswith(whole.name)]
    known = np.stack([part.valid for part in parts])
    assert (known.sum((1, 2)) == 32 * 32).all()
    assert (known.sum(0) <= 1).all()
    for part in parts:
        np.testing.assert_array_equal(part.labelled.image.data, whole.labelled.image.data)
        np.testing.assert_array_equal(part.truth, whole.truth & part.valid)
        assert part.truth.any()
    read = load_labelled(images.write(), ["background", "axon"])  # as a run reads it
    assert {image.animal for image in read} == {part.labelled.animal for part in images.units}
    assert all((image.classes == IGNORED).sum() == 3 * 32 * 32 for image in read)
    assert images.field("sub-0-0-1").name == whole.name
    with pytest.raises(InputError, match="is to test and in validation"):
        load_images(
            tiny(axons, data={"made": data | {"folds": {"a": fold | {"test": ["sub-0"]}}}}),
            tmp_path,
        )


# ---------------------------------------------------------------- doing it


def do(experiment: Experiment, out: Path, *part: Any, stop: int | None = None) -> None:
    steps = experiment_steps(experiment, out, trials(experiment, *part), "cpu")
    if stop is None:
        return run(steps)
    for event in steps:
        if isinstance(event, Progress) and event.done == stop:
            break
    return steps.close()


def contents(out: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(out)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(axons: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment with its first seed, stopped once."""
    out = tmp_path_factory.mktemp("experiment")
    do(tiny(axons), out, [], [4], stop=4)
    assert len(list(out.glob("trials/**/result.json"))) == 4
    do(tiny(axons), out, [], [4])
    return out


def test_every_trial_leaves_its_result(finished: Path, axons: Path) -> None:
    outcome = Outcome(tiny(axons), finished)
    assert len(outcome.results) == 2 + 3 * 2
    assert len(outcome.missing) == 3 * 2
    for trial, result in outcome.results.items():
        surrogate = trial.arm == "made"
        assert set(result.chosen) == ({REAL, SURROGATE} if surrogate else {REAL})
        (image,) = result.images.values()
        assert set(image.scores[REAL]) == set(MEASURES["axon"].scores)
        assert len(result.trained_on) == {"made": 0, "frangi": 2}.get(trial.arm, 1)


def test_stages_that_are_the_same_are_run_once(finished: Path, axons: Path) -> None:
    """Of two folds: pre-training needs none, so one run of it; two of each of the others."""
    assert len(list((finished / "runs").iterdir())) == 1 + 2 + 2
    results = Outcome(tiny(axons), finished).results
    (made,) = {tuple(r.runs) for t, r in results.items() if t.arm == "made"}
    tuned = {tuple(r.runs) for t, r in results.items() if t.arm == "tuned"}
    assert len(tuned) == 2
    assert {runs[0] for runs in tuned} == set(made)
    recipe = json.loads((finished / "runs" / next(iter(tuned))[1] / "recipe.json").read_text())
    assert Path(recipe["start"]).parent.name == made[0]


def test_what_is_done_is_not_done_again_unless_it_was_another_thing(
    finished: Path, axons: Path
) -> None:
    before = contents(finished)
    do(tiny(axons), finished, [], [4])
    assert contents(finished) == before
    arms = described(axons)["arms"] | {"made": {"surrogates": SMALL, "count": 1}}
    do(tiny(axons, arms=arms), finished, ["made"], [4])
    changed = {name for name, content in contents(finished).items() if before.get(name) != content}
    assert {name.split("/")[0] for name in changed} == {"runs", "trials"}
    assert all("/made/" in name for name in changed if name.startswith("trials"))
    do(tiny(axons), finished, ["made"], [4])
    after = contents(finished)
    assert all(after[name][1] == content for name, (_, content) in before.items())


def test_what_another_process_is_at_is_left_for_the_end(
    finished: Path, axons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial, and a training run that two trials need."""
    monkeypatch.setattr(holding, "_PATIENCE", 0.05)
    monkeypatch.setattr(bench, "_PAUSE", 0.05)
    (run_of_both,) = {
        result.runs[0]
        for trial, result in Outcome(tiny(axons), finished).results.items()
        if trial.arm == "made"
    }
    (trial,) = trials(tiny(axons), ["real-1"], [4], ["a"])
    steps = experiment_steps(tiny(axons), tmp_path, trials(tiny(axons), [], [4]), "cpu")
    seen: list[str] = []
    with held(tmp_path / trial.folder), held(tmp_path / "runs" / run_of_both):
        while len(seen) < 8 + 5:  # each once, and then those that are left
            event = next(steps)
            if isinstance(event, Progress):
                seen.append(event.message)
        done = set(Outcome(tiny(axons), tmp_path).results)
    assert len(set(seen[:8])) == 8
    left = {str(one) for one in trials(tiny(axons), ["made", "tuned"], [4])} | {str(trial)}
    assert set(seen[8:]) == left
    assert {one.arm for one in done} == {"frangi", "real-1"}
    run(steps)
    outcomes = [Outcome(tiny(axons), folder).results for folder in (tmp_path, finished)]
    assert outcomes[0].keys() == outcomes[1].keys()


def test_a_run_that_was_stopped_goes_on_in_a_folder_that_was_moved(
    finished: Path, axons: Path, tmp_path: Path
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    (trial,) = trials(tiny(axons), ["real-1"], [4], ["a"])
    steps = experiment_steps(tiny(axons), before, [trial], "cpu")
    for event in steps:
        if isinstance(event, Metrics):
            break
    steps.close()
    assert not list(before.glob("runs/*/model.safetensors"))
    before.rename(after)
    do(tiny(axons), after, ["real-1"], [4], ["a"])
    (run_folder,) = (after / "runs").iterdir()
    assert str(after) in (run_folder / "recipe.json").read_text()
    found, known = (Outcome(tiny(axons), out).results[trial] for out in (after, finished))
    assert found.images == known.images


def test_thresholds_are_not_chosen_on_the_images_that_are_judged(
    finished: Path, axons: Path, tmp_path: Path
) -> None:
    """Another truth of the test image changes its scores and no threshold."""
    images = load_labelled(axons, ["background", "axon"])
    for image in images:
        if image.animal == "sub-3":
            image.classes[:] = 1 - image.classes
    other = write_pairs(tmp_path / "other", images, ["background", "axon"])
    for arm in ("frangi", "real-1"):
        do(tiny(other), tmp_path / "out", [arm], [4], ["a"])
        found = Outcome(tiny(other), tmp_path / "out").of("made", arm)
        ((trial, result),) = found.items()
        known = Outcome(tiny(axons), finished).results[trial]
        assert result.chosen == known.chosen
        assert [i.scores for i in result.images.values()] != [
            i.scores for i in known.images.values()
        ]


def test_tables_plots_and_maps_are_written(finished: Path, axons: Path) -> None:
    outcome = Outcome(tiny(axons), finished)
    table, differences, text = outcome.write()
    lines = table.read_text().splitlines()
    assert [line.split(",")[1:6] for line in lines[1:]] == [
        ["frangi", "real", "1", "2", "2"],
        ["real-1", "real", "1", "2", "2"],
        ["made", "real", "1", "2", "2"],
        ["made", "surrogate", "1", "2", "2"],
        ["tuned", "real", "1", "2", "2"],
    ]
    assert differences.read_text().splitlines()[1].startswith("made,tuned,real-1,real,real,2,")
    assert "6 of 14 trials are missing" in text.read_text()
    drawn = [*write_plots(outcome), *write_maps(outcome, load_images(tiny(axons), finished))]
    assert [path.name for path in drawn] == [
        "made-scores.png", "made-roc.png", "made-precision.png", "made-maps.png"
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_boutons_are_detected_and_their_surrogates_matched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "match_steps", partial(bench.match_steps, budget=6))
    classes = ["background", "bouton"]
    folder = write_pairs(tmp_path / "data", make_surrogates(SMALL, 4, 9, classes), classes)
    arms = {"matched": {"surrogates": "matched"}}
    experiment = tiny(folder, measure="bouton", baselines=["log"], arms=arms, compare=[])
    do(experiment, tmp_path / "out", [], [4], ["a"])
    log, matched = Outcome(experiment, tmp_path / "out").results.values()
    (image,) = log.images.values()
    assert set(image.scores[REAL]) == {"f1", "precision", "recall"}
    assert log.chosen[REAL] > 1  # grey values
    assert set(matched.chosen) == {SURROGATE, REAL}
    (file,) = (tmp_path / "out" / "matched" / "made").iterdir()
    (recipe,) = (tmp_path / "out" / "runs").glob("*/recipe.json")
    used = json.loads(recipe.read_text())["data"]["parameters"]
    assert used == json.loads(file.read_text())["parameters"]


# ---------------------------------------------------------------- counting it


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Outcome]:
    """Writes results with given Dice, and reads them."""

    def write(values: dict[Trial, float], **changes: Any) -> Outcome:
        experiment = tiny("anywhere", **changes)
        for trial, value in values.items():
            names = MEASURES["axon"].scores
            scores = {REAL: dict.fromkeys(names, value), SURROGATE: dict.fromkeys(names, 0.1)}
            curve = [0.0, value, value / 2]
            image = ImageResult(scores, {"smooth_dice": curve, "tpr": curve})
            chosen = {REAL: 0.5} | ({SURROGATE: 0.4} if trial.arm == "made" else {})
            levels = np.array([0.2, 0.5, 0.7])
            result = Result("key", chosen, [], [], {f"image-{trial.fold}": image}, levels)
            result.write(tmp_path, trial)
        return Outcome(experiment, tmp_path)

    return write


def test_rows_are_means_over_seeds_and_images(written: Callable[..., Outcome]) -> None:
    values = {("a", 4): 0.2, ("b", 4): 0.4, ("a", 5): 0.3, ("b", 5): 0.7}
    outcome = written({Trial("real-1", "made", *key): value for key, value in values.items()})
    (row,) = outcome.rows()
    assert (row.seeds, row.folds, row.of_folds, row.images) == (2, 2, 2, 2)
    mean, low, high = row.scores["dice"]
    assert mean == pytest.approx(0.4)
    assert 0.2 <= low < 0.4 < high <= 0.7
    assert row.oracle == pytest.approx((0.3 + 0.5) / 2)


def test_surrogates_alone_have_a_row_for_each_threshold(written: Callable[..., Outcome]) -> None:
    outcome = written({Trial("made", "made", "a", 4): 0.8})
    rows = {row.chosen_on: row.scores["dice"][0] for row in outcome.rows()}
    assert rows == {REAL: 0.8, SURROGATE: 0.1}
    assert outcome.main_choice("made") == SURROGATE
    assert outcome.main_choice("tuned") == outcome.main_choice("frangi") == REAL


def test_differences_are_of_the_same_images_and_seeds(written: Callable[..., Outcome]) -> None:
    values = {
        Trial("tuned", "made", "a", 4): 0.9,
        Trial("tuned", "made", "b", 4): 0.5,
        Trial("tuned", "made", "a", 5): 0.7,
        Trial("real-1", "made", "a", 4): 0.8,
        Trial("real-1", "made", "b", 4): 0.4,
        Trial("frangi", "made", "a", None): 0.3,
    }
    tuned, against_filter = written(values).differences()
    assert tuned.value == pytest.approx((0.1, 0.1, 0.1))
    assert tuned.images == 2
    assert tuned.verdict == "better"
    assert against_filter.value[0] == pytest.approx(0.5)
    assert against_filter.images == 1


def test_surrogates_alone_are_compared_with_each_threshold(written: Callable[..., Outcome]) -> None:
    values = {Trial("made", "made", "a", 4): 0.8, Trial("real-1", "made", "a", 4): 0.6}
    found = written(values, compare=[["made", "real-1"]]).differences()
    assert [one.chosen_on for one in found] == [(SURROGATE, REAL), (REAL, REAL)]
    assert [one.value[0] for one in found] == pytest.approx([0.1 - 0.6, 0.8 - 0.6])


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        ((0.1, 0.02, 0.2), "better"),
        ((-0.1, -0.2, -0.02), "worse"),
        ((0.1, -0.01, 0.2), "not told apart"),
        ((0.04, 0.03, 0.05), "not told apart"),
        ((np.nan, np.nan, np.nan), "not measured"),
    ],
)
def test_small_or_unsure_differences_are_none(value: Any, verdict: str) -> None:
    assert Difference("made", "one", "other", (REAL, REAL), 3, value).verdict == verdict


def test_a_spoilt_result_is_named(written: Callable[..., Outcome], tmp_path: Path) -> None:
    trial = Trial("real-1", "made", "a", 4)
    written({trial: 0.5})
    (tmp_path / trial.folder / "result.json").write_text("{}")
    with pytest.raises(InputError, match="is no result of a trial"):
        Outcome(tiny("anywhere"), tmp_path)
