"""Filters on shapes that they know exactly; the LoG on the real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.detection import detection_curve, read_boxes
from napari_axongen.core.evaluation import best_threshold
from napari_axongen.core.files import read_image
from napari_axongen.core.fluorescence_baselines import (
    find_blobs,
    response_thresholds,
    ridge_response,
)


def test_place_size_and_height_of_a_blob() -> None:
    rows, columns = np.mgrid[:80, :100]
    image = 10 + 60 * np.exp(-((rows - 30) ** 2 + (columns - 55) ** 2) / (2 * 5**2))
    found = find_blobs(image, 5)
    assert found.shape == (1, 4)
    assert found[0, :2].tolist() == [30, 55]
    assert found[0, 2] == pytest.approx(5 * np.sqrt(2))
    assert found[0, 3] == pytest.approx(30, rel=0.02)
    assert len(find_blobs(image, 31)) == 0
    assert len(find_blobs(-image, 5)) == 0


def test_a_ridge_and_no_blob() -> None:
    rows = np.arange(60)[:, None]
    response = ridge_response(np.repeat(np.exp(-((rows - 20) ** 2) / (2 * 2**2)), 80, axis=1))
    middle = response[:, 40]
    assert middle.argmax() == 20
    assert middle[20] > 10 * middle[30]


def test_thresholds_are_at_equal_ranks() -> None:
    values = np.array([0, 0, -1, 1, 2, 3, 4, 5])
    assert response_thresholds([values[:4], values[4:]], 5).tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="none of the images"):
        response_thresholds([np.zeros(3)])


def test_blobs_of_the_real_images(shared_data: Path) -> None:
    """The F1 that a network has to beat, its threshold chosen on the other images."""
    root = shared_data / "two_photon_axons"
    names = sorted(path.stem for path in (root / "boutons").glob("*.csv"))
    blobs = [find_blobs(np.asarray(read_image(root / f"images/{n}.jpg").data), 3) for n in names]
    thresholds = response_thresholds([found[:, 3] for found in blobs])
    scores = np.array(
        [
            [each.f1 for each in detection_curve(found, boxes, thresholds)]
            for found, boxes in zip(
                blobs, (read_boxes(root / f"boutons/{n}.csv") for n in names), strict=True
            )
        ]
    )
    chosen = [
        np.searchsorted(thresholds, best_threshold(np.delete(scores, i, 0), thresholds))
        for i in range(len(names))
    ]
    assert len(names) == 15
    assert np.mean(scores[np.arange(15), chosen]) == pytest.approx(0.744, abs=0.02)
