"""What is drawn of an image, in loops that numba compiles for the CPU; see `kernels`."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from .cells import EXTENT, LOBES
from .kernels import (
    HALF,
    bits_at,
    compiled,
    f32,
    gaussian,
    gaussian_place,
    i32,
    records,
    stream,
    u32,
    u64,
)
from .line_kernels import (
    IN_MASK,
    LARGEST,
    SEGMENT,
    add_lines,
    add_texture,
    draw_nearest,
    find_nearest,
    span,
)
from .random import stream_numbers
from .raster import LIGHT
from .render import TAIL

_LIGHT = f32(LIGHT)
_LANES = 32  # as `LANES`, where the turns are so short that fewer of them would be written out
_TEXTURE, _SPECKLE = stream_numbers("texture"), stream_numbers("speckle")

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


@compiled
def _place(row: Any, column: Any) -> Any:
    """`raster.window_places`."""
    return (row + LARGEST) * (2 * LARGEST + 1) + column + LARGEST


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
        half = min(int(np.ceil(s.reach)), LARGEST)
        middle, centre = int(np.floor(s.row + HALF)), int(np.floor(s.column + HALF))
        left, end = span(s.column, half, width)
        for y in range(*span(s.row, half, height)):
            row = f32(y) - s.row
            for x in range(left, end):
                column = f32(x) - s.column
                forth = row * s.down + column * s.right
                off = row * s.right - column * s.down
                ratio = forth / s.elongation
                inside = ratio * ratio + off * off < s.radius * s.radius
                if inside:
                    mask[y, x] = IN_MASK
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
    room = 2 * LARGEST + 1 + _LANES
    nearest, distances = np.empty(room, dtype=np.float32), np.empty(room, dtype=np.float32)
    upper, plain = np.empty(room, dtype=np.uint32), np.empty(room, dtype=np.int32)
    for number in range(len(bodies)):
        s = bodies[number]
        low, high = stream(s.key, _SPECKLE)
        shown = s.brightness * _LIGHT
        rim, rounded = f32(EXTENT) * s.radius, s.radius / f32(6)
        rim, rounded = rim * rim, rounded * rounded
        radius, sigma, dark = s.radius, s.sigma, s.dark
        row, column = s.lobes[0, 0], s.lobes[0, 1]
        half = min(int(np.ceil(s.reach)), LARGEST)
        middle, centre = int(np.floor(row + HALF)), int(np.floor(column + HALF))
        left, end = span(column, half, width)
        for y in range(*span(row, half, height)):
            first = u32(_place(y - middle, left - centre))
            # first what needs neither a table nor a decision, many pixels at once
            for begin in range(u64(0), u64(end - left), u64(_LANES)):
                for i in range(u64(_LANES)):
                    nearest[begin + i] = np.inf
                for lobe in range(LOBES):
                    away = (f32(y) - row) - (s.lobes[lobe, 0] - row)
                    aside = s.lobes[lobe, 1] - column
                    for i in range(u64(_LANES)):
                        off = (f32(i32(left + begin + i)) - column) - aside
                        nearest[begin + i] = min(nearest[begin + i], away * away + off * off)
                for i in range(u64(_LANES)):
                    distance = np.sqrt(nearest[begin + i] + rounded)
                    ratio = distance / sigma
                    plain[begin + i] = gaussian_place(ratio * ratio)
                    bits = bits_at(low, high, first + u32(begin + i))
                    upper[begin + i] = bits >> u32(16)
                    is_dark = f32(i32(bits & u32(0xFFFF))) * f32(2.0**-16) < dark
                    distances[begin + i] = radius if is_dark else distance
            for i in range(end - left):
                if nearest[i] >= rim:
                    continue
                x = left + i
                _merge(clean, y, x, gaussians[plain[i]] * shown, additive)
                ratio = (distances[i] + normals[upper[i]] * cell_noise) / sigma
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
    touched: Any,
    light: Any,
    clean: Any,
    axons: Any,
    branches: Any,
    axon_masks: Any,
    bouton_masks: Any,
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
    nearest, touched
        Space to work in, see `find_nearest`.
    light, clean, axons, branches, axon_masks, bouton_masks
        int32, int32, int16, int16, uint8 and uint8 (T, H, W), to be filled.
    """
    tables = (gaussians, normals)
    for t in range(len(light)):
        lines = segments[ends[0, t] : ends[0, t + 1]]
        light[t], clean[t], axons[t], branches[t] = 0, 0, 0, 0
        axon_masks[t], bouton_masks[t] = 0, 0
        low, high = stream(keys[t], _TEXTURE)
        find_nearest(lines, additive, nearest, touched)
        draw_nearest(
            lines,
            nearest,
            touched,
            low,
            high,
            noises[0],
            additive,
            tables,
            light[t],
            clean[t],
            axons[t],
            branches[t],
            axon_masks[t],
        )
        if additive:
            add_lines(lines, clean[t], gaussians)
            light[t] = clean[t]
            if noises[0] > 0:
                add_texture(light[t], low, high, noises[0], normals)
        feet = stalks[ends[1, t] : ends[1, t + 1]]
        add_lines(feet, clean[t], gaussians)
        add_lines(feet, light[t], gaussians)
        of_frame = spots[ends[2, t] : ends[2, t + 1]]
        _draw_boutons(
            of_frame, noises[1], additive, true_width, tables, light[t], clean[t], bouton_masks[t]
        )
        of_frame_ = bodies[ends[3, t] : ends[3, t + 1]]
        _draw_cells(of_frame_, noises[2], additive, tables, light[t], clean[t])


_plane, _planes = nb.int32[:, ::1], nb.int32[:, :, ::1]
_labels, _masks = nb.int16[:, :, ::1], nb.uint8[:, :, ::1]
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
            nb.boolean[:, ::1],
            _planes,
            _planes,
            _labels,
            _labels,
            _masks,
            _masks,
        )
    ]
}
"""What there is to compile."""
