from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from napari_axongen.core.checking import nested
from napari_axongen.core.errors import InputError
from napari_axongen.core.surrogate.distributions import LogNormal, Uniform
from napari_axongen.core.surrogate.original_json import to_original
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import (
    PRESETS,
    difference,
    load_parameters,
    parameters_text,
    preset,
    read_parameters,
    with_changes,
)

CHANGES = {"width": 128, "axons.count": 5, "boutons.radius": {"log-normal": [3, 0.2]}}


def test_presets_are_light() -> None:
    code = (
        "import sys, napari_axongen.core.surrogate.presets\n"
        "heavy = {'torch', 'scipy', 'skimage', 'napari'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_presets() -> None:
    assert list(PRESETS) == ["original", "two-photon", "broad"]
    assert preset("original") == SurrogateParameters()
    two_photon = preset("two-photon")
    assert (two_photon.height, two_photon.width) == (512, 512)
    assert isinstance(two_photon.axons.brightness, LogNormal)
    assert two_photon.axons.count == Uniform(uniform=(20, 65))
    assert all(one.description for one in PRESETS.values())
    with pytest.raises(InputError, match=r"no preset 'two-foton' \(did you mean 'two-photon'"):
        preset("two-foton")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_its_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(parameters_text(preset(name)))
    assert load_parameters(path) == load_parameters(str(path)) == preset(name)
    assert load_parameters(json.loads(path.read_text())) == preset(name)
    assert "log_" not in path.read_text()  # the names of a file, not those of Python


def test_every_parameter_has_its_line() -> None:
    text = parameters_text(preset("original"))
    assert '    "count": 2,\n' in text
    assert '    "thickness": {"uniform": [1.5, 3]},\n' in text


# ---------------------------------------------------------------- changes


def test_changes() -> None:
    made = with_changes(preset("two-photon"), CHANGES)
    assert made.axons.count == 5
    assert made.boutons.radius == LogNormal(log_normal=(3, 0.2))
    assert made.axons.brightness == preset("two-photon").axons.brightness
    assert difference(made) == ("two-photon", CHANGES)
    assert difference(preset("broad")) == ("broad", {})
    assert with_changes(made, {}) == made
    # a group is changed where it is said to be; a distribution is replaced
    assert with_changes(made, {"axons": {"noise": 0.5}}).axons.count == 5
    assert with_changes(made, {"boutons.radius": {"uniform": [2, 3]}}).boutons.radius == Uniform(
        uniform=(2, 3)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axons.cuont": 5}, "no parameter 'axons.cuont' .*'axons.count'"),
        ({"axns.count": 5}, "no parameter 'axns' .*'axons'"),
        ({"axons.count": -1}, "'axons.count' is -1: -1 is outside 0 to 500"),
        ({"axons.count.x": 1}, "'axons.count' is {'x': 1}"),
        ({"width.x": 1}, "'width' is {'x': 1}"),
        ({"axons": 3, "axons.count": 2}, "'axons' is 3"),
        ({"": 3}, "no parameter ''"),
    ],
)
def test_bad_changes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_changes(preset("original"), changes)


# ---------------------------------------------------------------- files and mappings


def test_all_that_says_parameters(tmp_path: Path) -> None:
    expected = with_changes(preset("two-photon"), CHANGES)
    path = tmp_path / "p.json"
    path.write_text(parameters_text(expected), encoding="utf-8-sig")
    short = {"preset": "two-photon", **nested(CHANGES)}
    recipe = {"verb": "generate", "seed": 3, "parameters": json.loads(parameters_text(expected))}
    for source in (expected, str(path), path, short, recipe, {"parameters": short}):
        assert load_parameters(source) == expected
        assert read_parameters(source).report == ()
    assert load_parameters({}) == SurrogateParameters()
    assert load_parameters("broad") == preset("broad")


def test_a_file_of_the_original_is_recognised(tmp_path: Path) -> None:
    values = {**to_original(SurrogateParameters()), "MinAxons": 1}
    for source in (values, {"parameters": values}):
        assert load_parameters(source).axons.count == Uniform(uniform=(1, 2))
    (tmp_path / "o.json").write_text(json.dumps(values))
    loaded = read_parameters(tmp_path / "o.json")
    assert loaded.parameters == load_parameters(values)
    assert "MinAxons, MaxAxons" in [entry.key for entry in loaded.report]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a JSON file"),
        ("[1]", "must be a JSON object"),
        ("[" * 100_000, "is not a JSON file"),
        ('{"axons": {"count": 1000}}', "'axons.count' is 1000"),
        ('{"preset": "x"}', "no preset 'x'"),
        ('{"MinAxons": 3, "MaxAxons": 2}', "'MinAxons' is 3, above"),
        (b"\xff\xfe\x00", "is not a JSON file"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as error:
        load_parameters(path)
    assert str(error.value).count(str(path)) == 1
    assert "\n" not in str(error.value)


def test_neither_preset_nor_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'orignal' is neither .*did you mean 'original'"):
        load_parameters("orignal")
    with pytest.raises(InputError, match="cannot be read"):
        load_parameters(tmp_path)


def test_the_real_file_is_the_preset(shared_data: Path) -> None:
    path = shared_data / "surrogate" / "256x256.json"
    if not path.is_file():
        pytest.skip(f"the original's parameter file is not here ({path})")
    assert load_parameters(path) == preset("original")
