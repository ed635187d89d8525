"""Training a translator: it learns, resumes to the bit, ships a card, names what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.io
import torch

from napari_axongen.core.conditioning import CHANNELS
from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Metrics, Samples, run
from napari_axongen.core.models.store import load_network
from napari_axongen.core.networks.discriminator import PatchDiscriminator
from napari_axongen.core.training import TranslationRecipe, load_recipe, train_steps
from napari_axongen.core.training.adversarial import (
    differentiable_augment,
    discriminator_loss,
    feature_matching,
    generator_loss,
)
from napari_axongen.core.training.classic import ClassicTask
from napari_axongen.core.training.translator import TranslationTask

ANIMALS = ("sub-a", "sub-b")


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, write_bids: Callable[..., Path]
) -> dict[str, Path]:
    """Two BIDS data sets of two animals each, made by the package itself."""
    return {
        contrast: write_bids(tmp_path_factory.mktemp(contrast), contrast, 128)
        for contrast in ("TEM", "SEM")
    }


def recipe(folders: dict[str, Path], **changes: object) -> TranslationRecipe:
    setting = {"steps": 6, "batch": 2, "crop": 32, "warm_up": 1, "learning_rate": 1e-3}
    return TranslationRecipe.model_validate(
        {
            "name": "tiny",
            "task": "translation",
            "source": "TEM",
            "contrast": "SEM",
            "network": {"name": "translator", "channels": [8, 8]},
            "axon_diameter": 12,
            "data": {"root": str(folders["SEM"]), "train": list(ANIMALS), "licence": "ours"},
            "sources": {
                "root": str(folders["TEM"]),
                "train": ["sub-a"],
                "validation": ["sub-b"],
            },
            "critic": [4, 6],
            "optimisation": setting,
            "validate_every": 3,
            "checkpoint_seconds": 0.001,
        }
        | changes
    )


def test_a_run_leaves_a_model_with_its_card(folders: dict[str, Path], tmp_path: Path) -> None:
    events: list[Event] = []
    path = run(train_steps(recipe(folders), tmp_path, device="cpu"), events.append)
    network, card, _ = load_network(path)
    samples = [event for event in events if isinstance(event, Samples)][-1]
    assert samples.titles == ("image", "made")
    assert samples.tiles.shape[:2] == (1, 2)
    image, made = samples.tiles[0]
    assert image.std() > 0
    assert (image != made).any()
    assert (card.task, card.source, card.contrast) == ("translation", "TEM", "SEM")
    assert card.axon_diameter == 12
    assert card.grey_range is not None
    assert 0 <= card.grey_range[0] < card.grey_range[1] <= 255
    assert set(card.metrics["validation"]) == {
        f"val_{told}_{name}"
        for told in ("mask", "both", "structure")
        for name in ("axon", "myelin")
    }
    made = network(torch.zeros(1, CHANNELS, 32, 32))
    assert made.shape == (1, 1, 32, 32)
    assert made.abs().max() <= 1


def test_a_resumed_run_equals_an_uninterrupted_one(
    folders: dict[str, Path], check_resumed: Callable[[Any], None]
) -> None:
    check_resumed(recipe(folders))


def test_it_learns_the_grey_values_of_the_target(folders: dict[str, Path]) -> None:
    setting = {"steps": 90, "batch": 4, "crop": 32, "warm_up": 1, "learning_rate": 3e-3}
    told = recipe(
        folders,
        optimisation=setting,
        losses={"adversarial": 0, "matching": 0, "segmentation": 0},
        conditions={"both": 1, "mask": 0, "structure": 0},
        augmentation=dict.fromkeys(("contrast", "brightness", "gamma", "noise", "shading"), 0),
    )
    task = TranslationTask(told, choose_device("cpu"))
    before = task.step(0)
    for step in range(1, 60):
        task.step(step)
    after = task.step(0)  # the same crops again
    assert after["grey"] < 0.6 * before["grey"]
    assert after["critic"] < 0.8 * before["critic"]


def test_classic_learns_by_its_own_losses_and_resumes(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    classic = recipe(
        folders,
        network={"name": "classic", "width": 4, "depth": 5},
        data={"root": str(folders["SEM"]), "train": ["sub-a"], "validation": ["sub-b"]},
        optimisation={"steps": 40, "batch": 2, "crop": 32, "learning_rate": 2e-3},
        validate_every=10,
    )
    steps = train_steps(classic, tmp_path, device="cpu")
    for event in steps:
        if isinstance(event, Metrics) and event.step == 20:
            break
    steps.close()
    events: list[Event] = []
    path = run(train_steps(classic, tmp_path, resume=True, device="cpu"), events.append)
    assert any(isinstance(event, Samples) for event in events)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [entry["step"] for entry in history] == [10, 20, 30, 40]
    assert history[-1]["val_l1"] < history[0]["val_l1"]
    network, card, _ = load_network(path)
    assert network.fixed_tile == 32
    assert card.network["name"] == "classic"


def test_classic_refuses_crops_that_are_no_multiple_of_its_tile(folders: dict[str, Path]) -> None:
    wrong = recipe(folders, network={"name": "classic", "width": 4, "depth": 6})
    with pytest.raises(InputError, match="64 px"):
        ClassicTask(wrong, choose_device("cpu"))


def test_an_unknown_animal_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    data = {"root": str(folders["SEM"]), "train": ["sub-a", "sub-x"]}
    with pytest.raises(InputError, match="sub-x"):
        run(train_steps(recipe(folders, data=data), tmp_path, device="cpu"))


def test_an_image_without_axons_is_named(folders: dict[str, Path]) -> None:
    mask = next((folders["TEM"] / "derivatives").rglob("sub-b*.png"))
    kept = mask.read_bytes()
    skimage.io.imsave(mask, np.zeros((128, 128), np.uint8), check_contrast=False)
    try:
        with pytest.raises(InputError, match="sub-b_TEM"):
            TranslationTask(recipe(folders), choose_device("cpu"))
    finally:
        mask.write_bytes(kept)


@pytest.mark.parametrize("name", ["tem-to-sem", "sem-to-tem"])
def test_the_shipped_recipes_are_valid(name: str) -> None:
    path = Path(__file__).parents[2] / "recipes" / f"{name}.yaml"
    loaded = load_recipe(path)
    assert isinstance(loaded, TranslationRecipe)
    assert f"{loaded.source}-to-{loaded.contrast}".lower() == loaded.name == name
    assert not {"sub-rat3", "sub-rat4", "sub-373C", "sub-374"} & {
        *loaded.data.train,
        *loaded.data.validation,
        *loaded.sources.train,
        *loaded.sources.validation,
    }


def test_a_wrong_entry_of_a_translation_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    good = Path(__file__).parents[2] / "recipes" / "tem-to-sem.yaml"
    path.write_text(good.read_text(encoding="utf-8") + "losses: {grey: -1}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"'losses.grey'"):
        load_recipe(path)


# ---------------------------------------------------------------- its parts


def test_the_discriminator_looks_at_patches_of_34_pixels() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator((6, 6, 6)).eval()
    x = torch.randn(1, 4, 96, 96, requires_grad=True)
    verdict = network(x)[-1]
    verdict[0, 0, verdict.shape[2] // 2, verdict.shape[3] // 2].backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 34


def test_hinge_losses_have_their_known_values() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert discriminator_loss(real, fake).item() == pytest.approx(0.25 + 0.5)
    assert generator_loss(fake).item() == pytest.approx(1.5)
    same = [torch.ones(1, 2), torch.zeros(3)]
    assert feature_matching(same, same).item() == 0
    assert feature_matching(same, [torch.zeros(1, 2), torch.zeros(3)]).item() == 0.5


def test_both_sides_are_augmented_alike_and_gradients_pass() -> None:
    x = torch.rand(2, 4, 32, 32, requires_grad=True)
    one, other = (differentiable_augment(x, np.random.default_rng(4)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, differentiable_augment(x, np.random.default_rng(5)))
    one.sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).float().mean() > 0.6
