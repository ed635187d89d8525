"""Parameters by name or from a file."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_axongen.core.checking import at, checked, nested, paths
from napari_axongen.core.errors import InputError

from .distributions import Group, plain, text
from .original_json import Entry, is_original, read_original
from .parameters import SurrogateParameters

# Tuned by hand until the statistics of `statistics.summarise` were those of real fields (ten of the
# fifteen of Bass et al. 2017; docs/matching.md compares all). Little of the level is light: the
# rest is the offset, as the noise of the background is small for its gain.
_TWO_PHOTON: dict[str, Any] = {
    "width": 512,
    "height": 512,
    "axons": {
        "count": {"uniform": [20, 65]},
        "daughters": {"choice": [0, 0, 1]},
        "conformity": 0.995,
        "thickness": {"log-normal": [5.5, 0.25]},
        "brightness": {"log-normal": [0.06, 1.2]},
        "profile": "cosine",
        "branch_profile": "cosine",
        "variation": 0.25,
        "periods": {"uniform": [0.5, 4]},
        "noise": 0,
        "gaps": {"uniform": [0, 2]},
        "gap_length": {"uniform": [5, 25]},
        "crossings": True,
        "oblique": 0.8,
        "starts_inside": 0.25,
        "ends_inside": 0.25,
        "defocus": {"uniform": [0, 2.5]},
    },
    "boutons": {
        "count": {"uniform": [40, 90]},
        "terminal": 0.1,
        "radius": {"log-normal": [3.7, 0.25]},
        "elongation": {"uniform": [1, 1.5]},
        "brightness": {"log-normal": [0.1, 0.75]},
        "noise": 0,
        "min_distance": 8,
    },
    "cells": {
        "count": {"uniform": [0, 3]},
        "radius": {"uniform": [6, 20]},
        "brightness": {"uniform": [0.02, 0.1]},
        "noise": 0.5,
    },
    "acquisition": {
        "true_width": True,
        "additive": True,
        "normalise": False,
        "psf_sigma": 1,
        "signal": {"log-normal": [290, 0.25]},
        "background": {"log-normal": [1.2, 0.6]},
        "background_variation": {"log-normal": [1.7, 0.5]},
        "background_correlation": 20,
        "gain": {"log-normal": [4.9, 0.45]},
        "read_noise": {"log-normal": [1.5, 0.4]},
        "offset": {"uniform": [2, 10]},
        "haze": {"uniform": [0, 8]},
        "haze_size": {"uniform": [60, 150]},
        "vignetting": {"uniform": [0, 0.3]},
        "line_jitter": {"uniform": [0, 0.3]},
    },
    "series": {"row_shift": 10, "column_shift": 10, "max_rotation": 2, "bleaching": 0.02},
}

# Everything drawn from wide ranges that hold both of the others: what a network learns from these
# images it has to find in all of them.
_BROAD: dict[str, Any] = {
    "axons": {
        "count": {"uniform": [1, 20]},
        "daughters": {"uniform": [0, 2]},
        "conformity": {"uniform": [0.97, 0.999]},
        "thickness": {"log-uniform": [1.5, 8]},
        "brightness": {"log-uniform": [0.03, 0.8]},
        "variation": {"uniform": [0, 1]},
        "periods": {"uniform": [0, 5]},
        "noise": {"uniform": [0, 0.06]},
        "gaps": {"uniform": [0, 3]},
        "gap_length": {"uniform": [0, 30]},
        "crossings": True,
        "oblique": {"uniform": [0, 1]},
        "starts_inside": {"uniform": [0, 0.5]},
        "ends_inside": {"uniform": [0, 0.5]},
        "defocus": {"uniform": [0, 4]},
    },
    "boutons": {
        "count": {"uniform": [0, 50]},
        "terminal": {"uniform": [0, 0.5]},
        "radius": {"log-uniform": [1.5, 8]},
        "elongation": {"uniform": [1, 2]},
        "brightness": {"log-uniform": [0.1, 1]},
        "noise": {"uniform": [0, 1]},
        "min_distance": {"uniform": [4, 16]},
    },
    "cells": {
        "count": {"uniform": [0, 15]},
        "radius": {"uniform": [3, 30]},
        "brightness": {"log-uniform": [0.02, 0.4]},
        "noise": {"uniform": [0, 1.5]},
        "dark": {"uniform": [0, 0.5]},
    },
    "acquisition": {
        "true_width": True,
        "additive": True,
        "normalise": False,
        "psf_sigma": {"uniform": [0.3, 2.5]},
        "signal": {"log-uniform": [80, 500]},
        "background": {"log-uniform": [2, 150]},
        "background_variation": {"log-uniform": [0.3, 8]},
        "background_correlation": {"log-uniform": [4, 60]},
        "gain": {"log-uniform": [0.3, 10]},
        "read_noise": {"log-uniform": [0.5, 12]},
        "haze": {"uniform": [0, 30]},
        "haze_size": {"log-uniform": [20, 200]},
        "vignetting": {"uniform": [0, 0.5]},
        "line_jitter": {"uniform": [0, 1]},
    },
    "series": {
        "row_shift": {"uniform": [1, 20]},
        "column_shift": {"uniform": [1, 20]},
        "max_rotation": {"uniform": [0, 4]},
        "first_frame": {"uniform": [0.1, 0.9]},
        "bleaching": {"uniform": [0, 0.1]},
    },
}


@dataclass(frozen=True)
class Preset:
    """Parameters with a name.

    Attributes
    ----------
    name, description
        For a person.
    parameters
        What it stands for.
    """

    name: str
    description: str
    parameters: SurrogateParameters


def _preset(name: str, description: str, values: Mapping[str, Any]) -> Preset:
    return Preset(name, description, checked(SurrogateParameters, values))


PRESETS: Mapping[str, Preset] = {
    made.name: made
    for made in (
        _preset("original", "Look and parameters of the original model (Billot 2017).", {}),
        _preset("two-photon", "As real two-photon projections look.", _TWO_PHOTON),
        _preset("broad", "Wide distributions around both, to train networks on.", _BROAD),
    )
}


@dataclass(frozen=True)
class Loaded:
    """Parameters, and where they come from a file of the original, what became of its keys."""

    parameters: SurrogateParameters
    report: tuple[Entry, ...] = ()


def preset(name: str) -> SurrogateParameters:
    """Parameters of a preset.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset '{name}'{_hint(name)}; known: {', '.join(PRESETS)}.")
    return PRESETS[name].parameters


