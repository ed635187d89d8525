"""Fluorescence images of axons with manual truth: traced paths, boxes around boutons, or masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_axongen.core.centrelines import read_centrelines
from napari_axongen.core.classes import AXON_CLASSES, IGNORED
from napari_axongen.core.detection import Boxes, read_boxes
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import read_image
from napari_axongen.core.image import SPARSE, Image, intensity_range

from .labelled import LabelledImage
from .layouts import find_pairs

WIDTH = 5.0
"""Pixels to which a traced path is widened: what a mask of the axon has."""

FAINT = 6.0
"""Distance, px, to a faint path up to which the truth is unknown."""

BOUTON_RADIUS = 3.0
"""Radius, px, of the disc that stands for a bouton of which only a box is known."""

_AROUND = 8.0  # px: standard deviation of what counts as the surroundings of an object
_DEVIATION = 1.4826  # standard deviation of a normal distribution, of its median absolute one
_BOX_BLUR = 1.5  # px: the bouton is the brightest spot of its box, not its brightest pixel
_VOLUME, _LABELS = "volume_", "labels_"
_SLICE_CLASSES = np.array([IGNORED, 0, 1, 0, IGNORED], dtype=np.uint8)
"""Of the labels none, background, axon, artefact and edge."""


def load_fluorescence(root: Path, classes: Sequence[str]) -> list[LabelledImage]:
    """Read the fluorescence images of a folder that have a truth for some classes.

    - ``images/`` with ``centrelines/NAME.csv`` (paths: `centrelines.read_centrelines`) for axons,
      and ``boutons/NAME.csv`` (boxes: `detection.read_boxes`) for boutons: see `path_classes` and
      `box_classes`. The animal is the name of the image.
    - ``volume_NAME.tif`` with ``labels_NAME.tif``: 0 unlabelled, 1 background, 2 axon, 3 artefact,
      4 edge. Each slice that has labels is an image; those of a volume are one animal.
    - Pairs of images and masks, as `layouts.find_pairs` says.

    Parameters
    ----------
    root
        The folder.
    classes
        `classes.AXON_CLASSES` or `classes.BOUTON_CLASSES`.

    Raises
    ------
    InputError
        None of these, no image with a truth of these classes, or a file that cannot be used.
    """
    kind = classes[-1]
    truths = root / ("centrelines" if kind == AXON_CLASSES[-1] else "boutons")
    if (root / "images").is_dir() and truths.is_dir():
        found = list(_traced(root, truths))
    elif kind == AXON_CLASSES[-1] and any(root.glob(f"{_LABELS}*.tif")):
        found = list(_slices(root))
    else:
        found = [pair.read() for pair in find_pairs(root, classes).pairs]
    if not found:
        raise InputError(f"{root} holds no image with a truth for the class {kind}.")
    return found


def _traced(root: Path, truths: Path) -> Iterator[LabelledImage]:
    images = {path.stem: path for path in sorted((root / "images").iterdir())}
    for path in sorted(truths.glob("*.csv")):
        if path.stem not in images:
            raise InputError(f"{path} has no image; add {path.stem} to {root / 'images'}.")
        image = read_image(images[path.stem])
        grey = image.read(())
        if truths.name == "boutons":
            classes = box_classes(read_boxes(path), grey)
        else:
            lines = read_centrelines(path)
            clear, faint = (
                [line.points for line in lines if line.faint == is_faint]
                for is_faint in (False, True)
            )
            classes = path_classes(clear, faint, image.plane_shape)
        values = grey if image.is_colour else image.data
        plane = Image(values, "YX", image.pixel_size, path.stem)
        yield LabelledImage(plane, classes, path.stem)


def _slices(root: Path) -> Iterator[LabelledImage]:
    for path in sorted(root.glob(f"{_LABELS}*.tif")):
        name = path.stem.removeprefix(_LABELS)
        volume = read_image(root / f"{_VOLUME}{name}.tif")
        labels = np.asarray(read_image(path).data)
        if labels.shape != volume.spatial_shape or labels.max() >= len(_SLICE_CLASSES):
            raise InputError(
                f"{path} does not fit its volume: it is to have shape {volume.spatial_shape} and "
                f"labels up to {len(_SLICE_CLASSES) - 1}."
            )
        for index in np.flatnonzero(labels.any((1, 2))):
            plane = Image(
                np.asarray(volume.data[index]), "YX", volume.pixel_size, f"{name} slice {index}"
            )
            yield LabelledImage(plane, _SLICE_CLASSES[labels[index]], f"{_VOLUME}{name}")


# ---------------------------------------------------------------- truths


def visible_classes(
    image: Image, labels: npt.NDArray[np.integer[Any]], least: float
) -> npt.NDArray[np.uint8]:
    """Classes of an image in which more is known than a person would see.

    A person marks what stands out. Of the truth of a surrogate, axons and boutons that hardly do
    are therefore left out: what is dimmer than `least` is `IGNORED`, what has less than half of
    that counts as background.

    Parameters
    ----------
    image
        One plane.
    labels
        (H, W): 0 background, else one number for each branch or bouton.
    least
        By how many standard deviations of the noise an object is brighter, on average, than its
        surroundings, both of the square root of the grey values (`core.image.SPARSE`), where the
        noise is the same everywhere.
    """
    grey = intensity_range(image, (), SPARSE).normalise(image.read(()))
    free = labels == 0
    weight = ndimage.gaussian_filter(free.astype(np.float32), _AROUND)
    around = ndimage.gaussian_filter(grey * free, _AROUND) / np.maximum(weight, 1e-3)
    steps = np.diff(grey, axis=1)[free[:, 1:] & free[:, :-1]]
    noise = _DEVIATION * np.median(np.abs(steps)) / np.sqrt(2) if steps.size else 0.0
    size = np.bincount(labels.ravel())
    total = np.bincount(labels.ravel(), (grey - around).ravel())
    contrast = total / np.maximum(size, 1) / max(noise, 1e-6)
    by_number = np.select([contrast >= least, contrast >= least / 2], [1, IGNORED], 0)
    by_number[0] = 0
    return np.asarray(by_number.astype(np.uint8)[labels])


def path_classes(
    clear: Sequence[npt.ArrayLike], faint: Sequence[npt.ArrayLike], shape: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Classes of an image whose axons were traced.

    Parameters
    ----------
    clear, faint
        Paths (K, 2) of (row, column), px. What lies within `FAINT` of a faint one is `IGNORED`.
    shape
        Of the image.

    Returns
    -------
    uint8 (H, W): 1 within half of `WIDTH` of a clear path, 0 elsewhere
    """
    classes = (path_labels(clear, shape, WIDTH / 2) > 0).astype(np.uint8)
    classes[path_labels(faint, shape, FAINT) > 0] = IGNORED
    return classes


