"""What the card of a trained segmenter says: its data, its split, its curves, its scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.classes import AXON_CLASSES, FIBRE_CLASSES, IGNORED
from napari_axongen.core.datasets import LabelledImage, make_fields
from napari_axongen.core.datasets.pair_folder import write_pairs
from napari_axongen.core.errors import InputError
from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import Event, Progress, run
from napari_axongen.core.fluorescence import label_axons
from napari_axongen.core.image import SPARSE
from napari_axongen.core.models import load_card, load_network
from napari_axongen.core.models.card import Card
from napari_axongen.core.parameters import SegmentParameters
from napari_axongen.core.segmentation import class_values, predict_plane
from napari_axongen.core.training import train_steps
from napari_axongen.core.training.presets import starting_recipe
from napari_axongen.core.training.runs import read_run


def fields() -> list[LabelledImage]:
    """Of four animals; of the last a part is unknown."""
    images = make_fields("SEM", 4, 96, seed=3)
    images[3].classes[:40] = IGNORED
    return images


def trained(
    tmp_path: Path, images: Sequence[LabelledImage], classes: Sequence[str], **changes: object
) -> Path:
    preset = "axon-myelin-sem" if len(classes) > 2 else "axon-fluorescence"
    entries = {
        "name": "tiny",
        "network": {"name": "unet", "channels": [4, 6]},
        "data": {
            "source": "folder",
            "root": str(write_pairs(tmp_path / "data", images, classes)),
            "validation": ["sub-2"],
            "test": ["sub-3"],
            "licence": "ours",
        },
        "optimisation": {
            "steps": 24, "batch": 2, "crop": 48, "warm_up": 0, "learning_rate": 0.01, "average": 0.5
        },
        "validate_every": 4,
        **changes,
    }  # fmt: skip
    return run(train_steps(starting_recipe(preset, **entries), tmp_path / "run", device="cpu"))


@pytest.mark.parametrize("keep", ["best", "last"])
def test_of_fibres(tmp_path: Path, keep: str) -> None:
    model = trained(tmp_path, fields(), FIBRE_CLASSES, keep=keep)
    card = load_card(model)
    assert card.training["split"] == {
        "train": ["sub-0", "sub-1"],
        "validation": ["sub-2"],
        "test": ["sub-3"],
    }
    assert card.training["licence"] == "ours"
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [entry["step"] for entry in history] == [4, 8, 12, 16, 20, 24]
    assert card.history == [{k: float(v) for k, v in entry.items()} for entry in history]
    best = [entry for entry in history if "best" in entry][-1]
    kept = best if keep == "best" else history[-1]
    assert card.metrics["validation"] == {k: v for k, v in kept.items() if k.startswith("val_")}

    image, network = fields()[3], load_network(model)[0]
    found = class_values(run(predict_plane(network, image.image, (), scale=1.0)))
    known = image.classes != IGNORED
    for name, value in (("axon", 255), ("myelin", 127)):
        truth = image.classes == FIBRE_CLASSES.index(name)
        expected = dice((found == value)[known], truth[known])
        assert 0 < expected != dice(found == value, truth)
        assert card.metrics["test"][f"dice_{name}"] == pytest.approx(expected, abs=1e-6)


def test_of_fluorescence_the_threshold_is_that_of_validation(tmp_path: Path) -> None:
    images = [
        replace(image, classes=np.where(image.classes == 2, 1, image.classes * (image.classes > 9)))
        for image in fields()
    ]
    model = trained(tmp_path, images, AXON_CLASSES)
    card, network = load_card(model), load_network(model)[0]
    assert card.threshold == card.metrics["validation"]["val_threshold"]
    steps = predict_plane(network, images[3].image, (), scale=1.0, classes=2, greys=SPARSE)
    found, known = run(steps)[0], images[3].classes != IGNORED
    truth = images[3].classes[known] == 1
    assert truth.any()

    mask = label_axons(found, card.threshold, SegmentParameters().min_length) > 0
    assert card.metrics["test"] == {"dice_axon": pytest.approx(dice(mask[known], truth), abs=1e-6)}


def test_scoring_the_test_images_is_told_and_may_be_stopped(tmp_path: Path) -> None:
    recipe = starting_recipe(
        "axon-myelin-sem",
        name="tiny",
        network={"name": "unet", "channels": [4, 6]},
        data={
            "source": "folder",
            "root": str(write_pairs(tmp_path / "data", fields(), FIBRE_CLASSES)),
            "test": ["sub-1", "sub-2", "sub-3"],
        },
        optimisation={"steps": 2, "batch": 1, "crop": 32, "warm_up": 0},
    )
    steps = train_steps(recipe, tmp_path / "run", device="cpu")
    for event in steps:
        if event == Progress(1, 3, "scoring the test images"):
            break
    steps.close()
    assert not read_run(tmp_path / "run").finished
    events: list[Event] = []
    run(train_steps(recipe, tmp_path / "run", True, "cpu"), events.append)
    assert [event for event in events if isinstance(event, Progress)] == [
        Progress(count, 3, "scoring the test images") for count in range(3)
    ]
    assert load_card(tmp_path / "run" / "model.safetensors").metrics["test"]


def test_a_test_image_that_cannot_be_scored_is_said_at_the_beginning(tmp_path: Path) -> None:
    images = fields()
    lost = replace(images[3], image=replace(images[3].image, pixel_size=None))
    with pytest.raises(InputError, match="has no pixel size"):
        trained(tmp_path, [*images[:3], lost], FIBRE_CLASSES, pixel_size=0.1)
    assert not (tmp_path / "run").exists()


def test_a_card_with_a_history_is_read_back() -> None:
    card = Card(
        name="x",
        network={"name": "unet"},
        classes=["background"],
        history=[{"step": 1.0, "loss": float("nan")}],
    )
    again = Card.model_validate_json(card.model_dump_json())
    assert np.isnan(again.history[0]["loss"])
