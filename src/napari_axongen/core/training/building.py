"""What every task begins with, does at each step, and ends with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from napari_axongen.core.classes import FIBRE_CLASSES
from napari_axongen.core.device import Device
from napari_axongen.core.errors import InputError
from napari_axongen.core.models.card import Card
from napari_axongen.core.models.store import load_network
from napari_axongen.core.networks import TileExactNetwork, build, same

from .checkpoint import best_weights, last_weights
from .parallel import average_gradients
from .recipe import AnyRecipe, Recipe
from .runs import CHECKPOINT
from .starting import has_ended, read_start

if TYPE_CHECKING:
    from .loop import Task

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
        return build(recipe.full_network)
    except ValueError as error:
        raise InputError(f"Recipe '{recipe.name}': {error}.") from error


def check_start(recipe: AnyRecipe) -> None:
    """Whether a recipe can begin with what it says; weights are not read.

    Raises
    ------
    InputError
        There is no such start, it does something else, or its network is not that of the recipe.
    """
    if recipe.start is None:
        return
    start = read_start(recipe.start)
    complaint = start.misfit(recipe, strict=False)
    if complaint is None and not same(start.network, recipe.full_network):
        complaint = (
            f"The run cannot start from model '{recipe.start}': its network is not that of the "
            f"recipe; write there 'network: {json.dumps(dict(start.network))}', or leave out "
            "'start'."
        )
    if complaint is not None:
        raise InputError(complaint)


def begin_with_start(task: Task, recipe: AnyRecipe) -> None:
    """Give a task the weights that its recipe starts from; without a start nothing happens.

    What is trained and what is shipped of it, its average, begin with those of the model; of a run
    that has none yet, with those that did best so far. What is trained beside it, as a
    discriminator is, and is no part of a model, goes on where the start is a run's folder with a
    checkpoint, if it fits; else it begins as it is.

    Raises
    ------
    InputError
        The start has no weights, or not those of its network.
    """
    if recipe.start is None:
        return
    folder = Path(recipe.start)
    if has_ended(folder):
        weights = load_network(folder if folder.is_dir() else recipe.start)[0].state_dict()
    else:
        weights = best_weights(folder, task.shipped)
    trained, *_ = task.modules
    for name, module in task.modules.items():
        known = name in (trained, task.shipped)
        if not known and not (folder / CHECKPOINT).exists():
            continue
        given = weights if known else last_weights(folder, name)
        if _shapes(given) == _shapes(module.state_dict()):
            module.load_state_dict(given)
        elif known:
            raise InputError(
                f"The run cannot start from '{recipe.start}': its weights are not those of its "
                "network; choose another run or a model."
            )


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}


def to_device(network: N, device: Device) -> N:
    """Move a network to where it is trained, in the layout that is fast there."""
    return network.to(device.torch).to(memory_format=device.memory_format)  # type: ignore[no-any-return, call-overload]


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimiser down a loss; of several processes, down the mean of theirs."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    average_gradients(optimiser)
    optimiser.step()


def descend_in_parts(
    optimiser: torch.optim.Optimizer,
    parts: int,
    batch: Sequence[Tensor],
    loss: Callable[..., Tensor],
) -> float:
    """One step of an optimiser down the mean loss of a batch, of which only a part is in memory.

    The gradients of the parts add up to those of the whole batch. What looks at a batch as a whole
    sees a part: batch normalisation takes its statistics, and the soft Dice coefficient its sums,
    of fewer crops.

    Parameters
    ----------
    optimiser
        Of the network that ``loss`` runs.
    parts
        How many, as equal as can be: a task's ``parts``. One is an ordinary step, to the bit.
    batch
        Tensors of the same first length, such as crops and their classes.
    loss
        Mean loss of some crops; called with that part of each tensor.

    Returns
    -------
    Loss of the batch: the mean over its crops.
    """
    optimiser.zero_grad(set_to_none=True)
    count, total = len(batch[0]), 0.0
    cut = (tensor.tensor_split(min(parts, count)) for tensor in batch)
    for part in zip(*cut, strict=True):
        value = loss(*part) * (len(part[0]) / count)
        value.backward()  # type: ignore[no-untyped-call]
        total += value.item()
    average_gradients(optimiser)
    optimiser.step()
    return total


def plateau(step: int, steps: int, warm_up: int) -> float:
    """Part of the learning rate: a rise, a plateau, and over the last third a fall to zero."""
    return min(1.0, (step + 1) / (warm_up + 1), 3 * (steps - step) / steps)


def kept_entry(recipe: AnyRecipe, history: list[dict[str, float]]) -> dict[str, float]:
    """The entry of a history whose weights become the model, as the recipe says."""
    if recipe.keep == "last":
        return history[-1]
    return next((entry for entry in reversed(history) if "best" in entry), history[-1])


def run_card(
    recipe: AnyRecipe,
    history: list[dict[str, float]],
    training: dict[str, Any],
    test: dict[str, float] | None = None,
    **more: Any,
) -> Card:
    """Card of what a run made.

    Parameters
    ----------
    recipe, history
        Of the run.
    training
        What the task says of it, beside the recipe.
    test
        How the model does on the images that nothing was chosen by.
    more
        Other fields of the card.
    """
    kept = kept_entry(recipe, history)
    metrics = {"validation": {k: v for k, v in kept.items() if k.startswith("val_")}}
    return Card(
        name=recipe.name,
        title=recipe.title,
        description=recipe.description,
        task=recipe.task,
        network=recipe.full_network,
        classes=recipe.classes if isinstance(recipe, Recipe) else list(FIBRE_CLASSES),
        training={"recipe": recipe.model_dump(mode="json"), **training},
        metrics={**metrics, **({"test": test} if test else {})},
        history=history,
        **more,
    )
