from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_axongen.cli import app
from napari_axongen.core.datasets.prepare_parameters import PrepareParameters
from napari_axongen.core.files import read_image, write_image


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["prepare", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three images of 40 x 50 pixels, of one animal each, 0.1 um a pixel."""
    folder = tmp_path / "data"
    rng = np.random.default_rng(0)
    for name in ("sub-a", "sub-b", "sub-c"):
        write_image(folder / f"{name}.tif", rng.integers(0, 256, (40, 50), np.uint8), 0.1)
        mask = np.zeros((40, 50), np.uint8)
        mask[5:25, 5:25], mask[10:20, 10:20] = 127, 255
        write_image(folder / f"{name}_seg-axonmyelin.png", mask)
    return folder


def test_every_parameter_is_an_option_and_help_loads_no_torch() -> None:
    code = (
        "import sys\nfrom napari_axongen.cli import main\n"
        "sys.argv = ['axongen', 'prepare', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'scipy', 'napari'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    for name in PrepareParameters.model_fields:
        assert f"--{name.replace('_', '-')}" in done.stdout


def test_pairs_and_index_are_written(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call(dataset, "--out", out, "--tile", 20, "--split", "0.6,0.2,0.2", "--seed", 3)
    assert result.stdout.strip() == str(out)
    assert "train: 6 tiles (images: 1, animals: 1)" in result.stderr
    index = json.loads((out / "index.json").read_text())
    assert index["parameters"]["tile"] == 20
    assert index["parameters"]["seed"] == 3
    assert sorted(path.name for path in out.iterdir()) == ["index.json", "test", "train", "val"]
    for part in ("train", "val", "test"):
        names = [
            sorted(p.name for p in (out / part / kind).iterdir()) for kind in ("images", "masks")
        ]
        assert names[0] == names[1]
        assert len(names[0]) == 6


def test_side_by_side_at_another_scale(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call(dataset, "--out", out, "--tile", 16, "--pixel-size", 0.2, "--side-by-side")
    files = sorted(out.rglob("*.png"))
    assert len(files) == 3 * 4
    for path in files:
        picture = read_image(path)
        assert picture.data.shape == (16, 32)
        assert picture.pixel_size == pytest.approx(0.2, rel=1e-3)
        assert set(np.unique(picture.data[:, :16])) <= {0, 127, 255}


def test_a_bad_pair_is_named_the_others_are_done_and_the_code_says_so(
    dataset: Path, tmp_path: Path
) -> None:
    write_image(dataset / "sub-d.tif", np.zeros((30, 30), np.uint8))
    write_image(dataset / "sub-d_seg-axonmyelin.png", np.zeros((31, 30), np.uint8))
    result = call(dataset, "--out", tmp_path / "out", "--tile", 20, code=1)
    text = " ".join(result.stderr.split())
    assert "sub-d.tif has 30 x 30 pixels and its mask 31 x 30" in text
    assert "Error: 1 images or masks could not be used." in text
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 3 * 6 * 2


def test_animals_by_name(dataset: Path, tmp_path: Path) -> None:
    call(dataset, "--out", tmp_path / "out", "--tile", 20, "--test", "sub-b")
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index["split"] == {"train": ["sub-a", "sub-c"], "test": ["sub-b"]}
    result = call(dataset, "--out", tmp_path / "x", "--test", "sub-z", "--tile", 20, code=1)
    assert "'sub-z' is to be in test, but the animals are sub-a, sub-b, sub-c" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--split", "0.7,0.3"), "three numbers from 0 to 1"),
        (("--split", "a,b,c"), "three numbers from 0 to 1"),
        (("--split", "0.7,0.2,0.2"), "its shares sum to 1.1, not to 1"),
        (("--pixel-size", "0.1", "--axon-diameter", "20"), "not both"),
        (("--tile", "4"), "--tile"),
    ],
)
def test_wrong_usage(dataset: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    result = call(dataset, "--out", tmp_path / "out", *options, code=2)
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_no_such_data_set(tmp_path: Path) -> None:
    result = call(tmp_path / "none", "--out", tmp_path / "out", code=1)
    assert "was not found" in result.stderr
