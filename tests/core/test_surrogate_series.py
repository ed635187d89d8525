"""Time series: frames, masks and truth move together; boutons come, change and go."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import affine_transform
from scipy.stats import binomtest, chisquare, kstest

from napari_axongen.core.events import run
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import with_changes
from napari_axongen.core.surrogate.truth import Surrogates

CHANCE = 1e-3  # of a sound model to fail; the seeds are fixed, so it does not
HALF_WIDTH = 2.7
TINY = with_changes(  # for the truth alone
    SurrogateParameters(),
    {
        "width": 96,
        "height": 96,
        "axons.count": 2,
        "axons.crossings": True,
        "boutons.count": 15,
        "boutons.min_distance": 0,
        "cells.count": 0,
    },
)

pytestmark = pytest.mark.usefixtures("loops")
STILL = {"series.row_shift": 1, "series.column_shift": 1, "series.max_rotation": 0}
IN_PROPORTION = {  # grey values in proportion to light
    "max_intensity": 65535,
    "acquisition.normalise": False,
    "acquisition.signal": 60000,
    "acquisition.background": 0,
    "acquisition.background_variation": 0,
    "acquisition.read_noise": 0,
}


def made(parameters: SurrogateParameters, count: int, seed: int = 0, **changes: Any) -> Surrogates:
    parameters = with_changes(parameters, changes.pop("changes", {}) | changes)
    return run(generate_steps(parameters, count, seed, device="cpu", series=True))


@cache
def moving() -> Surrogates:
    """Series whose height is not their width."""
    changes = {"height": 112, "width": 160, "axons.thickness": 3.0, "boutons.count": 10}
    return made(SurrogateParameters(), 12, changes=changes)


@cache
def many(frames: int) -> Surrogates:
    """Truth of many boutons."""
    return made(TINY, 100, changes={"series.frames": frames})


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def back(frame: np.ndarray, matrix: np.ndarray, first: np.ndarray) -> np.ndarray:
    """A frame as it would look where the first one looks."""
    between = matrix @ np.linalg.inv(first)  # of the first to this one
    return affine_transform(frame.astype(float), between[:2, :2], between[:2, 2], order=1)


# ------------------------------------------------------------ frames


def test_shapes() -> None:
    result = moving()
    for name in ("images", "clean_images", "axon_masks", "bouton_masks", "axon_labels"):
        assert getattr(result, name).shape == (12, 6, 112, 160)
    assert result.transforms is not None
    assert result.transforms.shape == (12, 6, 3, 3)
    one = made(SurrogateParameters(), 1, changes={"series.frames": 1})
    assert one.images.shape == (1, 1, 256, 256)
    assert (one.boutons["last_frame"] == 0).all()


def test_frames_are_turned_and_shifted_by_whole_steps() -> None:
    matrices = many(6).transforms
    assert matrices is not None
    linear = matrices[..., :2, :2]
    assert np.allclose(linear @ np.swapaxes(linear, -1, -2), np.eye(2))
    assert np.allclose(np.linalg.det(linear), 1)
    angles = np.degrees(np.arctan2(linear[..., 1, 0], linear[..., 0, 0]))
    assert (angles[:, 0] == 0).all()
    numbers, times = np.unique(np.rint(angles[:, 1:]), return_counts=True)
    assert angles == pytest.approx(np.rint(angles), abs=1e-9)
    assert numbers.tolist() == list(range(-4, 5))
    assert chisquare(times).pvalue > CHANCE
    # the first frame is not turned: what it is shifted by is 20 whole numbers, each as likely
    shifts = matrices[:, 0, :2, 2]
    for axis in (0, 1):
        numbers = -shifts[:, axis] - (-shifts[:, axis]).min()
        assert np.array_equal(numbers, np.rint(numbers))
        assert 16 <= numbers.max() <= 19
        assert kstest((numbers + 0.5) / 20, "uniform").pvalue > CHANCE / 10


def test_centrelines_lie_in_the_mask_of_each_frame() -> None:
    """B2: in the original each mask was the first frame's."""
    result = moving()
    assert result.transforms is not None
    tested: list[bool] = []
    for number, t in np.ndindex(12, 6):
        lines = [line for line in result.centrelines if line.image == number]
        labels = result.branch_labels[number, t]
        for line in lines:
            at = np.rint(moved(result.transforms[number, t], line.points)).astype(int)
            at = at[((at >= 0) & (at < labels.shape)).all(1)]
            found = labels[at[:, 0], at[:, 1]]
            assert (found > 0).all()
            tested += (found == line.branch).tolist()
    assert len(tested) > 5000
    assert np.mean(tested) > 0.9  # but where branches leave one another


