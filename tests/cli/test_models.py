"""``axongen models import`` of torch checkpoints, and of the model of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from napari_axongen.cli import app
from napari_axongen.core.models import importing, load_card, load_network, user_folder
from napari_axongen.core.networks import ClassicGenerator


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "user"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Of a generator of two levels, under the reference's names."""
    state = ClassicGenerator(3, 3, width=2, depth=2).state_dict()
    names = {
        "down.0.0": "model.model.0",
        "down.1.1": "model.model.1.model.1",
        "up.0.1": "model.model.1.model.3",
        "up.0.2": "model.model.1.model.4",
        "up.1.1": "model.model.3",
    }
    path = tmp_path / "checkpoint_gen.pt"
    renamed = {}
    for key, value in state.items():
        layer, _, part = key.rpartition(".")
        renamed[f"module.{names[layer]}.{part}"] = value
    torch.save({"epoch": 151, "state_dict": renamed}, path)
    return path


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["models", "import", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_a_checkpoint_becomes_a_model(checkpoint: Path) -> None:
    result = call(checkpoint, "--as", "old-gan", "--target", "SEM", "--axon-diameter", "60")
    assert result.stdout.strip() == str(user_folder() / "old-gan.safetensors")
    card = load_card("old-gan")
    assert (card.task, card.source, card.contrast) == ("translation", "TEM", "SEM")
    assert card.axon_diameter == 60
    assert tuple(card.network["value_range"]) == importing.REFERENCE_RANGE
    assert load_network("old-gan")[0].fixed_tile == 4

    again = (checkpoint, "--as", "old-gan", "--target", "TEM", "--full-range", "--half")
    assert "taken" in call(*again, code=1).stderr
    call(*again, "--replace")
    card = load_card("old-gan")
    assert card.contrast == "TEM"
    assert tuple(card.network["value_range"]) == importing.FULL_RANGE


def test_a_checkpoint_needs_a_name_and_a_target(checkpoint: Path) -> None:
    for options in ([], ["--as", "gan"]):
        assert "--as" in call(checkpoint, *options, code=1).stderr
    for options in (["--target", "SEM"], ["--half"], ["--axon-diameter", "6"]):
        assert "--target" in call(checkpoint, *options, code=2).stderr
    call(checkpoint, "--as", "gan", "--target", "MRI", code=2)
    assert (
        "pixel_size"
        in call(checkpoint, "--as", "gan", "--target", "SEM", "--pixel-size", 0, code=1).stderr
    )
    assert "'../gan'" in call(checkpoint, "--as", "../gan", "--target", "SEM", code=1).stderr


def test_the_model_of_a_run_is_imported_under_any_name(checkpoint: Path, tmp_path: Path) -> None:
    call(checkpoint, "--as", "gan", "--target", "SEM", "--half")
    made = tmp_path / "run"
    made.mkdir()
    (user_folder() / "gan.safetensors").rename(made / "model.safetensors")
    before = load_file(made / "model.safetensors")
    for name in ("gan", "other"):
        assert call(made, "--as", name).stdout.strip() == str(user_folder() / f"{name}.safetensors")
        assert load_card(name).name == name
        after = load_file(user_folder() / f"{name}.safetensors")
        assert all(torch.equal(after[key], before[key]) for key in before)
        assert {value.dtype for value in after.values()} == {v.dtype for v in before.values()}
    assert "taken" in call(made, code=1).stderr
    call(made, "--replace")


def test_a_model_is_no_checkpoint(checkpoint: Path) -> None:
    call(checkpoint, "--as", "gan", "--target", "SEM")
    model = user_folder() / "gan.safetensors"
    result = call(model, "--as", "other", "--target", "SEM", code=1)
    assert "imported without a target" in result.stderr
