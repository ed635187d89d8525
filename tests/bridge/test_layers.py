"""Layers to images and back: nothing of where a layer lies may get lost."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels

from napari_axongen.bridge.layers import (
    MIN_SIDE,
    image_of,
    level_0,
    pixel_size,
    placement,
    recipe_of,
    why_not,
    with_recipe,
)

GREY = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)


def test_physical_units_give_the_pixel_size():
    layer = Image(GREY, scale=(500, 500), units=("nm", "nm"))
    assert pixel_size(layer).um == pytest.approx(0.5)


def test_pixel_units_give_none():
    assert pixel_size(Image(GREY, scale=(0.1, 0.1))).um is None


def test_oblong_pixels_are_said():
    size = pixel_size(Image(GREY, scale=(0.1, 0.4), units=("um", "um")))
    assert size.um == pytest.approx(0.2)  # area is kept
    assert "0.1 x 0.4 um" in size.note


def test_pixel_size_of_the_side_car_beside_the_file(tmp_path):
    from napari.layers._source import Source

    path = tmp_path / "sub-1_TEM.tif"
    tifffile.imwrite(path, GREY)
    path.with_suffix(".json").write_text(json.dumps({"PixelSize": [5, 5], "PixelSizeUnits": "nm"}))
    layer = Image(GREY)
    layer._set_source(Source(path=str(path)))
    assert pixel_size(layer).um == pytest.approx(0.005)


def test_lazy_arrays_stay_lazy():
    read = []

    def block(block_info=None):
        read.append(block_info)
        return np.zeros((32, 32), np.uint8)

    layer = Image(da.zeros((64, 64), chunks=32, dtype=np.uint8), contrast_limits=(0, 1))
    assert image_of(layer, None).data is layer.data
    lazy = da.map_blocks(block, chunks=((32, 32), (32, 32)), dtype=np.uint8)
    layer = Image(lazy, contrast_limits=(0, 1))
    before = len(read)
    image_of(layer, None)
    assert why_not(layer) is None
    assert len(read) == before


def test_multiscale_takes_full_resolution():
    layer = Image([np.zeros((80, 80)), np.zeros((40, 40))], multiscale=True)
    assert image_of(layer, None).spatial_shape == (80, 80)


@pytest.mark.parametrize(
    ("data", "axes", "shape"),
    [
        (np.zeros((40, 50), np.uint8), "YX", (40, 50)),
        (np.zeros((40, 50, 3), np.uint8), "YXC", (40, 50)),
        (np.zeros((40, 50, 4), np.uint8), "YXC", (40, 50)),
        (np.zeros((5, 40, 50), np.float32), "ZYX", (5, 40, 50)),
        (np.zeros((2, 5, 40, 50), np.float32), "TZYX", (2, 5, 40, 50)),
        (np.zeros((5, 40, 50, 3), np.uint8), "ZYXC", (5, 40, 50)),
    ],
)
def test_axes(data, axes, shape):
    image = image_of(Image(data), 0.1)
    assert (image.axes, image.spatial_shape, image.pixel_size) == (axes, shape, 0.1)


def test_time_series_by_its_label():
    layer = Image(np.zeros((5, 40, 50)), axis_labels=("time", "y", "x"))
    assert image_of(layer, None).axes == "TYX"


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Labels(np.zeros((40, 40), np.uint8), name="mine"), "labels layer"),
        (lambda: Image(np.zeros((40, 40), bool)), "mask"),
        (lambda: Image(np.zeros((1, 1), np.uint8)), "1 x 1 pixels"),
        (lambda: Image(np.zeros((1, 10_000), np.uint8)), "1 x 10000 pixels"),
        (lambda: Image(np.zeros((2, 2, 2, 40, 40), np.uint8)), "5 axes"),
        (lambda: Image(np.zeros((0, 40, 40), np.uint8), contrast_limits=(0, 1)), "empty"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # napari's own, of an empty image
def test_refusals_are_one_sentence_that_names_the_layer(make, word):
    layer = make()
    reason = why_not(layer)
    assert reason is not None
    assert word in reason
    assert layer.name in reason
    assert "\n" not in reason


def test_the_least_image_is_accepted():
    assert why_not(Image(np.zeros((MIN_SIDE, MIN_SIDE)))) is None
    assert why_not(Image(np.zeros((MIN_SIDE - 1, MIN_SIDE)))) is not None


def test_outputs_lie_on_their_source():
    cos, sin = np.cos(0.3), np.sin(0.3)
    source = Image(
        np.zeros((4, 40, 50), np.uint8),
        scale=(2, 0.1, 0.1),
        translate=(1, 5, 7),
        rotate=[[1, 0, 0], [0, cos, -sin], [0, sin, cos]],
        shear=(0, 0, 0.1),
        affine=np.diag([1, 2, 2, 1]),
        units=("um", "um", "um"),
        axis_labels=("z", "y", "x"),
        metadata={"animal": "rat 1"},
    )
    output = Labels(
        np.zeros((4, 40, 50), np.int32),
        metadata=with_recipe(source, {"verb": "segment"}),
        **placement(source),
    )
    corner = (3, 39, 49)
    assert output.data_to_world(corner) == pytest.approx(source.data_to_world(corner))
    assert output.units == source.units
    assert output.axis_labels == source.axis_labels
    assert output.metadata["animal"] == "rat 1"
    assert recipe_of(output) == {"verb": "segment", "source": source.name}
    assert recipe_of(source) is None


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_outputs_with_an_axis_in_front_lie_on_their_source(ndim, turned):
    place = {"scale": (2, 0.1, 0.2)[-ndim:], "translate": (1, 5, 7)[-ndim:]}
    place |= {"units": ("um",) * ndim, "axis_labels": ("z", "y", "x")[-ndim:]}
    if turned:
        cos, sin = np.cos(0.3), np.sin(0.3)
        rotate = np.eye(ndim)
        rotate[-2:, -2:] = [[cos, -sin], [sin, cos]]
        affine = np.diag([1.0, 2, 3, 1])[-ndim - 1 :, -ndim - 1 :]
        place |= {"rotate": rotate, "shear": [0.1] if ndim == 2 else [0, 0, 0.1], "affine": affine}
    source = Image(np.zeros((4, 40, 50)[-ndim:], np.uint8), **place)
    shape = (3, *source.data.shape)
    output = Image(np.zeros(shape, np.uint8), **placement(source, "sample"))
    for point in ((0, 0, 0), (3, 39, 49)):
        world = source.data_to_world(point[-ndim:])
        assert output.data_to_world((2, *point[-ndim:])) == pytest.approx((2, *world))
    assert output.units[1:] == source.units
    assert output.axis_labels == ("sample", *source.axis_labels)


def test_colour_sources_have_outputs_without_the_colour_axis():
    source = Image(np.zeros((40, 50, 3), np.uint8), scale=(0.1, 0.1), units=("um", "um"))
    output = Labels(np.zeros((40, 50), np.int32), **placement(source))
    assert tuple(output.scale) == (0.1, 0.1)
    assert level_0(output).shape == (40, 50)


def test_a_calibrated_recipe_serves_uncalibrated_labels():
    layer = Labels(
        np.zeros((40, 50), np.int32),
        metadata={"axongen": {"verb": "segment", "parameters": {"pixel_size": 0.25}}},
    )
    assert pixel_size(layer).um == 0.25
