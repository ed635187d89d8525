"""The few numbers by which surrogates are fitted to an image, and the parameters that they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from napari_axongen.core.checking import at, paths

from .distributions import Choice, LogNormal, LogUniform, Normal, Number, Uniform, bounds
from .parameters import SurrogateParameters
from .presets import with_changes
from .random import quantile
from .statistics import HINTS, NAMES
from .truth import Surrogates

Vector = NDArray[np.float64]

_FWHM = math.sqrt(8 * math.log(2))


@dataclass(frozen=True)
class Knob:
    """One number that is fitted; on a logarithmic scale.

    Attributes
    ----------
    name
        What it is.
    low, high
        Where it is sought.
    reach
        How far off the logarithm of its first guess may be: half as much again as the standard
        deviation over surrogates of known parameters.
    """

    name: str
    low: float
    high: float
    reach: float


KNOBS = (
    Knob("level", 0.1, 60000, 0.2),  # grey: background and offset
    Knob("noise", 0.05, 10000, 0.15),  # grey: standard deviation at that level
    Knob("gain", 0.01, 1000, 0.25),
    Knob("width", 0.8, 40, 0.2),  # px: of an axon in focus, at half its height, the blur included
    Knob("axons", 1, 200, 0.35),
    Knob("signal", 1, 65535, 0.5),
    Knob("spread", 0.1, 1.5, 0.35),  # of the logarithm of the brightness of axons
    Knob("boutons", 1, 1000, 0.4),
    Knob("bouton size", 0.5, 30, 0.2),  # px: half of its width at half its height
    Knob("bouton brightness", 0.001, 10, 0.4),
    Knob("background variation", 0.05, 5000, 0.4),  # grey
)
LOW, HIGH = (np.log([getattr(knob, end) for knob in KNOBS]) for end in ("low", "high"))
REACH = np.array([knob.reach for knob in KNOBS])

SWITCHES: Mapping[str, Any] = {
    "negative": False,
    "axons.crossings": True,
    "acquisition.true_width": True,
    "acquisition.additive": True,
    "acquisition.normalise": False,
}
"""As fluorescence is: what a match rests on."""


def steady(start: SurrogateParameters, shape: tuple[int, int], most: int) -> SurrogateParameters:
    """Parameters for surrogates of one image.

    The medians of what is drawn once per image, as one image has but one of each, and `SWITCHES`.

    Parameters
    ----------
    start
        Parameters of a population.
    shape
        Rows and columns.
    most
        Greatest grey value.
    """
    changes: dict[str, Any] = dict(SWITCHES)
    for path, field in paths(SurrogateParameters):
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("per") == "image":
            value = median(start, path)
            changes[path] = round(value) if extra["integer"] else value
    changes |= {"height": shape[0], "width": shape[1], "max_intensity": most}
    return with_changes(start, changes)


def with_size(parameters: SurrogateParameters, shape: tuple[int, int]) -> SurrogateParameters:
    """The parameters for images of that many rows and columns."""
    return with_changes(parameters, {"height": shape[0], "width": shape[1]})


def resized(
    base: SurrogateParameters, knobs: Vector, shape: tuple[int, int]
) -> tuple[SurrogateParameters, Vector]:
    """What gives an image of another size as many axons and boutons per area."""
    growth = shape[0] * shape[1] / (base.height * base.width)
    names = [knob.name for knob in KNOBS]
    knobs = knobs.copy()
    knobs[names.index("axons")] += math.log(growth) / 2  # they are the longer
    knobs[names.index("boutons")] += math.log(growth)
    return with_size(base, shape), knobs


def first_guess(base: SurrogateParameters, real: Vector) -> Vector:
    """Knobs from statistics, each from that which tells most of it.

    The factors are what surrogates of the preset two-photon ask for: not all axons are seen, and
    some are out of focus. How many axons there are is a regression over 1,200 of them.

    Parameters
    ----------
    base
        From `steady`.
    real
        Statistics of the image, from `measure`.

    Returns
    -------
    (K,): logarithms of `KNOBS`.
    """
    names = (*NAMES, *(hint.name for hint in HINTS))
    has = dict(zip(names, (float(value) for value in np.nan_to_num(real)), strict=True))
    area = base.height * base.width
    width = has["ridge width"] or 5.0
    seen = math.hypot(width / _FWHM, 3.0) / (
        width / _FWHM
    )  # height before the statistics smooth it
    middle, high = (max(1e-3, has[f"ridge contrast, {name}"]) for name in ("median", "90 %"))
    signal = 2 * seen * middle / median(base, "axons.brightness")
    mean_branches = 1 + 0.5 * median(base, "axons.daughters")
    # Axons that overlap merge into fewer ridges. How much so is told by ridges that bend, and by
    # how uneven the image is where it is dark, compared with where it is bright.
    dark, bright, power = (
        max(0.01, has[name]) for name in ("unevenness", "90 %", "spectrum 20 px")
    )
    merged = (dark / bright) ** 1.2 * (bright**2 / power) ** 0.25 * math.exp(7 * has["bending"])
    ridges = has["ridge density, 2.75 sd"] ** 0.9 * (has["faint ridge width"] or 5.0) ** 1.4
    axons = 15.4 * merged * ridges * math.sqrt(area) / 512 / mean_branches
    blob = max(has["blob width"], 3.0) / _FWHM
    peak = has["blob peak, median"] * (1 + (1.75 / blob) ** 2) or 2 * middle
    values = {
        "level": 0.95 * has["background"],
        "noise": has["noise"],
        "gain": 0.94 * has["gain"],
        "width": 0.96 * width,
        "axons": axons,
        "signal": signal,
        "spread": min(1.4, max(0.2, math.log(high / middle) / 0.77)),
        "boutons": 1.18 * has["blob density"] / 10000 * area,
        "bouton size": 0.95 * blob * _FWHM / 2,
        "bouton brightness": 0.85 * peak / signal,
        "background variation": 0.85 * has["background range"],
    }
    return np.clip(np.log([max(1e-9, values[knob.name]) for knob in KNOBS]), LOW, HIGH)


def apply(base: SurrogateParameters, knobs: Vector) -> SurrogateParameters:
    """The parameters that logarithms of `KNOBS` mean."""
    value = dict(zip((knob.name for knob in KNOBS), np.exp(knobs).tolist(), strict=True))
    changes: dict[str, Any] = {
        **_light(value["level"], value["noise"], value["gain"]),
        **_widths(base, value["width"]),
        "axons.count": round(value["axons"]),
        "axons.brightness": LogNormal(
            log_normal=(median(base, "axons.brightness"), value["spread"])
        ),
        "acquisition.signal": value["signal"],
        "acquisition.background_variation": value["background variation"],
        "boutons.count": round(value["boutons"]),
        "boutons.radius": _moved(base, "boutons.radius", value["bouton size"]),
        "boutons.brightness": _moved(base, "boutons.brightness", value["bouton brightness"]),
    }
    return with_changes(base, {path: _within(path, new) for path, new in changes.items()})


def effective(knobs: Vector) -> Vector:
    """The knobs with the whole numbers of axons and boutons that are drawn."""
    values = np.exp(knobs)
    for index, knob in enumerate(KNOBS):
        if knob.name in ("axons", "boutons"):
            values[index] = max(1, round(values[index]))
    return np.log(values)


def length(made: Surrogates) -> float:
    """Of the centrelines of some single images, within them, px."""
    if not made.centrelines:
        return 0.0
    points = np.concatenate([line.points for line in made.centrelines])
    last = np.cumsum([len(line.points) for line in made.centrelines])[:-1] - 1
    middle = (points[1:] + points[:-1]) / 2
    steps = np.hypot(*np.diff(points, axis=0).T)
    steps[last] = 0  # from one line to the next
    inside = ((middle >= 0) & (middle <= np.array(made.images.shape[1:]) - 1)).all(axis=1)
    return float(steps[inside].sum())


def _light(level: float, noise: float, gain: float) -> dict[str, float]:
    """Background, offset and read noise that give a level and the noise at it.

    Shot noise at the background has the variance gain * background. Where that alone is more than
    there is, part of the level must be an offset; how much of the noise is then the detector's,
    its variance does not tell: up to half of it is, the more, the greater the offset.
    """
    part = noise**2 / (gain * level)
    if part >= 1:
        read, background = math.sqrt(noise**2 - gain * level), level
    else:
        read = noise * math.sqrt((1 - part) / 2)
        background = (noise**2 - read**2) / gain
    return {
        "acquisition.gain": gain,
        "acquisition.background": background,
        "acquisition.offset": level - background,
        "acquisition.read_noise": read,
    }


def _widths(base: SurrogateParameters, width: float) -> dict[str, Any]:
    """Thickness of axons that, blurred by the optics, are that wide at half their height."""
    psf = min(_FWHM * median(base, "acquisition.psf_sigma"), 0.7 * width)
    thickness = math.sqrt(width**2 - psf**2)
    return {
        "acquisition.psf_sigma": psf / _FWHM,
        "axons.thickness": _moved(base, "axons.thickness", thickness),
    }


# ---------------------------------------------------------------- distributions


def _bounds(path: str) -> tuple[float, float]:
    group: type[BaseModel] = SurrogateParameters
    *names, last = path.split(".")
    for name in names:
        group = group.model_fields[name].annotation  # type: ignore[assignment]
    return bounds(group, last)[:2]


def median(parameters: SurrogateParameters, path: str) -> float:
    """Median of what a parameter, named by its dotted path, may be."""
    value: Number = at(parameters, path)
    if isinstance(value, int | float):
        return float(value)
    return float(quantile(value, np.array([0.5]), *_bounds(path))[0])


def _moved(base: SurrogateParameters, path: str, wanted: float) -> Number:
    """The distribution of a parameter, stretched so that its median is another one."""
    value: Number = at(base, path)
    factor = wanted / max(median(base, path), 1e-12)
    match value:
        case Uniform(uniform=(first, last)):
            return Uniform(uniform=(first * factor, last * factor))
        case LogUniform(log_uniform=(first, last)):
            return LogUniform(log_uniform=(first * factor, last * factor))
        case Normal(normal=(_, spread)):
            return Normal(normal=(wanted, spread * factor))
        case LogNormal(log_normal=(_, spread)):
            return LogNormal(log_normal=(max(wanted, 1e-6), spread))
        case Choice(choice=numbers):
            return Choice(choice=tuple(number * factor for number in numbers))
        case _:
            return wanted


def _within(path: str, value: Any) -> Any:
    """A number or distribution cut off at the bounds of the parameter."""
    low, high = _bounds(path)

    def cut(number: float) -> float:
        return min(max(number, low), high)

    match value:
        case Uniform(uniform=(first, last)):
            return Uniform(uniform=(cut(first), cut(last)))
        case LogUniform(log_uniform=(first, last)):
            return LogUniform(log_uniform=(cut(first), cut(last)))
        case Normal(normal=(mean, spread)):
            return Normal(normal=(cut(mean), spread))
        case LogNormal(log_normal=(middle, spread)):
            return LogNormal(log_normal=(max(cut(middle), 1e-6), spread))
        case Choice(choice=numbers):
            return Choice(choice=tuple(map(cut, numbers)))
        case _:
            return cut(value)
