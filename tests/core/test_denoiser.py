"""The denoiser: what it looks at, what it is told, how it is trained; its recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_axongen.core.conditioning import to_output
from napari_axongen.core.datasets import augment
from napari_axongen.core.datasets.augment import Augmentation, random_crop
from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Samples, run
from napari_axongen.core.models.store import load_network
from napari_axongen.core.networks import DOMAINS, Denoiser, build
from napari_axongen.core.training import DiffusionRecipe, load_recipe, train_steps
from napari_axongen.core.training.denoiser import DiffusionTask
from napari_axongen.core.training.planes import Plane
from napari_axongen.core.training.showing import SIDE

RECIPES = Path(__file__).parents[2] / "recipes"
TEM, SEM = (torch.tensor([DOMAINS.index(name)]) for name in ("TEM", "SEM"))
HALF = torch.tensor([0.5])


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_receptive_radius_is_what_gradients_show(
    make_denoiser: Callable[..., Denoiser], levels: int
) -> None:
    """From every pixel of a stride, whichever way leads furthest."""
    network = make_denoiser(channels=[2] * levels, in_channels=1)
    assert network.stride == 2**levels
    side = (2 * network.receptive_radius // network.stride + 4) * network.stride
    middle = side // 2 // network.stride * network.stride
    reach = 0
    x = torch.randn(1, 1, side, side)
    for phase in range(network.stride):
        pixel = middle + phase
        x.grad = None
        network(x.requires_grad_(), HALF, TEM)[0, 0, pixel, pixel].backward()
        assert x.grad is not None
        touched = x.grad[0, 0].abs().sum(0).nonzero().ravel()
        reach = max(reach, pixel - int(touched.min()), int(touched.max()) - pixel)
    assert reach == network.receptive_radius


def test_all_that_it_is_told_counts(make_denoiser: Callable[..., Denoiser]) -> None:
    network = make_denoiser()
    x = torch.randn(1, 6, 16, 24)
    made = network(x, HALF, TEM)
    assert made.shape == (1, 1, 16, 24)
    for channel in range(6):
        other = x.clone()
        other[:, channel] += 1
        assert (network(other, HALF, TEM) - made).abs().mean() > 1e-3
    assert (network(x, HALF, SEM) - made).abs().mean() > 1e-3
    levels = [network(x, torch.tensor([level]), TEM) for level in (0.001, 0.002, 0.999, 1.0)]
    for one, other in pairwise(levels):
        assert (one - other).abs().mean() > 1e-4


def test_each_of_a_batch_is_told_by_itself(make_denoiser: Callable[..., Denoiser]) -> None:
    network = make_denoiser()
    x = torch.randn(2, 6, 16, 16)
    levels, domains = torch.tensor([0.2, 0.9]), torch.tensor([1, 2])
    both = network(x, levels, domains)
    for index in range(2):
        part = slice(index, index + 1)
        alone = network(x[part], levels[part], domains[part])
        torch.testing.assert_close(both[part], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"channels": []}, "at least one level"),
        ({"channels": [4, 0]}, "at least one channel"),
        ({"channels": [4], "spread": 0}, "spread is positive"),
        ({"channels": [4], "objective": "image"}, "velocity, flow or noise"),
        ({"channels": [4], "heads": 2}, "does not take"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build({"name": "denoiser", **arguments})


# ---------------------------------------------------------------- training it


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, write_bids: Callable[..., Path]
) -> dict[str, Path]:
    return {
        contrast: write_bids(tmp_path_factory.mktemp(contrast), contrast, 128)
        for contrast in ("SEM", "TEM")
    }


def recipe(folders: dict[str, Path], **changes: object) -> DiffusionRecipe:
    setting = {"steps": 6, "batch": 2, "crop": 32, "warm_up": 1, "learning_rate": 1e-3}
    data = {
        name: {"root": str(root), "train": ["sub-a"], "validation": ["sub-b"], "licence": "ours"}
        for name, root in folders.items()
    }
    return DiffusionRecipe.model_validate(
        {
            "name": "tiny",
            "task": "diffusion",
            "network": {"name": "denoiser", "channels": [6, 8], "spread": 0.4},
            "axon_diameter": 12,
            "data": data,
            "augmentation": {"whole_pixels": True},
            "optimisation": setting,
            "validate_every": 3,
            "checkpoint_seconds": 0.001,
        }
        | changes
    )


def test_a_run_leaves_a_model_with_its_card(folders: dict[str, Path], tmp_path: Path) -> None:
    path = run(train_steps(recipe(folders), tmp_path, device="cpu"))
    network, card, _ = load_network(path)
    assert isinstance(network, Denoiser)
    assert (card.task, card.axon_diameter) == ("diffusion", 12)
    assert set(card.looks) == {"TEM", "SEM"}
    for looks in card.looks.values():
        assert 0 <= looks.grey_range[0] < looks.grey_range[1] <= 255
        assert list(looks.quantiles) == sorted(looks.quantiles)
        assert -0.5 <= looks.quantiles[0] < 0.2 < 0.8 < looks.quantiles[-1] <= 1.5
    assert card.looks["TEM"] != card.looks["SEM"]
    assert set(card.metrics["validation"]) == {"val_loss_TEM", "val_loss_SEM"}
    assert card.training["licence"] == ["ours"]


def test_a_resumed_run_equals_an_uninterrupted_one(
    folders: dict[str, Path], check_resumed: Callable[[Any], None]
) -> None:
    check_resumed(recipe(folders))


def test_tiles_of_held_out_images_are_shown_as_they_are_restored(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """The same tiles under the same noise, of each microscope in turn; what is made of them not."""
    events: list[Event] = []
    setting = {"steps": 30, "batch": 2, "crop": 32, "warm_up": 1, "learning_rate": 1e-2}
    told = recipe(folders, optimisation=setting, validate_every=15)
    run(train_steps(told, tmp_path, device="cpu"), events.append)
    first, last = (event for event in events if isinstance(event, Samples))
    assert first.titles == ("image", "mask", "noised", "restored")
    assert first.tiles.shape == (2, 4, SIDE, SIDE, 3)
    assert np.array_equal(first.tiles[:, :3], last.tiles[:, :3])
    assert (first.tiles[:, 3] != last.tiles[:, 3]).any()
    task = DiffusionTask(told, choose_device("cpu"))
    for name, (image, mask, noised, restored) in zip(("SEM", "TEM"), last.tiles, strict=True):
        height, width = task.data[name].held_out[0].classes.shape
        rows, columns = slice(height // 4 * 4), slice(width // 4 * 4)
        grey = task.data[name].held_out[0].grey[rows, columns].numpy()
        assert np.abs(image[rows, columns, 0] - 255 * grey.clip(0, 1)).max() <= 0.5001
        assert {tuple(colour) for colour in mask[rows, columns].reshape(-1, 3)} == {
            (0, 0, 0), (255, 90, 77), (63, 140, 255)
        }  # fmt: skip
        before, after = (
            np.abs(x[rows, columns].astype(float) - image[rows, columns]).mean()
            for x in (noised, restored)
        )
        assert after < 0.85 * before


def test_a_tile_is_one_call_told_its_mask_and_its_microscope(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is shown is its image: of a network that knows the noise, the image itself."""
    task = DiffusionTask(recipe(folders), choose_device("cpu"))
    network, process = task.average, task.process
    calls: list[tuple[Tensor, ...]] = []

    def knowing(x: Tensor, level: Tensor, domain: Tensor) -> Tensor:
        calls.append((x, level, domain))
        plane = task.data[DOMAINS[int(domain)]].held_out[0]
        image = to_output(plane.grey[None, None, : x.shape[2], : x.shape[3]])
        image = (image - network.centre) / network.spread
        nothing, one = torch.zeros_like(image), torch.ones_like(image)
        noise = x[:, -1:] - process.noised(image, nothing, level)
        noise /= process.noised(nothing, one, level)
        return process.target(image, noise, level)

    monkeypatch.setattr(network, "forward", knowing)
    state = torch.get_rng_state()
    tiles = task.samples()
    assert tiles is not None
    image, _, noised, restored = tiles.astype(int).swapaxes(0, 1)
    assert np.abs(restored - image).max() <= 1
    assert np.abs(noised - image).max() > 100
    assert torch.equal(torch.get_rng_state(), state)
    assert [DOMAINS[int(domain)] for _, _, domain in calls] == ["SEM", "TEM"]
    for x, level, _ in calls:
        assert level.item() == pytest.approx(0.5)
        assert (x[:, :3].sum(1) == 1).all()
        assert not x[:, 3:5].any()
    plane = task.data["SEM"].held_out[0]
    small = Plane(plane.grey[:3], plane.classes[:3])  # less than the network's stride
    task.data = {"SEM": replace(task.data["SEM"], held_out=[small])}
    assert task.samples() is None


