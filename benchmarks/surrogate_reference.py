"""The 2017 surrogate model (Billot 2017) in plain NumPy: what the generator's speed is measured by.

It is written as one would port the original: loops over branches, samples, boutons and cells, array
expressions where the original had them. It computes the model that the generator computes, so the
original's faults are mended and no retry is without a bound. It needs nothing of napari_axongen.

Departures from the original's way, all of them in favour of speed: headings are drawn from the
cone instead of by rejection, and the blur of the background is done as two passes of 51 weights
instead of one of 50 x 50.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import convolve1d, gaussian_filter
from scipy.signal import convolve2d

TRIES = 60  # of a branch, a bouton, or the place of a cell
RESTARTS = 10  # of an image whose branches do not fit
STALK_SAMPLES = 20
LOBES = 5  # centres of a cell
BACKGROUND_GAIN, BACKGROUND_SIGMA = 25.0, 6.0
RIM = 0.05  # brightness at the rim of a bouton

Parameters = Mapping[str, Any]


@dataclass
class Branch:
    """Samples (N, 2) as (row, column), their intensity and whether they lie in a gap."""

    samples: np.ndarray
    values: np.ndarray
    in_gap: np.ndarray
    thickness: float
    axon: int
    start: np.ndarray | None = None  # where it leaves its mother; None for a mother


@dataclass
class Axons:
    """Branches, and for each pixel the distance to the nearest sample and its intensity."""

    distance: np.ndarray
    values: np.ndarray
    branches: list[Branch] = field(default_factory=list)

    def add(self, branch: Branch, distance: np.ndarray, values: np.ndarray) -> None:
        nearer = distance < self.distance
        self.distance[nearer] = distance[nearer]
        self.values[nearer] = values[nearer]
        self.branches.append(branch)


@dataclass
class Canvas:
    """The scene with its speckle and without, and what is taken by axons and boutons."""

    image: np.ndarray
    clean: np.ndarray
    occupied: np.ndarray

    def draw(self, window: Any, noisy: np.ndarray, plain: np.ndarray) -> None:
        np.maximum(self.image[window], noisy, out=self.image[window])
        np.maximum(self.clean[window], plain, out=self.clean[window])


def reference_image(
    parameters: Parameters, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw one surrogate image.

    Parameters
    ----------
    parameters
        Under the names of the original's JSON files.
    rng
        Where chance comes from.

    Returns
    -------
    uint8 (H, W): the image; the same scene without noise, at the same grey scale; the mask of axons
    and that of boutons (0 and maxIntensity)
    """
    axons = draw_axons(parameters, rng)
    canvas = draw_profile(parameters, rng, axons)
    boutons = add_boutons(parameters, rng, axons, canvas)
    add_cells(parameters, rng, canvas)
    image, clean = acquire(parameters, rng, canvas)
    full = np.uint8(parameters["maxIntensity"])
    axon_mask = (axons.distance < parameters["SegmentationThreshold"]) * full
    return image, clean, axon_mask, boutons * full


# ---------------------------------------------------------------- axons


def draw_axons(p: Parameters, rng: np.random.Generator) -> Axons:
    """Axons with their daughter branches; fewer of them if they do not fit."""
    for _ in range(RESTARTS):
        axons, complete = _try_axons(p, rng)
        if complete:
            break
    return axons


def _try_axons(p: Parameters, rng: np.random.Generator) -> tuple[Axons, bool]:
    shape = p["height"], p["width"]
    axons = Axons(np.full(shape, np.inf), np.zeros(shape))
    for axon in range(_integer(rng, p["MinAxons"], p["MaxAxons"])):
        rejected = 0
        for order in range(_integer(rng, p["MinBran"], p["MaxBran"])):
            thickness = _integer(rng, 100 * p["MinThickness"], 100 * p["MaxThickness"]) / 100
            while True:
                branch = _daughter(p, rng, axons, axon) if order else _mother(p, rng, axons)
                branch.axon, branch.thickness = axon, thickness
                distance, values = stamp(shape, branch.samples, branch.values, thickness)
                if p["crossingOK"] or not _crosses(p, axons, branch, distance):
                    break
                rejected += 1
                if rejected > TRIES:
                    return axons, False
            axons.add(branch, distance, values)
    return axons, True


