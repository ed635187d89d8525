"""What a run may begin with: the weights of a model or of another run, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, run
from napari_axongen.core.models import Card, load_card, load_network, save_model
from napari_axongen.core.networks import build, same
from napari_axongen.core.training import AnyRecipe, train_steps
from napari_axongen.core.training.loop import Task, make_task
from napari_axongen.core.training.presets import begin_with
from napari_axongen.core.training.recipe import DiffusionRecipe, TranslationRecipe
from napari_axongen.core.training.run import Run

STOPPED_AT = 5
TRAINED = {"translator": "generator", "classic": "generator", "denoiser": "network"}
BESIDE = {"translator": ("discriminator", "critic"), "classic": ("discriminator",), "denoiser": ()}
SHIPPED = {"translator": "average", "classic": "generator", "denoiser": "average"}


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, write_bids: Callable[..., Path]
) -> dict[str, Path]:
    return {
        contrast: write_bids(tmp_path_factory.mktemp(contrast), contrast, 96)
        for contrast in ("SEM", "TEM")
    }


@pytest.fixture(scope="module")
def recipe_of(folders: dict[str, Path]) -> Callable[..., Any]:
    """Makes a tiny recipe of a kind of network."""
    tem, sem = (
        {"root": str(folders[name]), "train": ["sub-a"], "validation": ["sub-b"]}
        for name in ("TEM", "SEM")
    )
    common = {
        "name": "tiny",
        "axon_diameter": 12,
        "optimisation": {"steps": 6, "batch": 2, "crop": 32, "warm_up": 1, "learning_rate": 1e-3},
        "validate_every": 2,
        "checkpoint_seconds": 1000,
    }
    gan = {"task": "translation", "source": "TEM", "contrast": "SEM", "data": sem, "sources": tem}
    own: dict[str, dict[str, Any]] = {
        "translator": {
            **gan, "critic": [4, 6], "network": {"name": "translator", "channels": [6, 8]}
        },
        "classic": {**gan, "network": {"name": "classic", "width": 4, "depth": 5}},
        "denoiser": {
            "task": "diffusion",
            "data": {"SEM": sem},
            "augmentation": {"whole_pixels": True},
            "network": {"name": "denoiser", "channels": [6, 8], "spread": 0.4},
        },
    }  # fmt: skip

    def make(kind: str, **changes: Any) -> AnyRecipe:
        model = DiffusionRecipe if kind == "denoiser" else TranslationRecipe
        return model.model_validate({**common, **own[kind], **changes})

    return make


@pytest.fixture(scope="module")
def stopped(
    tmp_path_factory: pytest.TempPathFactory, recipe_of: Callable[..., Any]
) -> Callable[[str], Path]:
    """Folder of a run of a kind of network, after five of its six steps."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("runs") / kind
            steps = train_steps(recipe_of(kind), made[kind], device="cpu")
            while not (isinstance(event := next(steps), Metrics) and event.step == STOPPED_AT):
                pass
            steps.close()
        return made[kind]

    return make


def task_of(recipe: AnyRecipe) -> Task:
    return make_task(recipe, choose_device("cpu"))


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def equal(module: nn.Module, weights: dict[str, Tensor]) -> bool:
    own = module.state_dict()
    return own.keys() == weights.keys() and all(torch.equal(own[k], weights[k]) for k in own)


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("kind", TRAINED)
def test_a_run_goes_on_from_what_another_has_learnt(
    kind: str, stopped: Callable[[str], Path], recipe_of: Callable[..., Any]
) -> None:
    """The network and its average from the best weights; what learns beside it from the last."""
    tensors = load_file(stopped(kind) / "checkpoint.safetensors")
    best = below(tensors, "best/") if kind == "denoiser" else {}
    wanted = best or below(tensors, f"module/{SHIPPED[kind]}/")
    assert wanted
    begun = task_of(begin_with(recipe_of(kind, seed=9), str(stopped(kind))))
    fresh = task_of(recipe_of(kind, seed=9))
    for name in {TRAINED[kind], SHIPPED[kind]}:
        assert equal(begun.modules[name], wanted)
        assert not equal(fresh.modules[name], wanted)
    for name in BESIDE[kind]:
        last = below(tensors, f"module/{name}/")
        assert equal(begun.modules[name], last)
        assert not equal(fresh.modules[name], last)


