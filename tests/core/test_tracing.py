"""Distances that are known beforehand, and the faults of the original's measure."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_axongen.core.centrelines import Centreline, as_centrelines, read_centrelines
from napari_axongen.core.errors import InputError
from napari_axongen.core.tracing import STEP, tracing_accuracy


def line(row: float, first: float = 0.0, last: float = 100.0, vertices: int = 2) -> np.ndarray:
    """A horizontal line."""
    return np.column_stack([np.full(vertices, row), np.linspace(first, last, vertices)])


def vertical(column: float, first: float = 0.0, last: float = 100.0) -> np.ndarray:
    return line(column, first, last)[:, ::-1]


# ---------------------------------------------------------------- known values


@pytest.mark.parametrize("distance", [0.0, 0.7, 1.9])
def test_parallel_lines(distance):
    found = tracing_accuracy([line(10 + distance)], [line(10)]).overall
    assert found.precision == found.recall == 1
    assert found.traced_to_truth == pytest.approx(distance, abs=1e-9)
    assert found.truth_to_traced == pytest.approx(distance, abs=1e-9)
    assert found.traced_length == found.truth_length == pytest.approx(100)


def test_beyond_the_tolerance():
    found = tracing_accuracy([line(13)], [line(10)]).overall
    assert found.precision == found.recall == 0
    assert found.traced_to_truth == pytest.approx(3)
    assert tracing_accuracy([line(13)], [line(10)], 3.5).overall.recall == 1


def test_half_of_an_axon():
    found = tracing_accuracy([line(10, 0, 50)], [line(10)], 2).overall
    assert found.precision == 1
    assert found.recall == pytest.approx(0.52, abs=STEP / 100)  # and the tolerance beyond its end
    assert found.traced_to_truth == pytest.approx(0, abs=1e-9)
    assert found.truth_to_traced == pytest.approx(12.5, rel=1e-3)  # mean of 0 and of 0..50


def test_a_slanted_path():
    """From the axon to 8 px beside it: a quarter is within 2 px of it, the mean is 4."""
    found = tracing_accuracy([np.array([[10, 0], [18, 100]])], [line(10)], 2).overall
    assert found.precision == pytest.approx(0.25, abs=0.01)
    assert found.traced_to_truth == pytest.approx(4, rel=1e-3)


def test_distances_are_to_segments_not_to_lines():
    """Beyond its end an axon is as far as its end."""
    path = line(10, 100, 104)
    assert tracing_accuracy([path], [line(10)]).overall.traced_to_truth == pytest.approx(2)


def test_the_spacing_of_vertices_does_not_matter():
    rng = np.random.default_rng(0)
    at = np.sort(np.concatenate([[0, 100], rng.uniform(0, 100, 500) ** 2 / 100]))
    uneven = np.column_stack([np.full(len(at), 11.5), at])
    repeated = np.repeat(uneven, 2, axis=0)
    one = tracing_accuracy([line(11.5)], [line(10), line(40)]).overall
    for path in (uneven, repeated, uneven[::-1]):
        other = tracing_accuracy([path], [line(10, vertices=7), line(40)]).overall
        for name in ("precision", "recall", "traced_to_truth", "truth_to_traced"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-6)


def test_lengths_weigh_not_paths():
    found = tracing_accuracy([line(10, 0, 90), line(60, 0, 10)], [line(10)]).overall
    assert found.precision == pytest.approx(0.9)


# ---------------------------------------------------------------- missed, invented, crossing


def test_a_missed_axon_lowers_recall_alone():
    found = tracing_accuracy([line(10)], [line(10), line(50, 0, 300)])
    assert found.overall.recall == pytest.approx(0.25)
    assert found.overall.precision == 1
    assert found.overall.truth_to_traced == pytest.approx(0, abs=1e-9)  # of what was traced
    assert found.axons[0, 1].recall == 0
    assert math.isnan(found.axons[0, 1].precision)
    assert math.isnan(found.axons[0, 1].truth_to_traced)


def test_a_path_of_nothing_lowers_precision_alone():
    found = tracing_accuracy([line(10), line(70, 0, 50)], [line(10)])
    assert found.followed == ((0, 0), None)
    assert found.overall.precision == pytest.approx(100 / 150)
    assert found.overall.recall == 1
    assert found.overall.traced_to_truth == pytest.approx(0, abs=1e-9)
    assert found.axons[0, 0].precision == 1


def test_crossed_axons_do_not_excuse_a_path_beside_its_own():
    """The original took the nearest true points of any axon.

    The path runs 5 px beside its axon and crosses twenty others, so there is always one within
    2.5 px.
    """
    crossed = [vertical(column) for column in np.arange(0, 101, 5.0)]
    found = tracing_accuracy([line(55)], [line(50), *crossed])
    assert found.followed == ((0, 0),)
    assert found.overall.traced_to_truth == pytest.approx(5)
    assert found.overall.precision == 0


def test_a_path_that_changes_axons_at_a_crossing_is_half_right():
    axons = [line(50), vertical(50)]
    path = np.array([[50, 0], [50, 50], [90, 50]])
    found = tracing_accuracy([path], axons)
    assert found.followed == ((0, 0),)
    assert found.overall.precision == pytest.approx(52 / 90, abs=STEP / 90)
    assert found.axons[0, 1].recall == 0


def test_branches_are_one_axon():
    mother = Centreline(line(50), axon=7)
    daughter = Centreline(np.array([[50, 50], [90, 50]]), axon=7, branch=1)
    path = np.array([[50, 0], [50, 50], [90, 50]])
    found = tracing_accuracy([path], [mother, daughter])
    assert found.overall.precision == 1
    assert found.overall.recall == pytest.approx(92 / 140, abs=STEP / 140)
    assert list(found.axons) == [(0, 7)]


def test_a_stray_end_does_not_decide():
    """60 px on one axon, then 50 px astray: the plain mean is smaller to the axon beside."""
    path = np.array([[10, 0], [10, 60], [60, 60]])
    beside = np.array([[16, 0], [16, 48], [60, 48]])
    alone = [tracing_accuracy([path], [axon], reach=99).overall for axon in (line(10), beside)]
    assert alone[0].traced_to_truth > alone[1].traced_to_truth
    assert tracing_accuracy([path], [line(10), beside]).followed == ((0, 0),)


def test_images_are_apart():
    truth = [Centreline(line(10), image=0), Centreline(line(10), image=1)]
    found = tracing_accuracy([Centreline(line(10), image=1)], truth)
    assert found.followed == ((1, 0),)
    assert found.overall.recall == 0.5
    assert found.axons[0, 0].recall == 0


# ---------------------------------------------------------------- ignored


def test_what_is_near_ambiguous_paths_counts_for_nothing():
    faint = Centreline(line(30), faint=True)
    found = tracing_accuracy([line(10), line(33)], [Centreline(line(10)), faint])
    assert found.overall.precision == found.overall.recall == 1
    assert found.overall.traced_length == pytest.approx(100)
    crossing = vertical(50)  # 12 of 100 px of both sides are left out
    found = tracing_accuracy([line(10)], [line(10)], ignore=[crossing])
    assert found.overall.traced_length == found.overall.truth_length == pytest.approx(88, abs=STEP)
    found = tracing_accuracy([line(10)], [line(10)], ignore=[crossing], ignore_distance=1)
    assert found.overall.traced_length == pytest.approx(98, abs=STEP)


def test_faint_paths_of_the_tracer_are_left_out():
    traced = [Centreline(line(10)), Centreline(line(70), faint=True)]
    assert tracing_accuracy(traced, [line(10)]).overall.precision == 1


# ---------------------------------------------------------------- nothing, too much, nonsense


def test_empty_inputs():
    nothing = tracing_accuracy([], []).overall
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.recall)
    untraced = tracing_accuracy([], [line(10)]).overall
    assert untraced.recall == 0
    assert math.isnan(untraced.precision)
    assert math.isnan(untraced.traced_to_truth)
    invented = tracing_accuracy([line(10)], []).overall
    assert invented.precision == 0
    assert math.isnan(invented.recall)
    point = np.array([[10.0, 5.0]])  # has no length
    assert tracing_accuracy([line(10), point], [line(10), point]).overall.recall == 1


@pytest.mark.parametrize("tolerance", [0, -1, math.nan, math.inf])
def test_impossible_tolerances(tolerance):
    with pytest.raises(InputError, match="tolerance is"):
        tracing_accuracy([line(1)], [line(1)], tolerance)


@pytest.mark.parametrize("path", [[1, 2, 3], [[1, 2, 3]], [[1, math.nan]], np.zeros((0, 3))])
def test_no_path(path):
    with pytest.raises(InputError, match=r"\(K, 2\)"):
        as_centrelines([path])


def test_thousands_of_segments():
    """40 wiggling axons of 400 segments, traced with jitter."""
    rng = np.random.default_rng(0)
    truth = [
        np.column_stack([10.0 * i + rng.normal(0, 0.5, 400).cumsum() / 5, np.arange(400) * 2.5])
        for i in range(100)
    ]
    traced = [path[::4] + rng.normal(0, 0.3, (100, 2)) for path in truth]
    start = time.process_time()
    found = tracing_accuracy(traced, truth)
    assert time.process_time() - start < 15  # every pair of sample and segment takes minutes
    assert found.overall.recall > 0.99
    assert found.followed == tuple((0, i) for i in range(100))


def test_no_nearer_segment_is_passed_over():
    """Against every pair of a sample and a vertex of the same axon, cut finely."""
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 2, (300, 2)).cumsum(0)
    path = truth[::7] + rng.normal(0, 3, (43, 2))
    at = np.linspace(0, 1, 40, endpoint=False)[:, None]
    fine = np.concatenate([a + at * (b - a) for a, b in pairwise(truth)])
    samples = np.concatenate([a + at * (b - a) for a, b in pairwise(path)])
    weights = np.repeat(np.hypot(*np.diff(path, axis=0).T), 40)
    distance = cKDTree(fine).query(samples)[0]
    found = tracing_accuracy([path], [truth], reach=1e3).overall
    assert found.traced_to_truth == pytest.approx(np.average(distance, weights=weights), rel=0.01)


def test_the_traced_fields_agree_with_themselves(shared_data):
    for path in sorted((shared_data / "two_photon_axons" / "centrelines").glob("*.csv")):
        lines = read_centrelines(path)
        assert any(line.faint for line in lines)
        clear = [line.points + np.array([0.6, 0.8]) for line in lines if not line.faint]
        found = tracing_accuracy(clear, lines).overall
        assert found.precision == pytest.approx(1)
        assert found.recall == pytest.approx(1)
        assert 0.3 < found.traced_to_truth <= 1
