"""Options that have no effect on what they are given with are named, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_axongen.cli import app
from napari_axongen.core.files import write_image
from napari_axongen.core.networks import Denoiser
from napari_axongen.core.surrogate.em_fields import em_field

FIELD = em_field((90, 100), "tem", pixel_size=0.02, seed=3)


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def said(*arguments: object, code: int = 0) -> list[str]:
    """The sentences on what has no effect, without who says so."""
    lines = call(*arguments, code=code).stderr.splitlines()
    return [line.partition(": ")[2] for line in lines if "no effect" in line]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image("a.png", FIELD.image, 0.02)
    write_image("mask.png", FIELD.classes)


# ---------------------------------------------------------------- segment

TEM = ("--model", "axon-myelin-tem", "--device", "cpu", "--out", "out")


def test_of_a_micrograph() -> None:
    assert said("segment", "a.png", *TEM, "--threshold", 0.4, "--axon-diameter", 20) == []
    given = ("--axon-threshold", 0.4, "--min-length", 3, "--min-diameter", 2)
    assert said("segment", "a.png", *TEM, *given) == [
        "--min-diameter has no effect on masks, in which fibres are not apart; 'axongen measure' "
        "heeds it.",
        "--axon-threshold and --min-length have no effect on an electron micrograph.",
    ]
    assert said("segment", "a.png", *TEM, "--contrast", "SEM") == [
        "--contrast has no effect beside --model: axon-myelin-tem is taken, as named."
    ]
    assert said("segment", "a.png", *TEM, "--contrast", "TEM") == []


@pytest.mark.usefixtures("glow")
def test_of_a_fluorescence_image() -> None:
    grey = np.random.default_rng(0).integers(4, 8, (60, 80)).astype(np.uint8)
    grey[27:34, 5:75] = 100
    write_image("field.png", grey)
    command = ("segment", "field.png", "--out", "out")
    assert said(*command, "--axon-threshold", 0.4, "--bouton-threshold", 0.5) == []
    assert said(*command, "--threshold", 0.5, "--axon-diameter", 9) == [
        "--axon-diameter and --threshold have no effect on a fluorescence image."
    ]
    boutons = ("--model", "glow-bouton", "--bouton-threshold", 0.5, "--min-length", 9)
    assert said(*command, *boutons) == ["--min-length has no effect where no axons are looked for."]


# ---------------------------------------------------------------- translate


@pytest.mark.usefixtures("denoiser")
@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        (
            "cgan",
            ("--steps", 2, "--strength", 0.5, "--variety", 1, "--seed", 3),
            ["--steps and --strength have no effect with --method cgan."],
        ),
        (
            "ddpm",
            ("--steps", 2, "--variety", 1, "--strength", 0.4),
            ["--variety and --strength have no effect with --method ddpm."],
        ),
        (
            "ddib",
            ("--steps", 2, "--seed", 3, "--samples", 1, "--shared-noise"),
            ["--seed, --samples and --shared-noise have no effect with --method ddib."],
        ),
        ("sdedit", ("--steps", 2, "--strength", 0.4, "--guidance", 2), []),
        (
            "ddpm",
            ("--steps", 2, "--shared-noise"),
            ["--shared-noise has no effect on a single plane."],
        ),
    ],
)
def test_of_a_translation(method: str, given: tuple[object, ...], expected: list[str]) -> None:
    command = ("translate", "a.png", "--mask", "mask.png", "--out", "out", "--device", "cpu")
    assert said(*command, "--axon-diameter", 24, "--method", method, *given) == expected


@pytest.mark.usefixtures("denoiser")
def test_where_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--out", "out", "--axon-diameter", 24, "--target", "SEM", "--steps", 1)
    made_up = ("translate", "a.png", *options, "--method", "generate", "--guidance", 3)
    assert said(*made_up, "--mask", "mask.png") == []
    assert said(*made_up) == ["--guidance has no effect without a --mask, which would be obeyed."]
    monkeypatch.setattr(Denoiser, "conditional", False)
    told = ("--method", "sdedit", "--condition", "structure", "--guidance", 3)
    assert said("translate", "a.png", *options, *told) == [
        "--condition and --guidance have no effect on tem-sem, which is told neither mask nor "
        "structure."
    ]


@pytest.mark.usefixtures("denoiser")
def test_samples_that_would_be_the_same_are_not_made() -> None:
    options = ("--method", "ddib", "--samples", 3, "--out", "out")
    result = call("translate", "a.png", *options, code=2)
    assert "all would be the same" in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("out").exists()


# ---------------------------------------------------------------- the others


def test_of_layouts_and_their_images(translators: dict[str, Path]) -> None:
    command = ("generate", "em-fibres", "--width", 64, "--height", 64, "--preset", "sem", "--out")
    assert said(*command, "a", "--unmyelinated", 0.2, "--unmyelinated-sd", 0.1) == []
    assert said(*command, "b", "--unmyelinated-sd", 0.1, "--device", "cpu") == [
        "--unmyelinated-sd has no effect without --unmyelinated.",
        "--device has no effect without --contrast.",
    ]
    rendered = ("--contrast", "sem", "--device", "cpu", "--variety", 1, "--steps", 3)
    assert said(*command, "c", *rendered) == ["--steps has no effect with --method cgan."]


def test_of_surrogates() -> None:
    shown = ("generate", "original", "--show")
    assert said(*shown, "--set", "axons.count=3") == []
    assert said(*shown, "--count", 3, "--out", "out") == [
        "--out and --count have no effect with --show, which makes nothing."
    ]
    small = ("--set", "width=32", "--set", "height=32", "--device", "cpu")
    frames = ("generate", "original", *small, "--set", "series.frames=2", "--out")
    assert said(*frames, "images") == [
        "--set has no effect on what is of series, without --series."
    ]
    assert said(*frames, "series", "--series") == []


def test_of_tiles_whose_animals_are_named() -> None:
    for name in ("sub-a", "sub-b"):
        write_image(f"data/{name}.tif", FIELD.image, 0.1)
        write_image(f"data/{name}_seg-axonmyelin.png", FIELD.classes)
    assert said("prepare", "data", "--out", "a", "--val", "sub-b", "--seed", 3) == [
        "--seed has no effect where animals are named."
    ]
    assert said("prepare", "data", "--out", "b", "--split", "0.5,0.5,0", "--seed", 3) == []


def test_of_tables_of_an_experiment(repository: Path) -> None:
    experiment = ("evaluate", repository / "experiments" / "real-share.yaml", "--out", "out")
    assert said(*experiment, "--table", "--seeds", 1, "--device", "cpu") == [
        "--seeds and --device have no effect with --table, which is of all that is there."
    ]


def test_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_axongen.widgets.demo.run_demo", lambda **told: None)
    assert said("demo", "--out", "x") == ["--out has no effect without --headless."]
    assert said("demo", "--out", "x", "--headless") == []
