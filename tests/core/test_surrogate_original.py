from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from napari_axongen.core.checking import checked
from napari_axongen.core.errors import InputError
from napari_axongen.core.surrogate.original_json import (
    is_original,
    not_expressed,
    read_original,
    to_original,
)
from napari_axongen.core.surrogate.original_rules import IGNORED, KEYS
from napari_axongen.core.surrogate.parameters import SurrogateParameters

# Values of our own; every key of the format, in its order.
FILE: dict[str, Any] = {
    "width": 96, "height": 64, "negative_image": 1, "maxIntensity": 200, "NbImages": 5,
    "rowshift": 7, "colshift": 9, "maxRotAngle": 3, "probBoutonInFirstImage": 0.25,
    "sigma_noise_min": 4, "sigma_noise_max": 12.5, "lambdaMin": 4, "lambdaMax": 16,
    "MinAxons": 1, "MaxAxons": 5, "MinBran": 1, "MaxBran": 4, "conformity": 0.98,
    "MinThickness": 2, "MaxThickness": 4.5, "MinGapSize": 2, "MaxGapSize": 9, "StepSize": 3,
    "NSplinePoints": 150, "crossingOK": 1, "straightBranching": 12, "SegmentationThreshold": 3.5,
    "sigma_spread": 1.2, "MinAxonIntensity": 7, "MaxAxonIntensity": 58, "MinPeriod": 0.5,
    "MaxPeriod": 3, "AxonProfile": "linear", "BranchProfile": "constant",
    "sigma_noise_axon": 0.04, "MinNbBouton": 3, "MaxNbBouton": 11, "MinBrightnessBouton": 29,
    "MaxBrightnessBouton": 57, "sigma_noise_bouton": 0.8, "minDistBetweenBoutons": 6,
    "MinNbCircles": 2, "MaxNbCircles": 8, "MinRadius": 4, "MaxRadius": 15,
    "MinBrightnessCircles": 14, "MaxBrightnessCircles": 28, "sigma_noise_circle": 0.9,
}  # fmt: skip


