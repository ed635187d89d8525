"""Two processes train as one does whose batch is twice as large, write once, and end together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from napari_axongen.core.events import run
from napari_axongen.core.training import Recipe, parallel, train_steps
from napari_axongen.core.training.holding import LOCK
from napari_axongen.core.training.loop import train

from .toy_task import Toy, recipe

ROOT = Path(__file__).parents[2]
SMALL = {
    "name": "small",
    "contrast": "TEM",
    "network": {"name": "unet", "channels": [4, 6]},
    "data": {"source": "em-fields", "count": 3, "side": 96, "seed": 5},
    "optimisation": {"steps": 20, "batch": 4, "crop": 32, "warm_up": 2, "learning_rate": 0.01},
    "validate_every": 1,
    "seed": 3,
}


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a shell would; say what it said if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done


def losses(out: Path) -> np.ndarray:
    return np.array([entry["loss"] for entry in json.loads((out / "history.json").read_text())])


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `toy_task` writes in two processes."""
    out = tmp_path_factory.mktemp("together")
    call("torch.distributed.run", "--nproc-per-node", "2", "-m", "tests.core.toy_task", str(out))
    return out


def test_gradients_of_both_are_those_of_the_doubled_batch(together: Path, tmp_path: Path) -> None:
    doubled = recipe(validate_every=1, batch=4)
    alone = run(train(Toy(doubled, plain=True), doubled, tmp_path))
    # Nothing here looks at a batch as a whole: what is left is the order of sums, in float32.
    np.testing.assert_allclose(losses(together / "plain"), losses(tmp_path), rtol=1e-5)
    one, other = load_file(alone), load_file(together / "plain" / "model.safetensors")
    assert all(torch.allclose(one[key], other[key], atol=1e-5) for key in one)


def test_both_end_with_the_same_weights_and_statistics(together: Path) -> None:
    assert (together / "digest0").read_bytes() == (together / "digest1").read_bytes()


def test_stopped_and_resumed_they_equal_those_that_were_not(together: Path) -> None:
    for name in ("model.safetensors", "checkpoint.safetensors", "history.json"):
        whole = (together / "whole" / name).read_bytes()
        assert (together / "parts" / name).read_bytes() == whole


def test_devices_of_the_command_line(tmp_path: Path) -> None:
    path, out = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text(yaml.safe_dump(SMALL))
    command = ["napari_axongen.cli", "train", str(path), "--out", str(out), "--device", "cpu"]
    done = call(*command, "--devices", "2")
    assert done.stdout.split() == [str(out / "model.safetensors")]
    assert "2 processes together" in done.stderr
    assert [line.split(":")[1] for line in done.stderr.splitlines() if "val_" in line] == [
        f" step {step}" for step in range(1, 21)
    ]
    assert {file.name for file in out.iterdir()} - {LOCK} == {
        "checkpoint.safetensors",
        "history.json",
        "model.safetensors",
        "recipe.json",
    }
    setting = SMALL["optimisation"] | {"batch": 8}
    doubled = Recipe.model_validate(SMALL | {"optimisation": setting})
    run(train_steps(doubled, tmp_path / "alone", device="cpu"))
    pair, alone = losses(out), losses(tmp_path / "alone")
    # The soft Dice coefficient of half a batch is lower, 0.04 on average, and batch normalisation
    # a little off; another batch of this size would be 0.1 away, and correlated by 0.7.
    assert np.abs(pair - alone).mean() < 0.08
    assert np.corrcoef(pair, alone)[0, 1] > 0.9


def test_one_process_is_as_if_there_were_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # of something else: nothing says where the others are
    with parallel.processes("cpu"):
        assert (parallel.count(), parallel.rank()) == (1, 0)
        assert parallel.share(3) == range(3)
        drawn = parallel.generator(4, 5).random()
    assert drawn == np.random.default_rng((4, 5)).random()
