"""Training the reference's denoiser: as it does, on images alone, told nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import run
from napari_axongen.core.models import load_network
from napari_axongen.core.networks import ClassicDenoiser
from napari_axongen.core.training import DiffusionRecipe, denoiser, load_recipe, train_steps
from napari_axongen.core.training.building import recipe_network
from napari_axongen.core.training.denoiser import DiffusionTask

RECIPE = Path(__file__).parents[2] / "recipes" / "classic-sem-diffusion.yaml"
SIDE = 64


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_bids: Callable[..., Path]) -> Path:
    """A BIDS data set of two animals, made by the package itself."""
    return write_bids(tmp_path_factory.mktemp("SEM"), "SEM", 160)


def recipe(data: Path, **changes: object) -> DiffusionRecipe:
    known = load_recipe(RECIPE)
    setting = known.optimisation.model_dump() | {"steps": 16, "learning_rate": 1e-2, "batch": 1}
    return DiffusionRecipe.model_validate(
        known.model_dump(mode="json")
        | {
            "network": {"name": "classic-denoiser", "width": 4, "told": 8},
            "data": {"SEM": {"root": str(data), "train": ["sub-a"], "validation": ["sub-b"]}},
            "optimisation": setting,
            "validate_every": 16,
        }
        | changes
    )


def test_the_recipe_is_the_reference_s() -> None:
    known = load_recipe(RECIPE)
    setting = known.optimisation
    assert (setting.batch, setting.crop, setting.learning_rate) == (4, 64, 1e-4)
    with torch.device("meta"):
        network = recipe_network(known)
    assert isinstance(network, ClassicDenoiser)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(23.3e6, rel=0.01)


def test_it_learns_what_is_noise(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denoiser, "_LEVELS", 3)
    before = DiffusionTask(recipe(data), choose_device("cpu")).validate()["val_loss_SEM"]
    path = run(train_steps(recipe(data), tmp_path / "run", device="cpu"))
    network, card, _ = load_network(path)
    assert isinstance(network, ClassicDenoiser)
    assert card.task == "diffusion"
    assert list(card.looks) == ["SEM"]
    after = card.metrics["validation"]["val_loss_SEM"]
    assert 0 < after < 0.8 * before
    assert card.network == {"name": "classic-denoiser", "width": 4, "told": 8}


def test_it_is_told_nothing_and_its_loss_is_that_of_the_noise(data: Path) -> None:
    task = DiffusionTask(recipe(data), choose_device("cpu"))
    plane = task.data["SEM"].train[0]
    told = task._told(plane.grey[None, :SIDE, :SIDE], plane.classes[:SIDE, :SIDE].long(),
                      np.random.default_rng(0))  # fmt: skip
    assert told.shape == (1, 5, SIDE, SIDE)
    assert not told.any()
    image, level = 2 * plane.grey[None, None, :SIDE, :SIDE] - 1, torch.tensor([0.4])
    no_domain = torch.zeros(1, dtype=torch.int64)
    with torch.inference_mode():
        loss = task._loss(task.network, image, told, no_domain, level, np.random.default_rng(5))
        noise = np.random.default_rng(5).standard_normal((1, 1, SIDE, SIDE), dtype=np.float32)
        kept = task.process.schedule.kept[399].float()  # type: ignore[attr-defined]
        x = kept.sqrt() * image + (1 - kept).sqrt() * torch.from_numpy(noise)
        made = task.network.noise(x, torch.tensor([399]))  # type: ignore[operator]
    expected = functional.mse_loss(made, torch.from_numpy(noise))
    torch.testing.assert_close(loss, expected)


def test_weights_and_average_are_those_of_the_last_step(data: Path) -> None:
    """The reference keeps no moving average."""
    task = DiffusionTask(recipe(data), choose_device("cpu"))
    task.step(0)
    after = task.network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in task.average.state_dict().items())


def test_what_cannot_be_trained_is_said(data: Path) -> None:
    small = recipe(data).optimisation.model_dump() | {"crop": 32}
    for change, message in (
        ({"optimisation": small}, "crops of 32 px are no multiple of the 64 px"),
        ({"network": {"name": "unet", "channels": [4, 6]}}, "network 'unet' is no denoiser"),
    ):
        with pytest.raises(InputError, match=message):
            DiffusionTask(recipe(data, **change), choose_device("cpu"))