def _mother(p: Parameters, rng: np.random.Generator, axons: Axons) -> Branch:
    bottom, right = p["height"] - 1, p["width"] - 1
    for _ in range(TRIES):
        side = _integer(rng, 0, 3)
        length = right if side in (0, 2) else bottom
        along = _integer(rng, round(length / 4), round(3 * length / 4))
        start = [(0, along), (along, 0), (bottom, along), (along, right)][side]
        if p["crossingOK"] or not np.isfinite(axons.distance[start]):
            break
    heading = [0.0, math.pi / 2, math.pi, -math.pi / 2][side]  # angle from the row axis
    samples = walk(p, rng, start, heading, math.acos(p["conformity"]))
    low, high = p["MinAxonIntensity"] / 100, p["MaxAxonIntensity"] / 100
    first = low + 0.01 + (high - low - 0.02) * rng.random()
    return Branch(samples, *_intensity(p, rng, first, len(samples), p["AxonProfile"]), 0, 0)


def _daughter(p: Parameters, rng: np.random.Generator, axons: Axons, axon: int) -> Branch:
    places = [
        (branch, index)
        for branch in axons.branches
        if branch.axon == axon
        for index in range(1, len(branch.samples))
        if not branch.in_gap[index]
    ]
    branch, index = places[_integer(rng, 0, len(places) - 1)]
    start = branch.samples[index]
    rows, columns = start - branch.samples[index - 1]
    samples = walk(p, rng, start, math.atan2(columns, rows), math.pi / 4)
    values = _intensity(p, rng, branch.values[index], len(samples), p["BranchProfile"])
    return Branch(samples, *values, 0, axon, start)


def walk(
    p: Parameters, rng: np.random.Generator, start: Any, heading: float, first_turn: float
) -> np.ndarray:
    """Persistent random walk to the edge of the image, as samples of a spline (N, 2)."""
    bottom, right = p["height"] - 1, p["width"] - 1
    step, turn = p["StepSize"], math.acos(p["conformity"])
    row, column = start
    points = [(row, column)]
    limit = first_turn
    for _ in range(int(20 * (bottom + right) / step)):
        heading += rng.uniform(-limit, limit)
        limit = turn
        row += step * math.cos(heading)
        column += step * math.sin(heading)
        points.append((min(max(row, 0), bottom), min(max(column, 0), right)))
        if not (0 < row < bottom and 0 < column < right):
            break
    spline = CubicSpline(np.linspace(0, 1, len(points)), points)  # not-a-knot
    samples = spline(np.linspace(0, 1, p["NSplinePoints"]))
    return np.clip(samples, 0, (bottom, right))


def _intensity(
    p: Parameters, rng: np.random.Generator, first: float, count: int, profile: str
) -> tuple[np.ndarray, np.ndarray]:
    """Intensity along a branch that starts at `first`, and where its gap is."""
    low, high = p["MinAxonIntensity"] / 100, p["MaxAxonIntensity"] / 100
    top = first + (high - min(first, high - 0.01)) * rng.random()
    bottom = first - (max(first, low + 0.01) - low) * rng.random()
    if profile == "constant":
        values = np.full(count, first)
    elif profile == "linear":
        values = np.linspace(first, top if rng.random() < 0.5 else bottom, count)
    else:
        periods = rng.uniform(p["MinPeriod"], p["MaxPeriod"])
        mean, swing = (top + bottom) / 2, (top - bottom) / 2
        phase = math.acos(min(max((first - mean) / swing, -1), 1)) if swing > 0 else 0.0
        phase *= 1 if rng.random() < 0.5 else -1
        values = mean + swing * np.cos(np.linspace(0, 2 * math.pi * periods, count) - phase)
    in_gap = np.zeros(count, dtype=bool)
    if p["MaxGapSize"] > 0:
        half = _integer(rng, p["MinGapSize"], p["MaxGapSize"])
        centre = _integer(rng, 0, count - 1)
        left, right = max(centre - half, 0), min(centre + half, count - 1)
        values[left : centre + 1] = values[left] * np.linspace(1, 0, centre - left + 1)
        values[centre : right + 1] = values[right] * np.linspace(0, 1, right - centre + 1)
        in_gap = abs(np.arange(count) - centre) < max(half, 1)
    return values, in_gap


