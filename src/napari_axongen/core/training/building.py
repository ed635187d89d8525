"""What every task begins with, does at each step, and ends with."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from napari_axongen.core.device import Device
from napari_axongen.core.errors import InputError
from napari_axongen.core.models.card import Card
from napari_axongen.core.networks import TileExactNetwork, build
from napari_axongen.core.segmentation import CLASSES

from .recipe import AnyRecipe

N = TypeVar("N", bound=nn.Module)


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


def to_device(network: N, device: Device) -> N:
    """Move a network to where it is trained, in the layout that is fast there."""
    return network.to(device.torch).to(memory_format=device.memory_format)  # type: ignore[no-any-return, call-overload]


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimiser down a loss."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def plateau(step: int, steps: int, warm_up: int) -> float:
    """Part of the learning rate: a rise, a plateau, and over the last third a fall to zero."""
    return min(1.0, (step + 1) / (warm_up + 1), 3 * (steps - step) / steps)


def run_card(
    recipe: AnyRecipe, history: list[dict[str, float]], training: dict[str, Any], **more: Any
) -> Card:
    """Card of what a run made.

    Parameters
    ----------
    recipe, history
        Of the run; the last validation is its metrics.
    training
        What the task says of it, beside the recipe.
    more
        Other fields of the card.
    """
    return Card(
        name=recipe.name,
        title=recipe.title,
        description=recipe.description,
        task=recipe.task,
        network=recipe.network,
        classes=list(CLASSES),
        training={"recipe": recipe.model_dump(mode="json"), **training},
        metrics={"validation": {k: v for k, v in history[-1].items() if k.startswith("val_")}},
        **more,
    )
