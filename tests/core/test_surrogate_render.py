"""What surrogate images show, where their truth says it is: widths, light, masks, labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import label as components

from napari_axongen.core.events import run
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import preset, with_changes
from napari_axongen.core.surrogate.truth import Centreline, Surrogates

SIDE = 128
SIGNAL = 60000.0
FWHM = math.sqrt(8 * math.log(2))
NO_NOISE = {
    "axons.noise": 0,
    "boutons.noise": 0,
    "cells.noise": 0,
    "cells.dark": 0,
    "acquisition.background_variation": 0,
    "acquisition.gain": 0,
    "acquisition.read_noise": 0,
    "acquisition.line_jitter": 0,
}
BARE = with_changes(  # straight axons of even brightness in grey values proportional to light
    SurrogateParameters(),
    {
        **NO_NOISE,
        "width": SIDE,
        "height": SIDE,
        "max_intensity": 65535,
        "axons.count": 1,
        "axons.daughters": 0,
        "axons.gaps": 0,
        "axons.conformity": 1.0,
        "axons.profile": "constant",
        "axons.branch_profile": "constant",
        "axons.brightness": 0.3,
        "axons.thickness": 3.0,
        "axons.crossings": True,
        "axons.oblique": 1.0,
        "boutons.count": 0,
        "cells.count": 0,
        "acquisition.normalise": False,
        "acquisition.signal": SIGNAL,
        "acquisition.background": 0,
        "acquisition.psf_sigma": 0,
    },
)

pytestmark = pytest.mark.usefixtures("each_way")
WINDING = {"axons.count": 3, "axons.daughters": 1, "axons.conformity": 0.97}


def made(changes: dict[str, Any], count: int = 1, seed: int = 0) -> Surrogates:
    return run(generate_steps(with_changes(BARE, changes), count, seed, device="cpu"))


def branches(result: Surrogates, image: int) -> list[Centreline]:
    return [line for line in result.centrelines if line.image == image]


def pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Rows and columns (H, W, 2)."""
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)


def direction(line: Centreline) -> np.ndarray:
    """Of a straight axon; its last point does not count, as it was put onto the edge."""
    step = line.points[max(len(line.points) - 2, 1)].astype(float) - line.points[0]
    return step / np.linalg.norm(step)


class Line:
    """Pixels around a straight axon, as far from the border as its profile is wide."""

    def __init__(self, line: Centreline, shape: tuple[int, ...], margin: float = 10) -> None:
        start, along = line.points[0].astype(float), direction(line)
        self.normal = np.array([-along[1], along[0]])
        off = pixels(shape) - start
        self.distance = off @ self.normal
        foot = start + (off @ along)[..., None] * along
        self.inner = ((foot >= margin) & (foot <= np.array(shape) - 1 - margin)).all(-1)
        self.near = self.inner & (abs(self.distance) < margin)


def distances(lines: list[Centreline], shape: tuple[int, ...]) -> np.ndarray:
    """Distance of each pixel from each centreline, (K, H, W)."""
    points = pixels(shape)[:, :, None]
    found = []
    for line in lines:
        start = line.points[:-1].astype(float)
        steps = np.diff(line.points.astype(float), axis=0)
        off = points - start
        place = np.clip((off * steps).sum(-1) / (steps**2).sum(-1), 0, 1)
        found.append(np.linalg.norm(off - place[..., None] * steps, axis=-1).min(-1))
    return np.array(found)