def stamp(
    shape: tuple[int, int], samples: np.ndarray, values: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest sample and its value, in a box of half side `radius` around each."""
    distance = np.full(shape, np.inf)
    value = np.zeros(shape)
    for (row, column), v in zip(samples.tolist(), values.tolist(), strict=True):
        top, bottom = max(math.floor(row - radius), 0), math.ceil(row + radius) + 1
        left, right = max(math.floor(column - radius), 0), math.ceil(column + radius) + 1
        box = distance[top:bottom, left:right]
        height, width = box.shape
        d = np.hypot(
            np.arange(top - row, top - row + height - 0.5)[:, None],
            np.arange(left - column, left - column + width - 0.5),
        )
        nearer = d <= box
        box[nearer] = d[nearer]
        value[top:bottom, left:right][nearer] = v
    return distance, value


def _crosses(p: Parameters, axons: Axons, branch: Branch, distance: np.ndarray) -> bool:
    """Whether a branch meets an earlier one, but for the surroundings of its branch point."""
    both = np.argwhere(np.isfinite(distance) & np.isfinite(axons.distance))
    if branch.start is None or not len(both):
        return len(both) > 0
    tolerance = p["straightBranching"] * branch.thickness
    return bool((np.hypot(*(both - branch.start).T) > tolerance).any())


def draw_profile(p: Parameters, rng: np.random.Generator, axons: Axons) -> Canvas:
    """The axons with a Gaussian cross-profile and a noisy intensity."""
    noisy, plain = _profile(p, rng, axons.distance, axons.values, p["sigma_spread"])
    return Canvas(np.maximum(noisy, 0), plain, np.isfinite(axons.distance))


def _profile(
    p: Parameters, rng: np.random.Generator, distance: Any, values: Any, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    profile = np.exp(-(distance**2) / (2 * sigma**2)) / math.sqrt(2 * math.pi * sigma**2)
    noise = p["sigma_noise_axon"] * rng.standard_normal(profile.shape)
    return (values + noise) * profile, values * profile


# ---------------------------------------------------------------- boutons


def add_boutons(
    p: Parameters, rng: np.random.Generator, axons: Axons, canvas: Canvas
) -> np.ndarray:
    """Draw boutons on axons, or beside them on a stalk; return their mask."""
    mask = np.zeros(canvas.image.shape, dtype=bool)
    places = [
        (branch, index)
        for branch in axons.branches
        for index in range(1, len(branch.samples) - 1)
        if not branch.in_gap[index]
    ]
    centres: list[np.ndarray] = []
    low, high = p["MinBrightnessBouton"] + 1, p["MaxBrightnessBouton"] - 1
    for _ in range(_integer(rng, p["MinNbBouton"], p["MaxNbBouton"])):
        for _ in range(TRIES if places else 0):
            branch, index = places[_integer(rng, 0, len(places) - 1)]
            radius = math.floor(branch.thickness) + 1
            terminal = rng.random() < 0.5
            centre = np.rint(branch.samples[index])
            if terminal:
                centre = _beside(rng, branch, index, radius)
            inside = (centre >= 0).all() and (centre < mask.shape).all()
            apart = all(math.dist(centre, c) > p["minDistBetweenBoutons"] for c in centres)
            if inside and apart:
                break
        else:
            break  # too crowded: fewer boutons
        centres.append(centre)
        if terminal:
            _add_stalk(p, rng, branch, index, centre, canvas)
        brightness = _integer(rng, min(low, high), max(low, high)) / 100
        (row, column), (top, left) = centre.astype(int), np.maximum(centre - radius, 0).astype(int)
        window = np.s_[top : row + radius + 1, left : column + radius + 1]
        height, width = mask[window].shape
        d = np.hypot(np.arange(height)[:, None] + top - row, np.arange(width) + left - column)
        inside = d < radius
        variance = radius**2 / (2 * math.log(brightness / RIM))
        noisy = d + p["sigma_noise_bouton"] * rng.standard_normal(d.shape)
        drawn = [brightness * np.exp(-(x**2) / (2 * variance)) * inside for x in (noisy, d)]
        canvas.draw(window, *drawn)
        mask[window] |= inside
    canvas.occupied |= mask
    return mask


def _beside(rng: np.random.Generator, branch: Branch, index: int, radius: int) -> np.ndarray:
    """Centre of a terminal bouton."""
    rho = radius * (2.1 + rng.random())
    least = math.asin(2 * radius / rho)
    angle = rng.uniform(least, math.pi - least) * (1 if rng.random() < 0.5 else -1)
    row, column = branch.samples[index + 1] - branch.samples[index]
    angle += math.atan2(column, row)
    return np.rint(branch.samples[index] + rho * np.array([math.cos(angle), math.sin(angle)]))


def _add_stalk(
    p: Parameters, rng: np.random.Generator, branch: Branch, index: int, end: Any, canvas: Canvas
) -> None:
    """Draw the curved stalk from a sample of a branch to a terminal bouton."""
    start, radius = branch.samples[index], (math.floor(branch.thickness) + 1) / 2
    first = np.floor(np.minimum(start, end)).astype(int)
    last = np.ceil(np.maximum(start, end)).astype(int)
    bend = rng.uniform(np.minimum(start, end), np.maximum(start, end))
    points = [start, (start + bend) / 2, bend, (bend + end) / 2, end]
    curve = CubicSpline(np.linspace(0, 1, 5), points)(np.linspace(0, 1, STALK_SAMPLES)) - first
    window = np.s_[first[0] : last[0] + 1, first[1] : last[1] + 1]
    values = np.full(STALK_SAMPLES, branch.values[index])
    distance, value = stamp(canvas.image[window].shape, curve, values, radius)
    canvas.draw(window, *_profile(p, rng, distance, value, 0.75 * p["sigma_spread"]))
    canvas.occupied[window] |= np.isfinite(distance)


# ---------------------------------------------------------------- cells


def add_cells(p: Parameters, rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw cells where they meet neither axons nor boutons."""
    height, width = canvas.image.shape
    for _ in range(_integer(rng, p["MinNbCircles"], p["MaxNbCircles"])):
        radius = _integer(rng, p["MinRadius"], p["MaxRadius"])
        noisy, plain = _cell(p, rng, radius)
        margin = math.ceil(radius / 2) + 1
        for _ in range(TRIES):
            row, column = _integer(rng, -margin, height - 1), _integer(rng, -margin, width - 1)
            window = np.s_[max(row, 0) : row + len(plain), max(column, 0) : column + plain.shape[1]]
            taken = canvas.occupied[window]
            part = np.s_[max(-row, 0) :, max(-column, 0) :]
            inside = np.s_[: taken.shape[0], : taken.shape[1]]
            if not (taken & (plain[part][inside] > 0)).any():
                canvas.draw(window, noisy[part][inside], plain[part][inside])
                break


def _cell(p: Parameters, rng: np.random.Generator, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """A cell of five lobes, with and without its speckle."""
    brightness = _integer(rng, p["MinBrightnessCircles"], p["MaxBrightnessCircles"]) / 100
    period = _integer(rng, 2, 4)
    size = math.ceil(radius / 2)
    centres = rng.integers(1 - size, size - 1, (LOBES, 2), endpoint=True)
    centres[0] = 0
    axis = np.arange(-radius - size, radius + size + 1)
    rows, columns = centres.T[..., None, None]
    d = np.hypot(axis[:, None] - rows, axis - columns).min(axis=0)
    d[d > radius] = np.inf
    variance = -(radius**2) / (2 * math.log(RIM * brightness))
    weights = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * variance))
    weights /= weights.sum()
    d = convolve2d(d, np.outer(weights, weights), mode="same")
    inside = np.isfinite(d)
    rows, columns = inside.any(axis=1), inside.any(axis=0)
    d, inside = d[rows][:, columns], inside[rows][:, columns]
    dark = inside & (rng.random(d.shape) < 1 / period)
    noisy = np.where(dark, radius, d) + p["sigma_noise_circle"] * rng.standard_normal(d.shape)
    noisy, plain = (brightness * np.exp(-(x**2) / (2 * variance)) for x in (noisy, d))
    return noisy, plain


