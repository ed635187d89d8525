"""What is drawn of an image, in loops that numba compiles for the CPU; see `kernels`."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from .cells import EXTENT, LOBES
from .kernels import HALF, ONE, bits_at, compiled, f32, gaussian, i32, records, stream, u32
from .random import stream_numbers
from .raster import FINE, FURTHEST, ID_BITS, LIGHT, NOTHING, SIGMAS, SPACING, WINDOWS
from .render import PROFILE, TAIL

_LIGHT, _FAR = f32(LIGHT), i32(FURTHEST << ID_BITS)
_HALVES = np.array(WINDOWS, dtype=np.int32)
_LARGEST = WINDOWS[-1]
_TEXTURE, _SPECKLE = stream_numbers("texture"), stream_numbers("speckle")

SEGMENT = np.dtype(
    [
        ("start_row", "f4"),
        ("start_column", "f4"),
        ("end_row", "f4"),
        ("end_column", "f4"),
        ("brightness", "f4"),
        ("sigma", "f4"),
        ("half_width", "f4"),
        ("reach", "f4"),
        ("axon", "i4"),
        ("branch", "i4"),
    ]
)
"""Of `raster.Segments`; ``reach`` is that of `raster.nearest` with half the length."""

SPOT = np.dtype(
    [
        ("key", "u8"),
        ("row", "f4"),
        ("column", "f4"),
        ("down", "f4"),
        ("right", "f4"),
        ("radius", "f4"),
        ("elongation", "f4"),
        ("wide", "f4"),
        ("long", "f4"),
        ("peak", "f4"),
        ("reach", "f4"),
    ],
)
"""A bouton, see `render.Looks`; ``down`` and ``right`` are along the axon."""

BODY = np.dtype(
    [
        ("key", "u8"),
        ("lobes", "f4", (LOBES, 2)),
        ("radius", "f4"),
        ("sigma", "f4"),
        ("brightness", "f4"),
        ("dark", "f4"),
        ("reach", "f4"),
    ],
)
"""A cell, see `render.Looks`."""


# ------------------------------------------------------------ axons


@compiled
def _half_window(reach: Any) -> Any:
    """`raster.by_window`."""
    for half in _HALVES:
        if half >= reach:
            return half
    return _HALVES[-1]


@compiled
def _span(centre: Any, half: Any, side: Any) -> Any:
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
def _nearest(segments: Any, keys: Any) -> None:
    """`raster.nearest`, the keys of it."""
    height, width = keys.shape
    keys[:] = NOTHING
    for number in range(len(segments)):
        s = segments[number]
        down, right = s.end_row - s.start_row, s.end_column - s.start_column
        row, column = s.start_row + down / f32(2), s.start_column + right / f32(2)
        half = _half_window(s.reach)
        left, end = _span(column, half, width)
        squared = max(down * down + right * right, f32(1e-12))
        per_row, per_column = down / squared, right / squared
        for y in range(*_span(row, half, height)):
            from_row = (f32(y) - row) + down / f32(2)
            begun = from_row * per_row
            line = keys[y, left:end]
            for i in range(len(line)):
                from_column = (f32(left + i) - column) + right / f32(2)
                place = min(max(begun + from_column * per_column, f32(0)), ONE)
                away, off = from_row - place * down, from_column - place * right
                distance = np.sqrt(away * away + off * off)
                key = i32(i32(min(distance * f32(FINE), f32(FURTHEST))) << i32(ID_BITS)) + i32(
                    number
                )
                line[i] = min(line[i], i32(key))


@compiled
def _draw_nearest(
    segments: Any,
    keys: Any,
    low: Any,
    high: Any,
    texture: Any,
    additive: Any,
    tables: Any,
    light: Any,
    clean: Any,
    axons: Any,
    branches: Any,
) -> None:
    """`Renderer.draw_branches` and `Renderer._profile`."""
    gaussians, normals = tables
    height, width = keys.shape
    unit = f32(LIGHT / math.sqrt(2 * math.pi))
    for y in range(height):
        for x in range(width):
            key = keys[y, x]
            if key >= _FAR:
                continue
            s = segments[key & ((1 << ID_BITS) - 1)]
            distance = f32(key >> ID_BITS) / f32(FINE)
            if distance < s.half_width:
                axons[y, x], branches[y, x] = s.axon, s.branch
            if additive or distance >= f32(PROFILE) * s.sigma:
                continue
            ratio = distance / s.sigma
            shape = gaussian(ratio * ratio, gaussians) * unit / s.sigma
            bits = bits_at(low, high, (y + 1) * (width + 2) + x + 1)
            noise = normals[bits >> u32(16)] * texture
            clean[y, x] = i32(shape * s.brightness)
            light[y, x] = i32(shape * (s.brightness + noise))


@compiled
def _add_lines(segments: Any, light: Any, table: Any) -> None:
    """`raster.add_lines`."""
    height, width = light.shape
    across = np.empty(2 * _LARGEST + 1, dtype=np.float32)
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
            left, end = _span(column, half, width)
            for i in range(end - left):
                off = (f32(left + i) - column) / s.sigma
                across[i] = gaussian(off * off, table)
            for y in range(*_span(row, half, height)):
                away = (f32(y) - row) / s.sigma
                along = gaussian(away * away, table) * weight
                line = light[y, left:end]
                for i in range(len(line)):
                    line[i] += i32(along * across[i])


@compiled
def _add_texture(light: Any, low: Any, high: Any, texture: Any, normals: Any) -> None:
    """`Renderer._texture`."""
    height, width = light.shape
    for y in range(height):
        for x in range(width):
            if light[y, x] > 0:
                bits = bits_at(low, high, (y + 1) * (width + 2) + x + 1)
                light[y, x] = i32(f32(light[y, x]) * (ONE + normals[bits >> u32(16)] * texture))


# ------------------------------------------------------------ boutons and cells


@compiled
def _place(row: Any, column: Any) -> Any:
    """`raster.window_places`."""
    return (row + _LARGEST) * (2 * _LARGEST + 1) + column + _LARGEST


@compiled
def _merge(pixels: Any, y: Any, x: Any, value: Any, additive: Any) -> None:
    """`Renderer._merge`."""
    whole = i32(value)
    if additive:
        pixels[y, x] += whole
    else:
        pixels[y, x] = max(pixels[y, x], whole)


@compiled
def _draw_boutons(
    spots: Any,
    bouton_noise: Any,
    additive: Any,
    true_width: Any,
    tables: Any,
    light: Any,
    clean: Any,
    mask: Any,
) -> None:
    """`Renderer.draw_boutons`."""
    gaussians, normals = tables
    height, width = light.shape
    for number in range(len(spots)):
        s = spots[number]
        low, high = stream(s.key, _SPECKLE)
        shown, noisy = s.peak * _LIGHT, bouton_noise / s.wide
        half = min(int(np.ceil(s.reach)), _LARGEST)
        middle, centre = int(np.floor(s.row + HALF)), int(np.floor(s.column + HALF))
        left, end = _span(s.column, half, width)
        for y in range(*_span(s.row, half, height)):
            row = f32(y) - s.row
            for x in range(left, end):
                column = f32(x) - s.column
                forth = row * s.down + column * s.right
                off = row * s.right - column * s.down
                ratio = forth / s.elongation
                inside = ratio * ratio + off * off < s.radius * s.radius
                if inside:
                    mask[y, x] = True
                ratio, off = forth / s.long, off / s.wide
                squared = ratio * ratio + off * off
                if not (squared < f32(TAIL**2) if true_width else inside):
                    continue
                distance = np.sqrt(squared)
                _merge(clean, y, x, gaussian(distance * distance, gaussians) * shown, additive)
                bits = bits_at(low, high, _place(y - middle, x - centre))
                distance += normals[bits >> u32(16)] * noisy
                _merge(light, y, x, gaussian(distance * distance, gaussians) * shown, additive)


@compiled
def _draw_cells(
    bodies: Any, cell_noise: Any, additive: Any, tables: Any, light: Any, clean: Any
) -> None:
    """`Renderer.draw_cells`."""
    gaussians, normals = tables
    height, width = light.shape
    nearest = np.empty(2 * _LARGEST + 1, dtype=np.float32)
    for number in range(len(bodies)):
        s = bodies[number]
        low, high = stream(s.key, _SPECKLE)
        shown = s.brightness * _LIGHT
        rim, rounded = f32(EXTENT) * s.radius, s.radius / f32(6)
        rim, rounded = rim * rim, rounded * rounded
        row, column = s.lobes[0, 0], s.lobes[0, 1]
        half = min(int(np.ceil(s.reach)), _LARGEST)
        middle, centre = int(np.floor(row + HALF)), int(np.floor(column + HALF))
        left, end = _span(column, half, width)
        for y in range(*_span(row, half, height)):
            nearest[: end - left] = np.inf
            for lobe in range(LOBES):
                away = (f32(y) - row) - (s.lobes[lobe, 0] - row)
                for i in range(end - left):
                    off = (f32(left + i) - column) - (s.lobes[lobe, 1] - column)
                    nearest[i] = min(nearest[i], away * away + off * off)
            for i in range(end - left):
                if nearest[i] >= rim:
                    continue
                x = left + i
                distance = np.sqrt(nearest[i] + rounded)
                ratio = distance / s.sigma
                _merge(clean, y, x, gaussian(ratio * ratio, gaussians) * shown, additive)
                bits = bits_at(low, high, _place(y - middle, x - centre))
                dark = f32(bits & u32(0xFFFF)) * f32(2.0**-16) < s.dark
                noise = normals[bits >> u32(16)] * cell_noise
                ratio = ((s.radius if dark else distance) + noise) / s.sigma
                _merge(light, y, x, gaussian(ratio * ratio, gaussians) * shown, additive)


# ------------------------------------------------------------ all of it


@compiled
def draw(
    segments: Any,
    stalks: Any,
    spots: Any,
    bodies: Any,
    ends: Any,
    keys: Any,
    noises: Any,
    additive: Any,
    true_width: Any,
    gaussians: Any,
    normals: Any,
    nearest: Any,
    light: Any,
    clean: Any,
    axons: Any,
    branches: Any,
    mask: Any,
) -> None:
    """All frames of one image, as `Renderer` draws them.

    Parameters
    ----------
    segments, stalks, spots, bodies
        `SEGMENT`, `SEGMENT`, `SPOT`, `BODY` of all frames.
    ends
        int64 (4, T + 1): where those of a frame begin, and end.
    keys, noises
        uint64 (T,); float32 (3,) of axons, boutons and cells.
    gaussians, normals
        The tables.
    nearest
        int32 (H, W): space to work in.
    light, clean, axons, branches, mask
        int32, int32, int16, int16 and bool (T, H, W), to be filled.
    """
    tables = (gaussians, normals)
    for t in range(len(light)):
        lines = segments[ends[0, t] : ends[0, t + 1]]
        light[t], clean[t], axons[t], branches[t], mask[t] = 0, 0, 0, 0, False
        low, high = stream(keys[t], _TEXTURE)
        _nearest(lines, nearest)
        _draw_nearest(
            lines,
            nearest,
            low,
            high,
            noises[0],
            additive,
            tables,
            light[t],
            clean[t],
            axons[t],
            branches[t],
        )
        if additive:
            _add_lines(lines, clean[t], gaussians)
            light[t] = clean[t]
            if noises[0] > 0:
                _add_texture(light[t], low, high, noises[0], normals)
        feet = stalks[ends[1, t] : ends[1, t + 1]]
        _add_lines(feet, clean[t], gaussians)
        _add_lines(feet, light[t], gaussians)
        of_frame = spots[ends[2, t] : ends[2, t + 1]]
        _draw_boutons(
            of_frame, noises[1], additive, true_width, tables, light[t], clean[t], mask[t]
        )
        of_frame_ = bodies[ends[3, t] : ends[3, t + 1]]
        _draw_cells(of_frame_, noises[2], additive, tables, light[t], clean[t])


_plane, _planes = nb.int32[:, ::1], nb.int32[:, :, ::1]
_labels, _masks = nb.int16[:, :, ::1], nb.boolean[:, :, ::1]
_table = nb.float32[::1]
SIGNATURES = {
    draw: [
        (
            *(records(kind) for kind in (SEGMENT, SEGMENT, SPOT, BODY)),
            nb.int64[:, :],
            nb.uint64[::1],
            nb.float32[::1],
            nb.boolean,
            nb.boolean,
            _table,
            _table,
            _plane,
            _planes,
            _planes,
            _labels,
            _labels,
            _masks,
        )
    ]
}
"""What there is to compile."""
