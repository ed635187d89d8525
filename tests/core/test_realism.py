"""Measures of translations, on images for which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_axongen.core.evaluation import mean_interval
from napari_axongen.core.realism import (
    grey_distances,
    nearest_patch_distances,
    radial_spectrum,
    seam_index,
    spectrum_distance,
    structure_consistency,
    tiles,
)
from napari_axongen.core.two_samples import auc, texture, two_sample_auc


def noise(seed: int, side: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((side, side), dtype=np.float32)


# ---------------------------------------------------------------- structure


def fibre() -> np.ndarray:
    """An axon of 8 x 8 px in a sheath of 4 px."""
    classes = np.zeros((32, 32), np.uint8)
    classes[8:24, 8:24] = 1
    classes[12:20, 12:20] = 2
    return classes


def test_the_same_structure_is_consistent() -> None:
    found = structure_consistency(fibre(), fibre())
    assert (found.axon, found.myelin, found.swapped) == (1, 1, False)


def test_axon_and_myelin_the_wrong_way_round_are_a_swap() -> None:
    found = structure_consistency(np.array([0, 2, 1], np.uint8)[fibre()], fibre())
    assert (found.axon, found.myelin, found.swapped) == (0, 0, True)


def test_half_an_axon_is_inconsistent_but_no_swap() -> None:
    classes = fibre()
    classes[12:16, 12:20] = 0
    found = structure_consistency(classes, fibre())
    assert found.axon == pytest.approx(2 / 3)
    assert (found.myelin, found.swapped) == (1, False)


def test_nothing_found_is_no_swap() -> None:
    assert not structure_consistency(np.zeros_like(fibre()), fibre()).swapped


# ---------------------------------------------------------------- spectrum


def test_a_wave_peaks_at_its_frequency() -> None:
    wave = np.sin(2 * np.pi * 8 / 64 * np.arange(256, dtype=np.float32)) * np.ones((256, 1))
    spectrum = radial_spectrum(wave.astype(np.float32))
    assert spectrum.shape == (31,)
    assert 1 + spectrum.argmax() == 8


def test_white_noise_is_flat_and_near_other_white_noise() -> None:
    spectrum = radial_spectrum(noise(0, 512))
    assert np.ptp(spectrum[2:]) < 0.2
    assert spectrum_distance([noise(0, 512)], [noise(1, 512)]) < 0.04


def test_a_blur_lowers_the_spectrum_by_its_transfer_function() -> None:
    sigma, image = 1.0, noise(0, 512)
    blurred = ndimage.gaussian_filter(image, sigma, mode="wrap")
    fall = radial_spectrum(image) - radial_spectrum(blurred)
    expected = (2 * np.pi * np.arange(1, 32) / 64 * sigma) ** 2
    inner = slice(4, 24)  # a Hann window's leakage hides what is weaker still
    np.testing.assert_allclose((fall - fall[4])[inner], (expected - expected[4])[inner], atol=0.3)
    assert spectrum_distance([image], [blurred]) == pytest.approx(np.abs(fall).mean())


def test_polarity_and_contrast_do_not_count_in_the_spectrum() -> None:
    assert spectrum_distance([noise(0)], [3 - 2 * noise(0)]) == pytest.approx(0, abs=1e-5)


def test_a_flat_or_too_small_image_has_no_spectrum() -> None:
    with pytest.raises(ValueError, match="flat"):
        radial_spectrum(np.ones((64, 64), np.float32))
    with pytest.raises(ValueError, match="window"):
        radial_spectrum(noise(0, 63))


# ---------------------------------------------------------------- grey values


def test_grey_distance_of_a_shift_is_the_shift() -> None:
    classes, image = fibre(), noise(0, 32)
    moved = image + np.array([0.0, 0.1, -0.3], np.float32)[classes]
    found = grey_distances([(moved, classes)], [(image, classes)])
    assert found == pytest.approx((0, 0.1, 0.3), abs=1e-6)


def test_grey_distance_of_two_spreads() -> None:
    """Uniform on 0..1 and on 0..2: the quantiles differ by their rank, 1/2 on average."""
    classes = np.full((64, 64), 1, np.uint8)
    ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    distances = grey_distances([(ramp, classes)], [(2 * ramp, classes)])
    assert distances[1] == pytest.approx(0.5, abs=1e-3)
    assert np.isnan(distances[0])  # no background at all


def test_images_count_alike_whatever_their_size() -> None:
    one, two = np.zeros((4, 4), np.float32), np.ones((40, 40), np.float32)
    pair = [(image, np.zeros(image.shape, np.uint8)) for image in (one, two)]
    assert grey_distances(pair, pair[:1])[0] == pytest.approx(0.5)


# ---------------------------------------------------------------- classifier


def test_area_under_the_curve() -> None:
    positive = np.array([False, False, True, True])
    assert auc(np.array([0.0, 1, 2, 3]), positive) == 1
    assert auc(np.array([3.0, 2, 1, 0]), positive) == 0
    assert auc(np.array([0.0, 2, 1, 3]), positive) == 0.75
    assert auc(np.zeros(4), positive) == 0.5
    with pytest.raises(ValueError, match="both kinds"):
        auc(np.zeros(4), np.ones(4, bool))


def smooth(seed: int, sigma: float) -> np.ndarray:
    image = ndimage.gaussian_filter(noise(seed, 192), sigma)
    return image / image.std()


def test_images_of_one_kind_cannot_be_told_apart() -> None:
    images = [smooth(seed, 2) for seed in range(8)]
    assert 0.3 < two_sample_auc(images[:4], images[4:]) < 0.7


def test_another_texture_is_told_at_once() -> None:
    found, real = [smooth(s, 2) for s in range(3)], [smooth(s, 2.5) for s in range(3, 6)]
    assert two_sample_auc(found, real) > 0.95


def test_what_one_image_alone_has_is_not_learnt() -> None:
    """Each image has a brightness of its own: only folds that part tiles would be fooled."""
    images = [smooth(seed, 2) + 3 * np.float32(np.cos(5 * seed)) for seed in range(8)]
    assert two_sample_auc(images[:4], images[4:]) < 0.8


def test_one_image_is_not_enough_for_a_test() -> None:
    with pytest.raises(ValueError, match="two images"):
        two_sample_auc([noise(0)], [noise(1), noise(2)])


def test_texture_of_a_flat_image_is_finite() -> None:
    assert np.isfinite(texture(np.ones((128, 128), np.float32))).all()


# ---------------------------------------------------------------- seams and memory


def test_a_ramp_with_steps_at_the_borders() -> None:
    """One grey value a pixel, three across each border."""
    ramp = np.arange(64, dtype=np.float32)
    image = np.tile(ramp + 2 * (ramp // 16), (8, 1))
    assert seam_index(image, [0], [0, 16, 32, 48]) == pytest.approx(3)
    assert seam_index(image.T, [0, 16, 32, 48], []) == pytest.approx(3)
    assert seam_index(np.tile(ramp, (8, 1)), [], [16]) == pytest.approx(1)


def test_a_seam_index_needs_borders() -> None:
    with pytest.raises(ValueError, match="borders"):
        seam_index(noise(0), [0], [0])
    with pytest.raises(ValueError, match="borders"):
        seam_index(np.ones((8, 8), np.float32), [4], [4])


def test_a_patch_that_was_learnt_by_heart_is_at_no_distance() -> None:
    training = tiles(noise(0), 32)
    patches = np.stack([training[5], training[9] + 0.5])
    np.testing.assert_allclose(nearest_patch_distances(patches, training), [0, 0.5], atol=1e-6)
    assert nearest_patch_distances(tiles(noise(1), 32), training).min() > 1


# ---------------------------------------------------------------- intervals


def test_an_interval_holds_the_mean_and_grows_with_the_spread() -> None:
    mean, low, high = mean_interval([[0.1, 0.2, 0.3], [0.2, 0.3, 0.4]])
    assert mean == pytest.approx(0.25)
    assert 0.1 <= low < mean < high <= 0.4
    assert mean_interval([[0.5, 0.5]]) == (0.5, 0.5, 0.5)


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        seeds, images = rng.normal(size=(10, 1)), rng.normal(size=(1, 12))
        _, low, high = mean_interval(seeds + images, draws=400)
        covered += low < 0 < high
    assert 0.85 < covered / 200 < 0.99
