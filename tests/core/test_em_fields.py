"""Synthetic micrographs and their exact answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_axongen.core.errors import InputError
from napari_axongen.core.instances import label_fibres
from napari_axongen.core.morphometry import MeasureParameters, measure
from napari_axongen.core.surrogate.em_fields import em_field


@pytest.fixture(scope="module", params=["tem", "sem"])
def field(request):
    return em_field((400, 420), request.param, seed=4)


def test_answer_is_consistent(field):
    assert field.image.shape == field.classes.shape == field.labels.shape == (400, 420)
    assert field.image.dtype == field.classes.dtype == np.uint8
    assert field.labels.dtype == np.int32
    assert set(np.unique(field.classes)) == {0, 127, 255}
    # What has no number is myelin of a fibre whose axon lies outside.
    assert set(np.unique(field.classes[field.labels == 0])) <= {0, 127}
    assert (field.classes[field.labels > 0] > 0).all()
    axons, count = ndimage.label(field.classes == 255)
    assert count == field.labels.max() == len(np.unique(field.labels[field.classes == 255]))
    for number, box in enumerate(ndimage.find_objects(field.labels), start=1):
        mine = field.labels[box] == number
        assert (field.classes[box][mine] == 127).any()
        assert len(np.unique(axons[box][mine & (field.classes[box] == 255)])) == 1


def test_fibres_are_parted_by_background(field):
    grown = ndimage.maximum_filter(field.labels, footprint=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    assert (grown[field.labels > 0] == field.labels[field.labels > 0]).all()


def test_instances_recover_the_fibres(field):
    assert (label_fibres(field.classes) == field.labels).mean() > 0.999


def test_sizes_are_those_of_the_tissue(field):
    result = measure(field.labels, field.classes, MeasureParameters(pixel_size=field.pixel_size))
    tem = field.pixel_size < 0.01
    pixels = np.median(result.fibres["axon_diam (um)"]) / field.pixel_size
    assert (50 if tem else 12) < pixels < (110 if tem else 24)
    assert 0.6 < result.image["mean_gratio"] < 0.8
    assert 0.4 < result.image["avf"] + result.image["mvf"] < 0.75


def test_contrast_is_that_of_the_microscope(field):
    background, myelin, axon = (field.image[field.classes == c].mean() for c in (0, 127, 255))
    if field.pixel_size < 0.01:
        assert myelin + 60 < background < axon
    else:
        assert axon + 15 < background < myelin - 40


@pytest.mark.parametrize("contrast", ["tem", "sem"])
def test_the_seed_decides(contrast):
    first, again = (em_field((96, 128), contrast, seed=1) for _ in range(2))
    other = em_field((96, 128), contrast, seed=2)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.classes, other.classes)


def test_fibres_keep_their_size_at_another_pixel_size():
    result = []
    for size in (0.1, 0.2):
        field = em_field((int(60 / size), int(60 / size)), "sem", pixel_size=size, seed=0)
        assert field.pixel_size == size
        table = measure(field.labels, field.classes, MeasureParameters(pixel_size=size))
        result.append(np.median(table.fibres["axon_diam (um)"]))
    assert result[0] == pytest.approx(result[1], rel=0.15)


@pytest.mark.parametrize("contrast", ["tem", "sem"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (90, 2)])
def test_tiny_fields(shape, contrast):
    field = em_field(shape, contrast)
    assert field.image.shape == shape
    assert (field.classes[field.labels > 0] > 0).all()
    assert (field.labels[field.classes == 255] > 0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"contrast": "afm"}, "afm"),
        ({"shape": (0, 5)}, r"\(0, 5\)"),
        ({"shape": (5, 5, 5)}, r"\(5, 5, 5\)"),
        ({"seed": -1}, "-1"),
        ({"pixel_size": -0.1}, "-0.1"),
        ({"pixel_size": 1.0}, "coarse"),
    ],
)
def test_bad_input_is_named(options, said):
    with pytest.raises(InputError, match=said):
        em_field(**options)
