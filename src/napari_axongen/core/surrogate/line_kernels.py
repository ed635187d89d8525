"""How axons and stalks are drawn, in loops that numba compiles for the CPU; see `kernels`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .kernels import HALF, LANES, ONE, bits_at, compiled, f32, gaussian, i32, u32, u64
from .raster import FINE, FURTHEST, ID_BITS, LIGHT, NOTHING, SIGMAS, SPACING, WINDOWS
from .render import PROFILE

IN_MASK = np.uint8(255)
"""Of the pixels of a mask."""
LARGEST = WINDOWS[-1]
"""Half of the largest window."""
_FAR = i32(FURTHEST << ID_BITS)
_HALVES = np.array(WINDOWS, dtype=np.int32)

SEGMENT = np.dtype(
    [
        ("start_row", "f4"),
        ("start_column", "f4"),
        ("end_row", "f4"),
        ("end_column", "f4"),
        ("brightness", "f4"),
        ("sigma", "f4"),
        ("half_width", "f4"),
        ("axon", "i4"),
        ("branch", "i4"),
    ]
)
"""Of `raster.Segments`."""


@compiled
def _half_window(reach: Any) -> Any:
    """`raster.by_window`."""
    for half in _HALVES:
        if half >= reach:
            return half
    return _HALVES[-1]


@compiled
def span(centre: Any, half: Any, side: Any) -> Any:
    """First pixel of `Canvas.windows` within the image, and the one after the last, of an axis."""
    middle = int(np.floor(centre + HALF))
    first = max(middle - half, 0)
    return first, max(min(middle + half + 1, side), first)


@compiled
def _length(s: Any) -> Any:
    """`Segments.length`."""
    down, right = s.end_row - s.start_row, s.end_column - s.start_column
    return np.sqrt(down * down + right * right)


@compiled
def find_nearest(segments: Any, additive: Any, keys: Any, touched: Any) -> None:
    """`raster.nearest`, the keys of it.

    Parameters
    ----------
    segments, additive
        `SEGMENT` of a frame, and what `render.branch_reach` is told.
    keys
        int32 (H, W + LANES), to be filled: what is beyond the width is room for whole vectors.
    touched
        bool (H, W / LANES + 1), to be filled: where a segment came near.
    """
    height, width = len(keys), keys.shape[1] - LANES
    keys[:], touched[:] = NOTHING, False
    for number in range(len(segments)):
        s = segments[number]
        down, right = s.end_row - s.start_row, s.end_column - s.start_column
        row, column = s.start_row + down / f32(2), s.start_column + right / f32(2)
        reach = s.half_width if additive else max(s.half_width, f32(PROFILE) * s.sigma)
        half = _half_window(reach + _length(s) / f32(2))
        left, end = span(column, half, width)
        if left == end:  # beside the image
            continue
        squared = max(down * down + right * right, f32(1e-12))
        per_row, per_column = down / squared, right / squared
        for y in range(*span(row, half, height)):
            from_row = (f32(y) - row) + down / f32(2)
            begun = from_row * per_row
            for block in range(left // LANES, (end + LANES - 1) // LANES):
                touched[y, block] = True
            for begin in range(left, end, LANES):
                for i in range(LANES):
                    from_column = (f32(i32(begin + i)) - column) + right / f32(2)
                    place = min(max(begun + from_column * per_column, f32(0)), ONE)
                    away, off = from_row - place * down, from_column - place * right
                    distance = np.sqrt(away * away + off * off)
                    key = i32(min(distance * f32(FINE), f32(FURTHEST))) << i32(ID_BITS)
                    key = i32(key) + i32(number) if begin + i < end else i32(NOTHING)
                    x = u64(begin + i)  # no index counts from the end
                    keys[y, x] = min(keys[y, x], i32(key))


@compiled
def draw_nearest(
    segments: Any,
    keys: Any,
    touched: Any,
    low: Any,
    high: Any,
    texture: Any,
    additive: Any,
    tables: Any,
    light: Any,
    clean: Any,
    axons: Any,
    branches: Any,
    mask: Any,
) -> None:
    """`Renderer.draw_branches` and `Renderer._profile`."""
    gaussians, normals = tables
    height, width = light.shape
    unit = f32(LIGHT / math.sqrt(2 * math.pi))
    for y in range(height):
        for block in range(touched.shape[1]):
            if not touched[y, block]:
                continue
            for x in range(block * LANES, min((block + 1) * LANES, width)):
                key = keys[y, x]
                if key >= _FAR:
                    continue
                s = segments[key & ((1 << ID_BITS) - 1)]
                distance = f32(key >> ID_BITS) / f32(FINE)
                if distance < s.half_width:
                    axons[y, x], branches[y, x], mask[y, x] = s.axon, s.branch, IN_MASK
                if additive or distance >= f32(PROFILE) * s.sigma:
                    continue
                ratio = distance / s.sigma
                shape = gaussian(ratio * ratio, gaussians) * unit / s.sigma
                bits = bits_at(low, high, (y + 1) * (width + 2) + x + 1)
                noise = normals[bits >> u32(16)] * texture
                clean[y, x] = i32(shape * s.brightness)
                light[y, x] = i32(shape * (s.brightness + noise))


@compiled
def add_lines(segments: Any, light: Any, table: Any) -> None:
    """`raster.add_lines`."""
    height, width = light.shape
    across = np.empty(2 * LARGEST + 1, dtype=np.float32)
    for number in range(len(segments)):
        s = segments[number]
        length = _length(s)
        pieces = max(int(np.ceil(length / (f32(SPACING) * s.sigma))), 1)
        weight = s.brightness * length / f32(pieces) * f32(LIGHT / (2 * math.pi))
        weight = weight / (s.sigma * s.sigma)
        half = _half_window(f32(SIGMAS) * s.sigma)
        for piece in range(pieces):
            place = (f32(piece) + HALF) / f32(pieces)
            row = s.start_row + place * (s.end_row - s.start_row)
            column = s.start_column + place * (s.end_column - s.start_column)
            left, end = span(column, half, width)
            for i in range(end - left):
                off = (f32(left + i) - column) / s.sigma
                across[i] = gaussian(off * off, table)
            for y in range(*span(row, half, height)):
                away = (f32(y) - row) / s.sigma
                along = gaussian(away * away, table) * weight
                line = light[y, left:end]
                for i in range(len(line)):
                    line[i] += i32(along * across[i])


@compiled
def add_texture(light: Any, low: Any, high: Any, texture: Any, normals: Any) -> None:
    """`Renderer._texture`."""
    height, width = light.shape
    for y in range(height):
        for x in range(width):
            if light[y, x] > 0:
                bits = bits_at(low, high, (y + 1) * (width + 2) + x + 1)
                light[y, x] = i32(f32(light[y, x]) * (ONE + normals[bits >> u32(16)] * texture))
