from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_axongen.cli import app
from napari_axongen.core.centrelines import Centreline, write_centrelines


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["evaluate", "tracing", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


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
