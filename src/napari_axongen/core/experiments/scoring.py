"""What is measured of an image: of maps of axons, and of detected boutons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_axongen.core.detection import detection_curve, find_boutons, known_boutons
from napari_axongen.core.evaluation import (
    THRESHOLDS,
    Curve,
    best_threshold,
    centreline_accuracy,
    centreline_dice,
    threshold_curves,
)
from napari_axongen.core.fluorescence_baselines import (
    find_blobs,
    response_thresholds,
    ridge_response,
)

from .images import Case
from .plan import MeasureName

Found: TypeAlias = npt.NDArray[Any]
"""What was found in an image, from which it follows at any threshold: a map (H, W) of axons, or
boutons (N, 4) down to the lowest threshold."""

_LOWEST_BLOB = 1.0  # grey values: below it there is a blob everywhere
_RIDGES = ((1.0, 2.0, 3.0), (2.0, 3.0), (3.0, 4.0))  # px, of which the training images choose


class Measure(Protocol):
    """How what was found in an image is judged."""

    main: str
    """The score by which thresholds are chosen and arms compared."""
    oracle: str
    """The curve whose maximum on the test images the original reports."""
    scores: Mapping[str, str]
    """Names of the scores, and what they are called in a table."""
    filters: Sequence[Callable[[npt.NDArray[Any]], Found]]
    """The baseline, in the variants of which the training images choose one."""

    def found(self, probability: npt.NDArray[np.uint8]) -> Found:
        """What a network's map (H, W), x 255, says."""

    def levels(self, found: Sequence[Found]) -> Curve:
        """Thresholds to try with what a filter found."""

    def curves(self, found: Found, case: Case, thresholds: Curve) -> dict[str, Curve]:
        """Scores at each threshold."""

    def judge(self, found: Found, case: Case, threshold: float) -> dict[str, float]:
        """All `scores` at one threshold."""


class AxonMeasure:
    """Masks of axons."""

    main = "dice"
    oracle = "smooth_dice"
    scores: Mapping[str, str] = {
        "dice": "Dice",
        "cldice": "clDice",
        "centreline_precision": "centreline precision",
        "centreline_recall": "centreline recall",
        "centreline_f1": "centreline F1",
        "precision": "precision",
        "tpr": "TPR",
        "fpr": "FPR",
    }
    filters: Sequence[Callable[[npt.NDArray[Any]], Found]] = [
        lambda image, sigmas=sigmas: ridge_response(image, sigmas)  # type: ignore[misc]
        for sigmas in _RIDGES
    ]

    def found(self, probability: npt.NDArray[np.uint8]) -> Found:
        """The map itself."""
        return probability

    def levels(self, found: Sequence[Found]) -> Curve:
        """Values of the maps at equal ranks."""
        return response_thresholds(found)

    def curves(self, found: Found, case: Case, thresholds: Curve) -> dict[str, Curve]:
        """Of masks: Dice, plain and smooth, rates and precision."""
        return dict(vars(threshold_curves(found, case.truth, case.valid, thresholds)))

    def judge(self, found: Found, case: Case, threshold: float) -> dict[str, float]:
        """Of the mask, and of its centrelines."""
        plain = self.curves(found, case, np.array([threshold]))
        mask = found >= threshold * (255 if found.dtype == np.uint8 else 1)
        lines = centreline_accuracy(mask, case.centrelines, case.valid)
        return {
            "dice": float(plain["dice"][0]),
            "cldice": centreline_dice(mask, case.truth, case.valid),
            "centreline_precision": lines.precision,
            "centreline_recall": lines.recall,
            "centreline_f1": lines.f1,
            **{name: float(plain[name][0]) for name in ("precision", "tpr", "fpr")},
        }


class BoutonMeasure:
    """Detected boutons."""

    main = "f1"
    oracle = "f1"
    scores: Mapping[str, str] = {"f1": "F1", "precision": "precision", "recall": "recall"}
    filters: Sequence[Callable[[npt.NDArray[Any]], Found]] = [
        lambda image: find_blobs(image, _LOWEST_BLOB)
    ]

    def found(self, probability: npt.NDArray[np.uint8]) -> Found:
        """Its peaks."""
        return find_boutons(probability, THRESHOLDS[0])

    def levels(self, found: Sequence[Found]) -> Curve:
        """Scores of the blobs at equal ranks."""
        return response_thresholds([blobs[:, -1] for blobs in found])

    def curves(self, found: Found, case: Case, thresholds: Curve) -> dict[str, Curve]:
        """Of boutons against boxes."""
        counted = known_boutons(found, case.boxes, case.valid)
        found_at = detection_curve(counted, case.boxes, thresholds)
        return {name: np.array([getattr(one, name) for one in found_at]) for name in self.scores}

    def judge(self, found: Found, case: Case, threshold: float) -> dict[str, float]:
        """Of boutons against boxes."""
        curves = self.curves(found, case, np.array([threshold]))
        return {name: float(values[0]) for name, values in curves.items()}


MEASURES: Mapping[MeasureName, Measure] = {"axon": AxonMeasure(), "bouton": BoutonMeasure()}


def choose_threshold(
    measure: Measure,
    found: Sequence[Found],
    cases: Sequence[Case],
    thresholds: Curve = THRESHOLDS,
) -> tuple[float, float]:
    """The best threshold on some images, and the mean score there."""
    curves = [
        measure.curves(one, case, thresholds)[measure.main]
        for one, case in zip(found, cases, strict=True)
    ]
    chosen = best_threshold(curves, thresholds)
    return chosen, float(np.mean(curves, axis=0)[np.searchsorted(thresholds, chosen)])
