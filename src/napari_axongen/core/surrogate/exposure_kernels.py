"""What the microscope makes of an image's light, in loops that numba compiles for the CPU.

As in `kernels`, each function names the one of the torch path that it equals to the bit.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from .acquisition import COLUMNS, FEW, GRAINS, HALVED, ROUNDED, ROWS
from .kernels import HALF, ONE, bits_at, compiled, f32, i32, records, stream, u32, u64
from .random import stream_numbers

VIEW = np.dtype(
    [
        (name, "f4")
        for name in (
            "scale",
            "haze",
            "background",
            "vignetting",
            "line_jitter",
            "background_variation",
            "unit",
            "gain",
            "read_noise",
            "offset",
            "top",
        )
    ]
    + [("normalise", "?")]
)
"""How an image is taken: of `AcquisitionParameters`. ``scale`` is the signal in grey values per
1/LIGHT, ``unit`` that of `background`, ``top`` the greatest grey value."""

_ROW_BITS, _UPPER = u32(0xFFFF), u32(16)
_JITTER, _BACKGROUND, _PHOTONS, _READ = map(
    stream_numbers, ("jitter", "background", "photons", "read")
)


@compiled
def _normals(key: Any, numbers: Any, first: Any, table: Any, bits: Any, out: Any) -> None:
    """`PixelDraws.normal` from the first on; the bits are space to work in."""
    low, high = stream(key, numbers)
    begin, end = first // 2, (first + len(out) + 1) // 2
    for i in range(end - begin):
        bits[i] = bits_at(low, high, begin + i)
    odd = first % 2
    for i in range(len(out)):
        place = i + odd
        half = (bits[place // 2] >> _UPPER) if place % 2 else (bits[place // 2] & _ROW_BITS)
        out[i] = table[half ^ u32(0x8000)]


@compiled
def _draw_grains(key: Any, size: Any, table: Any, bits: Any, out: Any) -> None:
    """The grains of `acquisition._background`, so many rows and columns; what is more stays 0."""
    down, across = size
    for k in range(down):
        line = out[k, :across]
        _normals(key, _BACKGROUND, k * across, table, bits, line)
        for i in range(across):
            line[i] = min(max(np.rint(line[i] * f32(GRAINS)), f32(-127)), f32(127))


@compiled
def _smooth_down(grains: Any, y: Any, taps: Any, first: Any, smooth: Any) -> None:
    """The first product of `acquisition._background`, of a row: four weights at once."""
    pitch, smooth[:] = taps.shape[1], 0
    r, q = y % pitch, u64(y // pitch + first)
    for k in range(0, len(taps), 4):
        a, b, c, d = taps[k, r], taps[k + 1, r], taps[k + 2, r], taps[k + 3, r]
        e, f, g = q + u64(1), q + u64(2), q + u64(3)
        for i in range(u64(len(smooth))):
            smooth[i] += (a * grains[q, i] + b * grains[e, i]) + (
                c * grains[f, i] + d * grains[g, i]
            )
        q += u64(4)
    for i in range(u64(len(smooth))):
        smooth[i] = np.rint(smooth[i] * f32(1 / HALVED))


@compiled
def _smooth_near(smooth: Any, taps: Any, first: Any, phases: Any, made: Any) -> None:
    """The second, where grains are near: many pixels of the same weights at once, then in order."""
    pitch, number = u64(phases.shape[0]), u64(phases.shape[1])
    phases[:] = 0
    for r in range(pitch):
        q = u64(first)
        for k in range(0, len(taps), 4):
            a, b, c, d = taps[k, r], taps[k + 1, r], taps[k + 2, r], taps[k + 3, r]
            e, f, g = q + u64(1), q + u64(2), q + u64(3)
            for i in range(number):
                phases[r, i] += (a * smooth[q + i] + b * smooth[e + i]) + (
                    c * smooth[f + i] + d * smooth[g + i]
                )
            q += u64(4)
        for i in range(number):
            made[r + i * pitch] = phases[r, i]


@compiled
def _smooth_far(smooth: Any, taps: Any, first: Any, made: Any) -> None:
    """The second, where grains are far apart: all pixels from one to the next at once."""
    pitch, made[:] = u64(taps.shape[1]), 0
    for begin in range(u64(0), u64(len(made)), pitch):
        q = begin // pitch + u64(first)
        for k in range(u64(0), u64(len(taps)), u64(4)):
            a, b, c, d = (
                smooth[q + k],
                smooth[q + k + u64(1)],
                smooth[q + k + u64(2)],
                smooth[q + k + u64(3)],
            )
            e, f, g = k + u64(1), k + u64(2), k + u64(3)
            for i in range(pitch):
                made[begin + i] += (a * taps[k, i] + b * taps[e, i]) + (
                    c * taps[f, i] + d * taps[g, i]
                )


@compiled
def _add_background(
    grains: Any,
    y: Any,
    taps: Any,
    first: Any,
    unit: Any,
    uneven: Any,
    smooth: Any,
    phases: Any,
    made: Any,
    noisy: Any,
) -> None:
    """`acquisition._background` of a row, added; all sums are exact, whatever their order.

    Pixels as far from the grain before them have the same weights, so that no others are needed
    than those of the pixels from one grain to the next.
    """
    _smooth_down(grains, y, taps, first, smooth)
    if phases.shape[0] < phases.shape[1]:
        _smooth_near(smooth, taps, first, phases, made)
    else:
        _smooth_far(smooth, taps, first, made)
    for x in range(len(noisy)):
        noisy[x] += made[x] * unit * uneven


@compiled
def _jitter(noisy: Any, shift: Any, out: Any) -> None:
    """`acquisition._jitter` of a row."""
    last = len(noisy) - 1
    for x in range(len(noisy)):
        at = f32(x) + shift
        left = np.floor(at)
        begin = min(max(int(left), 0), last)
        first, second = noisy[begin], noisy[min(max(int(left) + 1, 0), last)]
        out[x] = first + (at - left) * (second - first)
    noisy[:] = out


@compiled
def _photons(
    noisy: Any, gain: Any, key: Any, first: Any, counts: Any, normals: Any, bits: Any
) -> None:
    """`acquisition.photons` of a row, in grey values."""
    low, high = stream(key, _PHOTONS)
    for x in range(len(noisy)):
        bits[x] = bits_at(low, high, first + x)
    for x in range(len(noisy)):
        mean = max(noisy[x] / max(gain, f32(1e-6)), f32(0))
        upper = bits[x] >> _UPPER
        if mean > f32(FEW):
            z = normals[upper]
            number = np.rint(mean + np.sqrt(mean) * z + (z * z - ONE) / f32(6))
            number = max(number, f32(0))
        else:
            row = int(f32(bits[x] & _ROW_BITS) * f32(2.0**-16) + mean * f32(ROWS))
            number = f32(counts[row * COLUMNS + int(upper & u32(COLUMNS - 1))])
        noisy[x] = number * gain


@compiled
def _add(line: Any, plain: Any, value: Any) -> None:
    for x in range(len(line)):
        line[x], plain[x] = line[x] + value, plain[x] + value


@compiled
def expose(
    light: Any,
    clean: Any,
    views: Any,
    image: Any,
    keys: Any,
    left: Any,
    haze: Any,
    shade: Any,
    taps: Any,
    first: Any,
    coarse: Any,
    normals: Any,
    counts: Any,
    noisy: Any,
    plain: Any,
) -> Any:
    """`Microscope.expose` of all frames of an image but for the end.

    Parameters
    ----------
    light, clean
        int32 (T, H, W): in 1/LIGHT.
    views, image
        `VIEW` (B,), and which of them.
    keys, left
        uint64 and float32 (T,): part of the light that is not bleached.
    haze, shade
        float32 (H + W,) each: profiles of the haze, and parts of the squared radius, of the rows
        and then of the columns.
    taps, first, coarse
        float32 (4 n, P): weights of so many grains in a row or column, for each of the pixels from
        one grain to the next; number of the first of these grains; rows and columns of grains.
    normals, counts
        The tables.
    noisy, plain
        float32 (T, H, W), to be filled: with noise and without. They may be the memory of the
        light, which is not read again: less of it stays longer in the cache.

    Returns
    -------
    What `digitise` is to multiply with, and to add.
    """
    view = views[image]
    frames, height, width = light.shape
    scale = view.scale
    if view.normalise:
        brightest_light = i32(1)
        for t in range(frames):
            for y in range(height):
                for x in range(width):
                    brightest_light = max(brightest_light, light[t, y, x])
        scale = ONE / f32(brightest_light) * f32(255)
    uneven = view.background_variation
    pitch = taps.shape[1]
    down, across = (height + pitch - 1) // pitch, (width + pitch - 1) // pitch
    reach = first + len(taps)
    columns = (max(coarse[1], across + reach) + 15) // 16 * 16  # whole vectors
    grains = np.zeros((max(coarse[0], down + reach), columns), dtype=np.float32)
    smooth, phases = (
        np.empty(columns, dtype=np.float32),
        np.empty((pitch, across), dtype=np.float32),
    )
    bits = np.empty(max(coarse[1], width, height) + 2, dtype=np.uint32)
    shifts = np.empty(height, dtype=np.float32)
    # arrays of their own: of parts of one, numba's loops do not take many values at once
    line, bare = np.empty(width, dtype=np.float32), np.empty(width, dtype=np.float32)
    buffer = np.empty(width, dtype=np.float32)
    made = np.empty(pitch * across, dtype=np.float32)  # beyond the width it is not looked at
    # the brightest of each column: that of a row is a chain, which is not taken many at a time
    brightest = np.zeros(width, dtype=np.float32)
    for t in range(frames):
        seen = scale * left[t]
        if view.line_jitter != 0:
            _normals(keys[t], _JITTER, 0, normals, bits, shifts)
        if uneven != 0:
            _draw_grains(keys[t], coarse, normals, bits, grains)
        for y in range(height):
            for x in range(width):
                line[x], bare[x] = f32(light[t, y, x]) * seen, f32(clean[t, y, x]) * seen
            if view.haze != 0:
                glow = view.haze * haze[y]
                for x in range(width):
                    more = glow * haze[height + x]
                    line[x], bare[x] = line[x] + more, bare[x] + more
            if view.background != 0:
                _add(line, bare, view.background)
            if view.vignetting != 0:
                for x in range(width):
                    dim = ONE - view.vignetting * (shade[y] + shade[height + x])
                    line[x], bare[x] = line[x] * dim, bare[x] * dim
            if view.line_jitter != 0:
                _jitter(line, shifts[y] * view.line_jitter, buffer)
            if uneven != 0:
                _add_background(
                    grains, y, taps, first, view.unit, uneven, smooth, phases, made, line
                )
            if view.gain > 0:
                _photons(line, view.gain, keys[t], y * width, counts, normals, bits)
            if view.read_noise != 0:
                _normals(keys[t], _READ, y * width, normals, bits, buffer)
                for x in range(width):
                    line[x] += buffer[x] * view.read_noise
            if view.offset != 0:
                _add(line, bare, view.offset)
            if view.normalise:
                for x in range(width):
                    brightest[x] = max(brightest[x], line[x])
            for x in range(width):
                noisy[t, y, x], plain[t, y, x] = line[x], bare[x]
    if view.normalise:
        return ONE / max(brightest.max(), f32(1e-6)) * view.top, f32(ROUNDED)
    return ONE, HALF


@compiled
def digitise(values: Any, factor: Any, more: Any, top: Any, negative: Any, out: Any) -> None:
    """`Microscope._digitise`, float32 (T, H, W) to whole numbers."""
    frames, height, width = values.shape
    for t in range(frames):
        for y in range(height):
            line, grey = values[t, y], out[t, y]
            for x in range(width):
                value = min(max(line[x] * factor + more, f32(0)), top)
                grey[x] = top - np.floor(value) if negative else value


_light, _values, _list = nb.int32[:, :, ::1], nb.float32[:, :, ::1], nb.float32[::1]
SIGNATURES = {
    expose: [
        (
            _light,
            _light,
            records(VIEW),
            nb.int64,
            nb.uint64[::1],
            _list,
            _list,
            _list,
            nb.float32[:, ::1],
            nb.int64,
            nb.types.UniTuple(nb.int64, 2),
            _list,
            nb.uint8[::1],
            _values,
            _values,
        )
    ],
    digitise: [
        (_values, nb.float32, nb.float32, nb.float32, nb.boolean, kind[:, :, ::1])
        for kind in (nb.uint8, nb.int32)
    ],
}
"""What there is to compile."""
