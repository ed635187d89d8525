"""Runs on the disk: read while they go on, begun with, and their models among the user's."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, run
from napari_axongen.core.models import available, export_model, load_card, load_network
from napari_axongen.core.training import train_steps
from napari_axongen.core.training.presets import begin_with, starting_recipe
from napari_axongen.core.training.recipe import Recipe
from napari_axongen.core.training.runs import (
    find_runs,
    free_run,
    install_run,
    read_run,
    runs_folder,
)


def recipe(**changes: object) -> Recipe:
    entries = {
        "name": "tiny",
        "network": {"name": "unet", "channels": [4, 6]},
        "data": {"source": "em-fields", "count": 2, "side": 64},
        "optimisation": {"steps": 6, "batch": 2, "crop": 32, "warm_up": 0},
        "validate_every": 2,
    }
    return starting_recipe("axon-myelin-tem", **(entries | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    run(train_steps(recipe(), out, device="cpu"))
    return out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After five of its six steps."""
    out = tmp_path_factory.mktemp("runs") / "stopped"
    steps = train_steps(recipe(), out, device="cpu")
    while not (isinstance(event := next(steps), Metrics) and event.step == 5):
        pass
    steps.close()
    return out


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's runs and models."""
    monkeypatch.setenv("AXONGEN_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "models"))
    return tmp_path / "runs"


def test_a_finished_run_is_read(finished: Path) -> None:
    found = read_run(finished)
    assert (found.folder, found.recipe, found.step) == (finished, recipe(), 6)
    assert found.finished
    assert found.model.exists()
    assert list(found.history) == json.loads((finished / "history.json").read_text())
    assert [entry["step"] for entry in found.history] == [2, 4, 6]

    def score(entry: dict[str, float]) -> float:
        return entry["val_dice_axon"] + entry["val_dice_myelin"]

    assert found.best is not None
    assert score(found.best) == max(map(score, found.history))


def test_a_run_is_read_while_it_goes_on(stopped: Path, tmp_path: Path) -> None:
    found = read_run(stopped)
    assert (found.step, found.finished) == (5, False)
    assert [entry["step"] for entry in found.history] == [2, 4]
    (tmp_path / "recipe.json").write_bytes((stopped / "recipe.json").read_bytes())
    begun = read_run(tmp_path)
    assert (begun.step, begun.history, begun.best, begun.finished) == (0, (), None, False)


def test_what_is_no_run_is_said(stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        read_run(tmp_path)
    (tmp_path / "recipe.json").write_bytes((stopped / "recipe.json").read_bytes())
    whole = (stopped / "checkpoint.safetensors").read_bytes()
    for broken in (whole[:100], whole[: len(whole) // 2], b""):
        (tmp_path / "checkpoint.safetensors").write_bytes(broken)
        with pytest.raises(InputError, match="is damaged"):
            read_run(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "checkpoint.safetensors")
    with pytest.raises(InputError, match="is damaged"):
        read_run(tmp_path)
    (tmp_path / "recipe.json").write_text('{"name": "x"}')
    with pytest.raises(InputError, match="Recipe"):
        read_run(tmp_path)


def test_who_may_read_a_run_may_read_its_checkpoint(stopped: Path) -> None:
    recipe, checkpoint = (stopped / name for name in ("recipe.json", "checkpoint.safetensors"))
    assert checkpoint.stat().st_mode == recipe.stat().st_mode


def test_runs_are_listed_the_last_first(finished: Path, stopped: Path, place: Path) -> None:
    assert runs_folder() == place
    assert find_runs() == []
    assert free_run("tiny") == place / "tiny"
    shutil.copytree(finished, place / "tiny")
    shutil.copytree(stopped, free_run("tiny"))
    (place / "no run").mkdir()
    (place / "broken").mkdir()
    (place / "broken" / "recipe.json").write_text("{")
    for path in (place / "tiny").iterdir():
        os.utime(path, (1e9, 1e9))
    assert [found.folder.name for found in find_runs()] == ["tiny-2", "tiny"]
    assert free_run("tiny") == place / "tiny-3"


def test_the_runs_lie_beside_the_models(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXONGEN_RUNS")
    assert runs_folder() == place


@pytest.mark.usefixtures("place")
def test_a_model_is_installed_under_its_name_or_another(finished: Path, stopped: Path) -> None:
    assert install_run(finished).name == "tiny"
    with pytest.raises(InputError, match=r"'tiny' .* is taken"):
        install_run(finished)
    assert install_run(finished, replace=True).name == "tiny"
    assert install_run(finished, "mine").training == load_card("tiny").training
    assert {"tiny", "mine"} <= {card.name for card in available()}
    one, other = (load_network(name)[0].state_dict() for name in ("tiny", "mine"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    with pytest.raises(InputError, match=r"'name' is '\.\./evil'"):
        install_run(finished, "../evil")
    with pytest.raises(InputError, match="no finished model"):
        install_run(stopped)


def test_a_run_stands_for_its_model(finished: Path, tmp_path: Path) -> None:
    assert load_card(finished).name == "tiny"
    file = export_model(str(finished), tmp_path)
    assert file == tmp_path / "tiny.safetensors"
    assert file.read_bytes() == (finished / "model.safetensors").read_bytes()


def test_a_run_begins_with_the_best_weights_of_another(
    finished: Path, stopped: Path, tmp_path: Path
) -> None:
    """Of a finished one with its model, of one that goes on with what did best so far."""
    given = load_file(stopped / "checkpoint.safetensors")
    wanted = {
        finished: load_file(finished / "model.safetensors"),
        stopped: {k.removeprefix("best/"): v for k, v in given.items() if k.startswith("best/")},
    }
    for folder, before in wanted.items():
        other = recipe(network={"name": "unet", "channels": [2, 2]}, pixel_size=3.0)
        begun = begin_with(other, str(folder))
        assert begun.network == recipe().network
        assert begun.pixel_size is None
        idle = begun.optimisation.model_copy(update={"steps": 1, "learning_rate": 1e-9})
        begun = begun.model_copy(update={"optimisation": idle})
        after = load_file(run(train_steps(begun, tmp_path / folder.name, device="cpu")))
        weights = [key for key in before if key.endswith("0.weight")]
        assert weights
        assert all(torch.allclose(after[key], before[key], atol=1e-5) for key in weights)


def test_a_run_that_has_no_weights_yet_is_no_start(stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_bytes((stopped / "recipe.json").read_bytes())
    with pytest.raises(InputError, match="no checkpoint to start from"):
        run(train_steps(recipe(start=str(tmp_path)), tmp_path / "run", device="cpu"))