def test_masks_are_where_the_moved_centrelines_are_near() -> None:
    result = moving()
    assert result.transforms is not None
    pixels = np.stack(np.mgrid[:112, :160], axis=-1).reshape(-1, 1, 2).astype(float)
    for number, t in ((0, 0), (1, 3), (2, 5)):
        away = np.full(len(pixels), np.inf)
        for line in result.centrelines:
            if line.image == number:
                points = moved(result.transforms[number, t], line.points.astype(float))
                start, steps = points[:-1], np.diff(points, axis=0)
                off = pixels - start
                place = np.clip((off * steps).sum(-1) / (steps**2).sum(-1), 0, 1)
                off -= place[..., None] * steps
                away = np.minimum(away, np.sqrt((off**2).sum(-1)).min(-1))
        mask = result.axon_masks[number, t].ravel() > 0
        assert mask[away < HALF_WIDTH - 0.02].all()
        assert not mask[away > HALF_WIDTH + 0.02].any()


@pytest.mark.parametrize("what", ["axons", "cells"])
def test_images_move_by_the_transforms(what: str) -> None:
    """B2, and cells that stood still in the original."""
    other = {"axons": {"cells.count": 0}, "cells": {"axons.count": 0}}[what]
    changes = {"boutons.count": 0, "height": 128, "width": 160, **IN_PROPORTION, **other}
    result = made(SurrogateParameters(), 5, changes=changes)
    assert result.transforms is not None
    inner = np.s_[25:-25, 25:-25]
    put_back, as_is = [], []
    for frames, matrices in zip(result.clean_images, result.transforms, strict=True):
        for frame, matrix in zip(frames[1:], matrices[1:], strict=True):
            again = back(frame, matrix, matrices[0])
            for found, image in ((put_back, again), (as_is, frame)):
                found.append(np.corrcoef(image[inner].ravel(), frames[0][inner].ravel())[0, 1])
    assert np.median(put_back) > 0.95
    assert min(put_back) > 0.85
    assert np.median(as_is) < 0.7


def test_nothing_moves_without_shift_and_rotation() -> None:
    result = made(SurrogateParameters(), 2, changes={**STILL, "boutons.count": 0})
    assert (result.transforms == np.eye(3)).all()
    for name in ("clean_images", "axon_labels", "branch_labels"):
        frames = getattr(result, name)
        assert (frames == frames[:, :1]).all()


def test_noise_is_drawn_anew_in_each_frame() -> None:
    still = {**STILL, "boutons.count": 0, "cells.count": 0, "axons.noise": 0}
    for read, most in ((10, 0.06), (0, 0.35)):  # with little of the background, and it alone
        changes = {**still, "acquisition.read_noise": read}
        result = made(SurrogateParameters(), 4, changes=changes)
        for series in result.images.astype(float) - result.clean_images:
            assert series.std() > 1
            r = np.corrcoef(series.reshape(6, -1))[np.triu_indices(6, 1)]
            assert abs(r).max() < most


