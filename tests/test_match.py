"""The verb match, in Python and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import napari_axongen
from napari_axongen.cli import app
from napari_axongen.core.files import write_image
from napari_axongen.core.surrogate import matching


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the search finds is tested in the core."""
    defaults = (*matching.match_steps.__defaults__[:-1], 12)  # type: ignore[index]
    monkeypatch.setattr(matching.match_steps, "__defaults__", defaults)


@pytest.fixture
def picture() -> np.ndarray:
    start = {"preset": "two-photon", "height": 128, "width": 128}
    return napari_axongen.generate(start, device="cpu").images[0]


def test_python(picture: np.ndarray) -> None:
    seen: list[object] = []
    result = napari_axongen.match(picture, device="cpu", on_event=seen.append)
    assert seen
    made = napari_axongen.generate(result.parameters, device="cpu")
    assert made.images.shape == (1, 128, 128)


def test_command_line(picture: np.ndarray, tmp_path: Path) -> None:
    image, out = tmp_path / "image.png", tmp_path / "found.json"
    write_image(image, picture)
    done = CliRunner().invoke(app, ["match", str(image), "--out", str(out), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "ridge density" in done.output
    recipe = json.loads(out.read_text())
    assert recipe["image"] == "image.png"
    # What was written can be generated from.
    made = napari_axongen.generate(out, device="cpu")
    assert made.images.shape == (1, 128, 128)


def test_command_line_says_what_is_wrong(picture: np.ndarray, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    write_image(image, picture)
    runner = CliRunner()
    done = runner.invoke(app, ["match", str(image), "--out", str(tmp_path / "found.txt")])
    assert done.exit_code == 2
    done = runner.invoke(
        app, ["match", str(image), "--out", str(tmp_path / "f.json"), "--start", "two-foton"]
    )
    assert done.exit_code == 2
    assert "two-photon" in done.output
    colour = tmp_path / "colour.png"
    write_image(colour, np.stack([picture] * 3, axis=-1))
    done = runner.invoke(app, ["match", str(colour), "--out", str(tmp_path / "f.json")])
    assert done.exit_code == 1
    assert "colour" in done.output
