"""Measures of masks and maps, by values that are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_axongen.core.centrelines import Centreline
from napari_axongen.core.evaluation import (
    THRESHOLDS,
    Curves,
    best_threshold,
    centreline_accuracy,
    centreline_dice,
    dice,
    draw_centrelines,
    mean_interval,
    threshold_curves,
)


def bar(row: int, half: int = 2, first: int = 10, last: int = 90) -> np.ndarray:
    """A horizontal bar; its skeleton is its middle row."""
    mask = np.zeros((60, 100), bool)
    mask[row - half : row + half + 1, first:last] = True
    return mask


def pixels(row: int, first: int = 10, last: int = 90) -> np.ndarray:
    return bar(row, 0, first, last)


# ---------------------------------------------------------------- over thresholds


def test_curves_by_hand() -> None:
    """Of the three true pixels two, then one is found; of the two false ones one, then none."""
    values = np.array([0.9, 0.4, 0.1, 0.5, 0.2])
    truth = np.array([True, True, True, False, False])
    found = threshold_curves(values, truth, thresholds=[0.3, 0.5, 0.6, 0.95])
    assert found.tpr == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0])
    assert found.fpr == pytest.approx([1 / 2, 1 / 2, 0, 0])
    assert found.precision == pytest.approx([2 / 3, 1 / 2, 1, np.nan], nan_ok=True)
    assert found.dice == pytest.approx([4 / 6, 2 / 5, 2 / 4, 0])
    assert found.smooth_dice == pytest.approx([5 / 7, 3 / 6, 3 / 5, 1 / 4])


def test_curves_are_the_measures_of_masks_at_200_thresholds() -> None:
    rng = np.random.default_rng(0)
    truth, valid = rng.random((30, 40)) < 0.3, rng.random((30, 40)) < 0.8
    values = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    assert (len(THRESHOLDS), THRESHOLDS[0], THRESHOLDS[-1]) == (200, 0.005, 0.995)
    for values_of_kind, scale in ((values, 1.0), (np.rint(values * 255).astype(np.uint8), 255)):
        found = threshold_curves(values_of_kind, truth, valid)
        expected = [
            dice((values_of_kind >= limit * scale)[valid], truth[valid]) for limit in THRESHOLDS
        ]
        assert found.dice == pytest.approx(expected)


def test_curves_of_nothing() -> None:
    nothing = np.zeros((4, 4), bool)
    found = threshold_curves(np.full((4, 4), 0.5), nothing, thresholds=[0.4, 0.6])
    assert found.dice.tolist() == [0, 1]
    assert found.fpr.tolist() == [1, 0]
    assert np.isnan(found.tpr).all()
    with pytest.raises(ValueError, match="do not match"):
        threshold_curves(np.zeros((4, 5)), nothing)


def test_the_mean_of_curves_leaves_out_what_no_image_has() -> None:
    truth = np.array([True, False])
    one, other = (
        threshold_curves(np.array(values), truth, thresholds=[0.3, 0.6])
        for values in ([0.9, 0.4], [0.4, 0.1])
    )
    mean = Curves.mean([one, other])
    assert mean.tpr.tolist() == [1, 0.5]
    assert mean.precision.tolist() == [0.75, 1]  # nothing of the other is left at 0.6


def test_the_best_threshold_is_that_of_the_mean() -> None:
    scores = [[0, 1, 0.5, 0], [0, 0, 0.7, 0]]
    assert best_threshold(scores, [0.1, 0.2, 0.3, 0.4]) == 0.3
    assert best_threshold([[1, 1, 1, 0]], [0.1, 0.2, 0.3, 0.4]) == 0.2
    assert best_threshold([[0, 0, 1]], [0.1, 0.2, 0.3]) == 0.3


# ---------------------------------------------------------------- centrelines


def test_centrelines_within_the_tolerance() -> None:
    for offset, expected in ((0, 1), (3, 1), (4, 0)):
        found = centreline_accuracy(bar(20 + offset, first=11, last=89), pixels(20))
        # The skeleton of a bar bends into a corner at its ends.
        assert found.precision == pytest.approx(expected, abs=0.03)
        assert found.recall == pytest.approx(expected, abs=0.08)


def test_half_of_an_axon_and_one_that_is_none() -> None:
    found = centreline_accuracy(bar(20, first=10, last=50) | bar(50), pixels(20))
    assert found.precision == pytest.approx(1 / 3, abs=0.03)
    assert found.recall == pytest.approx(0.5, abs=0.05)
    assert found.f1 == pytest.approx(0.4, abs=0.04)


def test_what_is_not_known_neither_helps_nor_harms() -> None:
    valid = ~bar(50, 6, 0, 100)
    one = centreline_accuracy(bar(20) | bar(50), pixels(20), valid)
    assert one.precision == one.recall == 1
    both = centreline_accuracy(bar(20), pixels(20) | pixels(50), valid)
    assert both.precision == both.recall == 1
    # A path that is right beside what is not known is right.
    beside = centreline_accuracy(bar(42), pixels(44), valid)
    assert beside.precision == 1
    assert beside.true == 0


def test_centrelines_of_nothing() -> None:
    nothing = np.zeros((60, 100), bool)
    assert centreline_accuracy(nothing, nothing).f1 == 1
    assert centreline_accuracy(bar(20), nothing).f1 == 0
    missed = centreline_accuracy(nothing, pixels(20))
    assert missed.f1 == missed.recall == 0
    assert np.isnan(missed.precision)


def test_cldice() -> None:
    """A wider mask of the same axon agrees; one that lies beside it does not, whatever its Dice."""
    assert centreline_dice(bar(20, 4), bar(20, 1)) == 1
    assert centreline_dice(bar(23, 2), bar(20, 2)) == 0
    # Skeleton of the found half all inside; half of the true skeleton: 2 * 1 * 0.5 / 1.5.
    half = centreline_dice(bar(20, 2, 10, 50), bar(20, 2, 10, 90))
    assert half == pytest.approx(2 / 3, abs=0.02)
    valid = ~bar(50, 6, 0, 100)
    assert centreline_dice(bar(20) | bar(50), bar(20), valid) == 1
    nothing = np.zeros((60, 100), bool)
    assert centreline_dice(nothing, nothing) == 1
    assert centreline_dice(nothing, bar(20)) == 0


def test_drawn_centrelines() -> None:
    lines = [
        Centreline(np.array([[5, 2], [5, 6], [8, 9]])),
        Centreline(np.array([[1, 1], [1, 9]]), faint=True),
        Centreline(np.array([[10, 8], [10, 14]])),
    ]
    mask = draw_centrelines(lines, (12, 11))
    assert np.argwhere(mask).tolist() == [
        *([5, column] for column in range(2, 7)), [6, 7], [7, 8], [8, 9], [10, 8], [10, 9], [10, 10]
    ]  # fmt: skip


# ---------------------------------------------------------------- intervals


def test_intervals_of_a_table_with_gaps() -> None:
    """What was not measured has no part, in the mean or in a draw."""
    full = np.array([[0.2, 0.4, 0.6], [0.3, 0.5, 0.7]])
    gaps = np.column_stack([full, [np.nan, np.nan]])
    mean, low, high = mean_interval(gaps)
    assert mean == mean_interval(full)[0]
    assert 0.2 <= low < mean < high <= 0.7
    some = full.copy()
    some[1, 2] = np.nan
    assert mean_interval(some)[0] == pytest.approx(np.nanmean(some))
    assert np.isnan(mean_interval([[np.nan]])).all()


def test_a_difference_is_surer_when_it_is_paired() -> None:
    """Images that differ much, and a second method that is always 0.1 better."""
    one = np.array([[0.1, 0.9, 0.5, 0.3], [0.1, 0.8, 0.5, 0.4]])
    mean, low, high = mean_interval(one + 0.1 - one)
    assert (mean, low, high) == pytest.approx((0.1, 0.1, 0.1))