# ---------------------------------------------------------------- acquisition


def acquire(
    p: Parameters, rng: np.random.Generator, canvas: Canvas
) -> tuple[np.ndarray, np.ndarray]:
    """Blur, background, noise and grey scale; the clean image goes through the same but the noise.

    The blur has the variance of the original's 2 x 2 mean (1/4 px^2), without its shift.
    """
    image, shape = canvas.image, canvas.image.shape
    scale = 255 / max(image.max(), np.finfo(float).tiny)
    sigma = _integer(rng, 1e5 * p["sigma_noise_min"], 1e5 * p["sigma_noise_max"]) / 1e5
    counts = _integer(rng, p["lambdaMin"], p["lambdaMax"])
    field = rng.poisson(counts, shape).astype(float)
    haze = BACKGROUND_GAIN * gaussian_filter(field, BACKGROUND_SIGMA, mode="nearest", radius=25)
    noisy = _blur(np.floor(scale * image)) + haze + sigma * rng.standard_normal(shape)
    plain = _blur(np.floor(scale * canvas.clean)) + BACKGROUND_GAIN * counts
    full = p["maxIntensity"]
    scale = full / noisy.max()
    greys = [np.clip(np.floor(scale * x), 0, full).astype(np.uint8) for x in (noisy, plain)]
    if p["negative_image"]:
        greys = [np.uint8(full) - grey for grey in greys]
    return greys[0], greys[1]


def _blur(image: np.ndarray) -> np.ndarray:
    weights = [1 / 8, 3 / 4, 1 / 8]
    return convolve1d(convolve1d(image, weights, 0, mode="nearest"), weights, 1, mode="nearest")


def _integer(rng: np.random.Generator, low: float, high: float) -> int:
    """Uniform integer, both ends included."""
    return int(rng.integers(round(low), round(high), endpoint=True))