def said(values: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and result by key; pairs under both of their keys."""
    return {
        key: (entry.status, entry.becomes)
        for entry in read_original(values).report
        for key in entry.key.split(", ")
    }


# ---------------------------------------------------------------- reading


def test_every_value_arrives() -> None:
    made = read_original(FILE).parameters
    expected = {
        "width": 96,
        "height": 64,
        "negative": True,
        "max_intensity": 200,
        "axons": {
            "count": {"uniform": [1, 5]},
            "daughters": {"uniform": [0, 3]},  # without the mother
            "conformity": 0.98,
            "step": 3,
            "thickness": {"uniform": [2, 4.5]},
            "sigma": 1.2,
            "mask_distance": 3.5,
            "brightness": {"uniform": [0.07, 0.58]},
            "profile": "linear",
            "branch_profile": "constant",
            "periods": {"uniform": [0.5, 3]},
            "noise": 0.04,
            "gaps": 1,
            # 2 and 9 points either way, of 150 on a mother of 1.129 times 80 px
            "gap_length": {"uniform": [2.4, 10.9]},
            "crossings": True,
            "straight_branching": 12,
        },
        "boutons": {
            "count": {"uniform": [3, 11]},
            "radius": {"choice": [3, 3, 4, 4, 5]},  # floor(t) + 1 of 2..3, 3..4, 4..4.5
            "brightness": {"uniform": [0.3, 0.56]},  # min + 1 to max - 1
            "noise": 0.8,
            "min_distance": 6,
        },
        "cells": {
            "count": {"uniform": [2, 8]},
            "radius": {"uniform": [4, 15]},
            "brightness": {"uniform": [0.14, 0.28]},
            "noise": 0.9,
        },
        "acquisition": {
            "background": {"uniform": [100, 400]},
            # 25 sqrt(lambda) / (2 sqrt(pi) 6)
            "background_variation": {"uniform": [2.35, 4.7]},
            "read_noise": {"uniform": [4, 12.5]},
        },
        "series": {
            "frames": 5,
            "row_shift": 7,
            "column_shift": 9,
            "max_rotation": 3,
            "first_frame": 0.25,
        },
    }
    assert made == checked(SurrogateParameters, expected)


@pytest.mark.parametrize(
    ("low", "high", "radius"),
    [(1.5, 3, [2, 3, 3]), (3, 6, [4, 5, 6]), (1.9, 2.1, [2, 3]), (1, 2, 2.0), (2.5, 2.5, 3.0)],
)
def test_radii_of_boutons(low: float, high: float, radius: Any) -> None:
    made = read_original({**FILE, "MinThickness": low, "MaxThickness": high}).parameters
    assert getattr(made.boutons.radius, "choice", made.boutons.radius) == (
        tuple(radius) if isinstance(radius, list) else radius
    )


def test_the_quirks_of_jsonlab() -> None:
    quirky = {
        **FILE,
        "width": "96",
        "height": [64],
        "MinAxons": [["1"]],
        "negative_image": True,
        "MaxThickness": {"_ArrayType_": "double", "_ArraySize_": [1, 1], "_ArrayData_": 4.5},
        "AxonProfile": ["linear"],
        "crossingOK": " 1 ",
    }
    assert read_original(quirky) == read_original(FILE)
    assert read_original({"parameters": FILE}) == read_original(FILE)
    for infinity in ("_Inf_", "Infinity", "Inf", json.loads("Infinity")):
        read = read_original({**FILE, "SegmentationThreshold": infinity}).parameters
        assert read.axons.mask_distance == 40
        assert to_original(read)["SegmentationThreshold"] == "_Inf_"


def test_the_report_has_every_key() -> None:
    report = said({**FILE, "CircleBrightness": 1, "colour": "red"})
    assert set(report) == {*FILE, "CircleBrightness", "colour"} - {"width", "height"}
    assert report["CircleBrightness"][0] == "ignored"
    assert report["NSplinePoints"][0] == "ignored"
    assert report["colour"][0] == "ignored"
    assert report["StepSize"] == ("renamed", "axons.step = 3")
    assert report["MaxBran"] == ("converted", 'axons.daughters = {"uniform": [0, 3]}')
    assert said({"width": 64})["StepSize"] == ("missing", "")
    lines = [str(entry) for entry in read_original({**FILE, "colour": 1}).report]
    assert "StepSize: renamed to axons.step = 3 (the same value)" in lines
    assert "colour: ignored (no key of the original)" in lines
    assert {key for key in KEYS if key not in FILE} == {"CircleBrightness"}


def test_no_gaps_is_no_error() -> None:  # it is one in the original (B9)
    made = read_original({**FILE, "MinGapSize": 0, "MaxGapSize": 0}).parameters
    assert made.axons.gaps == 0
    assert (to_original(made)["MinGapSize"], to_original(made)["MaxGapSize"]) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MinAxons": 6}, "'MinAxons' is 6, above 'MaxAxons', 5"),
        ({"MinAxons": "two"}, "'MinAxons' is 'two'; it must be a number"),
        ({"StepSize": [1, 2]}, r"'StepSize' is \[1, 2\]"),
        ({"StepSize": None}, "'StepSize' is None"),
        ({"StepSize": "_NaN_"}, r"'axons.step' \(StepSize\) is nan: nan is outside 0.5 to 8 px"),
        ({"StepSize": 100}, r"'axons.step' \(StepSize\) is 100.0: 100 is outside 0.5 to 8 px"),
        ({"MaxThickness": 1e9}, r"'axons.thickness' \(MinThickness, MaxThickness\)"),
        ({"MinThickness": -1e9}, r"'axons.thickness' \(MinThickness, MaxThickness\)"),
        ({"MaxThickness": "_Inf_"}, "'MaxThickness' is inf"),
        ({"lambdaMin": -1}, "'lambdaMin' is -1"),
        ({"NSplinePoints": 1}, "'NSplinePoints' is 1"),
        ({"crossingOK": 2}, "'crossingOK' is 2"),
        ({"AxonProfile": "sine"}, r"'axons.profile' \(AxonProfile\) is 'sine'"),
        ({"NbImages": 2.5}, r"'series.frames' \(NbImages\) is 2.5"),
        ({"width": "_Inf_"}, "'width'"),
    ],
)
def test_bad_values(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_original({**FILE, **changes}, "my.json")
    assert str(error.value).startswith("my.json: ")
    assert "\n" not in str(error.value)


def test_half_a_pair() -> None:
    values = {key: value for key, value in FILE.items() if key != "MaxAxons"}
    with pytest.raises(InputError, match="MinAxons, MaxAxons"):
        read_original(values)


def test_recognised_by_its_keys() -> None:
    assert is_original(FILE)
    assert is_original({"parameters": FILE})
    assert is_original({"MinAxons": 1})
    assert not is_original({"width": 64})  # as well ours
    assert not is_original({"axons": {"count": 3}})
    assert not is_original({})


# ---------------------------------------------------------------- writing


def test_write_gives_back_what_was_read() -> None:
    assert to_original(read_original(FILE).parameters) == FILE
    assert not_expressed(read_original(FILE).parameters) == ()
    assert list(to_original(SurrogateParameters())) == list(FILE)  # in the order of the format


def drawn(rng: random.Random) -> dict[str, Any]:
    """A file that the original could have: whole numbers where it wants them."""

    def pair(least: str, greatest: str, low: float, high: float, whole: bool) -> dict[str, Any]:
        ends = sorted(rng.uniform(low, high) for _ in range(2))
        if rng.random() < 0.3:
            ends[1] = ends[0]
        return {
            key: round(end) if whole else round(end, 2)
            for key, end in zip((least, greatest), ends, strict=True)
        }

    values = {
        **FILE,
        "width": rng.randint(16, 700),
        "height": rng.randint(16, 700),
        "negative_image": rng.randint(0, 1),
        "crossingOK": rng.randint(0, 1),
        "NSplinePoints": rng.randint(40, 800),
        "StepSize": round(rng.uniform(0.5, 8), 3),
        "SegmentationThreshold": rng.choice([rng.uniform(0.5, 40), "_Inf_"]),
        "conformity": round(rng.uniform(0, 0.9999), 4),
        "AxonProfile": rng.choice(["constant", "linear", "cosine"]),
    }
    for least, greatest, low, high, whole in (
        ("lambdaMin", "lambdaMax", 0, 40, True),
        ("sigma_noise_min", "sigma_noise_max", 0, 20, False),
        ("MinAxons", "MaxAxons", 0, 9, True),
        ("MinBran", "MaxBran", 1, 5, True),
        ("MinThickness", "MaxThickness", 0.5, 40, False),
        ("MinGapSize", "MaxGapSize", 0, 8, True),
        ("MinAxonIntensity", "MaxAxonIntensity", 0, 100, True),
        ("MinPeriod", "MaxPeriod", 0, 3, False),
        ("MinNbBouton", "MaxNbBouton", 0, 20, True),
        ("MinBrightnessBouton", "MaxBrightnessBouton", 0, 100, True),
        ("MinRadius", "MaxRadius", 1, 30, True),
    ):
        values |= pair(least, greatest, low, high, whole)
    return values


@pytest.mark.parametrize("seed", range(40))
def test_read_write_read(seed: int) -> None:
    first = read_original(drawn(random.Random(seed))).parameters
    written = json.loads(json.dumps(to_original(first)))
    assert read_original(written).parameters == first
    assert not_expressed(first) == ()


def test_what_the_original_cannot_say_is_said() -> None:
    parameters = checked(
        SurrogateParameters,
        {
            "axons": {"defocus": 2, "thickness": {"normal": [3, 0.5]}, "count": {"choice": [2, 4]}},
            "boutons": {"radius": 4},
            "acquisition": {"gain": 3, "background": {"log-normal": [100, 0.1]}},
        },
    )
    written = to_original(parameters)
    assert (written["MinThickness"], written["MaxThickness"]) == (2, 4)
    assert (written["MinAxons"], written["MaxAxons"]) == (2, 4)
    lost = {entry.key: entry for entry in not_expressed(parameters)}
    assert set(lost) == {
        "axons.defocus",
        "axons.thickness",
        "axons.count",
        "boutons.radius",
        "acquisition.gain",
        "acquisition.background",
        "acquisition.background_variation",
    }
    assert str(lost["axons.defocus"]) == "axons.defocus: lost, the file says 0 (it is 2)"
    assert {entry.status for entry in lost.values()} == {"lost"}


# ---------------------------------------------------------------- the real file


@pytest.fixture
def real(shared_data: Path) -> dict[str, Any]:
    path = shared_data / "surrogate" / "256x256.json"
    if not path.is_file():
        pytest.skip(f"the original's parameter file is not here ({path})")
    return json.loads(path.read_text())


def test_the_real_file_is_our_default(real: dict[str, Any]) -> None:
    imported = read_original(real)
    assert imported.parameters == SurrogateParameters()
    alive = {key: value for key, value in real.items() if key != "CircleBrightness"}
    assert to_original(imported.parameters) == alive
    reported = {key for entry in imported.report for key in entry.key.split(", ")}
    assert reported == set(real) - {"width", "height"}
    assert {entry.key for entry in imported.report if entry.status == "ignored"} == set(IGNORED)
