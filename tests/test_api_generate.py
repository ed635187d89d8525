from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import napari_axongen
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Progress
from napari_axongen.core.surrogate.original_json import to_original
from napari_axongen.core.surrogate.presets import preset

SMALL = {"preset": "two-photon", "width": 80, "height": 64, "series": {"frames": 3}}


def same(one: Any, other: Any) -> None:
    for name in ("images", "clean_images", "axon_labels", "branch_labels", "bouton_masks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.boutons, other.boutons)


@pytest.mark.parametrize("verb", ["generate", "generate_series"])
def test_a_recipe_makes_the_same_again(verb: str) -> None:
    make = getattr(napari_axongen, verb)
    made = make(SMALL, count=2, seed=5, first=1, device="cpu")
    recipe = made.recipe()
    assert recipe["verb"] == verb
    arguments = {name: recipe[name] for name in ("parameters", "count", "seed", "first")}
    same(getattr(napari_axongen, recipe["verb"])(**arguments), made)


def test_shapes() -> None:
    image = napari_axongen.generate(SMALL, count=2)
    assert image.images.shape == image.axon_masks.shape == (2, 64, 80)
    assert image.transforms is None
    series = napari_axongen.generate_series(SMALL, count=2)
    assert series.images.shape == series.bouton_masks.shape == (2, 3, 64, 80)
    assert series.transforms is not None
    assert series.transforms.shape == (2, 3, 3, 3)


def test_the_default_is_one_image_of_the_original() -> None:
    made = napari_axongen.generate()
    assert made.parameters == preset("original")
    assert made.images.shape == (1, 256, 256)
    same(napari_axongen.generate(to_original(preset("original"))), made)


def test_images_are_counted_from_the_first() -> None:
    three = napari_axongen.generate(SMALL, count=3, seed=2)
    last = napari_axongen.generate(SMALL, seed=2, first=2)
    np.testing.assert_array_equal(three.images[2:], last.images)
    assert set(last.boutons["image"]) == {2}


def test_events_are_told() -> None:
    events: list[Event] = []
    crowded = {**SMALL, "boutons": {"count": 500, "min_distance": 20}}
    napari_axongen.generate(crowded, count=2, on_event=events.append)
    assert any(isinstance(event, Progress) and event.done == event.total == 2 for event in events)
    assert any(isinstance(event, Notice) and "crowded" in event.message for event in events)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": "two-foton"}, "did you mean 'two-photon'"),
        ({"parameters": {"axons": {"count": 501}}}, "'axons.count' is 501"),
        ({"count": 0}, "count is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"first": -1}, "first is -1"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    for verb in (napari_axongen.generate, napari_axongen.generate_series):
        with pytest.raises(InputError, match=message) as error:
            verb(**arguments)
        assert "\n" not in str(error.value)