# ------------------------------------------------------------ alignment (B13)


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("shape", [(128, 128), (96, 160)])
def test_image_mask_and_centreline_lie_on_each_other(
    additive: bool, shape: tuple[int, int]
) -> None:
    height, width = shape
    changes = {"height": height, "width": width, "acquisition.additive": additive}
    changes |= {"acquisition.psf_sigma": 0.7}
    result = made(changes, 60)
    of_image, of_mask = [], []
    for line, image, mask in zip(result.centrelines, result.images, result.axon_masks, strict=True):
        where = Line(line, shape)
        if where.near.sum() < 400:
            continue
        for offsets, weights in ((of_image, image), (of_mask, mask)):
            weight = weights[where.near].astype(float)
            centroid = (weight * where.distance[where.near]).sum() / weight.sum()
            offsets.append(centroid * where.normal)
    assert len(of_image) > 40
    assert abs(np.array(of_image)).max() < 0.04  # px
    assert abs(np.median(of_image, axis=0)).max() < 0.002
    assert abs(np.median(of_mask, axis=0)).max() < 0.05  # of whole pixels, so less exact
    assert np.linalg.norm(of_mask, axis=1).mean() < 0.1


# ------------------------------------------------------------ profiles


def slope_sigma(distance: np.ndarray, grey: np.ndarray) -> float:
    """Sigma of a Gaussian profile, from its logarithm."""
    slope, _ = np.polyfit(distance**2, np.log(grey), 1)
    return math.sqrt(-1 / (2 * slope))


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize(("sigma", "psf"), [(1.0, 0.0), (1.0, 0.5), (1.5, 2.0)])
def test_profile_holds_the_psf(additive: bool, sigma: float, psf: float) -> None:
    changes = {
        "axons.sigma": sigma,
        "acquisition.psf_sigma": psf,
        "acquisition.additive": additive,
    }
    result = made(changes, 5)
    expected = math.hypot(sigma, psf)
    for line, image in zip(result.centrelines, result.images, strict=True):
        where = Line(line, image.shape, margin=3.3 * expected)
        core = where.near & (abs(where.distance) < 2 * expected)
        found = slope_sigma(where.distance[core], image[core])
        assert found == pytest.approx(expected, rel=0.01)
        peak = SIGNAL * 0.3 / (math.sqrt(2 * math.pi) * expected)
        assert image[where.near].max() == pytest.approx(peak, rel=0.01)


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize(("thickness", "psf"), [(2.0, 0.0), (4.0, 1.0), (8.0, 2.0)])
def test_true_width(additive: bool, thickness: float, psf: float) -> None:
    """The full width at half maximum is the thickness, and what the PSF adds to it."""
    changes = {
        "axons.thickness": thickness,
        "acquisition.psf_sigma": psf,
        "acquisition.true_width": True,
        "acquisition.additive": additive,
    }
    result = made(changes, 5)
    expected = math.hypot(thickness, FWHM * psf)
    widths = []
    for line, image, mask in zip(result.centrelines, result.images, result.axon_masks, strict=True):
        where = Line(line, image.shape, margin=1.5 * expected)
        core = where.near & (abs(where.distance) < expected)
        found = FWHM * slope_sigma(where.distance[core], image[core])
        assert found == pytest.approx(expected, rel=0.01)
        half = where.near & (image > image[where.near].max() / 2)
        length = np.ptp((pixels(image.shape) @ [where.normal[1], -where.normal[0]])[where.near])
        assert half.sum() / length == pytest.approx(expected, rel=0.15)
        widths.append((where.near & (mask > 0)).sum() / length)
    assert np.mean(widths) == pytest.approx(thickness, rel=0.1)  # the mask is the axon's own


# ------------------------------------------------------------ crossings (B12)


@pytest.mark.parametrize("additive", [False, True])
def test_crossings_add_up_or_the_nearest_axon_is_seen(additive: bool) -> None:
    changes = {
        "axons.count": 4,
        "axons.brightness": {"uniform": [0.1, 0.4]},
        "acquisition.additive": additive,
    }
    result = made(changes, 12)
    crossed = 0
    for number, image in enumerate(result.images):
        lines = branches(result, number)
        around = [Line(line, image.shape) for line in lines]
        inner = np.logical_and.reduce(
            [one.inner | (abs(one.distance) > 15) for one in around], axis=0
        )
        away = abs(np.array([one.distance for one in around]))
        light = np.exp(-(away**2) / 2) / math.sqrt(2 * math.pi)
        light *= SIGNAL * np.array([line.brightness[0] for line in lines])[:, None, None]
        crossed += (inner & ((away < 1).sum(0) > 1)).sum()
        if additive:
            expected, compared = light.sum(0), inner
        else:
            expected = np.take_along_axis(light, away.argmin(0)[None], axis=0)[0]
            two = np.sort(away, axis=0)[:2]
            compared = inner & (two[1] - two[0] > 0.02)
        # a hundredth of the brightest, which is cut off at 3.2 sigma
        assert abs(image - expected)[compared].max() < 0.01 * 0.4 * 0.4 * SIGNAL
    assert crossed > 30


