"""Finding the model and the scale: what is plausible, and what is said."""

from __future__ import annotations

import numpy as np
import pytest

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, run
from napari_axongen.core.image import Image
from napari_axongen.core.matching import Match, match_model, plausibility, winners
from napari_axongen.core.surrogate.em_fields import em_field

CPU = choose_device("cpu")


def one_hot(classes: np.ndarray, sure: float = 1.0) -> np.ndarray:
    probabilities = np.full((3, *classes.shape), (1 - sure) / 2, dtype=np.float32)
    for k in range(3):
        probabilities[k][classes == k] = sure
    return probabilities


@pytest.fixture(scope="module")
def rings() -> np.ndarray:
    """Nine axons in their sheaths."""
    y, x = np.mgrid[:90, :90] % 30 - 15
    radius = np.hypot(y, x)
    return np.where(radius < 6, 2, np.where(radius < 10, 1, 0))


def test_fibres_are_plausible_and_their_negatives_are_not(rings: np.ndarray) -> None:
    assert plausibility(one_hot(rings)) == pytest.approx(1.0)
    assert plausibility(one_hot(rings, 0.7)) == pytest.approx(0.7, abs=0.01)
    naked = np.where(rings == 1, 0, rings)
    assert plausibility(one_hot(naked)) == 0.0
    half = rings.copy()
    half[:, :45][half[:, :45] == 1] = 0
    assert 0.3 < plausibility(one_hot(half)) < 0.7


def test_the_first_of_classes_that_are_as_probable_wins() -> None:
    probabilities = np.random.default_rng(0).integers(0, 4, (3, 40, 50)).astype(np.float32)
    np.testing.assert_array_equal(winners(probabilities), probabilities.argmax(0))


def test_nothing_found_is_not_plausible(rings: np.ndarray) -> None:
    assert plausibility(one_hot(np.zeros_like(rings))) == 0.0
    few = rings.copy()
    few[30:] = 0
    assert plausibility(one_hot(few)) < plausibility(one_hot(rings))


def match(image: Image, **known: float | str | None) -> tuple[Match, list[str]]:
    events: list = []
    found = run(
        match_model(
            image,
            str(known.get("model", "auto")),
            known.get("pixel_size"),  # type: ignore[arg-type]
            known.get("axon_diameter"),  # type: ignore[arg-type]
            CPU,
        ),
        events.append,
    )
    return found, [event.message for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("contrast", ["tem", "sem"])
def test_contrast_is_found_with_and_without_the_pixel_size(contrast: str) -> None:
    field = em_field((512, 512), contrast, seed=11)
    image = Image.from_array(field.image, pixel_size=field.pixel_size)
    for pixel_size in (field.pixel_size, None):
        found, notices = match(image, pixel_size=pixel_size)
        assert found.card.contrast == contrast.upper()
        assert any(f"{contrast.upper()} contrast" in notice for notice in notices)
        true = field.pixel_size / found.card.pixel_size
        assert 1 / 2 <= found.scale / true <= 2


def test_a_known_pixel_size_sets_the_scale() -> None:
    field = em_field((512, 512), "sem", seed=12)
    image = Image.from_array(field.image, pixel_size=field.pixel_size)
    found, notices = match(image, model="axon-myelin-sem", pixel_size=field.pixel_size)
    assert found.scale == pytest.approx(field.pixel_size / found.card.pixel_size)
    assert any("um per pixel" in notice for notice in notices)


def test_a_pixel_size_that_cannot_be_is_overruled_and_that_is_said() -> None:
    field = em_field((512, 512), "sem", seed=13)
    image = Image.from_array(field.image)
    wrong = field.pixel_size * 16
    found, notices = match(image, model="axon-myelin-sem", pixel_size=wrong)
    true = field.pixel_size / found.card.pixel_size
    assert 1 / 2 <= found.scale / true <= 2
    assert any("have not the size" in notice for notice in notices)


def test_the_users_axon_diameter_comes_first() -> None:
    field = em_field((256, 256), "sem", seed=14)
    image = Image.from_array(field.image)
    found, notices = match(image, model="axon-myelin-sem", pixel_size=0.1, axon_diameter=40.0)
    assert found.scale == pytest.approx(found.card.axon_diameter / 40)
    assert any("as given" in notice for notice in notices)


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="no-such-model"):
        match(Image.from_array(np.zeros((20, 20))), model="no-such-model")


def test_no_model_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_axongen.core.matching.available", lambda: [])
    with pytest.raises(InputError, match="import one"):
        match(Image.from_array(np.zeros((20, 20))))
