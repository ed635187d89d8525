"""What every task begins with, and does at each step."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_axongen.core.errors import InputError
from napari_axongen.core.networks import TileExactNetwork, build

from .recipe import AnyRecipe


def recipe_network(recipe: AnyRecipe) -> TileExactNetwork:
    """The network of a recipe, its weights drawn by the recipe's seed.

    Raises
    ------
    InputError
        There is no such network.
    """
    torch.manual_seed(recipe.seed)
    try:
        return build(recipe.network)
    except ValueError as error:
        raise InputError(f"Recipe '{recipe.name}': {error}.") from error


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimiser down a loss."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
