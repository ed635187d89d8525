"""One loop for every model, its recipes and its checkpoints."""

from __future__ import annotations

from .loop import train_steps
from .parallel import PartedError
from .recipe import AnyRecipe, DiffusionRecipe, Recipe, TranslationRecipe, load_recipe

__all__ = [
    "AnyRecipe",
    "DiffusionRecipe",
    "PartedError",
    "Recipe",
    "TranslationRecipe",
    "load_recipe",
    "train_steps",
]