# ---------------------------------------------------------------- reading


def load_parameters(
    source: str | os.PathLike[str] | Mapping[str, Any] | SurrogateParameters,
) -> SurrogateParameters:
    """Parameters from whatever says them (see `read_parameters`)."""
    return read_parameters(source).parameters


def read_parameters(
    source: str | os.PathLike[str] | Mapping[str, Any] | SurrogateParameters,
) -> Loaded:
    """Parameters from whatever says them.

    Parameters
    ----------
    source
        Name of a preset; path of a JSON file, or what is in one: groups of parameters (what is not
        said is as by default, or with ``"preset": NAME`` as in that preset), a recipe that holds
        them as ``"parameters"``, or a parameter file of the original.

    Raises
    ------
    InputError
        Neither a preset nor a file, not JSON, or a parameter is unknown or out of bounds.
    """
    if isinstance(source, SurrogateParameters):
        return Loaded(source)
    if isinstance(source, Mapping):
        return _from_mapping(source, "The mapping")
    if str(source) in PRESETS:
        return Loaded(preset(str(source)))
    path = Path(source)
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(
            f"'{source}' is neither a preset ({', '.join(PRESETS)}) nor a file{_hint(str(source))}."
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a JSON file: {error}.") from error
    if not isinstance(values, Mapping):
        raise InputError(f"{path} holds no parameters: it must be a JSON object.")
    try:
        return _from_mapping(values, str(path))
    except InputError as error:
        message = str(error)
        raise InputError(message if str(path) in message else f"{path}: {message}") from error


def _from_mapping(values: Mapping[str, Any], name: str) -> Loaded:
    inner = values.get("parameters")
    if isinstance(inner, Mapping) and not is_original(values):
        return _from_mapping(inner, name)
    if is_original(values):
        read = read_original(values, name)
        return Loaded(read.parameters, read.report)
    changes = {key: value for key, value in values.items() if key != "preset"}
    if "preset" not in values:
        return Loaded(checked(SurrogateParameters, changes))
    return Loaded(_merged(preset(str(values["preset"])), changes))


def with_changes(
    parameters: SurrogateParameters, changes: Mapping[str, Any]
) -> SurrogateParameters:
    """The parameters, some of them changed.

    Parameters
    ----------
    changes
        By dotted path: ``{"axons.count": 5}``.

    Raises
    ------
    InputError
        A parameter is unknown or out of bounds.
    """
    for path, value in changes.items():
        parameters = _merged(parameters, nested({path: value}))
    return parameters


def _merged(parameters: SurrogateParameters, changes: Mapping[str, Any]) -> SurrogateParameters:
    """Groups are changed where they are; numbers and distributions are replaced."""
    values = {name: getattr(parameters, name) for name in SurrogateParameters.model_fields}
    for name, change in changes.items():
        before = values.get(name)
        if isinstance(before, Group) and isinstance(change, Mapping):
            values[name] = {part: getattr(before, part) for part in type(before).model_fields}
            values[name] |= change
        else:
            values[name] = change
    return checked(SurrogateParameters, values)


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, PRESETS, 1)
    return f" (did you mean '{near[0]}'?)" if near else ""


# ---------------------------------------------------------------- saying


def parameters_text(parameters: SurrogateParameters) -> str:
    """A parameter file: JSON with one parameter on a line."""
    lines = []
    for name in SurrogateParameters.model_fields:
        value = getattr(parameters, name)
        if isinstance(value, Group):
            parts = (f'    "{part}": {text(at(value, part))}' for part in type(value).model_fields)
            lines.append(f'  "{name}": {{\n' + ",\n".join(parts) + "\n  }")
        else:
            lines.append(f'  "{name}": {text(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def difference(parameters: SurrogateParameters) -> tuple[str, dict[str, Any]]:
    """The nearest preset, and what is not as in it, by dotted path: the shortest way to say them.

    ``with_changes(preset(name), changes)`` are the parameters again.
    """
    ways = ((name, _changed(one.parameters, parameters)) for name, one in PRESETS.items())
    return min(ways, key=lambda way: len(way[1]))


def _changed(before: SurrogateParameters, after: SurrogateParameters) -> dict[str, Any]:
    return {
        path: plain(at(after, path))
        for path, _ in paths(SurrogateParameters)
        if at(before, path) != at(after, path)
    }
