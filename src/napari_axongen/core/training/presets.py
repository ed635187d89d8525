"""Recipes to begin with: what to train, and how thoroughly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from napari_axongen.core.checking import checked
from napari_axongen.core.classes import AXON_CLASSES, BOUTON_CLASSES
from napari_axongen.core.errors import InputError

from .recipe import AnyRecipe, DiffusionRecipe, Optimisation, Recipe, TranslationRecipe
from .starting import read_start

Size: TypeAlias = Literal["quick", "normal", "thorough"]
SIZES: tuple[Size, ...] = ("quick", "normal", "thorough")

_VALIDATIONS = 12  # in a run
_WARM_UP = Optimisation.model_fields["warm_up"].default
_FINE = 0.1  # of the learning rate, where a run begins with a trained network


@dataclass(frozen=True)
class Preset:
    """What a run is to train, without its data.

    Attributes
    ----------
    title
        For a person.
    kind
        Of its recipe.
    entries
        Of the recipe, but for its name, its data and its steps.
    steps
        By size.
    """

    title: str
    kind: type[AnyRecipe]
    entries: Mapping[str, Any]
    steps: tuple[int, int, int]


def _fibres(contrast: str, crop: int) -> Preset:
    return Preset(
        f"Axon and myelin ({contrast})",
        Recipe,
        {
            "contrast": contrast,
            "network": {"name": "unet", "channels": [16, 32, 64, 128]},
            "optimisation": {"batch": 4, "crop": crop, "average": 0.998},
        },
        (240, 2400, 9600),
    )


def _fluorescence(title: str, classes: tuple[str, str], focus: float) -> Preset:
    return Preset(
        title,
        Recipe,
        {
            "contrast": "fluorescence",
            "classes": list(classes),
            "network": {"name": "unet", "channels": [8, 16, 32]},
            "loss": "cross-entropy",
            "augmentation": {
                "focus": focus, "zoom": 0.35, "contrast": 0.1, "brightness": 0.02, "gamma": 0.1,
                "noise": 0.05, "blur": 0.8, "shading": 0.04,
            },
            "optimisation": {
                "batch": 4, "crop": 128, "learning_rate": 3e-3, "warm_up": 30, "average": 0.99
            },
        },
        (120, 600, 2400),
    )  # fmt: skip


_PLAIN = {
    "contrast": 0, "brightness": 0, "gamma": 0, "noise": 0, "blur": 0, "shading": 0
}  # fmt: skip
"""Augmentation that leaves the grey values alone."""

PRESETS: Mapping[str, Preset] = {
    "axon-myelin-sem": _fibres("SEM", 160),
    "axon-myelin-tem": _fibres("TEM", 176),
    "axon-fluorescence": _fluorescence("Axon (fluorescence)", AXON_CLASSES, 0.3),
    "bouton-fluorescence": _fluorescence("Bouton (fluorescence)", BOUTON_CLASSES, 0.5),
    # The reference's way: 40 epochs of 26,200 patches in batches of 64 are 16,375 steps.
    "classic": Preset(
        "Classic: axon (fluorescence), as the reference trains it",
        Recipe,
        {
            "contrast": "fluorescence",
            "classes": list(AXON_CLASSES),
            "network": {"name": "nano"},
            "augmentation": {"whole_pixels": True, **_PLAIN},
            "loss": "dice",
            "schedule": "constant",
            "optimisation": {
                "batch": 64,
                "crop": 128,
                "learning_rate": 1e-5,
                "weight_decay": 0,
                "warm_up": 0,
                "average": 0,
            },
        },
        (400, 4000, 16375),
    ),
    "translator": Preset(
        "Translator (conditional GAN)",
        TranslationRecipe,
        {
            "task": "translation",
            "network": {"name": "translator", "channels": [40, 64, 96, 128]},
            "axon_diameter": 28,
            "augmentation": {
                "zoom": 0.3, "stretch": 0.1, "contrast": 0.1, "brightness": 0.05, "gamma": 0.15,
                "noise": 0, "blur": 0, "shading": 0.05,
            },
            "conditions": {"both": 0.35, "mask": 0.25, "structure": 0.4},
            "losses": {"matching": 10, "pixel": 0.25},
            "optimisation": {"batch": 4, "crop": 128, "learning_rate": 4e-4, "warm_up": 50},
        },
        (120, 1200, 4800),
    ),
    "denoiser": Preset(
        "Denoiser (diffusion)",
        DiffusionRecipe,
        {
            "task": "diffusion",
            "network": {
                "name": "denoiser", "channels": [40, 64, 96, 128], "objective": "velocity",
                "centre": 0.02, "spread": 0.37,
            },
            "axon_diameter": 32,
            "augmentation": {
                "whole_pixels": True, "contrast": 0.1, "brightness": 0.05, "gamma": 0.15,
                "noise": 0, "blur": 0, "shading": 0.05,
            },
            "optimisation": {
                "batch": 8, "crop": 128, "learning_rate": 1e-3, "weight_decay": 0, "average": 0.998
            },
        },
        (300, 3000, 12000),
    ),
}  # fmt: skip
"""By name; their recipes lack a name and data."""


def starting_recipe(preset: str, size: Size = "normal", **entries: Any) -> AnyRecipe:
    """Recipe of a preset.

    Parameters
    ----------
    preset
        Name of one of `PRESETS`.
    size
        How long it trains.
    **entries
        Of the recipe: ``name`` and ``data`` at least, and whatever is to differ from the preset.
        Groups are joined: ``optimisation={"batch": 2}`` leaves the crops as they are.

    Raises
    ------
    InputError
        An entry is missing, unknown or out of bounds.
    """
    chosen = PRESETS[preset]
    steps = chosen.steps[SIZES.index(size)]
    made = {
        **chosen.entries,
        "optimisation": {**chosen.entries["optimisation"], "steps": steps},
    }
    for name, value in entries.items():
        joined = name in made and isinstance(value, Mapping) and name != "network"
        made[name] = {**made[name], **value} if joined else value
    setting = made["optimisation"]
    setting.setdefault("warm_up", min(_WARM_UP, setting["steps"] // 10))
    made.setdefault("validate_every", max(1, setting["steps"] // _VALIDATIONS))
    return checked(chosen.kind, made)


def begin_with(recipe: AnyRecipe, model: str) -> AnyRecipe:
    """The recipe, to go on training a model: with its network and scale, at a tenth of the rate.

    Parameters
    ----------
    model
        Name or file of a model, or the folder of a run.

    Raises
    ------
    InputError
        There is no such model; it does something else than the recipe asks for, in another
        direction, or by another kind of network.
    """
    start = read_start(model)
    complaint = start.misfit(recipe)
    if complaint:
        raise InputError(complaint)
    rate = recipe.optimisation.learning_rate * _FINE
    slower = recipe.optimisation.model_copy(update={"learning_rate": rate})
    given = {"start": model, "network": dict(start.network), **start.scale}
    return recipe.model_copy(update={**given, "optimisation": slower})
