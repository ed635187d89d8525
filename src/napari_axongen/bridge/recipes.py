"""A recipe as text that a person can run: Python or a command line."""

from __future__ import annotations

import pprint
import shlex
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from napari_axongen.core.checking import nested
from napari_axongen.core.parameters import (
    MeasureParameters,
    SegmentParameters,
    TranslateParameters,
)
from napari_axongen.core.surrogate.distributions import text
from napari_axongen.core.surrogate.em_parameters import PRESETS
from napari_axongen.core.surrogate.presets import difference, load_parameters

PARAMETERS: dict[str, type[BaseModel]] = {
    "segment": SegmentParameters,
    "measure": MeasureParameters,
    "translate": TranslateParameters,
}
GENERATING = ("generate", "generate_series")
"""Verbs that need no image."""

EM_FIBRES = "generate em-fibres"
"""The verb of fibre layouts, of which micrographs are made."""

_OF_THE_MACHINE = ("device", "memory")  # they change how long it takes, not what comes out


def as_python(recipe: Mapping[str, Any], path: str | None = None) -> str:
    """Python that makes the result again.

    Parameters
    ----------
    recipe
        Of a layer's metadata.
    path
        The image's file; None when it has none: ``image`` stands for the array then, and ``mask``
        for a mask that was given. What is made out of nothing needs none.
    """
    if recipe["verb"] in GENERATING:
        return _generating_python(recipe)
    if recipe["verb"] == EM_FIBRES:
        return _micrograph_python(recipe)
    arguments = "".join(f"    {name}={value!r},\n" for name, value in _said(recipe))
    image = "image" if path is None else repr(path)
    mask = "    mask=mask,\n" if _mask_given(recipe) else ""
    return (
        f"import napari_axongen\n\nresult = napari_axongen.{recipe['verb']}(\n"
        f"    {image},\n{mask}{arguments})\n"
    )


def as_command(recipe: Mapping[str, Any], path: str | None = None) -> str:
    """The command that makes the result again; ``IMAGE`` and ``MASK`` stand for files."""
    verb = recipe["verb"]
    if verb in GENERATING:
        return _generating_command(recipe)
    if verb == EM_FIBRES:
        return _micrograph_command(recipe)
    words = ["axongen", verb, path or "IMAGE", "--out", "TABLE.csv" if verb == "measure" else "DIR"]
    if _mask_given(recipe):
        words += ["--mask", "MASK"]
    for name, value in _said(recipe):
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    return shlex.join(words)


def _mask_given(recipe: Mapping[str, Any]) -> bool:
    """Whether a mask was handed over, which the recipe does not hold."""
    return recipe["verb"] == "translate" and recipe.get("mask") == "given"


def _generating_python(recipe: Mapping[str, Any]) -> str:
    name, changes = difference(load_parameters(recipe["parameters"]))
    parameters = {"preset": name, **nested(changes)} if changes else name
    said = textwrap.indent(pprint.pformat(parameters, width=92, sort_dicts=False), "    ")
    first = f"    first={recipe['first']},\n" if recipe["first"] else ""
    return (
        f"import napari_axongen\n\nresult = napari_axongen.{recipe['verb']}(\n{said},\n"
        f"    count={recipe['count']},\n    seed={recipe['seed']},\n{first})\n"
    )


def _generating_command(recipe: Mapping[str, Any]) -> str:
    """The command starts with the first image of the seed, so that it may make more."""
    name, changes = difference(load_parameters(recipe["parameters"]))
    count = recipe["first"] + recipe["count"]
    words = ["axongen", "generate", name, "--count", str(count), "--seed", str(recipe["seed"])]
    for path, value in changes.items():
        words += ["--set", f"{path}={value if isinstance(value, str) else text(value)}"]
    if recipe["verb"] == "generate_series":
        words.append("--series")
    return shlex.join([*words, "--out", "DIR"])


def _micrograph_python(recipe: Mapping[str, Any]) -> str:
    arguments = "".join(f"    {name}={value!r},\n" for name, value in recipe["parameters"].items())
    rest = f"{recipe['target'].lower()!r}, seed={recipe['seed']}, model={recipe['model']['name']!r}"
    return (
        "from napari_axongen.core.events import run\n"
        "from napari_axongen.core.surrogate.em_images import em_images_steps\n"
        "from napari_axongen.core.surrogate.em_parameters import EmFibreParameters\n\n"
        f"parameters = EmFibreParameters(\n{arguments})\n"
        f"(result,) = run(em_images_steps(parameters, {rest}))\n"
    )


def _micrograph_command(recipe: Mapping[str, Any]) -> str:
    contrast = recipe["target"].lower()
    words = ["axongen", *EM_FIBRES.split(), "--contrast", contrast, "--preset", contrast]
    usual = PRESETS[contrast].model_dump(mode="json")
    for name, value in recipe["parameters"].items():
        if value != usual[name]:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--count", "1", "--seed", str(recipe["seed"]), "--out", "DIR"])


def _said(recipe: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The parameters that are not as they would be anyhow."""
    defaults = PARAMETERS[recipe["verb"]]().model_dump(mode="json")
    return [
        (name, value)
        for name, value in recipe["parameters"].items()
        if value is not None
        and name not in _OF_THE_MACHINE
        and (name in ("model", "pixel_size") or value != defaults.get(name))
    ]