# ------------------------------------------------------------ masks and labels


@pytest.mark.parametrize(
    ("changes", "half_width"),
    [
        ({}, 2.7),  # by the mask distance,
        ({"axons.thickness": 1.5}, 2.25),  # or by how far the original draws a thin axon
        ({"acquisition.true_width": True, "axons.thickness": 5.0}, 2.5),
        ({"acquisition.additive": True, "axons.ends_inside": 1.0}, 2.7),
        ({"axons.step": 6.0, "axons.conformity": 0.9}, 2.7),
    ],
)
def test_labels_are_those_of_the_nearest_centreline(
    changes: dict[str, Any], half_width: float
) -> None:
    result = made({**WINDING, "height": 72, "width": 96, **changes}, 6)
    tolerance = 1 / 64  # distances are in steps of 1/128
    labelled = 0
    for number in range(len(result)):
        lines = branches(result, number)
        away = distances(lines, (72, 96))
        nearest = away.min(0)
        mask = result.axon_masks[number] > 0
        assert mask[nearest < half_width - tolerance].all()
        assert not mask[nearest > half_width + tolerance].any()
        axon, branch = result.axon_labels[number], result.branch_labels[number]
        assert np.array_equal(axon > 0, mask)
        assert np.array_equal(branch > 0, mask)
        for line, distance in zip(lines, away, strict=True):
            mine = branch == line.branch
            assert (distance[mine] <= nearest[mine] + tolerance).all()
            assert (axon[mine] == line.axon).all()
            labelled += mine.any()
        assert branch.max() <= len(lines)
    assert labelled > 30
    assert set(np.unique(result.axon_masks)) == {0, 255}


def test_masks_bridge_gaps_and_images_do_not() -> None:
    gaps = {"axons.gaps": 3, "axons.gap_length": 30.0}
    whole, broken = made({}, 10), made(gaps, 10)
    assert np.array_equal(whole.axon_labels, broken.axon_labels)
    for line, image, mask in zip(broken.centrelines, broken.images, broken.axon_masks, strict=True):
        row, column = np.rint(line.points).astype(int).T
        assert (mask[row, column] == 255).all()
        dark = line.brightness < 0.02
        assert dark.any()
        assert (image[row, column][dark] < 0.04 * 0.4 * SIGNAL).all()


def test_boutons_and_stalks_are_no_part_of_axons() -> None:
    boutons = {"boutons.count": 8, "boutons.terminal": 1.0}
    without, there = made({}, 10), made(boutons, 10)
    assert np.array_equal(without.axon_labels, there.axon_labels)
    assert not (there.bouton_masks & there.axon_masks).all()
    stalks = (there.images > without.images + 500) & (there.bouton_masks == 0)
    assert (stalks & (there.axon_masks == 0)).sum() > 100
    assert not without.bouton_masks.any()


