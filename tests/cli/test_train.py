"""``axongen train``: what it is told, and that signals end it in good order."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_axongen.cli import app
from napari_axongen.core import training
from napari_axongen.core.events import Progress, Samples, Steps, Validation


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