@pytest.mark.parametrize("kind", TRAINED)
def test_a_model_is_begun_with(
    kind: str, stopped: Callable[[str], Path], recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    """What is trained beside it is no part of a model; the folder of the same run has both."""
    run_folder = tmp_path / "run"
    shutil.copytree(stopped(kind), run_folder)
    model = run(train_steps(recipe_of(kind), run_folder, resume=True, device="cpu"))
    wanted = load_network(model)[0].state_dict()
    tensors = load_file(run_folder / "checkpoint.safetensors")
    fresh = task_of(recipe_of(kind, seed=9)).modules
    for start in (model, run_folder):
        begun = task_of(recipe_of(kind, seed=9, start=str(start)))
        for name in {TRAINED[kind], SHIPPED[kind]}:
            assert equal(begun.modules[name], wanted)
        for name in BESIDE[kind]:
            last = below(tensors, f"module/{name}/")
            assert equal(begun.modules[name], last if start == run_folder else dict(
                fresh[name].state_dict()
            ))  # fmt: skip


def test_a_critic_of_another_size_learns_anew(
    stopped: Callable[[str], Path], recipe_of: Callable[..., Any]
) -> None:
    start = str(stopped("translator"))
    begun = task_of(recipe_of("translator", start=start, critic=[4, 8]))
    fresh = task_of(recipe_of("translator", critic=[4, 8]))
    assert equal(begun.modules["critic"], dict(fresh.modules["critic"].state_dict()))
    assert not equal(
        begun.modules["discriminator"], dict(fresh.modules["discriminator"].state_dict())
    )


@pytest.mark.parametrize("kind", ["translator", "denoiser"])
def test_what_was_begun_with_another_resumes_to_the_bit(
    kind: str,
    stopped: Callable[[str], Path],
    recipe_of: Callable[..., Any],
    check_resumed: Callable[[Any], None],
) -> None:
    check_resumed(recipe_of(kind, start=str(stopped(kind)), seed=4))


def test_what_was_begun_with_is_not_needed_any_more(
    stopped: Callable[[str], Path], recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    """A person who goes on from a run may discard it."""
    start = tmp_path / "start"
    shutil.copytree(stopped("denoiser"), start)
    recipe = recipe_of("denoiser", start=str(start))
    steps = train_steps(recipe, tmp_path / "run", device="cpu")
    while not (isinstance(event := next(steps), Metrics) and event.step == 3):
        pass
    steps.close()
    shutil.rmtree(start)
    model = run(train_steps(recipe, tmp_path / "run", resume=True, device="cpu"))
    assert load_card(model).training["recipe"]["start"] == str(start)
    with pytest.raises(InputError, match="cannot be read"):
        run(train_steps(recipe, tmp_path / "other", device="cpu"))


def test_a_wrong_start_is_said_before_the_data_are_read(recipe_of: Callable[..., Any]) -> None:
    nowhere = {"root": "nowhere", "train": ["sub-a"]}
    with pytest.raises(InputError, match="is for segmentation"):
        task_of(recipe_of("translator", start="axon-myelin-sem", data=nowhere))


@pytest.mark.parametrize("kind", TRAINED)
def test_runs_from_before_recipes_had_a_start_are_still_theirs(
    kind: str, recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    recipe = recipe_of(kind)
    entries = recipe.model_dump(mode="json")
    assert entries.pop("start") is None
    (tmp_path / "recipe.json").write_text(json.dumps(entries))
    task = task_of(recipe)
    Run(task, recipe, tmp_path, resume=True)
    with pytest.raises(InputError, match="another recipe"):
        Run(task, recipe.model_copy(update={"start": "x"}), tmp_path, resume=True)


# ---------------------------------------------------------------- recipes, refusals


@pytest.mark.parametrize("kind", TRAINED)
def test_network_and_scale_follow_and_the_rate_goes_down(
    kind: str, stopped: Callable[[str], Path], recipe_of: Callable[..., Any]
) -> None:
    network = {**recipe_of(kind).network, "x": 1}
    other = recipe_of(kind, network=network, axon_diameter=30)
    begun = begin_with(other, str(stopped(kind)))
    assert begun.start == str(stopped(kind))
    assert (begun.network, begun.axon_diameter) == (recipe_of(kind).network, 12)
    assert begun.optimisation.learning_rate == pytest.approx(1e-4)
    assert begun.data == other.data


@pytest.mark.parametrize(
    ("kind", "start", "said"),
    [
        ("translator", "axon-myelin-sem", "is for segmentation; begin with a translator, or"),
        ("translator", "tem-sem", "is for diffusion; begin with a translator, or with none"),
        ("translator", "sem-to-tem", "makes TEM images of SEM ones; begin with a translator that "
                                     "makes SEM images of TEM ones, or with none"),
        ("denoiser", "tem-to-sem", "is for translation; begin with a denoiser, or with none"),
        ("denoiser", "nowhere", "There is no model 'nowhere'"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("denoiser")
def test_another_task_or_direction_is_refused(
    kind: str, start: str, said: str, recipe_of: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match=said):
        begin_with(recipe_of(kind), start)
    with pytest.raises(InputError, match=said):
        task_of(recipe_of(kind, start=start))


def test_another_network_is_refused(
    stopped: Callable[[str], Path], recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    """Weights that would fit, but mean something else, are no start either."""
    start = str(stopped("denoiser"))
    for change in ({"channels": [6, 10]}, {"objective": "noise"}, {"spread": 0.5}):
        network = {**recipe_of("denoiser").network, **change}
        with pytest.raises(InputError, match=r"cannot start from model .*write there 'network: {"):
            task_of(recipe_of("denoiser", start=start, network=network))
    told_nothing = {"name": "classic-denoiser", "width": 4, "told": 8}
    card = Card(name="old", task="diffusion", network=told_nothing, classes=["background"])
    save_model(tmp_path / "old.safetensors", build(told_nothing), card)
    with pytest.raises(
        InputError, match="network 'classic-denoiser'; begin with a denoiser network, or with none"
    ):
        begin_with(recipe_of("denoiser"), str(tmp_path / "old.safetensors"))
    crops = recipe_of("denoiser").optimisation.model_copy(update={"crop": 64})
    alike = recipe_of("denoiser", network=told_nothing, optimisation=crops)
    assert begin_with(alike, str(tmp_path / "old.safetensors")).network == told_nothing


def test_a_generator_that_is_meant_for_no_source_fits_any(
    recipe_of: Callable[..., Any], tmp_path: Path
) -> None:
    """As one that was imported from the reference: of masks alone."""
    recipe = recipe_of("classic")
    for contrast in ("SEM", "TEM"):
        card = Card(name=contrast, task="translation", contrast=contrast, network=recipe.network,
                    classes=["background", "myelin", "axon"], axon_diameter=20)  # fmt: skip
        save_model(tmp_path / f"{contrast}.safetensors", build(recipe.network), card)
    assert begin_with(recipe, str(tmp_path / "SEM.safetensors")).axon_diameter == 20
    with pytest.raises(InputError, match="makes TEM images; begin with"):
        begin_with(recipe, str(tmp_path / "TEM.safetensors"))


def test_networks_are_the_same_whatever_is_left_out() -> None:
    short = {"name": "denoiser", "channels": [4, 6]}
    assert same(short, {**short, "objective": "velocity", "spread": 1, "in_channels": 6})
    assert same({"name": "classic"}, {"name": "classic", "value_range": [-1, 1]})
    assert not same(short, {**short, "objective": "flow"})
    assert not same(short, {**short, "channels": [4, 8]})
    assert not same({"name": "unet"}, {"name": "nano"})
