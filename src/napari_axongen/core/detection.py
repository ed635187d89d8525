"""Boutons: found as peaks of a map, and compared with boxes that a person drew."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from .errors import InputError

Boutons: TypeAlias = npt.NDArray[np.float64]
"""(N, 4) row, column, radius and score, the best first; the first pixel's centre is (0, 0)."""

Boxes: TypeAlias = npt.NDArray[np.float64]
"""(N, 4) first row, first column, height and width in pixels, from 0."""

MIN_DISTANCE = 12
"""px: half of a typical box of Bass et al. (2017); centres of boxes are 14.6 px apart or more."""

SMOOTHING = 1.0
"""px: a Gaussian takes the noise from a map before its peaks are sought."""

_NEVER = 2  # a probability that none reaches


def find_boutons(
    probability: npt.NDArray[Any],
    threshold: float = 0.5,
    *,
    min_distance: int = MIN_DISTANCE,
    smoothing: float = SMOOTHING,
) -> Boutons:
    """Boutons are the peaks of a probability map.

    Raising the threshold takes away the boutons below it, and changes no other.

    Parameters
    ----------
    probability
        (H, W) uint8, x 255, or floats from 0 to 1.
    threshold
        Above 0: smoothed probability that a peak reaches at least; that is its score.
    min_distance
        px: of two peaks whose rows and columns differ by less, only the higher one counts.
    smoothing
        px: standard deviation of a Gaussian; 0 for none.

    Returns
    -------
    (N, 4): row, column, radius, score; the best first. The radius is that of a disc with as many
    pixels as belong to the peak and reach half of its score.

    Raises
    ------
    InputError
        The threshold is not above 0.
    """
    if not threshold > 0:
        raise InputError(f"The threshold is {threshold:g}; give one above 0.")
    smooth = ndimage.gaussian_filter(as_probability(probability), smoothing)
    peaks = find_peaks(smooth, threshold, min_distance)
    if not len(peaks):
        return np.empty((0, 4))
    scores = peaks[:, 2]
    markers = np.zeros(smooth.shape, np.int32)
    markers[tuple(peaks[:, :2].astype(int).T)] = np.arange(1, len(peaks) + 1)
    owner = watershed(-smooth, markers, mask=smooth >= scores.min() / 2)
    half = np.concatenate([[_NEVER], scores / 2])
    area = np.bincount(owner[smooth >= half[owner]], minlength=len(half))[1:]
    return np.column_stack([peaks[:, :2], np.sqrt(area / math.pi), scores])


def find_peaks(
    values: npt.NDArray[Any], threshold: float, min_distance: int = MIN_DISTANCE
) -> npt.NDArray[np.float64]:
    """Peaks of a map, the highest first: (N, 3) row, column and value.

    Parameters
    ----------
    values
        (H, W).
    threshold
        Value that a peak reaches at least.
    min_distance
        px, as of `find_boutons`.
    """
    lowest = np.nextafter(values.dtype.type(threshold), -np.inf)  # peaks are above, not at it
    places = peak_local_max(
        values, min_distance=min_distance, threshold_abs=lowest, exclude_border=False
    )
    peaks = np.column_stack([places, values[tuple(places.T)]]).astype(np.float64)
    return peaks[np.argsort(-peaks[:, 2], kind="stable")]


