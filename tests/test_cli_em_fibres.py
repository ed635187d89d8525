from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from napari_axongen.cli.console import Group
from napari_axongen.cli.em_fibres import em_fibres
from napari_axongen.core.surrogate.em_parameters import PRESETS, EmFibreParameters


def call(*arguments: object, code: int = 0) -> Any:
    app = typer.Typer(cls=Group)
    app.callback()(lambda: None)
    app.command("em-fibres")(em_fibres)
    result = CliRunner().invoke(app, ["em-fibres", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def parameters(folder: Path) -> EmFibreParameters:
    return EmFibreParameters(**json.loads((folder / "parameters.json").read_text())["parameters"])


def test_every_parameter_is_an_option() -> None:
    text = call("--help").output
    for name in EmFibreParameters.model_fields:
        assert f"--{name.replace('_', '-')}" in text


def test_images_are_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call("--out", out, "--count", 2, "--width", 90, "--height", 70, "--seed", 4)
    assert result.stdout.strip() == str(out)
    assert sorted(path.name for path in out.iterdir()) == [
        "00000_instances.tif",
        "00000_seg-axonmyelin.png",
        "00001_instances.tif",
        "00001_seg-axonmyelin.png",
        "fibres.csv",
        "parameters.json",
    ]
    assert parameters(out) == PRESETS["tem"].model_copy(update={"width": 90, "height": 70})
    assert "already holds" in call("--out", out, "--count", 2, code=1).stderr


def test_options_come_before_the_preset(tmp_path: Path) -> None:
    # 0.74 is the default of the option, too: given, it counts all the same.
    call("--out", tmp_path / "a", "--gratio-mean", 0.74, "--preset", "sem", "--width", 90)
    changes = {"gratio_mean": 0.74, "width": 90}
    assert parameters(tmp_path / "a") == PRESETS["sem"].model_copy(update=changes)


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    options = ("--preset", "sem", "--width", 64, "--height", 64, "--count", 2)
    call("--out", tmp_path / "a", *options)
    call("--out", tmp_path / "b", *options)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    recipe = whole["parameters.json"]
    for path in (tmp_path / "b").iterdir():
        if not path.name.startswith("00000"):
            path.unlink()
    (tmp_path / "b" / "unfinished.json").write_bytes(recipe)
    assert "unfinished export" in call("--out", tmp_path / "b", *options, code=1).stderr
    call("--out", tmp_path / "b", *options, "--resume")
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == whole


def test_sparse_layouts_are_said(tmp_path: Path) -> None:
    result = call("--out", tmp_path / "a", "--fraction", 0.85, "--width", 64, "--height", 64)
    assert "instead of 0.85" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--fraction", "1.5", "--fraction"),
        ("--preset", "lm", "--preset"),
        ("--count", "0", "--count"),
        ("--pixel-size", "0.5", "too coarse"),
    ],
)
def test_wrong_usage(tmp_path: Path, option: str, value: str, said: str) -> None:
    assert said in call("--out", tmp_path / "a", option, value, code=2).stderr
    assert not (tmp_path / "a").exists()
