"""Peaks whose place, size and number are known; boxes that are hit once each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.detection import (
    boxes_of,
    compare_boutons,
    detection_curve,
    find_boutons,
    known_boutons,
    match_boxes,
    read_boxes,
)
from napari_axongen.core.errors import InputError


def blobs(*places: tuple[float, float, float], sigma: float = 4.0) -> np.ndarray:
    """A map with a Gaussian at each (row, column, height)."""
    rows, columns = np.mgrid[:80, :100]
    made = np.zeros(rows.shape, np.float32)
    for row, column, height in places:
        square = (rows - row) ** 2 + (columns - column) ** 2
        made = np.maximum(made, height * np.exp(-square / (2 * sigma**2)))
    return made


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


# ---------------------------------------------------------------- peaks


def test_place_radius_and_score_of_a_peak() -> None:
    """A smoothed Gaussian of sigma 4: height 16 / 17 of it, half of it at 4.86 px."""
    found = find_boutons(blobs((30, 40, 0.8)))
    assert found.shape == (1, 4)
    assert found[0, :2].tolist() == [30, 40]
    assert found[0, 2] == pytest.approx(np.sqrt(17 * 2 * np.log(2)), abs=0.2)  # whole pixels
    assert found[0, 3] == pytest.approx(0.8 * 16 / 17, abs=0.005)


def test_bytes_are_probabilities_too() -> None:
    probability = blobs((30, 40, 0.8), (60, 80, 0.6))
    whole = np.rint(probability * 255).astype(np.uint8)
    assert find_boutons(whole) == pytest.approx(find_boutons(probability), abs=0.1)


def test_the_best_comes_first_and_only_the_higher_of_near_ones_counts() -> None:
    places = (20, 20, 0.6), (20, 26, 0.9), (60, 60, 0.7), (60, 80, 0.65)
    found = find_boutons(blobs(*places, sigma=2), 0.3)
    assert found[:, :2].tolist() == [[20, 26], [60, 60], [60, 80]]
    assert len(find_boutons(blobs(*places, sigma=2), 0.3, min_distance=3)) == 4


def test_peaks_at_the_border_count() -> None:
    assert find_boutons(blobs((0, 99, 1.0)))[:, :2].tolist() == [[0, 99]]


def test_a_flat_top_is_one_bouton() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[20:32, 20:32] = 255
    assert len(find_boutons(mask)) == 1


def test_a_threshold_takes_away_and_changes_nothing_else() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random((120, 120), dtype=np.float32)
    everything = find_boutons(probability, 0.01, min_distance=4)
    for threshold in (0.55, 0.6, 0.65):
        few = find_boutons(probability, threshold, min_distance=4)
        kept = everything[everything[:, 3] >= threshold]
        np.testing.assert_array_equal(few[:, [0, 1, 3]], kept[:, [0, 1, 3]])
        assert len(few) < len(everything)


def test_nothing_is_found_where_nothing_is() -> None:
    for value in (0.0, 0.4):
        assert find_boutons(np.full((40, 40), value, np.float32)).shape == (0, 4)
    with pytest.raises(InputError, match="threshold is 0"):
        find_boutons(np.zeros((9, 9)), 0)


# ---------------------------------------------------------------- hits


def test_one_hit_for_each_box_and_each_bouton() -> None:
    found = np.array([[5, 5], [6, 6], [50, 50], [15, 15]])
    result = compare_boutons(found, boxes((0, 0, 10, 10), (2, 2, 20, 20), (70, 70, 5, 5)))
    assert (result.hits, result.found, result.boxes) == (2, 4, 3)
    assert result.precision == 2 / 4
    assert result.recall == 2 / 3
    assert result.f1 == pytest.approx(4 / 7)


def test_the_nearer_of_two_boxes_is_taken() -> None:
    """Else the second bouton, which only one box holds, would find it taken."""
    near, far = (0, 0, 10, 10), (0, 2, 30, 30)
    for order in ((near, far), (far, near)):
        assert match_boxes(np.array([[4.5, 4.5], [25, 25]]), boxes(*order)).all()


def test_edges_of_a_box() -> None:
    """Of rows 3 to 6."""
    inside = [match_boxes(np.array([[row, 4]]), boxes((3, 3, 4, 4)))[0] for row in (2, 3, 6, 7)]
    assert inside == [False, True, True, False]


def test_nothing_against_nothing() -> None:
    assert compare_boutons(np.empty((0, 4)), boxes()).f1 == 1
    none = compare_boutons(np.empty((0, 4)), boxes((0, 0, 5, 5)))
    assert none.f1 == none.recall == 0
    assert np.isnan(none.precision)
    assert compare_boutons(np.array([[1.0, 1.0]]), boxes()).f1 == 0


def test_the_curve_is_the_comparison_at_each_threshold() -> None:
    rng = np.random.default_rng(1)
    found = np.column_stack([rng.uniform(0, 100, (60, 2)), np.sort(rng.random(60))[::-1]])
    truth = np.column_stack([rng.uniform(0, 90, (20, 2)), np.full((20, 2), 15.0)])
    thresholds = [0.0, found[7, 2], 0.5, 0.99, 1.0]
    assert detection_curve(found, truth, thresholds) == [
        compare_boutons(found[found[:, 2] >= threshold], truth) for threshold in thresholds
    ]


def test_what_lies_where_nothing_is_known_does_not_count() -> None:
    valid = np.ones((30, 30), bool)
    valid[10:20] = False
    found = np.array([[5.0, 5], [15, 15], [12, 25], [25, 5]])
    kept = known_boutons(found, boxes((8, 8, 10, 10), (20, 20, 4, 4)), valid)
    assert kept.tolist() == [[5, 5], [15, 15], [25, 5]]
    assert len(known_boutons(found, boxes(), valid)) == 2
    assert len(known_boutons(np.empty((0, 4)), boxes((8, 8, 10, 10)), valid)) == 0


# ---------------------------------------------------------------- boxes


def test_boxes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text('"x,y,w,h (1-based)"\n54,403,22,21\n\n1,1,5,6\n')
    assert read_boxes(path).tolist() == [[402, 53, 21, 22], [0, 0, 6, 5]]
    path.write_text("x,y,w,h\n")
    assert read_boxes(path).shape == (0, 4)


def test_what_is_no_file_of_boxes_is_said(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    with pytest.raises(InputError, match="does not exist"):
        read_boxes(path)
    path.write_text("x,y,w,h\n1,2,3,4\n1,2,3\n")
    with pytest.raises(InputError, match="line 3"):
        read_boxes(path)


def test_boxes_around_the_parts_of_a_mask() -> None:
    mask = np.zeros((20, 30), bool)
    mask[3:6, 4:9] = mask[10, 20] = mask[11, 21] = True
    assert boxes_of(mask).tolist() == [[3, 4, 3, 5], [10, 20, 2, 2]]
    assert boxes_of(mask, 2)[0].tolist() == [1, 2, 7, 9]
    assert boxes_of(np.zeros((5, 5), bool)).shape == (0, 4)
