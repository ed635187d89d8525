"""What the microscope adds to a scene: background, photons, detector, grey values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare, kstest, poisson

from napari_axongen.core.events import run
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import preset, with_changes
from napari_axongen.core.surrogate.random import Draws, image_keys
from napari_axongen.core.surrogate.truth import Surrogates

CHANCE = 1e-3  # of a sound model to fail; the seeds are fixed, so it does not
BLANK = with_changes(
    SurrogateParameters(),
    {
        "max_intensity": 65535,
        "axons.count": 0,
        "boutons.count": 0,
        "cells.count": 0,
        "acquisition.normalise": False,
        "acquisition.background": 0,
        "acquisition.background_variation": 0,
        "acquisition.read_noise": 0,
    },
)

pytestmark = pytest.mark.usefixtures("each_way")


def made(
    parameters: SurrogateParameters, count: int = 1, seed: int = 0, **acquisition: Any
) -> Surrogates:
    changes = {f"acquisition.{name}": value for name, value in acquisition.items()}
    return run(generate_steps(with_changes(parameters, changes), count, seed, device="cpu"))


def blank(count: int = 1, **acquisition: Any) -> np.ndarray:
    """Grey values without a scene, (N, 256, 256)."""
    return made(BLANK, count, **acquisition).images.astype(float)


# ------------------------------------------------------------ photons


@pytest.mark.parametrize("gain", [1, 4, 20])
@pytest.mark.parametrize("photons", [(0.2, 1, 3, 6, 10, 15), (10, 14, 20, 50, 120, 300)])
def test_variance_grows_with_the_mean_by_the_gain(gain: int, photons: tuple[float, ...]) -> None:
    levels = [blank(4, background=gain * n, gain=gain) for n in photons]
    mean = [level.mean() for level in levels]
    variance = [level.var() for level in levels]
    slope, intercept = np.polyfit(mean, variance, 1, w=1 / np.array(variance))
    assert slope == pytest.approx(gain, rel=0.02)
    assert abs(intercept) < 0.03 * max(variance)
    expected = gain * np.array(photons)
    assert (abs(mean - expected) < 5 * np.sqrt(gain * expected / levels[0].size)).all()


def test_gain_is_found_again_behind_read_noise_and_offset() -> None:
    """The photon transfer curve: its slope is the gain, its intercept the read noise."""
    offset, gain, read = 1000, 3.3, 25.0
    levels = [
        blank(3, background=gain * n, gain=gain, read_noise=read, offset=offset)
        for n in (0, 5, 20, 100, 300, 1000)
    ]
    mean = np.array([level.mean() for level in levels]) - offset
    variance = np.array([level.var() for level in levels])
    slope, intercept = np.polyfit(mean, variance, 1, w=1 / variance)
    assert slope == pytest.approx(gain, rel=0.02)
    assert intercept == pytest.approx(read**2 + 1 / 12, rel=0.02)


@pytest.mark.parametrize("mean", [0.1, 0.53, 1, 3, 7.77, 15.9, 16.1, 25, 100])
def test_photons_are_poisson(mean: float) -> None:
    counts = blank(6, background=mean, gain=1).ravel()
    error = 4 / math.sqrt(len(counts))
    assert counts.mean() == pytest.approx(mean, abs=error * math.sqrt(mean) + 2e-4 * mean)
    spread = mean * math.sqrt(2 + 1 / mean)  # of the squared deviation of a Poisson number
    assert counts.var() == pytest.approx(mean, abs=error * spread + 3e-3 * mean)
    third = ((counts - counts.mean()) ** 3).mean()
    assert third == pytest.approx(mean, rel=0.1 if mean < 50 else 0.3)
    some = counts[: 1 << 16]
    low, high = poisson.ppf([0.002, 0.998], mean)
    numbers = np.arange(low, high + 1)
    found = np.array([(some == n).sum() for n in numbers])
    expected = poisson.pmf(numbers, mean) / poisson.pmf(numbers, mean).sum()
    assert chisquare(found, expected * found.sum()).pvalue > CHANCE


def test_photons_of_neighbours_and_images_are_independent() -> None:
    for mean in (2, 60):
        counts = blank(6, background=mean, gain=1) - mean
        root = math.sqrt(counts.size)
        for pair in (
            (counts[:, 1:], counts[:, :-1]),
            (counts[..., 1:], counts[..., :-1]),
            (counts[1:], counts[:-1]),
        ):
            assert abs((pair[0] * pair[1]).mean() / mean) < 5 / root


def test_no_light_no_photons() -> None:
    assert not blank(background=0, gain=5).any()


# ------------------------------------------------------------ background


@pytest.mark.parametrize("sigma", [1, 2, 6, 20])
def test_background_varies_as_smoothed_noise(sigma: int) -> None:
    """Autocorrelation exp(-d² / 4 sigma²): that of white noise behind a Gaussian."""
    spread = 500.0
    count = 40 if sigma < 20 else 120
    field = blank(
        count, background=20000, background_variation=spread, background_correlation=sigma
    )
    field -= 20000
    patches = field.size / (4 * math.pi * sigma**2)  # independent ones
    variance = spread**2
    assert abs(field.mean()) < 4 * spread / math.sqrt(patches)
    assert field.var() == pytest.approx(variance, rel=6 / math.sqrt(patches) + 0.01)
    for lag in (sigma, 2 * sigma, 4 * sigma):
        expected = math.exp(-(lag**2) / (4 * sigma**2))
        for one, other in (
            (field[:, lag:], field[:, :-lag]),
            (field[..., lag:], field[..., :-lag]),
        ):
            assert (one * other).mean() / variance == pytest.approx(
                expected, abs=5 / math.sqrt(patches) + 0.01
            )
    diagonal = (field[:, sigma:, sigma:] * field[:, :-sigma, :-sigma]).mean() / variance
    assert diagonal == pytest.approx(math.exp(-1 / 2), abs=5 / math.sqrt(patches) + 0.01)


def test_background_varies_as_much_everywhere_and_differently_in_each_image() -> None:
    field = blank(200, background=20000, background_variation=500) - 20000
    columns = (field**2).mean((0, 1)) / 500**2
    rows = (field**2).mean((0, 2)) / 500**2
    for side in (columns, rows):
        assert side.std() < 0.06
        assert abs(side[:8].mean() - 1) < 0.12
        assert abs(side[-8:].mean() - 1) < 0.12
    # an image has some 145 independent patches
    r = np.corrcoef(field[:60].reshape(60, -1))[np.triu_indices(60, 1)]
    assert abs(r).max() < 5 / math.sqrt(145)


def test_the_originals_background() -> None:
    """Mean 350, standard deviation 4.4 grey: a Poisson field of mean 14, smoothed, times 25."""
    acquisition = SurrogateParameters().acquisition
    assert acquisition.background == 25 * 14
    expected = 25 * math.sqrt(14) / (2 * math.sqrt(math.pi) * 6)
    assert acquisition.background_variation == pytest.approx(expected, abs=0.05)
    field = made(BLANK, 20, background=350, background_variation=4.4).images.astype(float)
    assert field.mean() == pytest.approx(350, abs=0.5)
    assert field.std() == pytest.approx(math.hypot(4.4, math.sqrt(1 / 12)), rel=0.05)


# ------------------------------------------------------------ detector and grey values


def test_read_noise_is_white_and_normal() -> None:
    field = blank(4, background=3000, read_noise=50)
    assert field.std() == pytest.approx(50, rel=0.005)
    assert kstest((field[0, ::2].ravel() - 3000) / 50, "norm").pvalue > CHANCE
    assert abs(np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1]) < 0.01


def test_offset() -> None:
    assert (blank(background=100, offset=40) == 140).all()
    assert (blank(background=100, offset=-40) == 60).all()
    assert (blank(background=10, offset=-40) == 0).all()  # there are no negative grey values


@pytest.mark.parametrize("name", ["original", "two-photon"])
@pytest.mark.parametrize("top", [255, 4095])
def test_negative_is_the_inverse(name: str, top: int) -> None:
    parameters = with_changes(preset(name), {"max_intensity": top, "width": 128, "height": 128})
    positive, negative = (made(with_changes(parameters, {"negative": n}), 3) for n in (False, True))
    for one, other in (
        (positive.images, negative.images),
        (positive.clean_images, negative.clean_images),
    ):
        assert np.array_equal(other, top - one)
    assert np.array_equal(positive.axon_labels, negative.axon_labels)


@pytest.mark.parametrize(
    ("top", "kind"), [(100, np.uint8), (255, np.uint8), (256, np.uint16), (65535, np.uint16)]
)
def test_greatest_grey_value(top: int, kind: type) -> None:
    result = made(with_changes(SurrogateParameters(), {"max_intensity": top}), 40)
    assert result.images.dtype == result.clean_images.dtype == kind
    assert (result.images.max((1, 2)) == top).all()  # normalised to it
    bright = made(with_changes(BLANK, {"max_intensity": top}), background=65535.0)
    assert (bright.images == top).all()  # or cut off


def test_the_scale_does_not_depend_on_the_greatest_grey_value() -> None:
    fine, coarse = (
        made(with_changes(SurrogateParameters(), {"max_intensity": top}), 2).images.astype(float)
        for top in (65535, 255)
    )
    assert abs(fine / 257 - coarse).max() < 1.01


def test_negative_grey_values_do_not_wrap() -> None:
    field = made(with_changes(BLANK, {"max_intensity": 255}), background=2, read_noise=10).images
    assert (field == 0).mean() == pytest.approx(0.43, abs=0.04)
    assert field.max() < 60


# ------------------------------------------------------------ light


def test_vignetting_takes_light_from_the_corners() -> None:
    field = blank(background=10000, vignetting=0.4)[0]
    assert field[127:129, 127:129] == pytest.approx(10000, rel=1e-3)
    for corner in (field[0, 0], field[0, -1], field[-1, 0], field[-1, -1]):
        assert corner == pytest.approx(6000, abs=2)
    row, column = np.mgrid[-1:1:256j, -1:1:256j]
    assert field == pytest.approx(10000 * (1 - 0.4 * (row**2 + column**2) / 2), abs=2)


def test_haze_is_a_wide_glow() -> None:
    fields = blank(30, background=100, haze=3000, haze_size=60) - 100
    peaks = [np.argwhere(field == field.max()).mean(0) for field in fields]
    assert len({tuple(peak) for peak in peaks}) == 30
    row, column = np.mgrid[:256, :256]
    for field, (down, right) in zip(fields, peaks, strict=True):
        squared = (row - down) ** 2 + (column - right) ** 2
        expected = 3000 * np.exp(-squared / (2 * 60**2))
        assert abs(field - expected).max() < 50  # its middle is known to a pixel


def test_jitter_shifts_scan_lines() -> None:
    line = {
        "axons.count": 1,
        "axons.daughters": 0,
        "axons.gaps": 0,
        "axons.conformity": 1.0,
        "axons.crossings": True,
        "axons.profile": "constant",
        "axons.noise": 0,
        "axons.sigma": 2,
    }
    result = made(with_changes(BLANK, line), 30, line_jitter=0.7, signal=60000)
    shifts = []
    for axon, image, clean in zip(
        result.centrelines, result.images, result.clean_images, strict=True
    ):
        column = axon.points[0, 1].item()
        if np.ptp(axon.points[:, 1]) > 0 or not 20 < column < 235:
            continue  # it runs along the scan lines
        near = np.abs(np.arange(256) - column) < 10

        def centroid(values: np.ndarray, near: np.ndarray = near) -> np.ndarray:
            return (values[:, near] * np.flatnonzero(near)).sum(1) / values[:, near].sum(1)

        assert centroid(clean.astype(float)) == pytest.approx(column, abs=0.01)
        shifts += list(column - centroid(image.astype(float)))
    assert len(shifts) > 1500
    assert np.std(shifts) == pytest.approx(0.7, rel=0.05)
    assert abs(np.mean(shifts)) < 5 * 0.7 / math.sqrt(len(shifts))
    assert abs(np.corrcoef(shifts[1:], shifts[:-1])[0, 1]) < 0.1


# ------------------------------------------------------------ switches

SCENE = with_changes(
    preset("two-photon"),
    {"width": 96, "height": 96, "axons.count": 4, "boutons.count": 4, "axons.noise": 0.05},
)
SWITCHES = [
    ("acquisition", "haze", 30),
    ("acquisition", "vignetting", 0.5),
    ("acquisition", "line_jitter", 1),
    ("acquisition", "background_variation", 3),
    ("acquisition", "gain", 4),
    ("acquisition", "read_noise", 5),
    ("acquisition", "offset", 7),
    ("acquisition", "psf_sigma", 2),
    ("axons", "noise", 0.2),
    ("axons", "oblique", 1),
    ("axons", "starts_inside", 1),
    ("axons", "ends_inside", 1),
    ("boutons", "noise", 2),
]


@pytest.mark.parametrize(("group", "name", "value"), SWITCHES)
def test_off_is_off_to_the_last_bit(group: str, name: str, value: float) -> None:
    """An image that draws 0 beside others that do not is the image of a plain 0."""
    number = 12
    key = f"{group}.{name}"
    off = made(with_changes(SCENE, {key: 0}), number)
    on = made(with_changes(SCENE, {key: value}), number)
    either = with_changes(SCENE, {key: {"choice": [0, value]}})
    mixed = made(either, number)
    draws = Draws(image_keys(0, range(number)))
    drawn = draws.parameter(getattr(either, group), name)
    assert set(drawn) == {0, value}
    for i in range(number):
        expected = on if drawn[i] else off
        for output in ("images", "clean_images", "axon_labels", "bouton_masks"):
            assert np.array_equal(getattr(mixed, output)[i], getattr(expected, output)[i])
        assert not np.array_equal(on.images[i], off.images[i])
