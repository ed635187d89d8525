"""Paths drawn over an image must come back on its pixels, wherever the layers lie."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_axongen.bridge.tracing import traced_paths
from napari_axongen.core.errors import InputError

PATH = np.array([[2.0, 3.0], [10.0, 4.5], [20.0, 40.0]])
LINE = np.array([[0.0, 0.0], [5.0, 9.0]])


def shapes(data=(PATH, LINE), kinds=("path", "line"), **where) -> Shapes:
    return Shapes(list(data), shape_type=list(kinds), **where)


def image(**where) -> Image:
    return Image(np.zeros((30, 50), np.uint8), **where)


def test_layers_on_one_grid():
    path, line = traced_paths(shapes(), image())
    np.testing.assert_allclose(path, PATH)
    np.testing.assert_allclose(line, LINE)


def test_scale_and_translation_of_both_count():
    where = image(scale=(0.5, 0.25), translate=(10, -3))
    drawn = shapes(scale=(2, 2), translate=(1, 0))
    path, _ = traced_paths(drawn, where)
    np.testing.assert_allclose(path, (PATH * 2 + (1, 0) - (10, -3)) / (0.5, 0.25))


def test_rotated_image():
    where = image(rotate=90, translate=(4, 0))
    path, _ = traced_paths(shapes(), where)
    for there, here in zip(path, PATH, strict=True):
        np.testing.assert_allclose(where.data_to_world(there), here, atol=1e-9)


def test_units_are_converted():
    drawn = shapes(scale=(100, 100), units=("nm", "nm"))
    path, _ = traced_paths(drawn, image(scale=(0.2, 0.2), units=("um", "um")))
    np.testing.assert_allclose(path, PATH / 2)
    path, _ = traced_paths(shapes(), image(scale=(0.2, 0.2), units=("um", "um")))
    np.testing.assert_allclose(path, PATH / 0.2)  # pixels are no length


def test_shapes_over_a_stack():
    stack = Image(np.zeros((4, 30, 50), np.uint8), scale=(5, 2, 2))
    flat, _ = traced_paths(shapes(), stack)
    np.testing.assert_allclose(flat, PATH / 2)
    deep = [np.column_stack([np.full(len(p), 3.0), p]) for p in (PATH, LINE)]
    path, line = traced_paths(shapes(deep), image(scale=(2, 2)))
    np.testing.assert_allclose(path, PATH / 2)
    np.testing.assert_allclose(line, LINE / 2)


def test_what_is_no_centreline_is_said():
    corners = np.array([[0, 0], [0, 5], [5, 5], [5, 0]])
    with pytest.raises(InputError, match=r"Shape 1 of 'Shapes' is a rectangle"):
        traced_paths(shapes([PATH, corners], ["path", "rectangle"]), image())
    with pytest.raises(InputError, match=r"'Shapes' is empty"):
        traced_paths(Shapes(), image())
    with pytest.raises(InputError, match="no Shapes layer"):
        traced_paths(Labels(np.zeros((3, 3), int)), image())
