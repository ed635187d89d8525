"""Centrelines of drawn masks."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import line

from napari_axongen.core.centrelines import Centreline
from napari_axongen.core.skeletons import trace_labels
from napari_axongen.core.tracing import tracing_accuracy

Segment = tuple[tuple[int, int], tuple[int, int]]


def draw(*segments: Segment, radius: float = 2, shape: tuple[int, int] = (80, 90)) -> np.ndarray:
    """Labels of segments, widened."""
    mask = np.zeros(shape, bool)
    for start, end in segments:
        mask[line(*start, *end)] = True
    wide = ndimage.distance_transform_edt(~mask) <= radius
    labels, _ = ndimage.label(wide, np.ones((3, 3)))
    return labels


def ends(lines: list[Centreline]) -> set[tuple[int, int]]:
    return {tuple(np.rint(point).astype(int)) for one in lines for point in one.points[[0, -1]]}


def length(one: Centreline) -> float:
    return sum(math.dist(a, b) for a, b in pairwise(one.points))


@pytest.mark.parametrize("radius", [0, 2, 4])
@pytest.mark.parametrize("end", [(20, 70), (50, 70), (70, 45)])
def test_a_line_is_one_path_along_its_middle(radius: float, end: tuple[int, int]) -> None:
    (one,) = trace_labels(draw(((20, 10), end), radius=radius))
    assert (one.axon, one.branch) == (1, 0)
    truth = np.array([(20, 10), end])
    found = tracing_accuracy([one], [truth], tolerance=1)
    assert found.overall.precision == pytest.approx(1)
    assert found.overall.recall > 0.97  # its ends are those of the skeleton
    assert length(one) < 1.03 * math.dist(*truth)  # no stairs from pixel to pixel


@pytest.mark.parametrize("radius", [0, 2, 4])
def test_branches_meet_at_their_junction(radius: float) -> None:
    y = draw(((40, 10), (40, 40)), ((40, 40), (15, 70)), ((40, 40), (65, 70)), radius=radius)
    lines = trace_labels(y)
    assert [one.branch for one in lines] == [0, 1, 2]
    (junction,) = ends(lines[:1]) & ends(lines[1:2]) & ends(lines[2:])
    assert math.dist(junction, (40, 40)) <= 3  # of a fork the middle lies beyond the corner
    cross = trace_labels(draw(((40, 10), (40, 70)), ((10, 40), (70, 40)), radius=radius))
    assert len(cross) == 4
    assert all((40, 40) in ends([one]) for one in cross)


@pytest.mark.parametrize("radius", [0.5, 2, 4])
def test_a_loop_is_closed(radius: float) -> None:
    y, x = np.mgrid[:80, :90]
    ring = (np.abs(np.hypot(y - 40, x - 40) - 25) <= radius).astype(int)
    (one,) = trace_labels(ring)
    np.testing.assert_array_equal(one.points[0], one.points[-1])
    assert length(one) == pytest.approx(2 * math.pi * 25, rel=0.03)
    tail = ring | draw(((40, 65), (40, 88)), radius=radius)
    loop, end = sorted(trace_labels(tail), key=length, reverse=True)
    assert ends([loop]) <= ends([end])


def test_bumps_are_no_branches_and_stubs_are() -> None:
    def with_stub(height: int) -> np.ndarray:
        return draw(((40, 10), (40, 70)), ((40, 40), (40 - 3 - height, 40)), radius=3)

    assert len(trace_labels(with_stub(2))) == 1
    assert len(trace_labels(with_stub(10))) == 3
    assert len(trace_labels(with_stub(10), spur=15)) == 1


def test_axons_keep_their_numbers() -> None:
    labels = draw(((10, 10), (10, 80)), ((40, 10), (60, 80)))
    labels[labels == 1] = 7
    lines = trace_labels(labels)
    assert sorted(one.axon for one in lines) == [2, 7]
    assert all(labels[tuple(np.rint(p).astype(int))] == one.axon for one in lines
               for p in one.points)  # fmt: skip
    assert trace_labels(np.zeros((20, 20), int)) == []
    assert trace_labels(np.pad([[1]], 5)) == []  # a point is no path


def test_up_to_the_edge_of_the_image() -> None:
    (one,) = trace_labels(draw(((0, 0), (79, 89))))
    assert length(one) > 0.97 * math.hypot(79, 89)
