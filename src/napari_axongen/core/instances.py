"""From a class image to fibres: each axon with its own myelin, touching fibres separated."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import morphology, segmentation

from .errors import InputError
from .files import AXON, BACKGROUND, MYELIN
from .regions import find_runs, hull_areas, strips

# A neck is cut where its half-width is less than this share of the inscribed radius of the smaller
# of the two parts that it joins, and only if that radius is a real one, both in pixels and beside
# the larger part. Of the 6,788 axons in the manual masks used for development, bean-shaped and
# crescent ones included, this cuts four.
_NECK = 0.5
_LEAST_RADIUS = 3.0
_LEAST_SHARE = 0.4
_CONVEX = 0.88  # solidity above which no neck is looked for

# How far from its axon a sheath may reach: a g-ratio of 0.25 is a thickness of three axon radii.
_REACH_RADII, _REACH_PIXELS = 3.0, 4.0


def label_fibres(classes: NDArray[np.uint8], min_diameter: float = 0.0) -> NDArray[np.int32]:
    """Number the fibres of a class image.

    - *Axons* are the components of class 255, connected through pixel edges: two axons that meet
      only at a corner are two, as a sheath drawn one pixel wide along a diagonal still parts them.
    - Two axons that run together through a thin neck are cut there (watershed of the distance
      transform); a merely irregular axon stays whole.
    - *Myelin* goes to the axon from which it is reached first on a way that stays within myelin, so
      the sheaths of touching fibres part midway and a background line between them is never
      crossed, not even a diagonal one of single pixels. A sheath ends three axon radii from its
      axon (g-ratio 0.25). Myelin that no axon reaches gets 0.
    - Background enclosed in an axon or a sheath stays 0: the labels say whose a pixel is, never
      what it is, so the areas of the fibres agree with those of the mask.
    - Labels count from 1 in raster order of the axons' first pixels. The same image always gives
      the same labels.

    Parameters
    ----------
    classes
        (Y, X) uint8: 0 background, 127 myelin, 255 axon.
    min_diameter
        Axons of a smaller equivalent circular diameter are dropped, in pixels.

    Returns
    -------
    labels
        (Y, X) int32: 0, or the number of the fibre. ``(labels == k) & (classes == 255)`` is axon k.
        An axon without myelin has a number, too.

    Raises
    ------
    InputError
        The image is not a 2-D uint8 array, or ``min_diameter`` is not a number of at least 0.
    """
    if classes.ndim != 2 or classes.dtype != np.uint8:
        raise InputError(
            f"Fibres are labelled in a 2-D uint8 class image, but this one is {classes.ndim}-D "
            f"{classes.dtype}; pass one plane with 0 background, 127 myelin and 255 axon."
        )
    if not (math.isfinite(min_diameter) and min_diameter >= 0):
        raise InputError(
            f"The smallest axon diameter is {min_diameter}; it must be a number of at least 0 px."
        )
    # The frame of zeros spares every neighbour look-up below a test for the edge of the image.
    labels = np.zeros((classes.shape[0] + 2, classes.shape[1] + 2), np.int32)
    ndimage.label(np.pad(classes == AXON, 1), output=labels)
    _split_necks(labels)
    radii = _renumber(labels, min_diameter)
    _grow(labels, np.pad(classes, 1), _REACH_PIXELS + _REACH_RADII * radii)
    return np.ascontiguousarray(labels[1:-1, 1:-1])


def _split_necks(labels: NDArray[np.int32]) -> None:
    """Cut, in place, the components of low solidity that are several axons joined by necks."""
    runs = find_runs(labels)
    areas = runs.areas()
    roomy = areas >= 2 * math.pi * _LEAST_RADIUS**2
    suspects = np.flatnonzero(roomy & (areas < _CONVEX * hull_areas(runs)))
    boxes, following = runs.boxes(), len(runs.ids) + 1
    for index in suspects:
        top, left, bottom, right = boxes[index]
        box = labels[top:bottom, left:right]
        mask = box == runs.ids[index]
        parts, count = _parts(mask)
        for part in range(2, count + 1):
            box[parts == part] = following
            following += 1


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Split one component at its necks: labels from 1, and how many there are."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    # In the logarithm of the distance, the depth of the saddle below a peak is the ratio of the
    # neck's half-width to the part's inscribed radius: h-maxima with h = -log(_NECK).
    log = np.log(np.where(mask, distance, 0.5))
    flooded = morphology.reconstruction(log + math.log(_NECK), log)
    domes = morphology.local_maxima(flooded) & mask
    peaks, count = ndimage.label(domes, np.ones((3, 3)))
    if count < 2:
        return mask.astype(np.int32), 1
    radii = ndimage.maximum(distance, peaks, np.arange(1, count + 1))
    enough = radii >= max(_LEAST_RADIUS, _LEAST_SHARE * float(np.max(radii)))
    if np.count_nonzero(enough) < 2:
        return mask.astype(np.int32), 1
    markers = np.concatenate([[0], np.cumsum(enough) * enough])[peaks]
    parts = segmentation.watershed(-distance, markers, mask=mask)
    return parts.astype(np.int32), int(enough.sum())


def _renumber(labels: NDArray[np.int32], min_diameter: float) -> NDArray[np.float64]:
    """Drop small axons and number the rest in raster order, in place; return the radii by label.

    The radii are equivalent circular ones, shape (N + 1,), that of label 0 being 0.
    """
    runs = find_runs(labels)
    diameters = 2 * np.sqrt(runs.areas() / math.pi)
    _, first = np.unique(runs.region, return_index=True)
    order = np.argsort(first)
    order = order[diameters[order] >= min_diameter]
    numbers = np.zeros(int(runs.ids.max(initial=0)) + 1, np.int32)
    numbers[runs.ids[order]] = np.arange(1, len(order) + 1)
    for rows in strips(labels.shape):
        labels[rows] = numbers[labels[rows]]
    return np.concatenate([[0.0], diameters[order] / 2])


def _grow(
    labels: NDArray[np.int32], classes: NDArray[np.uint8], reach: NDArray[np.float64]
) -> None:
    """Grow the labelled axons into the myelin around them, in place, one pixel a step.

    Steps through edges and steps through edges and corners take turns, so that a front is an
    octagon: within 8% of the Euclidean distance. A step through a corner needs one of the two
    pixels beside it to be foreground. Work and memory go with the fronts, not with the image.

    Parameters
    ----------
    labels, classes
        C-contiguous and framed by zeros.
    reach
        By label: how many steps it may grow.
    """
    width = labels.shape[1]
    label, kind = labels.ravel(), classes.ravel()
    edges = [(step, 0, 0) for step in (-width, -1, 1, width)]
    corners = [(dy + dx, dy, dx) for dy in (-width, width) for dx in (-1, 1)]
    front = _seeds(labels, classes)
    step = 0
    while front.size:
        step += 1
        front = front[reach[label[front]] >= step]
        grown = []
        for offset, beside, other in edges if step % 2 else edges + corners:
            target = front + offset
            free = (kind[target] == MYELIN) & (label[target] == 0)
            if beside:
                free &= (kind[front + beside] != BACKGROUND) | (kind[front + other] != BACKGROUND)
            target = target[free]
            label[target] = label[front[free]]
            grown.append(target)
        front = np.concatenate(grown)


def _seeds(labels: NDArray[np.int32], classes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Flat indices of the labelled pixels that have a myelin pixel beside them, ascending."""
    height, width = labels.shape
    found = [np.zeros(0, np.int64)]
    for rows in strips((height - 2, width)):
        inner = slice(rows.start + 1, rows.stop + 1)
        above, below = (classes[inner.start + d : inner.stop + d, 1:-1] == MYELIN for d in (-1, 1))
        here = classes[inner] == MYELIN
        beside = above | below | here[:, :-2] | here[:, 2:]
        y, x = np.nonzero(beside & (labels[inner, 1:-1] > 0))
        found.append((y + inner.start) * width + x + 1)
    return np.concatenate(found)
