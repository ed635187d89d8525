"""Grey-value maps: what they must give on images whose histograms are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_axongen.core.baselines import grey_quantiles, invert_and_match, match_greys


def noise(seed: int, shape: tuple[int, int] = (80, 90)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_quantiles_of_images_are_averaged_image_by_image() -> None:
    small, large = np.array([[0.0, 1.0]], np.float32), np.float32([[2] * 50, [3] * 50])
    np.testing.assert_allclose(grey_quantiles([small, large], 4), [1, 1.125, 1.5, 1.875, 2])


def test_without_an_image_there_are_no_quantiles() -> None:
    with pytest.raises(ValueError, match="no image"):
        grey_quantiles([])


def test_matching_gives_the_target_its_histogram_and_keeps_the_order() -> None:
    image, target = noise(0), noise(1) ** 3
    matched = match_greys(image, grey_quantiles([target]))
    assert matched.dtype == np.float32
    ranks = np.linspace(0, 1, 21)
    np.testing.assert_allclose(np.quantile(matched, ranks), np.quantile(target, ranks), atol=0.01)
    order = np.argsort(image, axis=None)
    assert (np.diff(matched.ravel()[order]) >= 0).all()


def test_matching_to_itself_changes_nothing() -> None:
    image = noise(2)
    np.testing.assert_allclose(match_greys(image, grey_quantiles([image])), image, atol=2e-3)


def test_pixels_of_one_value_stay_alike() -> None:
    image = np.repeat(np.array([[0.0, 10.0]], np.float32), 50, axis=0)
    matched = match_greys(image, np.linspace(0, 1, 101))
    assert [np.unique(column).size for column in matched.T] == [1, 1]
    np.testing.assert_allclose(matched[0], [0.25, 0.75], atol=0.01)


def test_inversion_turns_the_order_round() -> None:
    image, target = noise(3), 0.2 + 0.5 * noise(4)
    matched = invert_and_match(image, grey_quantiles([target]))
    order = np.argsort(image, axis=None)
    assert (np.diff(matched.ravel()[order]) <= 0).all()
    np.testing.assert_allclose([matched.min(), matched.max()], [0.2, 0.7], atol=0.01)
