"""Training: it learns, it resumes to the bit, it can be killed, it refuses what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from napari_axongen.core.classes import IGNORED
from napari_axongen.core.datasets.augment import Augmentation, random_crop
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, Notice, Progress, run
from napari_axongen.core.models.store import load_card
from napari_axongen.core.training import Recipe, load_recipe, train_steps
from napari_axongen.core.training.losses import LOSSES, segmentation_loss, soft_dice
from napari_axongen.core.training.planes import Plane

RECIPE = {
    "name": "tiny",
    "contrast": "TEM",
    "network": {"name": "unet", "channels": [4, 6]},
    "data": {"source": "em-fields", "count": 3, "side": 96, "seed": 5},
    "optimisation": {"steps": 14, "batch": 2, "crop": 32, "warm_up": 2, "learning_rate": 0.01},
    "validate_every": 5,
    "checkpoint_seconds": 0.001,
    "seed": 3,
}


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(RECIPE | changes)


def train(out: Path, resume: bool = False, **changes: object) -> list:
    events: list = []
    run(train_steps(recipe(**changes), out, resume, "cpu"), events.append)
    return events


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "whole"
    train(out)
    return out


def test_a_run_leaves_a_model_with_its_card(finished: Path) -> None:
    card = load_card(finished / "model.safetensors")
    assert card.name == "tiny"
    assert card.training["recipe"]["seed"] == 3
    assert card.training["split"]["validation"] == ["sub-2"]
    assert 0 <= card.metrics["validation"]["val_dice_axon"] <= 1
    history = json.loads((finished / "history.json").read_text())
    assert [entry["step"] for entry in history] == [5, 10, 14]


def test_events_count_steps(tmp_path: Path) -> None:
    events = train(tmp_path / "run")
    assert [e.done for e in events if isinstance(e, Progress)] == list(range(1, 15))
    assert [e.step for e in events if isinstance(e, Metrics)] == list(range(1, 15))
    assert "CPU" in next(e.message for e in events if isinstance(e, Notice))


def test_learning_lowers_the_loss(tmp_path: Path) -> None:
    setting = RECIPE["optimisation"] | {"steps": 80, "batch": 4, "crop": 48}
    # Fibres of an SEM field fit into such a crop, and grey levels alone tell half of it.
    events = train(tmp_path / "run", optimisation=setting, validate_every=80, contrast="SEM")
    losses = [e.values["loss"] for e in events if isinstance(e, Metrics)]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


@pytest.mark.parametrize("stop", [1, 6, 13])
def test_a_resumed_run_equals_an_uninterrupted_one(
    finished: Path, tmp_path: Path, stop: int
) -> None:
    out = tmp_path / "run"
    steps = train_steps(recipe(), out, False, "cpu")
    for event in steps:
        if isinstance(event, Progress) and event.done == stop:
            break
    steps.close()  # this writes a checkpoint
    notices = [e.message for e in train(out, resume=True) if isinstance(e, Notice)]
    assert f"Going on from step {stop} of 14." in notices
    for name in ("model.safetensors", "checkpoint.safetensors"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()


def test_a_finished_run_is_left_alone(finished: Path) -> None:
    before = (finished / "model.safetensors").stat().st_mtime_ns
    notices = [e.message for e in train(finished, resume=True) if isinstance(e, Notice)]
    assert any("finished" in message for message in notices)
    assert (finished / "model.safetensors").stat().st_mtime_ns == before


def test_killed_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL a real process, several times, at moments that are not chosen."""
    path = tmp_path / "recipe.yaml"
    setting = RECIPE["optimisation"] | {"steps": 40}
    kept = {"keep": "best", "patience": 6}
    path.write_text(yaml.safe_dump(RECIPE | kept | {"optimisation": setting}))
    command = [sys.executable, "-m", "napari_axongen.cli", "train", str(path), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    subprocess.run([*command, "--out", str(alone)], check=True, env=environment)
    kills = 0
    for wait in (0.05, 0.4, 0.9):
        with subprocess.Popen(
            [*command, "--out", str(killed), "--resume"], env=environment
        ) as process:
            deadline = time.monotonic() + 120
            while not (killed / "checkpoint.safetensors").exists() and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(wait)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
    assert kills >= 1
    assert not (killed / "model.safetensors").exists() or kills < 3
    subprocess.run([*command, "--out", str(killed), "--resume"], check=True, env=environment)
    for name in ("model.safetensors", "history.json"):
        assert (killed / name).read_bytes() == (alone / name).read_bytes()
    assert any("best" in entry for entry in json.loads((alone / "history.json").read_text()))


def test_resume_before_the_first_checkpoint_starts_anew(finished: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", resume=True)
    model = "model.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (finished / model).read_bytes()


def test_a_second_run_does_not_overwrite_the_first(finished: Path) -> None:
    with pytest.raises(InputError, match="already holds a run"):
        train(finished)
    with pytest.raises(InputError, match="another recipe"):
        train(finished, resume=True, seed=4)


def test_a_damaged_checkpoint_is_said(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "recipe.json").write_bytes((finished / "recipe.json").read_bytes())
    whole = (finished / "checkpoint.safetensors").read_bytes()
    (out / "checkpoint.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        train(out, resume=True)


def test_divergence_stops_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def loss(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return segmentation_loss(logits, classes) * (float("nan") if calls == 4 else 1.0)

    monkeypatch.setitem(LOSSES, "cross-entropy + dice", loss)
    with pytest.raises(InputError, match="no longer finite at step 4"):
        train(tmp_path / "run")
    tensors = load_file(tmp_path / "run" / "checkpoint.safetensors")
    assert all(torch.isfinite(tensor.float()).all() for tensor in tensors.values())


def test_an_unwritable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        train(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimisation": {"steps": 0}}, "optimisation.steps"),
        ({"colour": "blue"}, "colour"),
        ({"data": {"source": "magic"}}, "data"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_recipes_name_the_entry(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE | change))
    with pytest.raises(InputError, match=message):
        load_recipe(path)


def test_unreadable_recipes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1, 2")
    with pytest.raises(InputError, match="not YAML"):
        load_recipe(tmp_path / "bad.yaml")


def test_bad_networks_and_missing_data_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown"):
        train(tmp_path / "a", network={"name": "vgg"})
    with pytest.raises(InputError, match="AXONGEN_DATA"):
        train(tmp_path / "b", data={"source": "folder", "root": "nowhere", "validation": ["sub-1"]})


def test_a_run_can_start_from_a_model(finished: Path, tmp_path: Path) -> None:
    model = str(finished / "model.safetensors")
    setting = RECIPE["optimisation"] | {"steps": 1, "learning_rate": 1e-9, "warm_up": 0}
    train(tmp_path / "run", start=model, optimisation=setting)
    before = load_file(model)
    after = load_file(tmp_path / "run" / "model.safetensors")
    # One all but idle step: the weights are those of the model, and not of the seed.
    weights = [key for key in before if key.endswith("0.weight")]
    assert all(torch.allclose(after[key], before[key], atol=1e-5) for key in weights)


@pytest.mark.usefixtures("translators")
def test_made_images_are_trained_on_beside_the_data(tmp_path: Path) -> None:
    made = {"count": 2, "side": 64, "variety": 1}
    train(tmp_path / "run", made=made)
    card = load_card(tmp_path / "run" / "model.safetensors")
    assert card.training["images"] == 4
    assert card.training["split"]["validation"] == ["sub-2"]
    with pytest.raises(InputError, match="'nowhere'"):
        train(tmp_path / "other", made=made | {"model": "nowhere"})


def test_a_start_of_another_network_is_refused(finished: Path, tmp_path: Path) -> None:
    model = str(finished / "model.safetensors")
    with pytest.raises(InputError, match="cannot start from model"):
        train(tmp_path / "run", start=model, network={"name": "unet", "channels": [4, 8]})


def test_shipped_recipes_are_valid() -> None:
    folder = Path(__file__).parents[2] / "recipes"
    recipes = [load_recipe(path) for path in sorted(folder.glob("*.yaml"))]
    assert {"smoke", "axon-myelin-tem", "axon-myelin-sem"} <= {entry.name for entry in recipes}


def test_crops_depend_on_the_generator_alone() -> None:
    image = torch.rand(60, 80)
    classes = (image > 0.5).to(torch.uint8)

    def crop(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return random_crop(image, classes, 32, Augmentation(), np.random.default_rng(seed))

    (a, b), (c, d), (e, _) = crop(1), crop(1), crop(2)
    assert a.shape == (1, 32, 32)
    assert b.shape == (32, 32)
    assert torch.equal(a, c)
    assert torch.equal(b, d)
    assert not torch.equal(a, e)


def test_crops_keep_image_and_classes_aligned() -> None:
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 1, 12, 12), dtype=np.float32))
    image = torch.nn.functional.interpolate(coarse, (192, 192), mode="bicubic")[0, 0]
    classes = (image > 0.5).to(torch.uint8)
    plain = Augmentation(contrast=0, brightness=0, gamma=0, noise=0, blur=0, shading=0)
    for seed in range(10):
        x, y = random_crop(image, classes, 64, plain, np.random.default_rng(seed))
        assert ((x[0] > 0.5) == (y == 1)).float().mean() > 0.97


@pytest.mark.parametrize("whole_pixels", [True, False])
@pytest.mark.parametrize("corner", [(0, 0), (150, 40), (160, 140)])
def test_crops_of_an_image_that_is_labelled_in_part_are_cut_there(
    corner: tuple[int, int], whole_pixels: bool
) -> None:
    classes = torch.full((200, 180), float(IGNORED))
    classes[corner[0] : corner[0] + 40, corner[1] : corner[1] + 40] = 0
    plane = Plane(torch.rand(200, 180), classes)
    amount = Augmentation(whole_pixels=whole_pixels)
    for side, least in ((32, 0.5), (80, 0.125)):
        for seed in range(10):
            rng = np.random.default_rng(seed)
            _, truth = random_crop(plane.grey, plane.classes, side, amount, rng, plane.known)
            assert (truth == 0).float().mean() > least


def test_crops_of_an_image_that_is_labelled_throughout_are_cut_anywhere() -> None:
    plane = Plane(torch.rand(60, 80), torch.zeros(60, 80))
    for amount in (Augmentation(), Augmentation(whole_pixels=True)):
        for side in (32, 100):
            crops = [
                random_crop(
                    plane.grey, plane.classes, side, amount, np.random.default_rng(3), where
                )
                for where in (None, plane.known)
            ]
            assert torch.equal(crops[0][0], crops[1][0])
    assert Plane(plane.grey, torch.full((60, 80), float(IGNORED))).known == ((0, 60), (0, 80))


def test_soft_dice_of_known_masks() -> None:
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :2] = 1
    half = torch.zeros(1, 1, 4, 4)
    half[..., :1] = 1
    assert soft_dice(truth, truth).item() == pytest.approx(1.0)
    assert soft_dice(half, truth).item() == pytest.approx((2 * 4 + 1) / (4 + 8 + 1))
    assert soft_dice(torch.zeros_like(truth), torch.zeros_like(truth)).item() == 1.0
