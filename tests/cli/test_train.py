"""``axongen train``: what it is told, and that signals end it in good order."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_axongen.cli import app
from napari_axongen.core import training
from napari_axongen.core.events import Progress, Samples, Steps, Validation
from napari_axongen.core.training import checks


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


class Small:
    """What `load_recipe` reads, in these tests."""

    name = "small"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What training is told, and how it ends: it takes three steps, after the first it is sent
    the signal ``seen["signal"]``, if any."""
    seen: dict[str, Any] = {}

    def load(path: Path) -> Small:
        seen["recipe"] = path
        return Small()

    def steps(recipe: Any, out: Path, resume: bool, device: str) -> Steps[Path]:
        seen.update(out=out, resume=resume, events=0)
        try:
            for step in range(3):
                if "signal" in seen and step == 1:
                    os.kill(os.getpid(), seen["signal"])
                seen["events"] += 1
                yield Progress(step + 1, 3)
            yield Validation(3, {"val_dice": 0.5}, best=True)
            yield Samples(3, ("image",), np.zeros((1, 1, 2, 2, 3), np.uint8))
        except GeneratorExit:
            seen["closed"] = True
            raise
        return out / "model.safetensors"

    def check(recipe: Any) -> Steps[list[Any]]:
        yield from ()
        return []

    monkeypatch.setattr(checks, "check_data_steps", check)
    monkeypatch.setattr(training, "load_recipe", load)
    monkeypatch.setattr(training, "train_steps", steps)
    return seen


def test_a_validation_is_a_line(seen: dict[str, Any]) -> None:
    result = call("r.yaml", "--out", "run")
    assert "small: step 3: val_dice 0.5, the best so far" in result.stderr
    assert result.stdout.strip() == str(Path("run/model.safetensors"))


def test_a_run_goes_on_by_its_folder_alone(seen: dict[str, Any], tmp_path: Path) -> None:
    call("--resume", tmp_path)
    assert seen["recipe"] == tmp_path / "recipe.json"
    assert (seen["out"], seen["resume"]) == (tmp_path, True)
    assert "goes on with --resume" in call(tmp_path, code=2).stderr
    assert "--out" in call("r.yaml", code=2).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_run(seen: dict[str, Any], number: signal.Signals) -> None:
    if os.name == "nt":
        pytest.skip("Windows ends a process by these at once")
    seen["signal"] = number
    before = signal.getsignal(number)
    result = call("r.yaml", "--out", "run", code=130)
    assert seen["closed"]
    assert seen["events"] == 2  # the step that was under way is finished
    assert "Stopping after this step" in result.stderr
    assert signal.getsignal(number) is before


def test_data_that_cannot_be_trained_on_is_named_before_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    grey = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(grey).save(data / "one.png")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(data / "one_seg-axon.png")
    recipe = {
        "name": "x",
        "contrast": "fluorescence",
        "classes": ["background", "axon"],
        "network": {"name": "unet", "channels": [4, 8]},
        "data": {"source": "folder", "root": str(data)},
        "optimisation": {"steps": 1, "crop": 32},
    }
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(recipe))
    result = call(file, "--out", tmp_path / "run", code=1)
    assert "one" in result.output
    assert "48 x 64" in result.output
    assert not (tmp_path / "run").exists()