def test_texture_is_drawn_anew_in_each_frame() -> None:
    changes = {**STILL, **IN_PROPORTION, "boutons.count": 0, "cells.count": 0}
    result = made(SurrogateParameters(), 4, changes=changes)
    noise = result.images.astype(float) - result.clean_images
    for series, light in zip(noise, result.clean_images, strict=True):
        r = np.corrcoef(series[:, light[0] > 0])[np.triu_indices(6, 1)]
        assert abs(r).max() < 0.08


def test_negative_series() -> None:
    positive = made(TINY, 3)
    negative = made(TINY, 3, negative=True)  # B8
    assert np.array_equal(negative.images, 255 - positive.images)
    assert np.array_equal(negative.axon_masks, positive.axon_masks)


def test_a_series_has_one_scale() -> None:
    """The brightest pixel of all frames is the greatest grey value: no flicker."""
    result = made(TINY, 20, changes={"boutons.count": 3})
    greatest = result.images.max((2, 3)).astype(int)
    assert (greatest.max(1) >= 254).all()
    assert (greatest.min(1) < 250).any()
    # the background is the same in all of them
    level = np.median(result.images, axis=(2, 3))
    assert np.ptp(level, axis=1).max() <= 4


@pytest.mark.parametrize("bleaching", [0.1, 0.5])
def test_bleaching(bleaching: float) -> None:
    quiet = {**STILL, **IN_PROPORTION, "boutons.count": 0, "series.bleaching": bleaching}
    result = made(SurrogateParameters(), 3, changes={**quiet, "cells.count": 4})
    light = result.clean_images.sum((2, 3)).astype(float)
    expected = (1 - bleaching) ** np.arange(6)
    assert light / light[:, :1] == pytest.approx(np.tile(expected, (3, 1)), rel=0.01)


# ------------------------------------------------------------ boutons in time


def test_appearance() -> None:
    """In the first frame by 0.3, else in any of the others alike (B7)."""
    boutons = many(6).boutons
    first = np.bincount(boutons["first_frame"], minlength=6)
    assert len(first) == 6
    expected = len(boutons) * np.array([0.3, *[0.14] * 5])
    assert len(boutons) > 1000
    assert chisquare(first, expected).pvalue > CHANCE
    for p in (0.0, 1.0):
        again = made(TINY, 5, changes={"series.first_frame": p}).boutons
        assert ((again["first_frame"] == 0) == bool(p)).all()


def test_the_first_bouton_is_one_as_the_others() -> None:
    """B7: in the original it always appeared in the last frame."""
    first = many(6).boutons[many(6).boutons["bouton"] == 1]["first_frame"]
    assert len(first) == 100
    times = np.bincount(first, minlength=6)
    assert binomtest(int(times[0]), 100, 0.3).pvalue > CHANCE
    assert binomtest(int(times[5]), 100, 0.14).pvalue > CHANCE


@pytest.mark.parametrize("frames", [6, 9])
def test_durations(frames: int) -> None:
    """To the end with three frames left or fewer, else any number of at least two."""
    boutons = many(frames).boutons
    rest = frames - boutons["first_frame"]
    duration = boutons["last_frame"] - boutons["first_frame"] + 1
    for left in range(1, frames + 1):
        mine = duration[rest == left]
        assert len(mine) > 50
        if left <= 3:
            assert (mine == left).all()
        else:
            times = np.bincount(mine, minlength=left + 1)
            assert not times[:2].any()
            assert chisquare(times[2:]).pvalue > CHANCE


def test_tracks_are_those_of_the_boutons() -> None:
    result = moving()
    assert result.transforms is not None
    seen = 0
    for bouton in result.boutons:
        image, number = bouton["image"], bouton["bouton"]
        tracks = result.tracks
        track = tracks[(tracks["image"] == image) & (tracks["bouton"] == number)]
        frames = track["frame"]
        assert frames.tolist() == list(range(bouton["first_frame"], bouton["last_frame"] + 1))
        assert track["amplitude"][0] == pytest.approx(bouton["amplitude"])
        here = np.array([bouton["row"], bouton["column"]], dtype=float)
        for one in track:
            at = moved(result.transforms[image, one["frame"]], here)
            assert [one["row"], one["column"]] == pytest.approx(at, abs=1e-3)
            assert (at >= -1e-3).all()
            assert (at <= [111 + 1e-3, 159 + 1e-3]).all()
            row, column = np.rint(at).astype(int)
            assert result.bouton_masks[image, one["frame"], row, column] == 255
        seen += len(track)
    assert seen == len(result.tracks)
    assert (result.bouton_masks.any((2, 3)).sum()) > 40


