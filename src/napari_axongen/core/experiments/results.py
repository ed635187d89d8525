"""What a trial measured, on the disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_axongen.core.errors import InputError
from napari_axongen.core.evaluation import THRESHOLDS, Curve
from napari_axongen.core.files import write_text

from .plan import Trial

FILE = "result.json"
REAL, SURROGATE = "real", "surrogate"
"""Which images the threshold was chosen on."""

_DIGITS = 5  # of what is written


@dataclass(frozen=True)
class ImageResult:
    """What was measured of a test image.

    Attributes
    ----------
    scores
        By what the threshold was chosen on (`REAL`, `SURROGATE`), then by name.
    curves
        By name, over the thresholds of the result.
    """

    scores: dict[str, dict[str, float]]
    curves: dict[str, list[float]]


@dataclass(frozen=True)
class Result:
    """What a trial measured.

    Attributes
    ----------
    key
        Of all that it depends on; with another key it is done again.
    chosen
        Thresholds, by what they were chosen on.
    trained_on
        Real images that the arm has learnt from.
    runs
        Folders of its training runs.
    levels
        Thresholds of the curves.
    images
        By name.
    """

    key: str
    chosen: dict[str, float]
    trained_on: list[str]
    runs: list[str]
    images: dict[str, ImageResult]
    levels: Curve = field(default_factory=lambda: THRESHOLDS)

    def write(self, folder: Path, trial: Trial) -> None:
        """Write it to the trial's folder, whole or not at all."""
        values = {"trial": str(trial), **asdict(self), "levels": self.levels.tolist()}
        text = json.dumps(_rounded(values), allow_nan=False)
        write_text(folder / trial.folder / FILE, text + "\n")


def read_result(folder: Path, trial: Trial) -> Result | None:
    """Result of a trial, or None where there is none.

    Raises
    ------
    InputError
        The file is there, and is none.
    """
    path = folder / trial.folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Result(
            values["key"],
            values["chosen"],
            values["trained_on"],
            values["runs"],
            {name: ImageResult(**_known(image)) for name, image in values["images"].items()},
            np.array(values["levels"], np.float64),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no result of a trial; remove it to do it again.") from error


def _rounded(value: Any) -> Any:
    """Numbers with a few digits; null for those that are not finite."""
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def _known(value: Any) -> Any:
    """The other way round."""
    if isinstance(value, Mapping):
        return {name: _known(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_known(one) for one in value]
    return math.nan if value is None else value