def as_probability(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """A probability map as floats from 0 to 1, whether it is that or uint8, x 255."""
    scale = np.float32(255 if values.dtype == np.uint8 else 1)
    return values.astype(np.float32) / scale


# ---------------------------------------------------------------- comparison


@dataclass(frozen=True)
class Detection:
    """Boutons of an image against its boxes.

    Attributes
    ----------
    hits
        Boxes that were found, and as many boutons.
    found, boxes
        How many there are.
    """

    hits: int
    found: int
    boxes: int

    @property
    def precision(self) -> float:
        """Part of the boutons that are hits; NaN without any."""
        return self.hits / self.found if self.found else math.nan

    @property
    def recall(self) -> float:
        """Part of the boxes that were hit; NaN without any."""
        return self.hits / self.boxes if self.boxes else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 1 where there is nothing and nothing was found."""
        total = self.found + self.boxes
        return 2 * self.hits / total if total else 1.0


def known_boutons(
    boutons: npt.NDArray[Any], boxes: Boxes, valid: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    """Boutons that can be compared: where the truth is known, or in a box.

    Parameters
    ----------
    boutons
        (N, 2 or more): row and column, pixels of the image.
    boxes
        Of the same image.
    valid
        (H, W): where the truth is known.
    """
    rows, columns = np.rint(boutons[:, :2]).astype(int).T
    offset = boutons[:, None, :2] - boxes[:, :2] + 0.5
    inside = np.all((offset >= 0) & (offset <= boxes[:, 2:]), axis=2)
    kept: npt.NDArray[Any] = boutons[valid[rows, columns] | np.any(inside, axis=1)]
    return kept


def match_boxes(boutons: npt.NDArray[Any], boxes: Boxes) -> npt.NDArray[np.bool_]:
    """Which boutons are hits: inside a box that no better one has hit.

    Parameters
    ----------
    boutons
        (N, 2 or more): row and column, in the order in which they choose. In several free boxes,
        each takes that whose centre is nearest.
    boxes
        Of the same image.

    Returns
    -------
    (N,) boolean. What comes later changes nothing for what came before, so the first n are also
    the result of the first n alone.
    """
    first, size = boxes[:, :2], boxes[:, 2:]
    free = np.ones(len(boxes), bool)
    hits = np.zeros(len(boutons), bool)
    for index, place in enumerate(boutons[:, :2]):
        offset = place - first + 0.5  # from the outer edge of the first pixel
        inside = free & ((offset >= 0) & (offset <= size)).all(1)
        if inside.any():
            hits[index] = True
            distance = np.hypot(*(offset - size / 2).T)
            free[np.where(inside, distance, np.inf).argmin()] = False
    return hits


def compare_boutons(boutons: npt.NDArray[Any], boxes: Boxes) -> Detection:
    """Boutons against boxes, at most one hit for each bouton and for each box (`match_boxes`)."""
    return Detection(int(match_boxes(boutons, boxes).sum()), len(boutons), len(boxes))


def detection_curve(
    boutons: npt.NDArray[Any], boxes: Boxes, thresholds: npt.ArrayLike
) -> list[Detection]:
    """The comparison at each threshold of the score.

    Parameters
    ----------
    boutons
        (N, M): row, column, ..., score, the best first, down to the lowest threshold.
    boxes
        Of the same image.
    thresholds
        Any number of them.
    """
    total = np.concatenate([[0], np.cumsum(match_boxes(boutons, boxes))])
    counts = np.searchsorted(-boutons[:, -1], -np.asarray(thresholds), side="right")
    return [Detection(int(total[count]), int(count), len(boxes)) for count in counts]


# ---------------------------------------------------------------- boxes


def read_boxes(path: str | os.PathLike[str]) -> Boxes:
    """Read a CSV file of boxes: x, y, w, h in pixels, where the first pixel is (1, 1).

    Raises
    ------
    InputError
        No such file, or a row that is not four numbers; its line is named.
    """
    path = Path(path)
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for line, row in enumerate(csv.reader(file), 1):
                try:
                    x, y, width, height = map(float, row)
                except ValueError:
                    if line == 1 or not any(cell.strip() for cell in row):
                        continue  # a header, or an empty line
                    raise InputError(
                        f"{path}, line {line}: a box is four numbers, x, y, w and h; correct or "
                        "remove the line."
                    ) from None
                rows.append((y - 1, x - 1, height, width))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV file: {error}.") from error
    return np.array(rows, np.float64).reshape(-1, 4)


def boxes_of(mask: npt.NDArray[np.bool_], margin: int = 0) -> Boxes:
    """A box around each connected part of a mask, wider by a margin (px) on each side."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    boxes = [
        (rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
        for rows, columns in ndimage.find_objects(labels)
    ]
    found = np.array(boxes, np.float64).reshape(-1, 4)
    found += (-margin, -margin, 2 * margin, 2 * margin)
    return found