def test_bouton_masks_are_those_of_boutons_that_are_there() -> None:
    result = moving()
    points = np.stack(np.mgrid[:112, :160], axis=-1).astype(float)
    radii = {(b["image"], b["bouton"]): float(b["radius"]) for b in result.boutons}
    for number, t in ((0, 0), (1, 2), (2, 5), (3, 4)):
        tracks = result.tracks
        here = tracks[(tracks["image"] == number) & (tracks["frame"] == t)]
        inside = np.full((112, 160), np.inf)
        for one in here:
            away = np.linalg.norm(points - [one["row"], one["column"]], axis=-1)
            inside = np.minimum(inside, away - radii[number, one["bouton"]])
        mask = result.bouton_masks[number, t] > 0
        assert mask[inside < -2e-3].all()
        assert not mask[inside > 2e-3].any()


def test_boutons_brighten_or_fade_all_the_while() -> None:
    """B15: straight from the first frame to the last, either way, within the distribution."""
    result = many(6)
    low, high = 0.31, 0.39
    rising, ends, number = 0, [], 0
    for bouton in result.boutons:
        tracks = result.tracks[result.tracks["image"] == bouton["image"]]
        course = tracks[tracks["bouton"] == bouton["bouton"]]["amplitude"].astype(float)
        assert len(course) == bouton["last_frame"] - bouton["first_frame"] + 1
        if len(course) < 2:
            continue
        assert course == pytest.approx(np.linspace(course[0], course[-1], len(course)), abs=1e-6)
        up = course[-1] > course[0]
        rising += up
        number += 1
        ends.append((course[-1] - course[0]) / ((high if up else low) - course[0]))
    assert binomtest(rising, number).pvalue > CHANCE
    assert kstest(ends, "uniform").pvalue > CHANCE
    first = [bouton["amplitude"] for bouton in result.boutons]
    assert kstest(first, "uniform", (low, high - low)).pvalue > CHANCE


def test_images_show_boutons_while_they_are_there() -> None:
    changes = {**STILL, **IN_PROPORTION, "axons.brightness": 0, "cells.count": 0}
    noise = {"boutons.noise": 0, "boutons.terminal": 0, "boutons.min_distance": 12}
    result = made(SurrogateParameters(), 6, changes={**changes, **noise, "axons.noise": 0})
    shown = np.zeros((6, 6, 256, 256), dtype=bool)
    for one in result.tracks:
        row, column = np.rint([one["row"], one["column"]]).astype(int)
        shown[one["image"], one["frame"], row, column] = True
        peak = result.images[one["image"], one["frame"], row, column] / 60000
        assert 0.6 * one["amplitude"] < peak < one["amplitude"]
    assert (result.images > 0).any((2, 3)).tolist() == shown.any((2, 3)).tolist()


def test_boutons_in_each_frame() -> None:
    """As many as the probabilities of appearance and duration say."""
    expected = np.zeros(6)
    for first in range(6):
        chance = 0.3 if first == 0 else 0.14
        rest = 6 - first
        stays = [rest] if rest <= 3 else list(range(2, rest + 1))
        for stay in stays:
            expected[first : first + stay] += chance / len(stays)
    result = many(6)
    found = np.bincount(result.tracks["frame"], minlength=6) / len(result.boutons)
    assert found == pytest.approx(expected, abs=4 * 0.5 / math.sqrt(len(result.boutons)))
