"""Parameters found in images: known ones, real ones, and what is no image to match."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Progress, run
from napari_axongen.core.files import read_image
from napari_axongen.core.image import Image
from napari_axongen.core.surrogate import fitting
from napari_axongen.core.surrogate.fitting import KNOBS, apply, first_guess, resized, steady
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.matching import match_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import preset, with_changes
from napari_axongen.core.surrogate.statistics import NAMES, distance, measure, summarise

SIDE = 192
TWO_PHOTON = preset("two-photon")


def known(**values: float) -> np.ndarray:
    """Knobs of a plausible image."""
    usual = {
        "level": 12.0,
        "noise": 6.5,
        "gain": 3.0,
        "width": 4.5,
        "axons": 8.0,
        "signal": 450.0,
        "spread": 0.5,
        "boutons": 12.0,
        "bouton size": 4.0,
        "bouton brightness": 0.2,
        "background variation": 1.0,
    }
    return np.log([{**usual, **values}[knob.name] for knob in KNOBS])


def surrogate(parameters: SurrogateParameters, index: int = 0) -> np.ndarray:
    return run(generate_steps(parameters, 1, 31, index, "cpu")).images[0]


@pytest.fixture(scope="module")
def base() -> SurrogateParameters:
    return steady(TWO_PHOTON, (SIDE, SIDE), 255)


@pytest.fixture(scope="module")
def picture(base: SurrogateParameters) -> Image:
    return Image.from_array(surrogate(apply(base, known())), name="picture")


# ---------------------------------------------------------------- knobs


def test_steady_has_no_chance_per_image() -> None:
    start = with_changes(TWO_PHOTON, {"acquisition.normalise": True, "axons.crossings": False})
    made = steady(start, (100, 200), 4095)
    assert (made.height, made.width, made.max_intensity) == (100, 200, 4095)
    acquisition = type(made.acquisition).model_fields
    assert all(isinstance(getattr(made.acquisition, name), int | float) for name in acquisition)
    assert made.axons.thickness == TWO_PHOTON.axons.thickness  # per branch
    assert made.axons.crossings
    assert made.acquisition.true_width
    assert made.acquisition.additive
    assert not made.acquisition.normalise


@pytest.mark.parametrize(("noise", "offset"), [(8.0, False), (6.0, True), (2.0, True)])
def test_level_and_noise_are_as_the_knobs_say(
    base: SurrogateParameters, noise: float, offset: bool
) -> None:
    found = apply(base, known(noise=noise)).acquisition
    assert (found.offset > 0) == offset  # 3 grey of gain at 12 grey: 6 grey of shot noise
    assert found.background + found.offset == pytest.approx(12)
    assert found.gain * found.background + found.read_noise**2 == pytest.approx(noise**2)


def test_width_is_that_behind_the_optics(base: SurrogateParameters) -> None:
    for width in (1.5, 4.5, 9.0):
        found = apply(base, known(width=width))
        thickness = fitting.median(found, "axons.thickness")
        psf = 2.3548 * found.acquisition.psf_sigma
        assert np.hypot(thickness, psf) == pytest.approx(width, rel=1e-3)


def test_parameters_stay_within_their_bounds(base: SurrogateParameters) -> None:
    for knobs in (fitting.LOW, fitting.HIGH):
        apply(base, knobs)  # or the model would refuse them


def test_larger_image_has_as_many_per_area(base: SurrogateParameters) -> None:
    larger = apply(*resized(base, known(), (2 * SIDE, 2 * SIDE)))
    assert (larger.height, larger.width) == (2 * SIDE, 2 * SIDE)
    assert larger.boutons.count == 48
    assert larger.axons.count == 16  # of twice the length


def test_length_is_that_within_the_image(base: SurrogateParameters) -> None:
    made = run(generate_steps(apply(base, known()), 1, 31, 0, "cpu"))
    total = 0.0
    for line in made.centrelines:
        for first, second in pairwise(line.points.astype(float)):
            if ((first + second) / 2 >= 0).all() and ((first + second) / 2 <= SIDE - 1).all():
                total += math.dist(first, second)
    assert fitting.length(made) == pytest.approx(total, rel=1e-4)
    assert total > SIDE


def test_first_guess(base: SurrogateParameters, picture: Image) -> None:
    guess = dict(
        zip((k.name for k in KNOBS), first_guess(base, measure(picture.read(()))), strict=True)
    )
    truth = dict(zip((k.name for k in KNOBS), known(), strict=True))
    assert guess["level"] == pytest.approx(truth["level"], abs=0.3)
    assert guess["noise"] == pytest.approx(truth["noise"], abs=0.15)
    assert guess["gain"] == pytest.approx(truth["gain"], abs=0.5)


# ---------------------------------------------------------------- the search


def test_known_parameters_are_found(base: SurrogateParameters) -> None:
    truths = [
        {"gain": 2.0, "level": 20.0, "noise": 7.0, "width": 4.0, "axons": 6.0},
        {"gain": 4.0, "level": 10.0, "noise": 6.6, "width": 6.0, "axons": 10.0},
    ]
    errors = []
    for index, values in enumerate(truths):
        image = Image.from_array(surrogate(apply(base, known(**values)), index))
        result = run(match_steps(image, TWO_PHOTON, device="cpu", budget=80))
        found = result.parameters
        light = found.acquisition
        width = np.hypot(fitting.median(found, "axons.thickness"), 2.3548 * light.psf_sigma)
        ratios = (
            light.gain / values["gain"],
            (light.background + light.offset) / values["level"],
            width / values["width"],
            float(found.axons.count) / values["axons"],  # type: ignore[arg-type]
        )
        errors.append(np.abs(np.log(ratios)))
        assert result.distance_after < result.distance_before
    gain, level, width, axons = np.mean(errors, axis=0)
    assert gain < 0.2
    assert level < 0.1
    # A small field with few axons, and a small budget: benchmarks/matching.py has the accuracy.
    assert width < 0.5
    assert axons < 0.7


def test_same_seed_finds_the_same(picture: Image) -> None:
    first, second = (run(match_steps(picture, TWO_PHOTON, 3, "cpu", 48)) for _ in range(2))
    assert first.parameters == second.parameters
    assert first.distance_after == second.distance_after
    other = run(match_steps(picture, TWO_PHOTON, 4, "cpu", 48))
    assert other.parameters != first.parameters


def test_result(picture: Image) -> None:
    events: list[Event] = []
    result = run(match_steps(picture, TWO_PHOTON, 1, "cpu", 40), events.append)
    done = [event.done for event in events if isinstance(event, Progress)]
    assert done == sorted(done)
    assert max(done) == 40
    assert len(done) > 35  # one an image: so often can it be cancelled
    assert [row.name for row in result.table] == list(NAMES)
    real = summarise(picture.read(()))
    np.testing.assert_array_equal([row.real for row in result.table], real)
    after = np.array([row.after for row in result.table])
    assert distance(after, real) == pytest.approx(result.distance_after, rel=0.2)  # medians
    recipe = result.recipe()
    assert recipe["verb"] == "match"
    assert SurrogateParameters(**recipe["parameters"]) == result.parameters
    assert result.parameters.max_intensity == 255


def test_cancel(picture: Image) -> None:
    steps = match_steps(picture, TWO_PHOTON, device="cpu")
    assert isinstance(next(steps), Progress)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.parametrize("budget", [6, 24, 37])
def test_budget_bounds_the_images(
    picture: Image, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    from napari_axongen.core.surrogate import matching

    made = []

    def counting(parameters: SurrogateParameters, count: int, *rest: object) -> object:
        made.append(count)
        return generate_steps(parameters, count, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(matching, "generate_steps", counting)
    run(match_steps(picture, TWO_PHOTON, device="cpu", budget=budget))
    *searched, before, after = made
    assert 6 <= sum(searched) <= budget
    assert (before, after) == (4, 4)


# ---------------------------------------------------------------- images


def test_grey_values_become_whole_numbers(picture: Image) -> None:
    data = picture.read(()) / 1000 - 0.01
    notices: list[Event] = []
    result = run(
        match_steps(Image.from_array(data), TWO_PHOTON, device="cpu", budget=12), notices.append
    )
    assert result.shift == pytest.approx(-0.01)
    assert any("whole numbers" in e.message for e in notices if isinstance(e, Notice))
    assert result.parameters.max_intensity == 65535
    again = (data - result.shift) * result.factor
    np.testing.assert_allclose([row.real for row in result.table], summarise(again), rtol=1e-3)


def test_large_images_are_matched_in_the_middle(picture: Image) -> None:
    data = np.zeros((700, 600), np.uint8)
    data[94:606, 44:556] = np.pad(picture.read(()), ((0, 320), (0, 320)), mode="symmetric")
    notices: list[Event] = []
    result = run(match_steps(Image.from_array(data), TWO_PHOTON, 0, "cpu", 6), notices.append)
    assert (result.parameters.height, result.parameters.width) == (700, 600)
    assert any("middle 512 x 512" in e.message for e in notices if isinstance(e, Notice))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 128, 128), np.uint8), "stack"),
        (np.zeros((128, 128, 3), np.uint8), "colour"),
        (np.zeros((128, 128), np.uint8), "same grey value"),
        (np.full((128, 128), np.nan), "finite"),
        (np.arange(900, dtype=float).reshape(30, 30), "too small"),
    ],
)
def test_images_that_cannot_be_matched(data: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(match_steps(Image.from_array(data), TWO_PHOTON, device="cpu", budget=8))


def test_budget_of_nothing(picture: Image) -> None:
    with pytest.raises(InputError, match="budget is 0"):
        run(match_steps(picture, TWO_PHOTON, budget=0))


def test_real_image_comes_nearer(shared_data: Path) -> None:
    image = read_image(shared_data / "two_photon_axons" / "images" / "01.jpg")
    grey = Image.from_array(image.read(())[128:384, 128:384], name=image.name)
    result = run(match_steps(grey, preset("original"), device="cpu", budget=48))
    assert result.distance_before > 4
    assert result.distance_after < result.distance_before / 2
