"""Labels and points that a person drew, as classes: what is taken for what, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.classes import FIBRE_CLASSES, IGNORED
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import AXON, MYELIN, to_classes
from napari_axongen.core.image import Image

from .labelled import class_indices

RING = 2.0
"""Pixels around a bouton that was marked by a point whose truth is unknown: its edge was not drawn.
"""

Classes = npt.NDArray[np.uint8]

_MYELIN, _AXON = FIBRE_CLASSES.index("myelin"), FIBRE_CLASSES.index("axon")
_MASK_VALUES = frozenset({MYELIN, MYELIN + 1, AXON})  # some programs write 128 for myelin
_BOTH = "1 for myelin and 2 for axon in one layer, or the axons and the myelin in a layer each"


def classes_of(
    labels: Any, classes: Sequence[str], myelin: Any = None, name: str = "The labels"
) -> tuple[Classes, str]:
    """Take labels for classes.

    Parameters
    ----------
    labels
        (H, W) integer or boolean. Of two classes any label means the second, so that axons or
        boutons may be numbered. Of myelinated fibres: 0, 127 and 255 as mask files have them, or 0,
        1 and 2, of which the one that encloses the other is myelin.
    classes
        What the pixels can be, see `core.classes`.
    myelin
        Labels of the myelin, where `labels` are of the axons alone: any label means the one class,
        and where both claim a pixel it is axon.
    name
        How messages call the labels.

    Returns
    -------
    uint8 indices into `classes`, and a sentence that says what was taken for what

    Raises
    ------
    InputError
        No labels, or labels that cannot tell axon from myelin; or two that differ in size.
    """
    first = _labels(labels, name)
    if len(classes) == 2:
        return (first > 0).astype(np.uint8), f"{name}: every label is {classes[1]}."
    if myelin is not None:
        second = _labels(myelin, f"{name} (myelin)")
        if second.shape != first.shape:
            raise InputError(
                f"{name} have the shape {first.shape} and those of the myelin {second.shape}; they "
                "must be of the same image."
            )
        found = np.where(second > 0, np.uint8(_MYELIN), np.uint8(0))
        found[first > 0] = _AXON
        return found, f"{name}: every label of the one layer is axon, of the other myelin."
    values = set(np.unique(first).tolist()) - {0}
    if not values:
        return np.zeros(first.shape, dtype=np.uint8), f"{name} are empty: all is background."
    mask = _of_mask_file(first, values)
    if mask is not None:
        return mask, f"{name}: 127 is myelin, 255 axon."
    touching = _borders(first, 1, 2) if values == {1, 2} else 0
    if not touching:
        held = "one label" if len(values) == 1 else f"{len(values)} labels, which number fibres"
        raise InputError(f"{name} hold {held} and cannot tell axon from myelin; give {_BOTH}.")
    # An axon hardly touches the background, its sheath does all around.
    if _borders(first, 0, 1) < min(_borders(first, 0, 2), touching / 2):
        return np.array([0, _AXON, _MYELIN], np.uint8)[first], f"{name}: 1 is axon, 2 myelin."
    return np.array([0, _MYELIN, _AXON], np.uint8)[first], f"{name}: 1 is myelin, 2 axon."


def classes_of_points(
    points: npt.ArrayLike, sizes: npt.ArrayLike, shape: tuple[int, int]
) -> Classes:
    """Take points for boutons: discs, with a ring of `RING` around each that is `IGNORED`.

    Parameters
    ----------
    points
        (N, 2) row and column of each, px.
    sizes
        Diameters, px: one for each, or one for all. A disc has one pixel at least.
    shape
        Rows and columns of the image.

    Returns
    -------
    uint8 of this shape: 0 background, 1 bouton, `IGNORED`
    """
    centres = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    radii = np.broadcast_to(np.asarray(sizes, dtype=np.float64) / 2, len(centres))
    found = np.zeros(shape, dtype=np.uint8)
    for extra, value in ((RING, IGNORED), (0.0, 1)):  # what one point covers no ring hides
        for (row, column), radius in zip(centres, radii, strict=True):
            # the diagonal of half a pixel: the nearest pixel is always within
            reach = max(radius, math.sqrt(0.5)) + extra
            rows, columns = (
                slice(max(0, math.ceil(at - reach)), max(0, math.floor(at + reach) + 1))
                for at in (row, column)
            )
            window = found[rows, columns]
            r, c = np.ogrid[: window.shape[0], : window.shape[1]]
            window[np.hypot(r + rows.start - row, c + columns.start - column) <= reach] = value
    return found


def _labels(labels: Any, name: str) -> npt.NDArray[Any]:
    array = np.asarray(labels)
    if array.ndim != 2 or array.dtype.kind not in "bui":
        raise InputError(
            f"{name} have the shape {array.shape} and are of type {array.dtype}; whole numbers of "
            "one plane are needed."
        )
    return array


def _of_mask_file(labels: npt.NDArray[Any], values: set[int]) -> Classes | None:
    """Classes of labels that come from a mask file; None: they are something else.

    A few pixels may have values between the classes, as at smoothed edges.
    """
    if values == {AXON} or max(values) > AXON or not values & _MASK_VALUES:
        return None
    try:
        return class_indices(to_classes(Image(labels.astype(np.uint8), "YX")))
    except InputError:
        return None


def _borders(labels: npt.NDArray[Any], one: int, other: int) -> int:
    """Pairs of neighbouring pixels of which one has a label and the other another."""
    count = 0
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        count += int(np.count_nonzero((a == one) & (b == other)))
        count += int(np.count_nonzero((a == other) & (b == one)))
    return count
