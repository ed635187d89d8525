from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from napari_axongen.cli import app
from napari_axongen.core.centrelines import Centreline, write_centrelines
from napari_axongen.core.datasets.pair_folder import write_pairs
from napari_axongen.core.datasets.sources import make_surrogates


def evaluate(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def call(*arguments: object, code: int = 0) -> Any:
    return evaluate("tracing", *arguments, code=code)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """One axon traced half, 1 px beside it; one missed; one invented."""

    def lines(*rows: tuple[float, float]) -> list[Centreline]:
        return [
            Centreline(np.array([[row, 0], [row, last]]), axon=number, image=3)
            for number, (row, last) in enumerate(rows)
        ]

    write_centrelines(tmp_path / "truth.csv", lines((10, 100), (90, 100)))
    write_centrelines(tmp_path / "traced.csv", lines((11, 50), (50, 50)))
    return tmp_path / "traced.csv", tmp_path / "truth.csv"


def test_the_table(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "table.csv"
    result = call(*files, "--out", out)
    assert [line.split() for line in result.stdout.splitlines()[-3:]] == [
        ["3", "0", "100.000", "50.000", "0.517", "1.000", "13.026", "1.000"],
        ["3", "1", "100.000", "0.000", "0.000"],
        ["all", "all", "200.000", "100.000", "0.259", "0.500", "13.026", "1.000"],
    ]
    assert "50 px of the traced paths follow no axon" in result.stderr
    with out.open(newline="") as file:
        first, missed, overall = csv.DictReader(file)
    assert (first["image"], first["axon"], overall["image"]) == ("3", "0", "all")
    assert float(first["traced_to_truth"]) == pytest.approx(1)
    assert float(overall["precision"]) == pytest.approx(0.5)
    assert missed["precision"] == ""


def test_tolerance(files: tuple[Path, Path]) -> None:
    last = call(*files, "--tolerance", 0.5).stdout.splitlines()[-1].split()
    assert last[4:6] == ["0.000", "0.000"]
    assert "tolerance is 0.0 px" in call(*files, "--tolerance", 0, code=1).stderr


def test_what_cannot_be_used_is_said(files: tuple[Path, Path], tmp_path: Path) -> None:
    traced, truth = files
    assert "does not exist" in call(tmp_path / "none.csv", truth, code=1).stderr
    call(traced, truth, "--out", tmp_path / "table.txt", code=2)


def test_many_axons_are_in_the_file_alone(tmp_path: Path) -> None:
    path, out = tmp_path / "truth.csv", tmp_path / "table.csv"
    write_centrelines(
        path, [Centreline(np.array([[10 * i, 0], [10 * i, 9]]), axon=i) for i in range(25)]
    )
    result = call(path, path, "--out", out)
    assert result.stdout.count("9.000") == 2 * 20
    assert "5 more axons" in result.stderr
    assert len(out.read_text().splitlines()) == 1 + 25 + 1


# ---------------------------------------------------------------- experiments


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filter and a network of one step, on three images with axons."""
    folder = tmp_path_factory.mktemp("experiment")
    classes = ["background", "axon"]
    small = {"preset": "original", "width": 64, "height": 64, "axons": {"count": 2}}
    write_pairs(folder / "data", make_surrogates(small, 3, 1, classes), classes)
    fold = {"train": ["sub-0"], "validation": ["sub-1"], "test": ["sub-2"]}
    described = {
        "name": "tiny",
        "measure": "axon",
        "data": {"made": {"root": str(folder / "data"), "folds": {"only": fold}}},
        "seeds": [0, 1],
        "recipe": {
            "network": {"name": "unet", "channels": [4, 6]},
            "optimisation": {"steps": 1, "batch": 1, "crop": 32},
        },
        "baselines": ["frangi"],
        "arms": {"real": {"real": 1}},
        "compare": [["real", "frangi"]],
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(described))
    return path


def test_an_experiment_and_a_part_of_it(experiment: Path, tmp_path: Path) -> None:
    result = evaluate(experiment, "--out", tmp_path, "--only", "real", "--seeds", 1)
    written = [Path(line).name for line in result.stdout.split()]
    assert written[:3] == ["table.csv", "differences.csv", "table.md"]
    assert all((tmp_path / name).exists() for name in written)
    assert "2 trials are missing, such as frangi, made only" in result.stderr
    evaluate(experiment, "--out", tmp_path)
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    assert rows["real"]["seeds"] == "2"
    assert float(rows["frangi"]["dice"]) > float(rows["real"]["dice"])
    before = (tmp_path / "table.md").read_bytes()
    (tmp_path / "table.md").unlink()
    evaluate(experiment, "--out", tmp_path, "--table")
    assert (tmp_path / "table.md").read_bytes() == before


def test_what_an_experiment_lacks_is_said_before_it_begins(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert "no arm 'none'" in evaluate(experiment, "--out", out, "--only", "none", code=1).stderr
    assert "cannot be read" in evaluate(tmp_path / "none.yaml", "--out", out, code=1).stderr
    assert "Nothing of tiny is done" in evaluate(experiment, "--out", out, "--table").stderr
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "napari-axongen[plots]" in evaluate(experiment, "--out", out, code=1).stderr
    assert not out.exists()
