"""Parameters whose surrogates look like an image.

First each parameter is estimated from the statistic that tells most of it. Then all of them are
refined together: surrogates are made and measured as the image was, and the parameters moved until
the statistics agree (simulated moments, McFadden 1989; steps by Levenberg 1944 and Marquardt 1963).
Every trial makes the same images of the same seed, so that a difference between two trials is due
to their parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Progress, Steps, run
from napari_axongen.core.image import Image

from .fitting import (
    HIGH,
    KNOBS,
    LOW,
    REACH,
    apply,
    effective,
    first_guess,
    length,
    resized,
    steady,
    with_size,
)
from .generator import generate_steps
from .parameters import SurrogateParameters
from .statistics import HINTS, STATISTICS, distance, measure, middle, standardise, summarise

Vector = NDArray[np.float64]

BUDGET = 160
"""Images that are made during the search."""

_WINDOW = 512  # px: side of the part of the image that is matched
_SHOWN = 4  # images, of seeds that the search has not seen, whose statistics are reported
_RADII = (0.8, 0.7, 0.6, 0.5)  # of the rounds, in parts of the knobs' reach
_SCENES = 12  # seeds of which images are made
_CHECKS = 6  # images by which the centre of a round is judged
_TOLERATED = 1.15  # part of the least distance so far that a later centre may have
_MISFIT = 0.15  # spreads by which a statistic may differ without telling anything
_TRUST = 0.8  # standard deviation of the first guess, in parts of a knob's reach
_RANGE = 100.0  # grey values that an image has at least: surrogates are whole numbers
_MOST = 60000.0  # and at most
_HEEDED = np.array(  # no knob moves the correlation of the noise, but it errs as others do
    [not one.name.startswith("noise correlation") for one in (*STATISTICS, *HINTS)]
)
_AXONS = [knob.name for knob in KNOBS].index("axons")


@dataclass(frozen=True)
class Row:
    """A statistic of the image, and the median of it over surrogates.

    Attributes
    ----------
    name, unit
        As in `statistics.STATISTICS`.
    real
        Of the image. NaN, here and in the others, where there is too little to tell.
    before, after
        Of surrogates from the parameters at the start, and from those that were found.
    """

    name: str
    unit: str
    real: float
    before: float
    after: float


@dataclass(frozen=True)
class MatchResult:
    """What was found.

    Attributes
    ----------
    parameters
        For images of the size of the image.
    table
        One row a statistic.
    distance_before, distance_after
        `statistics.distance` between the image and the surrogates of the table.
    factor, shift
        Grey values of the surrogates are ``(value - shift) * factor``; 1 and 0 for whole numbers.
    start, seed, budget, image
        What it was found from: parameters, seed, budget, name of the image.
    """

    parameters: SurrogateParameters
    table: tuple[Row, ...]
    distance_before: float
    distance_after: float
    factor: float
    shift: float
    start: SurrogateParameters
    seed: int
    budget: int
    image: str

    def recipe(self) -> dict[str, Any]:
        """Verb, input and version: enough to do it again."""
        from napari_axongen import __version__

        return {
            "verb": "match",
            "image": self.image,
            "start": self.start.model_dump(mode="json", by_alias=True),
            "seed": self.seed,
            "budget": self.budget,
            "distance_before": self.distance_before,
            "distance_after": self.distance_after,
            "factor": self.factor,
            "shift": self.shift,
            "parameters": self.parameters.model_dump(mode="json", by_alias=True),
            "version": __version__,
        }


def match_steps(
    image: Image,
    start: SurrogateParameters,
    seed: int = 0,
    device: str = "auto",
    budget: int = BUDGET,
) -> Steps[MatchResult]:
    """Find parameters whose surrogates have the statistics of an image.

    Parameters
    ----------
    image
        One grey plane of at least 64 x 64 pixels; of a larger one the middle 512 x 512 are matched.
        NaN does not count.
    start
        What is not found is taken from here, and for one image: what is drawn once per image is
        set to its median. Widths are widths, crossings add up, nothing is normalised.
    seed
        Of the surrogates of the search. The same seed finds the same parameters.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    budget
        Images to make during the search; the fit is usually good from 100 on.

    Yields
    ------
    Progress
        Images made.
    Notice
        What part of the image was matched, and how its grey values were scaled.

    Raises
    ------
    InputError
        A stack, colour, too small, constant, mostly not finite; or the budget is below 6.
    """
    if budget < _CHECKS:
        raise InputError(f"The budget is {budget} images; it must be at least {_CHECKS}.")
    pixels, factor, shift = yield from _prepare(image)
    measured = measure(pixels)
    real = measured[: len(STATISTICS)]
    base = steady(start, pixels.shape, 255 if np.nanmax(pixels) <= 255 else 65535)
    search = _Search(base, measured, seed, device, budget)
    knobs = yield from search.find(first_guess(base, measured))
    shown = []
    for parameters in (with_size(start, pixels.shape), apply(base, knobs)):
        made = run(generate_steps(parameters, _SHOWN, seed, budget, device))
        shown.append(np.array([summarise(one) for one in made.images]))
        yield Progress(budget, budget, "comparing")
    before, after = shown
    found = apply(*resized(base, knobs, image.plane_shape))
    return MatchResult(
        found,
        tuple(
            Row(statistic.name, statistic.unit, *map(float, values))
            for statistic, *values in zip(
                STATISTICS, real, middle(before), middle(after), strict=True
            )
        ),
        distance(before, real),
        distance(after, real),
        factor,
        shift,
        start,
        seed,
        budget,
        image.name,
    )


def _prepare(image: Image) -> Steps[tuple[NDArray[np.float32], float, float]]:
    """Middle of a plane as grey values that surrogates can have; factor and shift to them."""
    if image.is_colour:
        raise InputError(f"{image.name} is in colour ({image.axes}); choose one channel of it.")
    if len(image.spatial_shape) != 2:
        raise InputError(
            f"{image.name} is a stack ({image.axes}); choose one plane, or project it."
        )
    height, width = image.plane_shape
    rows, columns = (slice(max(0, (n - _WINDOW) // 2), (n + _WINDOW) // 2) for n in (height, width))
    pixels = image.read((), rows, columns)
    if pixels.shape != (height, width):
        yield Notice(
            f"Of {image.name} ({height} x {width}) the middle {pixels.shape[0]} x "
            f"{pixels.shape[1]} pixels are matched."
        )
    finite = pixels[np.isfinite(pixels)]
    if not finite.size or finite.min() == finite.max():
        return pixels, 1.0, 0.0  # refused when it is measured
    low, high = (float(value) for value in (finite.min(), np.percentile(finite, 99.9)))
    shift = low if low < 0 else 0.0
    span, factor = high - shift, 1.0
    if span > _MOST or (span < _RANGE and (finite != np.round(finite)).any()):
        factor = 10 * _RANGE / max(span, 1e-12)
    if (factor, shift) != (1.0, 0.0):
        yield Notice(
            f"Surrogates are whole numbers from 0: {image.name} is matched as "
            f"(grey value - {shift:g}) x {factor:g}."
        )
    return (pixels - np.float32(shift)) * np.float32(factor), factor, shift


class _Search:
    """The knobs at which the statistics of surrogates are those of an image.

    In rounds: images of a few scenes are made around the best knobs so far, each with knobs of its
    own; a linear model of how the statistics depend on the knobs and on the scene is fitted to all
    images, the near ones weighing most; where it meets the image's statistics is the centre of the
    next, narrower round.

    Parameters
    ----------
    base
        What the knobs do not set.
    real
        Statistics of the image, from `measure`.
    seed, device
        Of the surrogates.
    budget
        Images to make.
    """

    def __init__(
        self, base: SurrogateParameters, real: Vector, seed: int, device: str, budget: int
    ) -> None:
        self.base, self.seed, self.device, self.budget = base, seed, device, budget
        self.real = standardise(real)
        self.tried = np.empty((0, len(KNOBS)))
        self.seen = np.empty((0, len(real)))
        self.lengths = np.empty(0)

    @property
    def made(self) -> int:
        """Images made so far."""
        return len(self.tried)

    def find(self, guess: Vector) -> Steps[Vector]:
        """The best knobs when the budget is spent, from a first guess."""
        rng = np.random.default_rng((self.seed, 0x6D61))
        best, least = guess, (yield from self._distance(guess))
        centre = guess
        for index, radius in enumerate(_RADII):
            until = self.budget * (index + 1) // len(_RADII) - _CHECKS
            if until < self.made:
                continue
            for _ in range(until - self.made):
                offset = radius * rng.standard_normal(len(KNOBS)) * REACH
                yield from self._make(np.clip(centre + offset, LOW, HIGH))
            centre = self._solve(centre, guess, radius)
            found = yield from self._distance(centre)
            if found < _TOLERATED * least:  # a later round knows more, and a check is but a few
                best, least = centre, min(found, least)
            else:  # the model was not to be trusted so far from where it was known
                centre = (centre + best) / 2
        return best

    def _distance(self, knobs: Vector) -> Steps[float]:
        """Mean square difference to the image, of a few surrogates."""
        for _ in range(_CHECKS):
            yield from self._make(knobs)
        off = middle(self.seen[-_CHECKS:]) - self.real
        return float(np.nanmean(off[: len(STATISTICS)] ** 2))

    def _make(self, knobs: Vector) -> Steps[None]:
        parameters = apply(self.base, knobs)
        index = self.made % _SCENES
        made = run(generate_steps(parameters, 1, self.seed, index, self.device))
        self.tried = np.vstack([self.tried, effective(knobs)])
        self.seen = np.vstack([self.seen, standardise(measure(made.images[0]))])
        self.lengths = np.append(self.lengths, length(made))
        yield Progress(self.made, self.budget, "searching")

    def _shown(self) -> Vector:
        """The knobs as the images show them: as many axons as their length would be of on average.

        An image shows how much there is of axons, not their number; some axons are short.
        """
        shown = self.tried.copy()
        number = np.exp(shown[:, _AXONS])
        each = max(self.lengths.sum() / number.sum(), 1e-3)
        shown[:, _AXONS] = np.log(np.maximum(self.lengths / each, 0.1 * number))
        return shown

    def _solve(self, centre: Vector, guess: Vector, radius: float) -> Vector:
        """Knobs at which the linear model meets the image, the more surely known, the closer."""
        known = _HEEDED & np.isfinite(self.real) & (np.isfinite(self.seen).mean(axis=0) > 0.8)
        seen = self.seen[:, known]
        seen = np.where(np.isfinite(seen), seen, np.nanmean(seen, axis=0))
        off = (self._shown() - centre) / (radius * REACH)
        weight = np.exp(-(off**2).mean(axis=1) / 4)
        # Each scene has a level of its own, so that a slope is what the knobs do to the same scene.
        scenes = np.eye(_SCENES)[np.arange(len(off)) % _SCENES]
        design = np.column_stack([np.ones(len(off)), scenes, off])
        gram = design.T @ (weight[:, None] * design)
        sizes = [1, _SCENES, len(KNOBS)]
        gram[np.diag_indices_from(gram)] += np.repeat([1e-9, 0.1, 1.0], sizes)
        model = np.linalg.solve(gram, design.T @ (weight[:, None] * seen))
        level, scene, effects = np.split(model, np.cumsum(sizes)[:-1])
        precision = np.linalg.inv(_covariance(seen - design @ model, weight, scene))
        wanted = self.real[known] - level[0] - scene.mean(axis=0)
        trust = (radius / _TRUST) ** 2
        normal = effects @ precision @ effects.T + trust * np.eye(len(KNOBS))
        pull = trust * (guess - centre) / (radius * REACH)
        step: Vector = np.linalg.solve(normal, effects @ precision @ wanted + pull)
        moved: Vector = np.clip(centre + np.clip(step, -2, 2) * radius * REACH, LOW, HIGH)
        return moved


def _covariance(left: Vector, weight: Vector, scene: Vector) -> Vector:
    """Of the statistics of one image: what the model leaves of them, and the scenes' levels.

    Many statistics tell much the same and err together. How they do is known from a few images
    only: the fewer these are, the less it counts (shrinkage, Ledoit and Wolf 2004).
    """
    count, size = weight.sum() ** 2 / (weight**2).sum(), left.shape[1]
    free = max(count - 1 - _SCENES - len(KNOBS), 0.2 * count)
    found = (left * weight[:, None]).T @ left / weight.sum() * (count / free)
    found += np.cov(scene.T, bias=True)
    shrunk: Vector = found * free / (free + size)
    np.fill_diagonal(shrunk, np.diag(found) + _MISFIT**2)
    return shrunk
