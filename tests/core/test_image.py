"""Images: what is accepted, how it is read, and what is refused with which sentence."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_axongen.core.errors import InputError
from napari_axongen.core.image import Image, check_pixel_size, intensity_range, to_grey


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((20, 30), "YX"),
        ((20, 30, 3), "YXC"),
        ((20, 30, 4), "YXC"),
        ((5, 20, 30), "ZYX"),
        ((5, 20, 30, 3), "ZYXC"),
        ((2, 5, 20, 30), "TZYX"),
        ((2, 5, 20, 30, 4), "TZYXC"),
        ((4, 4, 3), "ZYX"),  # too small to be a colour picture
    ],
)
def test_axes_are_guessed(shape: tuple[int, ...], axes: str) -> None:
    image = Image.from_array(np.zeros(shape, np.uint8))
    assert image.axes == axes
    assert image.spatial_shape == (shape[:-1] if axes.endswith("C") else shape)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4), complex), "complex128"),
        (np.zeros((4, 4), object), "type object"),
        (np.array([["a", "b"]]), "real numbers"),
        (np.zeros(7), "at least two axes"),
        (np.zeros((0, 5)), "empty"),
        (np.zeros((1, 1, 1, 1, 1, 1)), "axes"),
    ],
)
def test_what_is_no_image_is_refused_by_name(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Image.from_array(array, name="photo")
    assert "photo" in str(caught.value)


def test_axes_that_do_not_fit_and_too_many_channels() -> None:
    with pytest.raises(InputError, match="does not fit"):
        Image.from_array(np.zeros((4, 4)), axes="ZYX")
    with pytest.raises(InputError, match="7 channels"):
        Image.from_array(np.zeros((8, 8, 7)), axes="YXC")


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf"), 1e-9, 1e6])
def test_impossible_pixel_sizes(size: float) -> None:
    with pytest.raises(InputError, match="pixel size of image"):
        check_pixel_size(size)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int32, np.uint16, np.float16, np.float64])
def test_every_real_type_is_read_as_float32(dtype: type) -> None:
    image = Image.from_array(np.ones((3, 4), dtype))
    plane = image.read(())
    assert plane.dtype == np.float32
    assert (plane == 1).all()


def test_colour_becomes_luminance_and_alpha_is_dropped() -> None:
    rgba = np.zeros((6, 6, 4), np.uint8)
    rgba[..., 1] = 100
    rgba[..., 3] = 7
    np.testing.assert_allclose(Image.from_array(rgba).read(()), 71.54, rtol=1e-5)
    grey_alpha = np.dstack([np.full((6, 6), 9), np.full((6, 6), 255)])
    np.testing.assert_array_equal(to_grey(grey_alpha), 9)


def test_a_lazy_stack_is_read_by_plane() -> None:
    read = []

    def block(block_info: dict | None = None) -> np.ndarray:
        z = block_info[None]["array-location"][0][0]
        read.append(z)
        return np.full((1, 8, 9), z, np.uint16)

    lazy = da.map_blocks(block, chunks=((1,) * 5, (8,), (9,)), dtype=np.uint16)
    image = Image.from_array(lazy)
    assert list(image.plane_indices()) == [(z,) for z in range(5)]
    assert (image.read((3,)) == 3).all()
    assert read == [3]


def test_normalising_maps_percentiles_and_ignores_what_is_not_finite() -> None:
    data = np.linspace(0, 100, 10_000, dtype=np.float32).reshape(100, 100)
    data[0, :3] = np.nan, np.inf, -np.inf
    image = Image.from_array(data)
    grey = intensity_range(image, ())
    assert grey.low == pytest.approx(1.0, abs=0.1)
    assert grey.high == pytest.approx(99.0, abs=0.1)
    normal = grey.normalise(image.read(()))
    assert np.isfinite(normal).all()
    np.testing.assert_array_equal(normal[0, :3], 0.5)
    assert normal.min() >= -0.5
    assert normal.max() <= 1.5


def test_brightness_and_contrast_of_the_file_do_not_matter() -> None:
    data = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    a, b = Image.from_array(data), Image.from_array(data * 300 + 7000)
    one, other = (intensity_range(i, ()).normalise(i.read(())) for i in (a, b))
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_constant_and_mostly_flat_planes() -> None:
    flat = Image.from_array(np.full((9, 9), 7, np.uint8))
    assert (intensity_range(flat, ()).normalise(flat.read(())) == 0.5).all()
    spot = np.zeros((200, 200), np.uint8)
    spot[3, 3] = 200
    grey = intensity_range(Image.from_array(spot), ())
    assert grey.high > grey.low


def test_nothing_but_nan_is_refused() -> None:
    with pytest.raises(InputError, match="no finite value"):
        intensity_range(Image.from_array(np.full((5, 5), np.nan)), ())


def test_large_planes_are_sampled_and_still_right() -> None:
    data = np.random.default_rng(1).integers(0, 1000, (3000, 2500)).astype(np.uint16)
    grey = intensity_range(Image.from_array(data), ())
    assert grey.low == pytest.approx(10, abs=3)
    assert grey.high == pytest.approx(989, abs=3)
