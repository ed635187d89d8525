from __future__ import annotations

import json
import shlex
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from napari_axongen.bridge.recipes import as_command, as_python
from napari_axongen.cli import app
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import load_parameters, preset, with_changes

CHANGES = {
    "width": 100,
    "axons.count": 5,
    "axons.profile": "linear",
    "axons.crossings": False,
    "boutons.radius": {"log-normal": [3, 0.2]},
    "cells.dark": 1 / 3,
}
MADE = [
    preset("original"),
    preset("two-photon"),
    with_changes(preset("two-photon"), CHANGES),
    with_changes(preset("original"), {"acquisition.normalise": False}),
]


def recipe(
    parameters: SurrogateParameters, verb: str = "generate", first: int = 0
) -> dict[str, Any]:
    """As `Surrogates.recipe` makes it."""
    said = parameters.model_dump(mode="json", by_alias=True)
    return {"verb": verb, "parameters": said, "seed": 7, "first": first, "count": 3}


@pytest.mark.parametrize("parameters", MADE)
@pytest.mark.parametrize("verb", ["generate", "generate_series"])
def test_python_of_surrogates_runs_again(parameters: SurrogateParameters, verb: str) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []

    def called(what: Any, **arguments: Any) -> None:
        calls.append((what, arguments))

    code = as_python(recipe(parameters, verb, first=2)).replace("import napari_axongen\n", "")
    exec(code, {"napari_axongen": SimpleNamespace(**{verb: called})})
    ((what, arguments),) = calls
    assert load_parameters(what) == parameters
    assert arguments == {"count": 3, "seed": 7, "first": 2}


@pytest.mark.parametrize("parameters", MADE)
def test_command_of_surrogates_says_the_same_parameters(parameters: SurrogateParameters) -> None:
    words = shlex.split(as_command(recipe(parameters)))
    assert words[:2] == ["axongen", "generate"]
    result = CliRunner().invoke(app, [*words[1:], "--show"])
    assert result.exit_code == 0, result.output
    assert load_parameters(json.loads(result.stdout)) == parameters


def test_a_preset_is_said_by_its_name() -> None:
    assert as_command(recipe(preset("two-photon"))) == (
        "axongen generate two-photon --count 3 --seed 7 --out DIR"
    )
    assert "generate_series(\n    'broad',\n    count=3," in as_python(
        recipe(preset("broad"), "generate_series")
    )


def test_a_command_makes_the_images_before_the_first_too() -> None:
    said = as_command(recipe(preset("broad"), "generate_series", first=2))
    assert "--count 5" in said
    assert "--series" in said
