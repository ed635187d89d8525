"""Recipes to begin with: valid, the classic one the reference's, a start with its own scale."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_axongen.core.classes import IGNORED
from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.models.card import Card
from napari_axongen.core.models.store import save_model
from napari_axongen.core.networks import build
from napari_axongen.core.training.building import recipe_network
from napari_axongen.core.training.losses import dice_loss
from napari_axongen.core.training.presets import PRESETS, SIZES, begin_with, starting_recipe
from napari_axongen.core.training.segmenter import SegmentationTask

FOLDER = {"source": "folder", "root": "somewhere", "validation": ["sub-1"]}
SURROGATE = {
    "source": "surrogate",
    "parameters": {"preset": "original", "width": 64, "height": 64},
    "count": 4,
    "held_out": 1,
}
ANIMALS = {"root": "somewhere", "train": ["sub-1"]}
DATA = {
    "translator": {"data": ANIMALS, "sources": ANIMALS, "source": "TEM", "contrast": "SEM"},
    "denoiser": {"data": {"SEM": ANIMALS}},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_recipe_whose_network_can_be_built(preset: str) -> None:
    data = DATA.get(preset, {"data": FOLDER})
    recipes = [starting_recipe(preset, size, name="mine", **data) for size in SIZES]
    steps = [recipe.optimisation.steps for recipe in recipes]
    assert steps == sorted(set(steps))
    with torch.device("meta"):
        network = recipe_network(recipes[0])
    assert recipes[0].optimisation.crop % network.stride == 0
    assert all(4 <= r.optimisation.steps / r.validate_every <= 30 for r in recipes)


def test_groups_are_joined_and_the_rest_is_replaced() -> None:
    recipe = starting_recipe(
        "axon-myelin-sem",
        name="mine",
        data=FOLDER,
        network={"name": "unet", "channels": [4, 8]},
        optimisation={"batch": 2, "steps": 60},
    )
    assert recipe.network == {"name": "unet", "channels": [4, 8]}
    assert (recipe.optimisation.batch, recipe.optimisation.crop) == (2, 160)
    assert recipe.validate_every == 5
    with pytest.raises(InputError, match=r"'optimisation\.batch'"):
        starting_recipe("axon-myelin-sem", name="mine", data=FOLDER, optimisation={"batch": 0})


def test_entries_that_lack_or_do_not_go_together_are_said() -> None:
    with pytest.raises(InputError, match=r"^Parameter 'data' is missing"):
        starting_recipe("axon-myelin-sem", name="mine")
    with pytest.raises(InputError, match=r"^Surrogates are fluorescence images, not SEM"):
        starting_recipe("axon-myelin-sem", name="mine", data=FOLDER, made={"source": "surrogate"})


def test_classic_is_trained_as_the_reference_is() -> None:
    recipe = starting_recipe(
        "classic", "thorough", name="mine", data=SURROGATE, optimisation={"batch": 2, "crop": 64}
    )
    assert recipe.optimisation.steps * 64 == 40 * 26_200
    task = SegmentationTask(recipe, choose_device("cpu"))
    network, (group,) = task.modules["network"], task.optimisers["network"].param_groups
    assert sum(parameter.numel() for parameter in network.parameters()) == 641_153
    for step in (0, recipe.optimisation.steps - 1):
        loss = task.step(step)["loss"]
        assert 0 < loss < 1  # no cross-entropy beside it
        assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-5, 0, (0.9, 0.999))
    for own, average in zip(network.parameters(), task.average.parameters(), strict=True):
        assert torch.equal(own, average)  # the last weights are the model


def test_the_dice_loss_is_the_references_over_the_flattened_batch() -> None:
    torch.manual_seed(0)
    z = torch.randn(3, 1, 8, 8)
    truth = (torch.rand(3, 8, 8) < 0.3).long()
    p, t = torch.sigmoid(z).flatten(), truth.flatten()
    expected = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    logits = torch.cat([torch.zeros_like(z), z], 1)
    torch.testing.assert_close(dice_loss(logits, truth), expected)
    truth[1] = IGNORED
    torch.testing.assert_close(dice_loss(logits, truth), dice_loss(logits[::2], truth[::2]))


def test_a_start_brings_its_network_and_scale(tmp_path: Path) -> None:
    network = {"name": "unet", "channels": [2, 3]}
    card = Card(
        name="given",
        contrast="SEM",
        network=network,
        classes=["background", "myelin", "axon"],
        pixel_size=0.3,
    )
    model = tmp_path / "given.safetensors"
    save_model(model, build(network), card)
    recipe = starting_recipe("axon-myelin-sem", name="mine", data=FOLDER)
    begun = begin_with(recipe, str(model))
    assert (begun.start, begun.network, begun.pixel_size) == (str(model), network, 0.3)
    assert begun.optimisation.learning_rate == pytest.approx(recipe.optimisation.learning_rate / 10)
    other = starting_recipe("axon-fluorescence", name="mine", data=FOLDER)
    with pytest.raises(
        InputError, match="finds myelin, axon; begin with a model of axon, or with none"
    ):
        begin_with(other, str(model))