def path_labels(
    paths: Sequence[npt.ArrayLike], shape: tuple[int, int], distance: float
) -> npt.NDArray[np.int32]:
    """Number, from 1, of the nearest of some paths (K, 2), where it is within a distance (px).

    The points of the paths are rounded to pixels.
    """
    labels = np.zeros(shape, dtype=np.int32)
    for number, path in enumerate(paths, 1):
        points = np.asarray(path, dtype=np.float64)
        steps = np.maximum(1, np.ceil(2 * np.abs(np.diff(points, axis=0)).max(1))).astype(int)
        at = np.repeat(np.arange(len(steps)), steps)  # the segment of each half pixel
        at = at + (np.arange(len(at)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[at]
        at = np.append(at, len(steps))
        rows, columns = (
            np.rint(np.interp(at, np.arange(len(points)), place)).astype(int) for place in points.T
        )
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        labels[rows[inside], columns[inside]] = number
    if not labels.any():
        return labels
    far, (row, column) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    return np.where(far <= distance, labels[row, column], 0)


def box_classes(boxes: Boxes, grey: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Classes of an image whose boutons were boxed.

    A box says where a bouton is, not how large: the bouton is taken to be a disc of `BOUTON_RADIUS`
    around the brightest spot of the box, and the rest of the box is `IGNORED`.

    Parameters
    ----------
    boxes
        (N, 4), as `detection.read_boxes` gives them.
    grey
        The image.
    """
    classes = np.zeros(grey.shape, dtype=np.uint8)
    smooth = ndimage.gaussian_filter(grey, _BOX_BLUR)
    rows, columns = np.ogrid[: grey.shape[0], : grey.shape[1]]
    centres = []
    for top, left, height, width in np.rint(boxes).astype(int):
        part = (
            slice(max(top, 0), max(top + height, 0)),
            slice(max(left, 0), max(left + width, 0)),
        )
        inside = smooth[part]
        if inside.size == 0:
            continue
        classes[part] = IGNORED
        row, column = np.unravel_index(int(inside.argmax()), inside.shape)
        centres.append((int(row) + part[0].start, int(column) + part[1].start))
    for row, column in centres:
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= BOUTON_RADIUS**2
        classes[disc] = 1
    return classes
