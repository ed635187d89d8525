"""Numbering fibres: who owns which pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_axongen.core.errors import InputError
from napari_axongen.core.instances import label_fibres


def draw(shape, *fibres):
    """Class image of (y, x, axon radius, fibre radius); a later axon lies on earlier myelin."""
    y, x = np.indices(shape)
    classes = np.zeros(shape, np.uint8)
    for cy, cx, _, outer in fibres:
        classes[np.hypot(y - cy, x - cx) <= outer] = 127
    for cy, cx, inner, _ in fibres:
        classes[np.hypot(y - cy, x - cx) <= inner] = 255
    return classes


def test_one_fibre_gets_all_its_pixels():
    classes = draw((60, 70), (30, 35, 10, 15))
    labels = label_fibres(classes)
    assert labels.dtype == np.int32
    assert labels.shape == classes.shape
    assert np.array_equal(labels, (classes > 0).astype(np.int32))


def test_touching_sheaths_part_midway():
    classes = draw((60, 90), (30, 30, 10, 15), (30, 58, 10, 15))
    assert ndimage.label(classes > 0)[1] == 1
    labels = label_fibres(classes)
    assert labels.max() == 2
    assert (labels > 0).sum() == (classes > 0).sum()
    # The two fibres mirror each other about x = 44, and so do their labels, to a column.
    assert (labels[:, :43] != 2).all()
    assert (labels[:, 46:] != 1).all()


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_thin_background_line_is_not_crossed(slope):
    # What lies left of the line has no axon: nobody may take it.
    y, x = np.indices((80, 80))
    line = 20 + (slope * y).astype(int)
    classes = np.where(x == line, 0, 127).astype(np.uint8)
    classes[np.hypot(y - 20, x - 56) <= 8] = 255
    labels = label_fibres(classes)
    right = x > line
    assert (labels[~right] == 0).all()
    assert (labels[right & (np.hypot(y - 20, x - 56) <= 18)] == 1).all()


def test_diagonal_line_of_single_pixels_is_not_crossed():
    y, x = np.indices((41, 41))
    classes = np.full((41, 41), 127, np.uint8)
    classes[y == x] = 0
    classes[8:13, 28:33] = 255
    labels = label_fibres(classes)
    assert (labels[x < y] == 0).all()
    assert (labels[(x > y) & (np.hypot(y - 10, x - 30) < 10)] == 1).all()


def test_axons_that_meet_at_a_corner_are_two():
    classes = np.zeros((12, 12), np.uint8)
    classes[1:6, 1:6] = 255
    classes[6:11, 6:11] = 255
    assert label_fibres(classes).max() == 2


def test_axons_joined_by_a_thin_neck_are_cut_and_irregular_ones_are_not():
    y, x = np.indices((80, 140))
    merged = draw((80, 140), (40, 40, 20, 24), (40, 95, 20, 24))
    merged[38:42, 55:80] = 255
    labels = label_fibres(merged)
    assert labels.max() == 2
    assert (labels[(merged == 255) & (x < 60)] == 1).all()
    assert (labels[(merged == 255) & (x > 75)] == 2).all()

    crescent = np.where(
        (np.hypot(y - 40, x - 60) <= 30) & (np.hypot(y - 22, x - 60) > 22), 255, 0
    ).astype(np.uint8)
    assert crescent.any()
    assert label_fibres(crescent).max() == 1
    ellipse = np.where(((y - 40) / 8) ** 2 + ((x - 70) / 50) ** 2 <= 1, 255, 0).astype(np.uint8)
    assert label_fibres(ellipse).max() == 1


def test_small_axons_are_dropped_with_their_myelin():
    classes = draw((60, 120), (30, 30, 10, 15), (30, 80, 3, 6))
    assert label_fibres(classes).max() == 2
    labels = label_fibres(classes, min_diameter=10)
    assert labels.max() == 1
    assert (labels[:, 60:] == 0).all()


def test_myelin_out_of_reach_and_myelin_alone_belong_to_nobody():
    classes = np.zeros((80, 200), np.uint8)
    classes[38:43, 20:140] = 127  # a band that leads away from a small axon
    classes[60:70, 100:110] = 127  # a lump without an axon
    classes |= draw((80, 200), (40, 20, 4, 4))
    labels = label_fibres(classes)
    assert labels.max() == 1
    # An axon of radius 4 reaches 3 x 4 + 4 = 16 px.
    assert np.flatnonzero(labels[40] == 1).max() == pytest.approx(20 + 4 + 16, abs=1)
    assert (labels[:, 60:] == 0).all()


def test_unmyelinated_axons_are_numbered_and_holes_stay_background():
    classes = draw((50, 100), (25, 25, 12, 12), (25, 75, 12, 16))
    classes[23:28, 23:28] = 0
    labels = label_fibres(classes)
    assert labels.max() == 2
    assert (labels[23:28, 23:28] == 0).all()
    assert np.array_equal(labels > 0, classes > 0)


def test_numbers_follow_the_first_pixels():
    classes = draw((90, 90), (70, 20, 6, 9), (20, 70, 6, 9), (25, 20, 12, 15))
    labels = label_fibres(classes)
    axon = np.where(classes == 255, labels, 0).ravel()
    first = [np.flatnonzero(axon == k)[0] for k in range(1, 4)]
    assert first == sorted(first)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (0, 0), (7, 0)])
@pytest.mark.parametrize("value", [0, 127, 255])
def test_degenerate_images(shape, value):
    labels = label_fibres(np.full(shape, value, np.uint8))
    assert labels.shape == shape
    assert np.array_equal(labels, np.full(shape, int(value == 255)))


def test_all_axon_image_is_one_fibre():
    assert (label_fibres(np.full((50, 60), 255, np.uint8)) == 1).all()


def test_myelin_at_the_edge_does_not_wrap_around():
    classes = np.zeros((9, 30), np.uint8)
    classes[4, 24:27] = 255
    classes[4, 27:] = 127
    classes[5, :3] = 127
    classes[3, :3] = 127
    labels = label_fibres(classes)
    assert (labels[4, 24:] == 1).all()
    assert (labels[[3, 5], :3] == 0).all()


def test_same_image_same_labels_and_untouched_input():
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(200, 220)), 4)
    classes = np.select([field > 0.06, field > 0.02], [255, 127]).astype(np.uint8)
    kept = classes.copy()
    first, second = label_fibres(classes), label_fibres(classes[:, ::1])
    assert first.max() > 5
    assert np.array_equal(first, second)
    assert np.array_equal(classes, kept)
    assert np.array_equal(label_fibres(np.asfortranarray(classes)), first)


@pytest.mark.parametrize(
    ("classes", "min_diameter", "said"),
    [
        (np.zeros((3, 4, 5), np.uint8), 0, "3-D"),
        (np.zeros((4, 5), np.int32), 0, "int32"),
        (np.zeros((4, 5), np.uint8), -1, "-1"),
        (np.zeros((4, 5), np.uint8), float("nan"), "nan"),
    ],
)
def test_bad_input_is_named(classes, min_diameter, said):
    with pytest.raises(InputError, match=said):
        label_fibres(classes, min_diameter)
