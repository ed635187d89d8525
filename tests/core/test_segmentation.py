"""Segmentation of arrays of every kind, by the shipped models and by a tiny one."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch

from napari_axongen.core.classes import FIBRE_CLASSES
from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import Partial, Progress, run
from napari_axongen.core.image import Image
from napari_axongen.core.models.card import Card
from napari_axongen.core.models.store import load_network, save_model
from napari_axongen.core.networks import build
from napari_axongen.core.parameters import SegmentParameters
from napari_axongen.core.segmentation import (
    Segmentation,
    class_values,
    predict_plane,
    segment_steps,
)
from napari_axongen.core.surrogate.em_fields import em_field


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """File of a small network with random weights."""
    torch.manual_seed(0)
    arguments = {"name": "unet", "channels": [4, 6, 8]}
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    card = Card(
        name="tiny",
        contrast="TEM",
        network=arguments,
        classes=list(FIBRE_CLASSES),
        pixel_size=0.01,
        axon_diameter=20,
    )
    save_model(path, build(arguments).eval(), card)
    return str(path)


def segment(
    array: np.ndarray, model: str, axes: str | None = None, **parameters: object
) -> tuple[Segmentation, list]:
    events: list = []
    image = Image.from_array(array, axes, pixel_size=0.01)
    chosen = SegmentParameters(model=model, device="cpu", axon_diameter=20, **parameters)
    return run(segment_steps(image, chosen), events.append), events


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 100_000), (100_000, 1), (7, 5), (64, 80), (40, 50, 3), (40, 50, 4)]
)
def test_every_size_and_colour(tiny: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    found, _ = segment(array, tiny)
    assert found.classes().shape == shape[:2]
    assert set(np.unique(found.classes())) <= {0, 127, 255}


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int32, np.float16, np.float64])
def test_the_type_of_the_pixels_does_not_matter(tiny: str, dtype: type) -> None:
    base = np.random.default_rng(1).integers(0, 2, (48, 48))
    expected, _ = segment(base.astype(np.uint8), tiny)
    found, _ = segment(base.astype(dtype), tiny)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_nan_inf_and_constant_images(tiny: str) -> None:
    array = np.random.default_rng(2).random((40, 40)).astype(np.float32)
    array[3, 4], array[5, 6] = np.nan, np.inf
    segment(array, tiny)
    segment(np.full((40, 40), 9.0), tiny)
    with pytest.raises(InputError, match="no finite value"):
        segment(np.full((40, 40), np.nan), tiny)


def test_same_input_same_output_whatever_the_tile(tiny: str) -> None:
    image = Image.from_array(np.random.default_rng(3).random((150, 170)).astype(np.float32))
    network, _, _ = load_network(tiny, choose_device("cpu"))
    once, again, tiled = (
        run(predict_plane(network, image, (), scale=0.7, tile=tile)) for tile in (500, 500, 41)
    )
    np.testing.assert_array_equal(once, again)
    assert np.abs(once.astype(int) - tiled).max() <= 1  # one level of 255: rounding


def test_a_stack_is_done_plane_by_plane_as_its_planes_alone(tiny: str) -> None:
    stack = np.random.default_rng(4).random((2, 3, 40, 44)).astype(np.float32)
    found, events = segment(stack, tiny)
    assert found.probabilities.shape == (2, 2, 3, 40, 44)
    partials = [event for event in events if isinstance(event, Partial)]
    assert [event.plane for event in partials] == list(np.ndindex(2, 3))
    alone, _ = segment(stack[1, 2], tiny)
    np.testing.assert_array_equal(found.probabilities[:, 1, 2], alone.probabilities)
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].done == progress[-1].total
    assert [e.done for e in progress] == sorted(e.done for e in progress)


def test_lazy_arrays_give_what_arrays_give(tiny: str) -> None:
    array = np.random.default_rng(5).integers(0, 65535, (3, 60, 50)).astype(np.uint16)
    expected, _ = segment(array, tiny)
    found, _ = segment(da.from_array(array, chunks=(1, 32, 32)), tiny)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_the_threshold_acts_on_the_probabilities() -> None:
    axon = np.array([[0, 100, 200, 255, 0, 60]], np.uint8)
    myelin = np.array([[0, 100, 20, 0, 255, 61]], np.uint8)
    both = np.stack([axon, myelin])
    assert class_values(both, 0.5).tolist() == [[0, 255, 255, 255, 127, 0]]
    assert class_values(both, 0.9).tolist() == [[0, 0, 0, 255, 127, 0]]
    assert class_values(both, 0.45).tolist() == [[0, 255, 255, 255, 127, 127]]
    assert class_values(both, 1.0).tolist() == [[0, 0, 0, 255, 127, 0]]
    counts = [np.count_nonzero(class_values(both, t)) for t in np.linspace(0, 1, 21)]
    assert counts == sorted(counts, reverse=True)
    assert class_values(both, 0.0)[0, 0] == 0  # nothing at all is never a fibre


def test_the_recipe_says_all_and_is_json(tiny: str) -> None:
    found, _ = segment(np.random.default_rng(6).random((32, 32)), tiny, threshold=0.3)
    recipe = json.loads(json.dumps(found.recipe()))
    assert recipe["verb"] == "segment"
    assert recipe["model"]["name"] == "tiny"
    assert len(recipe["model"]["sha256"]) == 64
    assert recipe["parameters"]["threshold"] == 0.3
    assert recipe["parameters"]["pixel_size"] == 0.01


@pytest.mark.parametrize("contrast", ["tem", "sem"])
def test_the_shipped_models_find_the_fibres_of_a_made_field(contrast: str) -> None:
    field = em_field((512, 512), contrast, seed=21)
    image = Image.from_array(field.image, pixel_size=field.pixel_size)
    found = run(segment_steps(image)).classes()
    assert dice(found == 255, field.classes == 255) > 0.8
    assert dice(found == 127, field.classes == 127) > 0.7


@pytest.mark.parametrize(
    ("name", "folder", "bars"),
    [
        ("axon-myelin-sem", "data_axondeepseg_sem", (0.85, 0.80)),
        ("axon-myelin-tem", "data_axondeepseg_srf_testing", (0.95, 0.90)),
    ],
)
def test_real_micrographs_of_animals_not_trained_on(
    shared_data: Path, name: str, folder: str, bars: tuple[float, float]
) -> None:
    """Guards what docs/accuracy.md shows: the first image of each held-out animal."""
    from napari_axongen.core.datasets import load_bids
    from napari_axongen.core.models.store import load_card

    recipe = load_card(name).training["recipe"]
    labelled = next(
        image
        for image in load_bids(shared_data / folder)
        if image.animal in recipe["data"]["validation"]
    )
    found = run(segment_steps(labelled.image, SegmentParameters(model=name))).classes()
    assert dice(found == 255, labelled.classes == 2) >= bars[0]
    assert dice(found == 127, labelled.classes == 1) >= bars[1]