def test_out_of_focus_axons_are_not_labelled() -> None:
    """What defocus makes more than twice as wide, sqrt(5) with its own width, is in no mask."""
    result = made({"axons.defocus": 8.0, "acquisition.additive": True}, 30)
    peak = SIGNAL * 0.3 / math.sqrt(2 * math.pi)
    seen = []
    for line, image, mask in zip(
        result.centrelines, result.clean_images, result.axon_masks, strict=True
    ):
        row, column = np.rint(line.points[8:-8]).astype(int).T
        near = abs(line.points[8:-8] - np.column_stack((row, column))).max(1) < 0.2
        part = image[row, column][near] / peak
        labelled = mask[row, column][near] > 0
        seen += labelled.tolist()
        assert (part[labelled] > 0.93 / math.sqrt(5)).all()
        assert (part[~labelled] < 1.07 / math.sqrt(5)).all()
    assert 0.1 < np.mean(seen) < 0.6


# ------------------------------------------------------------ boutons and cells

BOUTONS = {"axons.brightness": 0, "boutons.count": 8, "boutons.brightness": 0.35}


def test_bouton_masks_are_discs() -> None:
    result = made({**BOUTONS, "boutons.radius": {"uniform": [2, 5]}, "axons.count": 3}, 30)
    for image in range(30):
        mine = result.boutons[result.boutons["image"] == image]
        points = pixels((SIDE, SIDE))[:, :, None]
        away = np.linalg.norm(points - np.column_stack((mine["row"], mine["column"])), axis=-1)
        inside = away - mine["radius"]
        mask = result.bouton_masks[image] > 0
        assert mask[(inside < -1e-3).any(-1)].all()
        assert not mask[(inside > 1e-3).all(-1)].any()
    expected = math.pi * (result.boutons["radius"].astype(float) ** 2).sum()
    assert (result.bouton_masks > 0).sum() == pytest.approx(expected, rel=0.05)  # some are cut off


def test_elongated_boutons_lie_along_their_axon() -> None:
    changes = {"boutons.elongation": 2.0, "boutons.radius": 4.0, "boutons.terminal": 0}
    result = made({**BOUTONS, **changes, "boutons.count": 1}, 40)
    areas = []
    for bouton in result.boutons:
        (line,), mask = branches(result, bouton["image"]), result.bouton_masks[bouton["image"]]
        centre = np.array([bouton["row"], bouton["column"]])
        if centre.min() < 9 or centre.max() > SIDE - 10:
            continue
        off = pixels(mask.shape)[mask > 0] - centre
        along = direction(line)
        across = off @ [-along[1], along[0]]
        areas.append(len(off))
        assert (off @ along).var() == pytest.approx(8**2 / 4, rel=0.1)
        assert across.var() == pytest.approx(4**2 / 4, rel=0.15)
    assert len(areas) > 20
    assert np.mean(areas) == pytest.approx(math.pi * 4 * 8, rel=0.02)


def test_light_of_a_bouton() -> None:
    """Peak B, 0.05 at the rim, nothing beyond (Billot 2017)."""
    result = made({**BOUTONS, "boutons.radius": 5.0, "boutons.count": 1}, 20)
    sigma = 5 / math.sqrt(2 * math.log(0.35 / 0.05))
    for bouton, image in zip(result.boutons, result.images, strict=True):
        away = np.linalg.norm(pixels(image.shape) - [bouton["row"], bouton["column"]], axis=-1)
        expected = SIGNAL * 0.35 * np.exp(-(away**2) / (2 * sigma**2))
        assert image[away < 4.99] == pytest.approx(expected[away < 4.99], abs=0.002 * SIGNAL)
        assert not image[away > 5.01].any()


@pytest.mark.parametrize("psf", [0.0, 2.0])
def test_true_width_of_a_bouton(psf: float) -> None:
    changes = {"acquisition.true_width": True, "boutons.radius": 4.0, "boutons.count": 1}
    result = made({**BOUTONS, **changes, "acquisition.psf_sigma": psf}, 10)
    width = math.hypot(8, FWHM * psf)
    for bouton, image in zip(result.boutons, result.images, strict=True):
        away = np.linalg.norm(pixels(image.shape) - [bouton["row"], bouton["column"]], axis=-1)
        core = away < 5
        assert FWHM * slope_sigma(away[core], image[core]) == pytest.approx(width, rel=0.01)
        peak = SIGNAL * 0.35 * (8 / width) ** 2  # the light is kept
        assert image.max() == pytest.approx(peak, rel=0.03)


