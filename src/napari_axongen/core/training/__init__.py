"""One loop for every model, its recipes and its checkpoints. Recipes do without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .recipe import AnyRecipe, DiffusionRecipe, Recipe, TranslationRecipe, load_recipe

if TYPE_CHECKING:
    from .loop import train_steps
    from .parallel import PartedError

__all__ = [
    "AnyRecipe",
    "DiffusionRecipe",
    "PartedError",
    "Recipe",
    "TranslationRecipe",
    "load_recipe",
    "train_steps",
]


def __getattr__(name: str) -> Any:
    if name == "train_steps":
        from .loop import train_steps

        return train_steps
    if name == "PartedError":
        from .parallel import PartedError

        return PartedError
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
