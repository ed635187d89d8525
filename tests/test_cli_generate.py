from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

import napari_axongen
from napari_axongen.cli import app
from napari_axongen.cli.console import Group
from napari_axongen.core.surrogate.described import rows
from napari_axongen.core.surrogate.original_json import to_original
from napari_axongen.core.surrogate.presets import (
    PRESETS,
    load_parameters,
    parameters_text,
    preset,
    with_changes,
)

SMALL = ("--set", "width=64", "--set", "height=48", "--set", "cells.count=1")


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["generate", *(str(a) for a in arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------- what there is


def test_help_and_lists_load_no_torch() -> None:
    code = (
        "import sys\nfrom napari_axongen.cli import main\n"
        "sys.argv = ['axongen', 'generate', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'napari', 'qtpy', 'h5py', 'zarr'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for arguments in (["--help"], ["--list"], ["--names"], ["broad", "--show"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_help_tells_of_both_commands() -> None:
    text = call("--help").output
    for part in ("PRESET", "--count", "--series", "--resume", "--set", "em-fibres"):
        assert part in text


def test_list_and_names() -> None:
    listed = call("--list").stdout
    assert all(name in listed for name in PRESETS)
    named = call("--names").stdout
    assert all(f"{row.name} = {row.default}" in named for row in rows())


# ---------------------------------------------------------------- parameters


def test_show_is_a_file_to_start_from() -> None:
    result = call("two-photon", "--show")
    assert load_parameters(json.loads(result.stdout)) == preset("two-photon")
    assert result.stdout == parameters_text(preset("two-photon"))
    assert result.stderr == ""


def test_set_changes_parameters() -> None:
    result = call(
        *("two-photon", "--show", "--set", "axons.count=5", "--set", "axons.profile=linear"),
        *("--set", 'axons.thickness={"uniform": [1, 3]}', "--set", "axons.crossings=false"),
    )
    expected = with_changes(
        preset("two-photon"),
        {
            "axons.count": 5,
            "axons.profile": "linear",
            "axons.thickness": {"uniform": [1, 3]},
            "axons.crossings": False,
        },
    )
    assert load_parameters(json.loads(result.stdout)) == expected


def test_a_file_of_the_original_becomes_ours_and_back(tmp_path: Path) -> None:
    original = {**to_original(preset("original")), "MaxAxons": 4, "colour": "red"}
    (tmp_path / "o.json").write_text(json.dumps(original))
    ours = call("o.json", "--show")
    assert load_parameters(json.loads(ours.stdout)) == load_parameters(original)
    assert 'MinAxons, MaxAxons: converted to axons.count = {"uniform": [2, 4]}' in ours.stderr
    assert "colour: ignored" in ours.stderr
    (tmp_path / "p.json").write_text(ours.stdout)
    back = call("p.json", "--show-original", "--set", "axons.defocus=2")
    assert json.loads(back.stdout) == {k: v for k, v in original.items() if k != "colour"}
    assert back.stderr == "axons.defocus: lost, the file says 0 (it is 2)\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("two-photon",), "--out"),
        (("two-foton", "--show"), "did you mean 'two-photon'"),
        (("no/such.json", "--show"), "neither a preset"),
        (("broad", "--show", "--set", "axons.count"), "no assignment"),
        (("broad", "--show", "--set", "axons.cuont=3"), "'axons.count'"),
        (("broad", "--show", "--set", "axons.count=-3"), "outside 0 to 500"),
        (("broad", "--show", "--set", "axons.count=many"), "'many'"),
        (("broad", "--out", "o", "--count", "0"), "--count"),
        (("broad", "--out", "o", "--seed", "-1"), "--seed"),
        (("broad", "--out", "o", "--format", "png"), "--format"),
        (("broad", "--out", "o", "--device", "abacus"), "--device"),
        ((), "PRESET"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    text = " ".join(call(*arguments, code=2).output.replace("│", " ").split())
    assert message in text
    assert not list(Path().iterdir())


def test_a_bad_file_fails(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"axons": {"count": 1000}}')
    result = call("bad.json", "--show", code=1)
    assert "Error: bad.json: Parameter 'axons.count' is 1000" in result.stderr


# ---------------------------------------------------------------- images


def test_images_are_those_of_python(tmp_path: Path) -> None:
    result = call("two-photon", *SMALL, "--count", 2, "--seed", 3, "--out", "o", "--device", "cpu")
    assert result.stdout == "o\n"
    made = napari_axongen.generate(
        with_changes(preset("two-photon"), {"width": 64, "height": 48, "cells.count": 1}),
        count=2,
        seed=3,
        device="cpu",
    )
    for name in ("images", "clean_images", "axon_masks", "bouton_masks"):
        np.testing.assert_array_equal(tifffile.imread(f"o/{name}.tif"), getattr(made, name))
    assert load_parameters("o/parameters.json") == made.parameters


def test_series() -> None:
    call("original", *SMALL, "--set", "series.frames=3", "--series", "--out", "o", "--count", 2)
    assert tifffile.imread("o/images.tif").shape == (2, 3, 48, 64)


def test_a_full_folder_fails_and_a_finished_one_is_resumed() -> None:
    call("original", *SMALL, "--out", "o")
    assert "already holds a data set" in call("original", *SMALL, "--out", "o", code=1).stderr
    assert call("original", *SMALL, "--out", "o", "--resume").stdout == "o\n"


def test_an_original_file_is_said_in_short(tmp_path: Path) -> None:
    original = {**to_original(preset("original")), "width": 64, "height": 48, "CircleBrightness": 1}
    (tmp_path / "o.json").write_text(json.dumps(original))
    said = call("o.json", "--out", "made").stderr
    assert "o.json is a file of the original" in said
    assert "2 ignored (NSplinePoints, CircleBrightness); --show says how" in said
    assert tifffile.imread("made/images.tif").shape == (1, 48, 64)


# ---------------------------------------------------------------- a name of two words


def test_fibres_are_made_by_their_own_command() -> None:
    call("em-fibres", "--count", 1, "--width", 96, "--height", 96, "--out", "o")
    assert tifffile.imread("o/00000_instances.tif").shape == (96, 96)


def test_a_command_may_have_two_words() -> None:
    small = typer.Typer(cls=Group)
    said: list[str] = []

    @small.command()
    def make(what: str) -> None:
        said.append(f"make: {what}")

    @small.command("make cake")
    def cake(count: int = 1) -> None:
        said.append(f"cake: {count}")

    for words in (["make", "tea"], ["make", "cake", "--count", "2"], ["make", "./cake"]):
        result = CliRunner().invoke(small, words)
        assert result.exit_code == 0, result.output
    assert said == ["make: tea", "cake: 2", "make: ./cake"]
    assert "make cake [OPTIONS]" in CliRunner().invoke(small, ["make", "cake", "--help"]).output
    assert CliRunner().invoke(small, ["make"]).exit_code == 2
