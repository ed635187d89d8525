"""Training a segmenter of background, myelin and axon."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_axongen.core.datasets.augment import random_crop
from napari_axongen.core.datasets.scaling import scale_to
from napari_axongen.core.datasets.sources import (
    LabelledImage,
    class_indices,
    data_folder,
    load_bids,
    make_fields,
    make_micrographs,
    split_by_animal,
)
from napari_axongen.core.device import Device
from napari_axongen.core.errors import InputError
from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import run
from napari_axongen.core.matching import median_axon_diameter
from napari_axongen.core.models.store import load_network, save_model
from napari_axongen.core.networks import TileExactNetwork
from napari_axongen.core.segmentation import CLASSES, class_values, predict_plane

from .averaging import follow_weights
from .building import descend, recipe_network, run_card, to_device
from .losses import segmentation_loss
from .planes import draw, plane_at
from .recipe import BidsData, Recipe


class SegmentationTask:
    """Cross-entropy + Dice on random crops; the shipped weights are their moving average.

    Parameters
    ----------
    recipe
        Its data is read and brought to the working scale here.
    device
        Where to train.
    """

    def __init__(self, recipe: Recipe, device: Device) -> None:
        self.recipe, self.device = recipe, device
        network = recipe_network(recipe)
        if recipe.start is not None:
            _begin_with(recipe.start, network)
        network = to_device(network, device)
        self.average: TileExactNetwork = copy.deepcopy(network).eval()
        self.modules: dict[str, nn.Module] = {"network": network, "average": self.average}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            "network": torch.optim.AdamW(
                network.parameters(), weight_decay=recipe.optimisation.weight_decay
            )
        }
        train, self.held_out = _load(recipe)
        if recipe.made is not None:
            train += make_micrographs(recipe.contrast, **dict(recipe.made))
        self.planes = [plane_at(image, scale_to(image, recipe.pixel_size)) for image in train]
        self.axon_diameter = median_axon_diameter(
            [plane.classes.numpy() == CLASSES.index("axon") for plane in self.planes]
        )

    def step(self, step: int) -> dict[str, float]:
        """One step of AdamW on the batch of this step, and of the moving average."""
        network, optimiser = self.modules["network"], self.optimisers["network"]
        x, classes = self._batch(step)
        for group in optimiser.param_groups:
            group["lr"] = self._learning_rate(step)
        network.train()
        loss = segmentation_loss(network(x), classes)
        descend(optimiser, loss)
        decay = self.recipe.optimisation.average
        follow_weights(self.modules["average"], network, step, decay)
        return {"loss": loss.item()}

    def validate(self) -> dict[str, float]:
        """Mean Dice per held-out image, of axon and of myelin, by the averaged weights."""
        scores: dict[str, list[float]] = {"val_dice_axon": [], "val_dice_myelin": []}
        for image in self.held_out:
            scale = scale_to(image, self.recipe.pixel_size)
            probabilities = run(
                predict_plane(self.average, image.image, (), scale=scale, device=self.device)
            )
            found = class_indices(class_values(probabilities))
            for name, values in scores.items():
                index = CLASSES.index(name.removeprefix("val_dice_"))
                values.append(dice(found == index, image.classes == index))
        return {name: float(np.mean(values)) for name, values in scores.items()}

    def save(self, path: Path, history: list[dict[str, float]]) -> None:
        """Write the averaged weights with their card."""
        data = self.recipe.data
        training = {
            "images": len(self.planes),
            "validation": sorted({image.animal for image in self.held_out}),
            "licence": data.licence if isinstance(data, BidsData) else "made by this package",
            "device": self.device.torch.type,
        }
        card = run_card(
            self.recipe,
            history,
            training,
            contrast=self.recipe.contrast,
            pixel_size=self.recipe.pixel_size,
            axon_diameter=round(self.axon_diameter, 2),
        )
        save_model(path, self.modules["average"], card)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        setting = self.recipe.optimisation
        crops = []
        for index in range(setting.batch):
            rng = np.random.default_rng((self.recipe.seed, step, index))
            plane = draw(self.planes, rng)
            crops.append(
                random_crop(plane.grey, plane.classes, setting.crop, self.recipe.augmentation, rng)
            )
        x = torch.stack([crop for crop, _ in crops])
        classes = torch.stack([truth for _, truth in crops])
        x = x.to(self.device.torch).contiguous(memory_format=self.device.memory_format)
        return x, classes.to(self.device.torch)

    def _learning_rate(self, step: int) -> float:
        setting = self.recipe.optimisation
        rise = min(1.0, (step + 1) / (setting.warm_up + 1))
        return setting.learning_rate * rise * (1 + math.cos(math.pi * step / setting.steps)) / 2


def _begin_with(model: str, network: TileExactNetwork) -> None:
    """Copy the weights of a model into a network of the same kind."""
    start, card, _ = load_network(model, "cpu")
    try:
        network.load_state_dict(start.state_dict())
    except RuntimeError as error:
        raise InputError(
            f"The run cannot start from model '{model}': its network {card.network} is not that of "
            "the recipe."
        ) from error


def _load(recipe: Recipe) -> tuple[list[LabelledImage], list[LabelledImage]]:
    data = recipe.data
    if isinstance(data, BidsData):
        return split_by_animal(load_bids(data_folder(data.root)), data.validation)
    images = make_fields(recipe.contrast, data.count, data.side, data.seed)
    return images[:-1], images[-1:]