def test_it_learns_to_tell_image_from_noise(folders: dict[str, Path]) -> None:
    setting = {"steps": 400, "batch": 4, "crop": 32, "warm_up": 1, "learning_rate": 5e-3}
    task = DiffusionTask(recipe(folders, optimisation=setting), choose_device("cpu"))
    held_out, before = task.validate(), task.step(0)["loss"]
    for step in range(1, 130):
        task.step(step)
    assert task.step(0)["loss"] < 0.75 * before  # the same crops and noise again
    assert all(loss < 0.8 * held_out[name] for name, loss in task.validate().items())


def test_every_image_of_a_step_is_told_by_chance(folders: dict[str, Path]) -> None:
    """Either contrast in turn; mask, structure and microscope are left out as often as asked."""
    odds = {"both": 0, "mask": 1, "structure": 1, "nothing": 2, "domain": 0.25}
    setting = {"steps": 1, "batch": 400, "crop": 16}
    wanted = recipe(folders, conditions=odds, optimisation=setting)
    images, told, domains = DiffusionTask(wanted, choose_device("cpu"))._batch(
        np.random.default_rng(0)
    )
    assert images.shape == (400, 1, 16, 16)
    assert told.shape == (400, 5, 16, 16)
    assert images.abs().max() <= 1
    mask, structure = (part.abs().sum((1, 2, 3)) > 0 for part in (told[:, :3], told[:, 3:]))
    assert not (mask & structure).any()
    assert mask.float().mean() == pytest.approx(0.25, abs=0.07)
    assert structure.float().mean() == pytest.approx(0.25, abs=0.07)
    assert (domains == 0).float().mean() == pytest.approx(0.25, abs=0.07)
    names = [DOMAINS[int(domain)] for domain in domains]
    assert set(names[::2]) == {"none", "SEM"}
    assert set(names[1::2]) == {"none", "TEM"}