def test_cells_are_as_large_and_bright_as_they_say() -> None:
    changes = {"axons.count": 0, "cells.count": 1, "cells.radius": 12.0, "cells.brightness": 0.25}
    result = made(changes, 30)
    whole = 0
    for image in result.images:
        cells, number = components(image)
        if not number or any(
            edge.any() for edge in (cells[0], cells[-1], cells[:, 0], cells[:, -1])
        ):
            continue
        whole += 1
        assert number == 1
        radius = math.sqrt((image > 0).sum() / math.pi)
        assert 0.6 * 12 < radius < 1.3 * 12
        assert 0.85 < image.max() / (SIGNAL * 0.25) <= 1
    assert whole > 10


# ------------------------------------------------------------ texture and speckle


@pytest.mark.parametrize("psf", [0.0, 1.0])
def test_texture_is_white_noise_on_the_brightness(psf: float) -> None:
    changes = {"axons.noise": 0.02, "acquisition.psf_sigma": psf}
    result = made(changes, 20)
    sigma = math.hypot(1, psf)
    found = []
    for line, image, clean in zip(
        result.centrelines, result.images, result.clean_images, strict=True
    ):
        where = Line(line, image.shape)
        core = where.near & (abs(where.distance) < sigma)
        shape = np.exp(-(where.distance[core] ** 2) / (2 * sigma**2))
        light = SIGNAL * shape / (math.sqrt(2 * math.pi) * sigma)
        found.append((image[core].astype(float) - clean[core]) / light)
        assert not (image != clean)[abs(where.distance) > 5 * sigma].any()
    noise = np.concatenate(found)
    left = 1 if psf == 0 else 1 / (2 * math.sqrt(math.pi) * psf)  # of white noise behind a Gaussian
    assert noise.std() == pytest.approx(0.02 * left, rel=0.06)
    assert abs(noise.mean()) < 5 * noise.std() / math.sqrt(len(noise))


def test_speckle_of_boutons_is_noise_on_the_distance() -> None:
    changes = {"boutons.noise": 1.0, "boutons.radius": 6.0, "axons.count": 3}
    result = made({**BOUTONS, **changes, "boutons.min_distance": 13}, 20)
    sigma = 6 / math.sqrt(2 * math.log(0.35 / 0.05))
    inside = result.bouton_masks > 0

    def squared(images: np.ndarray) -> np.ndarray:
        return -2 * sigma**2 * np.log(images[inside] / (SIGNAL * 0.35))

    more = squared(result.images) - squared(result.clean_images)
    assert more.mean() == pytest.approx(1, rel=0.1)  # (d + n)² is greater by n² on average
    assert np.array_equal(result.images[~inside], result.clean_images[~inside])


def test_dark_dots_of_cells() -> None:
    changes = {"axons.count": 0, "cells.count": 5, "cells.radius": 12.0, "cells.dark": 0.3}
    result = made(changes, 20)
    lit = result.clean_images > 0
    dark = (result.images < result.clean_images)[lit]
    assert dark.mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("name", ["original", "two-photon", "broad"])
@pytest.mark.parametrize("series", [False, True])
def test_without_noise_the_image_is_the_clean_image(name: str, series: bool) -> None:
    quiet = with_changes(preset(name), {**NO_NOISE, "width": SIDE, "height": SIDE})
    quiet = with_changes(quiet, {"series.frames": 3})
    result = run(generate_steps(quiet, 4, device="cpu", series=series))
    assert np.array_equal(result.images, result.clean_images)
    assert result.images.std() > 1
    for noise in ("axons.noise", "acquisition.read_noise", "acquisition.gain"):
        noisy = run(generate_steps(with_changes(quiet, {noise: 1}), 2, device="cpu", series=series))
        assert not np.array_equal(noisy.images, noisy.clean_images)
