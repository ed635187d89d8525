"""Statistics of images whose level, noise, gain, ridges and blobs are known."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import run
from napari_axongen.core.files import read_image
from napari_axongen.core.surrogate.fitting import steady
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.presets import preset, with_changes
from napari_axongen.core.surrogate.statistics import (
    HINTS,
    NAMES,
    STATISTICS,
    distance,
    measure,
    standardise,
    summarise,
)

SIZE = 512
FWHM = math.sqrt(8 * math.log(2))


def named(image: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, summarise(image), strict=True))


def photons(seed: int, mean: np.ndarray, gain: float) -> np.ndarray:
    """Image whose variance is gain times its mean."""
    return gain * np.random.default_rng(seed).poisson(mean / gain)


def ridges(sigma: float, angle: float, period: float = 60, peak: float = 60) -> np.ndarray:
    """Parallel Gaussian ridges on a ground of 20."""
    y, x = np.mgrid[:SIZE, :SIZE]
    across = (x * math.cos(angle) + y * math.sin(angle)) % period - period / 2
    return 20 + peak * np.exp(-(across**2) / (2 * sigma**2))


def test_white_noise() -> None:
    found = named(np.random.default_rng(1).normal(100, 5, (SIZE, SIZE)))
    assert found["background"] == pytest.approx(100, abs=0.1)
    assert found["noise"] == pytest.approx(5, rel=0.02)
    assert found["gain"] < 1  # 25 grey² over no range of brightness
    assert abs(found["noise correlation 1"]) < 0.02
    assert abs(found["noise correlation 2"]) < 0.02
    assert found["90 %"] == pytest.approx(5 * 1.2816, rel=0.02)
    assert found["99 %"] == pytest.approx(5 * 2.3263, rel=0.03)
    assert found["ridge density"] < 1.5
    assert found["blob density"] < 0.2


def test_hints_follow_the_statistics() -> None:
    image = photons(3, ridges(2, 0.3), 3)
    found = measure(image)
    assert len(found) == len(STATISTICS) + len(HINTS)
    np.testing.assert_array_equal(found[: len(STATISTICS)], summarise(image))
    np.testing.assert_array_equal(standardise(found)[: len(NAMES)], standardise(summarise(image)))


def test_hints_tell_few_axons_from_many() -> None:
    means = []
    for count in (4, 20):
        axons = with_changes(steady(preset("two-photon"), (256, 256), 255), {"axons.count": count})
        images = run(generate_steps(axons, 4, 5, device="cpu")).images
        means.append(np.mean([measure(image)[len(NAMES) :] for image in images], axis=0))
    few, many = (dict(zip([hint.name for hint in HINTS], mean, strict=True)) for mean in means)
    for hint in ("ridge density, 2.75 sd", "bending", "unevenness"):
        assert many[hint] > 1.2 * few[hint]
    assert many["ridge density, 5 sd"] < many["ridge density, 2.75 sd"]


@pytest.mark.parametrize("gain", [0.5, 4, 10])
def test_gain_of_photons(gain: float) -> None:
    mean = np.broadcast_to(np.linspace(20, 170, SIZE), (SIZE, SIZE))
    assert named(photons(2, mean, gain))["gain"] == pytest.approx(gain, rel=0.05)


@pytest.mark.parametrize("sigma", [1.5, 2.5])
@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4])
def test_gain_where_axons_are(sigma: float, angle: float) -> None:
    # A slope found from local variances would mostly see the ridges: 30² grey² on a flank.
    assert named(photons(3, ridges(sigma, angle), 3))["gain"] == pytest.approx(3, rel=0.15)


def test_correlated_noise() -> None:
    # Averages of 2 x 2 pixels: r = 0.5 beside, 0 two pixels on, a quarter of the variance.
    white = np.random.default_rng(4).normal(100, 8, (SIZE + 1, SIZE + 1))
    box = (white[1:, 1:] + white[:-1, 1:] + white[1:, :-1] + white[:-1, :-1]) / 4
    found = named(box)
    assert found["noise correlation 1"] == pytest.approx(0.5, abs=0.02)
    assert abs(found["noise correlation 2"]) < 0.02
    assert found["noise"] == pytest.approx(4, rel=0.05)


def test_gain_where_grey_values_are_cut_off() -> None:
    mean = np.broadcast_to(np.linspace(0, 150, SIZE), (SIZE, SIZE))
    dark = photons(5, mean, 5) + np.random.default_rng(5).normal(0, 6, mean.shape)
    cut = np.clip(np.round(dark), 0, 120).astype(np.uint8)
    assert named(cut)["gain"] == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.5])
@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4])
def test_ridges(sigma: float, angle: float) -> None:
    found = named(photons(6, ridges(sigma, angle), 3))
    assert found["ridge width"] == pytest.approx(FWHM * sigma, rel=0.06)
    assert found["ridge density"] == pytest.approx(1000 / 60, rel=0.1)
    assert found["faint ridge density"] > found["ridge density"]  # and noise
    # A ridge that is smoothed by 3 px keeps this part of its height.
    kept = 60 * sigma / math.hypot(sigma, 3)
    assert found["ridge contrast, median"] == pytest.approx(kept, rel=0.08)


@pytest.mark.parametrize("sigma", [2.0, 3.5])
def test_blobs(sigma: float) -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    mean = np.full((SIZE, SIZE), 20.0)
    for row in range(40, SIZE, 60):
        for column in range(40, SIZE, 60):
            mean += 80 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
    found = named(photons(7, mean, 3))
    assert found["blob density"] == pytest.approx(64 / SIZE**2 * 10000, rel=0.05)
    assert found["blob width"] == pytest.approx(FWHM * sigma, rel=0.08)
    kept = 80 * sigma**2 / (sigma**2 + 1.75**2)  # of a blob smoothed by 1.75 px
    assert found["blob peak, median"] == pytest.approx(kept, rel=0.08)
    assert found["ridge density"] < 2.5  # a round blob is no ridge


def test_spectrum_of_white_noise_is_its_variance() -> None:
    found = summarise(np.random.default_rng(8).normal(100, 5, (SIZE, SIZE)))
    np.testing.assert_allclose(found[-3:], 25, rtol=0.2)


def test_pixels_that_are_not_finite_do_not_count() -> None:
    image = photons(9, ridges(2, 0.3), 3).astype(float)
    holed = image.copy()
    holed[100:140, 200:260] = np.nan
    holed[0, 0] = np.inf
    assert distance(summarise(image), summarise(holed)) < 0.1
    holed[:300] = np.nan
    with pytest.raises(InputError, match="half of the image"):
        summarise(holed)


def test_type_of_the_pixels_does_not_matter() -> None:
    image = np.clip(photons(10, ridges(2, 0.3), 3), 0, 255)
    first = summarise(image.astype(np.uint8))
    np.testing.assert_array_equal(first, summarise(image.astype(np.uint16)))
    np.testing.assert_array_equal(first, summarise(image.astype(np.float64)))


def test_distance() -> None:
    flat = summarise(np.random.default_rng(11).normal(100, 5, (128, 128)))
    axons = summarise(photons(12, ridges(2, 0.3), 3))
    assert distance(axons, axons) == 0
    assert distance(axons, flat) == distance(flat, axons) > 4
    # One statistic off by one spread: one part in all.
    moved = axons.copy()
    knee, spread = STATISTICS[0].knee, STATISTICS[0].spread
    moved[0] = knee * math.sinh(math.asinh(moved[0] / knee) + spread)
    assert distance(axons, moved) == pytest.approx(1 / np.isfinite(axons).sum())
    # Sets are compared by their medians, and what one of both lacks does not count.
    assert distance(np.stack([axons, axons, flat]), axons) == 0
    assert np.isnan(flat[NAMES.index("blob width")])
    assert np.isfinite(distance(flat, axons))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 128, 128)), "one plane"),
        (np.zeros((128, 40)), "too small"),
        (np.zeros((128, 128)), "same grey value"),
    ],
)
def test_images_without_statistics(image: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        summarise(image)


def test_real_images(shared_data: Path) -> None:
    folder = shared_data / "two_photon_axons"
    found = []
    for path in sorted((folder / "images").glob("*.jpg")):
        image = summarise(read_image(path).read(()))
        with (folder / "boutons" / f"{path.stem}.csv").open() as file:
            boutons = len(list(csv.DictReader(file)))
        found.append((path.stem, image, boutons))
    table = np.array([values for _, values, _ in found])
    # What the yardstick is made of: the spreads, fields that overlap counting as one.
    groups = [{"01", "02"}, {"03", "04", "15", "16", "17", "18"}, {"06", "07"}, {"10", "11", "12"}]
    sizes = [next((len(g) for g in groups if name in g), 1) for name, _, _ in found]
    weights = 1 / np.array(sizes)
    scaled = standardise(table)
    mean = np.average(scaled, axis=0, weights=weights)
    spread = np.sqrt(np.average((scaled - mean) ** 2, axis=0, weights=weights) * 6 / 5)
    floor = np.array([statistic.spread for statistic in STATISTICS]) == 0.1
    np.testing.assert_allclose(spread[~floor], 1, atol=0.1)
    assert (spread[floor] <= 1.1).all()
    # Where experts marked more boutons, more blobs are found.
    blobs = table[:, NAMES.index("blob density")]
    assert np.corrcoef(np.log(blobs), np.log([n for _, _, n in found]))[0, 1] > 0.4
