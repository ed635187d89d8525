"""The yardstick of the generator's speed must draw the model that it stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.surrogate_reference import draw_axons, reference_image, walk
from scipy.stats import kstest

IMAGES = 30


@pytest.fixture(scope="session")
def original(shared_data: Path) -> dict[str, Any]:
    """Parameters as the original's users have them."""
    return json.loads((shared_data / "surrogate" / "256x256.json").read_text())


@pytest.fixture(scope="session")
def images(original: dict[str, Any]) -> list[tuple[np.ndarray, ...]]:
    return [reference_image(original, np.random.default_rng([1, i])) for i in range(IMAGES)]


def test_masks_and_grey_values_are_as_the_originals(images):
    image, clean, axons, boutons = (np.stack(arrays) for arrays in zip(*images, strict=True))
    for array in (image, clean, axons, boutons):
        assert array.shape == (IMAGES, 256, 256)
        assert array.dtype == np.uint8
    assert set(np.unique(axons)) == set(np.unique(boutons)) == {0, 255}
    assert 0.05 <= (axons > 0).mean() <= 0.07
    assert 0.001 <= (boutons > 0).mean() <= 0.003
    assert 135 <= image.mean() <= 170
    assert 7 <= image.std(axis=(1, 2)).mean() <= 11
    assert abs(np.median(image) - 157) <= 3  # measured on the original


def test_the_clean_image_is_the_same_scene_without_noise(images):
    for image, clean, axons, boutons in images[:10]:
        background = clean.min()
        empty = clean == background
        assert empty.mean() > 0.5  # flat where there is nothing
        assert image[empty].std() > 3
        assert abs(image[empty].mean() - float(background)) < 1.5
        difference = image - clean.astype(float)
        assert abs(difference[(axons > 0) & (boutons == 0)].mean()) < 5
        assert (clean[boutons > 0] > background + 3).mean() > 0.9


def test_the_mask_lies_on_the_image(images):
    """A shift of half a pixel, as the original's blur gave, shows in the correlation."""
    shifts = {(0, 0): 0.0, (1, 0): 0.0, (-1, 0): 0.0, (0, 1): 0.0, (0, -1): 0.0}
    for _, clean, axons, _ in images:
        for shift in shifts:
            moved = np.roll(axons > 0, shift, (0, 1))
            shifts[shift] += clean[moved].mean(dtype=float) / len(images)
    assert max(shifts, key=shifts.__getitem__) == (0, 0)
    for axis in ((1, 0), (0, 1)):
        there, back = shifts[axis], shifts[(-axis[0], -axis[1])]
        drop = shifts[(0, 0)] - (there + back) / 2
        assert abs(there - back) / (4 * drop) < 0.1  # vertex of the parabola, px


def test_bifurcations_are_not_on_the_diagonal(original):
    """Bug B1 kept them within 12 px of it."""
    branches = [
        branch
        for i in range(30)
        for branch in draw_axons(original, np.random.default_rng([2, i])).branches
    ]
    starts = np.array([b.start for b in branches if b.start is not None])
    assert len(starts) == 60  # none was given up
    distance = abs(starts[:, 0] - starts[:, 1]) / np.sqrt(2)
    assert 35 <= np.median(distance) <= 75  # 56 over many images


def test_bifurcations_are_spread_along_the_mother(original):
    places = []
    for i in range(60):
        axons = draw_axons(original | {"crossingOK": 1}, np.random.default_rng([3, i]))
        for mother, daughter in zip(axons.branches[::2], axons.branches[1::2], strict=True):
            assert mother.start is None
            distance = np.hypot(*(mother.samples - daughter.start).T)
            assert distance.min() < 1e-9
            places.append(distance.argmin() / (len(distance) - 1))
    assert kstest(places, "uniform").pvalue > 0.01


def test_the_walk_has_the_variance_of_the_formula(original):
    """Heading after k steps: standard deviation alpha sqrt(k / 3), alpha = acos(conformity)."""
    alpha, count = np.arccos(original["conformity"]), 20
    field = original | {"height": 82, "width": 4001, "NSplinePoints": 1001}
    headings = []
    for i in range(200):
        samples = walk(field, np.random.default_rng([4, i]), (0, 2000), 0.0, alpha)
        steps = np.diff(samples, axis=0)
        length = np.cumsum(np.hypot(*steps.T))
        row, column = steps[np.searchsorted(length, (count - 0.5) * field["StepSize"])]
        headings.append(np.arctan2(column, row))
    assert np.std(headings) == pytest.approx(alpha * np.sqrt(count / 3), rel=0.15)


def test_crowded_and_oblong_fields_end(original):
    crowded = original | {
        "width": 64,
        "height": 48,
        "NSplinePoints": 50,
        "MaxAxons": 9,
        "MinAxons": 9,
        "MinNbBouton": 200,
        "MaxNbBouton": 200,
        "MinNbCircles": 40,
        "MaxNbCircles": 40,
        "MaxGapSize": 0,
        "AxonProfile": "linear",
        "BranchProfile": "constant",
        "negative_image": 1,
    }
    arrays = reference_image(crowded, np.random.default_rng(0))
    assert all(array.shape == (48, 64) for array in arrays)
    assert np.median(arrays[0]) < 128  # a bright background, inverted
