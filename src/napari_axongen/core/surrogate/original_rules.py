"""What each key of the original's parameter files (Billot 2017) is here, and the way back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from napari_axongen.core.checking import at
from napari_axongen.core.errors import InputError

from .distributions import Choice, LogNormal, LogUniform, Normal, Number, Uniform, bounds
from .parameters import AxonParameters, SurrogateParameters

_MOTHER = 289 / 256  # length of a mother branch over the side of the image: nominal, measured
_SPLINE_POINTS = 200
_MOST_SPLINE_POINTS = 10_000
_THICKNESS = bounds(AxonParameters, "thickness")[1]
_MASK_DISTANCE = bounds(AxonParameters, "mask_distance")[1]


@dataclass(frozen=True)
class Rule:
    """One key of an original file, or several that say one thing.

    Attributes
    ----------
    keys, paths
        Of the original, and of ours.
    status, meaning
        As in a report.
    read
        From the file's values to ours by path.
    write
        From our parameters to the file's values.
    """

    keys: tuple[str, ...]
    paths: tuple[str, ...]
    status: Literal["renamed", "converted"]
    meaning: str
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    write: Callable[[SurrogateParameters], dict[str, Any]]

    @property
    def name(self) -> str:
        """The keys, for a person."""
        return ", ".join(self.keys)


def _same(key: str, path: str, *, whole: bool = False) -> Rule:
    """One number, taken as it is."""

    def write(parameters: SurrogateParameters) -> dict[str, Any]:
        value = _middle(at(parameters, path))
        return {key: round(value) if whole else value}

    return Rule(
        (key,),
        (path,),
        "renamed",
        "the same value",
        lambda values: {path: _number(values, key)},
        write,
    )


def _flag(key: str, path: str, meaning: str) -> Rule:
    def read(values: Mapping[str, Any]) -> dict[str, Any]:
        if values[key] not in (0, 1):
            raise InputError(f"'{key}' is {values[key]!r}; it must be 0 or 1.")
        return {path: bool(values[key])}

    return Rule(
        (key,),
        (path,),
        "converted",
        meaning,
        read,
        lambda parameters: {key: int(at(parameters, path))},
    )


def _word(key: str, path: str) -> Rule:
    return Rule(
        (key,),
        (path,),
        "renamed",
        "the same value",
        lambda values: {path: values[key]},
        lambda parameters: {key: at(parameters, path)},
    )


def _range(
    least: str,
    greatest: str,
    path: str,
    meaning: str = "",
    *,
    shift: float = 0,
    divide: float = 1,
    margin: float = 0,
    whole: bool = False,
) -> Rule:
    """A Min/Max pair; ours is ``(theirs + shift) / divide``, drawn ``margin`` within their ends.

    Where the original draws whole numbers, ``whole``, it stops at others.
    """

    def read(values: Mapping[str, Any]) -> dict[str, Any]:
        low, high = _ends(values, least, greatest)
        if high - low >= 2 * margin:
            low, high = low + margin, high - margin
        return {path: _uniform((low + shift) / divide, (high + shift) / divide)}

    def write(parameters: SurrogateParameters) -> dict[str, Any]:
        # rounded in any case, for 0.57 * 100 is not 57
        digits = 0 if whole else 9
        low, high = (round(end * divide - shift, digits) for end in _span(parameters, path))
        return {least: low - margin, greatest: high + margin}

    meaning = meaning or "a range becomes a uniform distribution, or a number where both are equal"
    return Rule((least, greatest), (path,), "converted", meaning, read, write)


# ---------------------------------------------------------------- rules of their own


def _read_thickness(values: Mapping[str, Any]) -> dict[str, Any]:
    low, high = _ends(values, "MinThickness", "MaxThickness")
    possible = (min(max(end, 0.0), _THICKNESS) for end in (low, high))
    return {"axons.thickness": _uniform(low, high), "boutons.radius": _radii(*possible)}


def _write_thickness(parameters: SurrogateParameters) -> dict[str, Any]:
    low, high = _span(parameters, "axons.thickness")
    return {"MinThickness": low, "MaxThickness": high}


def _radii(low: float, high: float) -> Any:
    """Radii floor(t) + 1 of boutons, for thicknesses t from ``low`` to ``high``, as a choice."""
    parts = {
        whole + 1: min(high, whole + 1) - max(low, whole)
        for whole in range(math.floor(low), math.ceil(high))
    }
    if len(parts) < 2:
        return math.floor(low) + 1
    shares = [part / (high - low) for part in parts.values()]
    times = min(
        ([round(share * n) for share in shares] for n in range(1, max(20, 2 * len(parts)) + 1)),
        key=lambda times: round(
            max(abs(k / max(sum(times), 1) - s) for k, s in zip(times, shares, strict=True)), 3
        ),
    )
    return {"choice": [radius for radius, k in zip(parts, times, strict=True) for _ in range(k)]}


def _spacing(side: float, points: float) -> float:
    """Pixels between the spline points of a mother branch."""
    if not points > 1:
        raise InputError(f"'NSplinePoints' is {points:g}; it must be above 1.")
    return _MOTHER * side / (points - 1)


def _read_gaps(values: Mapping[str, Any]) -> dict[str, Any]:
    sides = [_number(values, key) if key in values else 256.0 for key in ("width", "height")]
    points = _number(values, "NSplinePoints") if "NSplinePoints" in values else _SPLINE_POINTS
    spacing = _spacing(sum(sides) / 2, points)
    low, high = (round(2 * half * spacing, 1) for half in _ends(values, "MinGapSize", "MaxGapSize"))
    return {"axons.gap_length": _uniform(low, high), "axons.gaps": 1} if high else {"axons.gaps": 0}


def _write_gaps(parameters: SurrogateParameters) -> dict[str, Any]:
    if _middle(parameters.axons.gaps) == 0:
        return {"MinGapSize": 0, "MaxGapSize": 0, "NSplinePoints": _SPLINE_POINTS}
    side = (parameters.width + parameters.height) / 2
    low, high = _span(parameters, "axons.gap_length")
    # The number of points nearest to the usual one with which the lengths are whole half-lengths.
    for points in sorted(range(2, _MOST_SPLINE_POINTS), key=lambda n: abs(n - _SPLINE_POINTS)):
        unit = 2 * _spacing(side, points)
        halves = round(low / unit), round(high / unit)
        if [round(half * unit, 1) for half in halves] == [low, high]:
            break
    else:
        points, unit = _SPLINE_POINTS, 2 * _spacing(side, _SPLINE_POINTS)
        halves = round(low / unit), round(high / unit)
    return {"MinGapSize": halves[0], "MaxGapSize": halves[1], "NSplinePoints": points}


def _variation(counts: float) -> float:
    """Standard deviation of Poisson counts after a Gaussian of sigma 6, times the gain of 25."""
    return round(25 * math.sqrt(counts) / (2 * math.sqrt(math.pi) * 6), 2)


def _read_lambda(values: Mapping[str, Any]) -> dict[str, Any]:
    low, high = _ends(values, "lambdaMin", "lambdaMax")
    if low < 0:
        raise InputError(f"'lambdaMin' is {low:g}; it must be at least 0.")
    return {
        "acquisition.background": _uniform(25 * low, 25 * high),
        "acquisition.background_variation": _uniform(_variation(low), _variation(high)),
    }


def _write_lambda(parameters: SurrogateParameters) -> dict[str, Any]:
    low, high = _span(parameters, "acquisition.background")
    return {"lambdaMin": round(low / 25), "lambdaMax": round(high / 25)}


def _read_threshold(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"axons.mask_distance": min(_number(values, "SegmentationThreshold"), _MASK_DISTANCE)}


def _write_threshold(parameters: SurrogateParameters) -> dict[str, Any]:
    distance = _middle(parameters.axons.mask_distance)
    return {"SegmentationThreshold": "_Inf_" if distance == _MASK_DISTANCE else distance}


_PERCENT = "percent of the nominal range become parts of it"
RULES: tuple[Rule, ...] = (
    _same("width", "width"),
    _same("height", "height"),
    _flag("negative_image", "negative", "0 or 1 becomes false or true"),
    _same("maxIntensity", "max_intensity"),
    _same("NbImages", "series.frames"),
    _same("rowshift", "series.row_shift", whole=True),
    _same("colshift", "series.column_shift", whole=True),
    _same("maxRotAngle", "series.max_rotation", whole=True),
    _same("probBoutonInFirstImage", "series.first_frame"),
    _range("sigma_noise_min", "sigma_noise_max", "acquisition.read_noise"),
    Rule(
        ("lambdaMin", "lambdaMax"),
        ("acquisition.background", "acquisition.background_variation"),
        "converted",
        "background 25 lambda, and its variation 25 sqrt(lambda) / (2 sqrt(pi) 6)",
        _read_lambda,
        _write_lambda,
    ),
    _range("MinAxons", "MaxAxons", "axons.count"),
    _range(
        "MinBran", "MaxBran", "axons.daughters", "without the mother: daughters = n - 1", shift=-1
    ),
    _same("conformity", "axons.conformity"),
    Rule(
        ("MinThickness", "MaxThickness"),
        ("axons.thickness", "boutons.radius"),
        "converted",
        "a range; the radius of a bouton, floor(thickness) + 1, is drawn apart from its branch",
        _read_thickness,
        _write_thickness,
    ),
    Rule(
        ("MinGapSize", "MaxGapSize"),
        ("axons.gap_length", "axons.gaps"),
        "converted",
        "half-lengths in spline points become lengths in pixels, by the spacing of "
        f"NSplinePoints along a mother branch (nominally {_MOTHER:.2f} image sides)",
        _read_gaps,
        _write_gaps,
    ),
    _same("StepSize", "axons.step"),
    _flag("crossingOK", "axons.crossings", "1 allows crossings (its comment says the reverse)"),
    _same("straightBranching", "axons.straight_branching"),
    Rule(
        ("SegmentationThreshold",),
        ("axons.mask_distance",),
        "renamed",
        f"infinity becomes {_MASK_DISTANCE:g}: all within the thickness",
        _read_threshold,
        _write_threshold,
    ),
    _same("sigma_spread", "axons.sigma"),
    _range("MinAxonIntensity", "MaxAxonIntensity", "axons.brightness", _PERCENT, divide=100),
    _range("MinPeriod", "MaxPeriod", "axons.periods"),
    _word("AxonProfile", "axons.profile"),
    _word("BranchProfile", "axons.branch_profile"),
    _same("sigma_noise_axon", "axons.noise"),
    _range("MinNbBouton", "MaxNbBouton", "boutons.count"),
    _range(
        "MinBrightnessBouton",
        "MaxBrightnessBouton",
        "boutons.brightness",
        f"{_PERCENT}; the original draws from min + 1 to max - 1",
        divide=100,
        margin=1,
        whole=True,
    ),
    _same("sigma_noise_bouton", "boutons.noise"),
    _same("minDistBetweenBoutons", "boutons.min_distance"),
    _range("MinNbCircles", "MaxNbCircles", "cells.count"),
    _range("MinRadius", "MaxRadius", "cells.radius", whole=True),
    _range(
        "MinBrightnessCircles",
        "MaxBrightnessCircles",
        "cells.brightness",
        _PERCENT,
        divide=100,
        whole=True,
    ),
    _same("sigma_noise_circle", "cells.noise"),
)
IGNORED = {
    "NSplinePoints": "not needed: branches are sampled by their length; used to convert the gaps",
    "CircleBrightness": "dead in the original: it is read nowhere",
}
KEYS = {key for rule in RULES for key in rule.keys} | set(IGNORED)


# ---------------------------------------------------------------- values


def _number(values: Mapping[str, Any], key: str) -> float:
    value = values[key]
    if not isinstance(value, int | float):
        raise InputError(f"'{key}' is {value!r}; it must be a number.")
    return float(value)


def _ends(values: Mapping[str, Any], least: str, greatest: str) -> tuple[float, float]:
    low, high = _number(values, least), _number(values, greatest)
    for key, end in ((least, low), (greatest, high)):
        if not math.isfinite(end):
            raise InputError(f"'{key}' is {end}; it must be a finite number.")
    if low > high:
        raise InputError(f"'{least}' is {low:g}, above '{greatest}', {high:g}.")
    return low, high


def _uniform(low: float, high: float) -> Any:
    low, high = round(low, 9), round(high, 9)  # for (10.9 + 1) / 100 is not 0.119
    return low if low == high else {"uniform": [low, high]}


def _span(parameters: SurrogateParameters, path: str) -> tuple[float, float]:
    """Range of a parameter; of a normal distribution two standard deviations either way."""
    *groups, name = path.split(".")
    value = at(parameters, path)
    low, high, whole = bounds(type(at(parameters, groups[0])), name)
    if isinstance(value, Normal):
        mean, spread = value.normal
        ends = _short(mean - 2 * spread), _short(mean + 2 * spread)
    elif isinstance(value, LogNormal):
        median, spread = value.log_normal
        ends = _short(median * math.exp(-2 * spread)), _short(median * math.exp(2 * spread))
    else:
        parts = (value,) if isinstance(value, float) else value.values()
        ends = min(parts), max(parts)
    ends = max(low, ends[0]), min(high, ends[1])
    return (float(round(ends[0])), float(round(ends[1]))) if whole else ends


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _middle(value: Number) -> float:
    if isinstance(value, Uniform):
        return sum(value.uniform) / 2
    if isinstance(value, LogUniform):
        return math.sqrt(math.prod(value.log_uniform))
    if isinstance(value, Choice):
        return sorted(value.choice)[len(value.choice) // 2]
    if isinstance(value, Normal | LogNormal):
        return value.values()[0]
    return value
