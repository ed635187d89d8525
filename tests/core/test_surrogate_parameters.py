from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from napari_axongen.core.checking import checked, paths
from napari_axongen.core.errors import InputError
from napari_axongen.core.surrogate.distributions import (
    FORMS,
    Choice,
    LogNormal,
    LogUniform,
    Normal,
    Number,
    Uniform,
    bounds,
    is_number,
    lower,
    upper,
)
from napari_axongen.core.surrogate.parameters import AxonParameters, SurrogateParameters


def test_parameters_are_light() -> None:
    code = (
        "import sys, napari_axongen.core.surrogate.parameters\n"
        "heavy = {'torch', 'scipy', 'skimage', 'napari'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_parameter_is_described() -> None:
    for path, field in paths(SurrogateParameters):
        assert field.title, path
        assert field.description, path
        if is_number(field):
            assert field.json_schema_extra["per"], path


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (3, 3.0),
        (np.float32(2.5), 2.5),
        (np.int64(2), 2.0),
        ({"uniform": [1, 3]}, Uniform(uniform=(1, 3))),
        ({"log-uniform": [1, 3]}, LogUniform(log_uniform=(1, 3))),
        ({"log_uniform": (1, 3)}, LogUniform(log_uniform=(1, 3))),
        ({"normal": [2, 0.5]}, Normal(normal=(2, 0.5))),
        ({"log-normal": [2, 0.5]}, LogNormal(log_normal=(2, 0.5))),
        ({"choice": [2, 3, 3]}, Choice(choice=(2, 3, 3))),
        (Normal(normal=(2, 0.5)), Normal(normal=(2, 0.5))),
    ],
)
def test_numbers_and_distributions(said: Any, read: Number) -> None:
    made = checked(SurrogateParameters, {"axons": {"thickness": said}})
    assert made.axons.thickness == read
    text = json.dumps(made.model_dump(mode="json", by_alias=True))
    assert checked(SurrogateParameters, json.loads(text)) == made


FORMS_OF = "uniform.*log-uniform.*normal.*log-normal.*choice"


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        # A number, by its dotted path, with the value and the range.
        ({"axons": {"thickness": 100}}, ["'axons.thickness' is 100:", "outside 0.5 to 40 px"]),
        ({"axons": {"count": 2.5}}, ["'axons.count' is 2.5:", "whole number from 0 to 500"]),
        ({"axons": {"count": float("nan")}}, ["'axons.count' is nan:", "outside 0 to 500"]),
        ({"axons": {"count": float("inf")}}, ["'axons.count' is inf:", "outside 0 to 500"]),
        ({"axons": {"count": True}}, ["'axons.count' is True:", "whole number from 0 to 500"]),
        ({"axons": {"noise": "a lot"}}, ["'axons.noise' is 'a lot'", "number from 0 to 5,"]),
        ({"axons": {"noise": None}}, ["'axons.noise' is None", FORMS_OF]),
        ({"axons": {"noise": [1, 2]}}, [r"'axons.noise' is \[1, 2\]", FORMS_OF]),
        # A distribution: its parts, its form.
        (
            {"axons": {"count": {"uniform": [1, 501]}}},
            ["'axons.count' is", "501 is outside 0 to 500"],
        ),
        (
            {"axons": {"count": {"choice": [1, 1.5]}}},
            ["'axons.count' is", "1.5 is not a whole number"],
        ),
        ({"axons": {"count": {"normal": [-1, 2]}}}, ["-1 is outside 0 to 500"]),
        ({"axons": {"noise": {"uniform": [3, 1]}}}, ["'axons.noise' is", "starts at 3.*end 1"]),
        ({"axons": {"noise": {"uniform": [1]}}}, [r'\{"uniform": \[least, greatest\]\}', "two"]),
        ({"axons": {"noise": {"uniform": 1}}}, [r'\{"uniform": \[least, greatest\]\}']),
        ({"axons": {"noise": {"normal": [1, "x"]}}}, [r'\{"normal": \[mean, standard deviation\]']),
        ({"axons": {"noise": {"normal": [1, 0]}}}, ["spread is 0.*above 0"]),
        ({"axons": {"noise": {"normal": [1, float("inf")]}}}, ["with numbers"]),
        ({"axons": {"noise": {"log-uniform": [0, 1]}}}, ["'axons.noise'", "starts above 0"]),
        ({"axons": {"noise": {"log-normal": [0, 1]}}}, ["'axons.noise'", "median.*above 0"]),
        ({"axons": {"noise": {"choice": []}}}, ["1 to 1000"]),
        ({"axons": {"noise": {"unifrm": [1, 2]}}}, ["'axons.noise' is", FORMS_OF]),
        ({"axons": {"noise": {}}}, [FORMS_OF]),
        ({"axons": {"noise": {"uniform": [1, 2], "choice": [1]}}}, [FORMS_OF]),
        # What is no number.
        ({"width": 3}, ["'width' is 3: it must be from 16 to 8192"]),
        ({"width": "wide"}, ["'width' is 'wide'"]),
        ({"axons": {"profile": "sine"}}, ["'axons.profile' is 'sine'", "'constant', 'linear'"]),
        ({"axons": {"crossings": "maybe"}}, ["'axons.crossings' is 'maybe'"]),
        ({"axons": 3}, ["'axons' is 3: it must be a group of parameters"]),
        # Unknown names: the nearest, and those of that group.
        (
            {"axons": {"thicknes": 2}},
            ["'axons.thicknes'.*mean 'axons.thickness'", "in 'axons': count,"],
        ),
        ({"axns": {}}, [r"'axns' \(did you mean 'axons'\?\); known: width"]),
        ({"thickness": 2}, ["no parameter 'thickness'.*mean 'axons.thickness'"]),
        ({"axons": {"xyz": 2}}, ["no parameter 'axons.xyz'; known in 'axons'"]),
        ({1: 2}, ["no parameter '1'; known"]),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(values: Any, messages: list[str]) -> None:
    for message in messages:
        with pytest.raises(InputError, match=message) as error:
            checked(SurrogateParameters, values)
    text = str(error.value)
    assert "\n" not in text
    assert ".float" not in text
    assert "function-after" not in text


def test_a_long_value_is_not_repeated_in_full() -> None:
    with pytest.raises(InputError, match="501 is outside") as error:
        checked(SurrogateParameters, {"axons": {"count": {"choice": [1] * 900 + [501]}}})
    assert len(str(error.value)) < 250


def test_all_forms_are_in_the_union() -> None:
    """A form that `FORMS` names is one that the type of a number allows."""
    for name, kind in FORMS.items():
        made = checked(SurrogateParameters, {"axons": {"noise": {name: [1, 2]}}})
        assert type(made.axons.noise) is kind


def test_bounds() -> None:
    assert bounds(AxonParameters, "count") == (0, 500, True)
    for value, ends in (
        (3.0, (3, 3)),
        (Uniform(uniform=(1, 4)), (1, 4)),
        (Choice(choice=(5, 2, 3)), (2, 5)),
        (Normal(normal=(2, 1)), (0, 9)),
        (LogNormal(log_normal=(2, 1)), (0, 9)),
    ):
        assert (lower(value, 0), upper(value, 9)) == ends
