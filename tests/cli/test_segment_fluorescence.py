"""What ``axongen segment`` writes of fluorescence images."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_axongen.cli import app
from napari_axongen.core.centrelines import read_centrelines
from napari_axongen.core.files import read_image, write_image


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def draw(rows: tuple[int, ...]) -> np.ndarray:
    """Axons along some rows, each with a bouton."""
    grey = np.random.default_rng(0).integers(4, 8, (100, 120)).astype(np.uint8)
    y, x = np.mgrid[:100, :120]
    for row in rows:
        grey[row - 3 : row + 4, 10:110] = 100
        grey[np.hypot(y - row, x - 60) <= 5] = 250
    return grey


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read_image(path).data)


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    write_image(tmp_path / "field.png", draw((30, 70)), 0.5)
    write_image(tmp_path / "stack.tif", np.stack([draw((50,)), draw((20, 80))]), 0.5)
    return tmp_path / "field.png", tmp_path / "stack.tif"


def test_the_files_of_an_image_and_of_a_stack(
    glow: dict[str, Path], images: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = call("segment", *images, "--out", out)
    names = [
        f"{stem}_{name}"
        for stem, ending in (("field", "png"), ("stack", "tif"))
        for name in (f"seg-axon.{ending}", "centrelines.csv", f"seg-bouton.{ending}", "boutons.csv")
    ]
    assert [Path(line).name for line in result.stdout.split()] == names
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*names, "field_seg.json", "stack_seg.json"]
    )
    for stem, shape, boutons in (
        ("field.png", (100, 120), [(0, 30), (0, 70)]),
        ("stack.tif", (2, 100, 120), [(0, 50), (1, 20), (1, 80)]),
    ):
        name, ending = stem.split(".")
        axon, bouton = (pixels(out / f"{name}_seg-{kind}.{ending}") for kind in ("axon", "bouton"))
        assert axon.shape == bouton.shape == shape
        assert set(np.unique(axon)) == set(np.unique(bouton)) == {0, 255}
        with (out / f"{name}_boutons.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["plane", "row", "column", "radius", "score"]
        places = sorted((int(row["plane"]), round(float(row["row"]))) for row in rows)
        assert places == boutons
        lines = read_centrelines(out / f"{name}_centrelines.csv")
        assert sorted((one.image, round(one.points[:, 0].mean())) for one in lines) == boutons
        recipe = json.loads((out / f"{name}_seg.json").read_text())
        assert recipe["parameters"]["contrast"] == "fluorescence"
        assert recipe["parameters"]["pixel_size"] == pytest.approx(0.5)
        assert [model["name"] for model in recipe["models"]] == ["glow-axon", "glow-bouton"]


def test_one_model_writes_what_it_finds(
    glow: dict[str, Path], images: tuple[Path, Path], tmp_path: Path
) -> None:
    call("segment", images[0], "--model", "glow-axon", "--min-length", 500, "--out", tmp_path / "a")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "field_centrelines.csv",
        "field_seg-axon.png",
        "field_seg.json",
    ]
    assert not pixels(tmp_path / "a" / "field_seg-axon.png").any()
    assert read_centrelines(tmp_path / "a" / "field_centrelines.csv") == []


def test_without_a_model_of_it_the_way_out_is_named(
    glow: dict[str, Path], images: tuple[Path, Path], tmp_path: Path
) -> None:
    for path in glow.values():
        path.unlink()
    result = call("segment", images[0], "--out", tmp_path / "out", code=1)
    assert "choose the contrast TEM or SEM" in result.output