def test_what_cannot_be_trained_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    def refused(said: str, **changes: object) -> None:
        with pytest.raises(InputError, match=said):
            run(train_steps(recipe(folders, **changes), tmp_path, device="cpu"))

    refused("'tiny': network 'unet' is no denoiser", network={"name": "unet", "channels": [4]})
    refused("'tiny': .*objective is velocity", network={"name": "denoiser", "channels": [4],
                                                        "objective": "image"})  # fmt: skip
    refused("crops of 30 px are no multiple of the 4 px", optimisation={"steps": 1, "crop": 30})
    data = {"SEM": {"root": str(folders["SEM"]), "train": ["sub-a", "sub-x"]}}
    refused("has no animal sub-x", data=data)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("data: {LM: {root: x, train: [a]}}", r"'data\.LM"),
        ("data: {}", "'data'"),
        ("conditions: {domain: 2}", r"'conditions\.domain'"),
        ("conditions: {nothing: -1}", r"'conditions\.nothing'"),
        ("axon_diameter: 0", "'axon_diameter'"),
        ("losses: {grey: 1}", "'losses'"),
    ],
)
def test_a_wrong_entry_of_a_recipe_is_named(tmp_path: Path, entry: str, said: str) -> None:
    good = (RECIPES / "tem-sem-diffusion.yaml").read_text(encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    name = entry.split(":")[0]
    lines = good.splitlines(keepends=True)
    if f"{name}:" in good:  # the wrong one in place of the right one, and of what belongs to it
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{name}:"))
        stop = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith(" "))
        del lines[start:stop]
    path.write_text("".join(lines) + entry + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load_recipe(path)


def test_the_shipped_recipe_is_valid_and_keeps_the_test_animals_back() -> None:
    loaded = load_recipe(RECIPES / "tem-sem-diffusion.yaml")
    assert isinstance(loaded, DiffusionRecipe)
    assert isinstance(build(loaded.network), Denoiser)
    seen = {a for animals in loaded.data.values() for a in (*animals.train, *animals.validation)}
    assert not {"sub-rat3", "sub-rat4", "sub-373C", "sub-374"} & seen


# ---------------------------------------------------------------- its crops


def test_crops_of_whole_pixels_are_exact_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned and mirrored, nothing in between: noise learnt from blurred crops would be blurred."""
    monkeypatch.setattr(augment, "vary_greys", lambda x, *_: x)  # greys are another matter
    rng = np.random.default_rng(3)
    image = torch.arange(40 * 50, dtype=torch.float32).view(40, 50)  # each says where it lies
    classes = torch.from_numpy(rng.integers(0, 3, (40, 50)).astype(np.float32))
    amount, ways = Augmentation(whole_pixels=True), set()
    for seed in range(60):
        x, truth = random_crop(image, classes, 16, amount, np.random.default_rng(seed))
        rows, columns = np.divmod(x[0].numpy().astype(int), 50)
        assert np.array_equal(truth.numpy(), classes.numpy()[rows, columns])
        assert np.ptp(rows) == np.ptp(columns) == 15
        steps = [np.unique(np.diff(places, axis=axis)) for places in (rows, columns)
                 for axis in (0, 1)]  # fmt: skip
        assert all(len(step) == 1 for step in steps)
        ways.add(tuple(int(step[0]) for step in steps))
    assert len(ways) == 8  # four turns, mirrored or not


def test_small_images_are_reflected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "vary_greys", lambda x, *_: x)
    image = torch.arange(12 * 20, dtype=torch.float32).view(12, 20)
    x, _ = random_crop(
        image, image % 3, 40, Augmentation(whole_pixels=True), np.random.default_rng(1)
    )
    assert x.shape == (1, 40, 40)
    assert set(x.ravel().tolist()) <= set(image.ravel().tolist())
