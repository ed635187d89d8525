"""Axons and boutons in fluorescence images: image in, probabilities out, and from these objects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.draw import disk

from .centrelines import Centreline
from .classes import AXON_CLASSES, FLUORESCENCE_CLASSES
from .detection import find_boutons
from .device import Device
from .errors import InputError
from .events import Notice, Partial, Steps, counted
from .image import SPARSE, Image, check_pixel_size
from .matching import snap
from .modality import modality
from .models.card import Card, package_version
from .models.store import available, load_card, load_network
from .networks import TileExactNetwork, fold_batch_norm
from .parameters import SegmentParameters
from .segmentation import predict_plane
from .skeletons import trace_labels

AXON = AXON_CLASSES[-1]
BOUTON_COLUMNS = ("plane", "row", "column", "radius", "score")
"""Of a table of boutons."""

SURE = 0.84
"""How far from the threshold to 1 the probability of an axon must reach somewhere."""

_HOLE = 16  # px: fewer in a hole are noise, which would be a loop of the centreline
_TOUCHING = np.ones((3, 3), dtype=np.uint8)


# ---------------------------------------------------------------- what there is


@dataclass(frozen=True)
class Objects:
    """Axons and boutons at some thresholds; what no model was asked for is empty.

    Attributes
    ----------
    axons
        int32 of the image's shape: 0, or the number of an axon, that is of a connected part of the
        mask, from 1. Each plane of a stack has its own.
    centrelines
        Their ``image`` is the number of the plane, their ``axon`` the number in ``axons``.
    boutons
        (N, 5) as `BOUTON_COLUMNS`: number of the plane, then as of `detection.find_boutons`; plane
        by plane, the best first.
    bouton_labels
        int32 of the image's shape: 0, or the row in ``boutons``, from 1. A bouton is a disc; where
        two overlap, the better one is seen.
    """

    axons: npt.NDArray[np.int32]
    centrelines: list[Centreline]
    boutons: npt.NDArray[np.float64]
    bouton_labels: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Finder:
    """A model that finds axons, or boutons, and the scale at which it does.

    Attributes
    ----------
    network, card, sha256
        The model.
    scale
        Network pixels per image pixel.
    threshold
        Probability from which on something is taken for one.
    """

    network: TileExactNetwork
    card: Card
    sha256: str
    scale: float
    threshold: float

    @property
    def finds(self) -> str:
        """``axon`` or ``bouton``."""
        return self.card.classes[-1]


@dataclass(frozen=True)
class FluorescenceSegmentation:
    """What networks saw in a fluorescence image, from which objects follow at any threshold.

    Attributes
    ----------
    probabilities
        uint8 (N, *spatial shape), x 255: one for each of `finders`.
    finders
        The models: axons first, then boutons, or one of the two.
    parameters
        As asked for.
    pixel_size
        um, or None.
    """

    probabilities: npt.NDArray[np.uint8]
    finders: tuple[Finder, ...]
    parameters: SegmentParameters
    pixel_size: float | None

    @property
    def thresholds(self) -> dict[str, float]:
        """Of axons and boutons, whichever were looked for."""
        return {finder.finds: finder.threshold for finder in self.finders}

    def at(self, thresholds: Mapping[str, float]) -> FluorescenceSegmentation:
        """The same at other thresholds."""
        finders = tuple(
            replace(finder, threshold=thresholds.get(finder.finds, finder.threshold))
            for finder in self.finders
        )
        return replace(self, finders=finders)

    def only(self, name: str) -> FluorescenceSegmentation:
        """What ``axon`` or ``bouton``, one of those in `thresholds`, is about."""
        (index,) = (i for i, finder in enumerate(self.finders) if finder.finds == name)
        part = slice(index, index + 1)
        return replace(self, finders=self.finders[part], probabilities=self.probabilities[part])

    def objects(self) -> Objects:
        """All axons and boutons."""
        shape = self.probabilities.shape[1:]
        axons, lines, boutons, labels = _nothing(shape)
        count, places = 0, [boutons]
        for plane in np.ndindex(*shape[:-2]):
            here = self.plane_objects(plane, count, sum(map(len, places)))
            axons[plane], labels[plane] = here.axons, here.bouton_labels
            lines += here.centrelines
            places.append(here.boutons)
            count = max(count, int(here.axons.max(initial=0)))
        return Objects(axons, lines, np.concatenate(places), labels)

    def plane_objects(self, plane: tuple[int, ...], axons: int = 0, boutons: int = 0) -> Objects:
        """Axons and boutons of one plane, numbered after those of the planes before it.

        Parameters
        ----------
        plane
            Its index; ``()`` of a single image.
        axons, boutons
            How many there are before it.
        """
        stack = self.probabilities.shape[1:-2]
        number = int(np.ravel_multi_index(plane, stack)) if plane else 0
        labels, lines, places, discs = _nothing(self.probabilities.shape[-2:])
        for finder, probability in zip(self.finders, self.probabilities, strict=True):
            if finder.finds == AXON:
                least = self.parameters.min_length
                labels = label_axons(probability[plane], finder.threshold, least)
                labels[labels > 0] += axons
                lines = [replace(line, image=number) for line in trace_labels(labels)]
            else:
                seen = find_boutons(probability[plane], finder.threshold)
                discs = draw_boutons(seen, discs.shape)
                discs[discs > 0] += boutons
                places = np.insert(seen, 0, number, axis=1)
        return Objects(labels, lines, places, discs)

    def recipe(self) -> dict[str, Any]:
        """All that is needed to make this result again, as JSON."""
        alone = self.finders[0].card.name if len(self.finders) == 1 else "auto"
        return {
            "verb": "segment",
            "parameters": self.parameters.model_dump(mode="json")
            | {"model": alone, "contrast": "fluorescence", "pixel_size": self.pixel_size}
            | {f"{name}_threshold": value for name, value in self.thresholds.items()},
            "models": [
                {"name": finder.card.name, "sha256": finder.sha256, "scale": finder.scale}
                for finder in self.finders
            ],
            "version": package_version(),
        }


def _nothing(shape: tuple[int, ...]) -> tuple[Any, list[Centreline], Any, Any]:
    """The attributes of `Objects` that holds none."""
    empty = np.empty((0, len(BOUTON_COLUMNS)))
    return np.zeros(shape, np.int32), [], empty, np.zeros(shape, np.int32)


def label_axons(
    probability: npt.NDArray[np.uint8], threshold: float, min_length: float = 0.0
) -> npt.NDArray[np.int32]:
    """Number the connected parts of an axon mask.

    Parameters
    ----------
    probability
        (H, W), x 255.
    threshold
        0 to 1: probability from which a pixel can be part of an axon. Somewhere a part must go
        `SURE` of the way from it to 1, or it is left out (hysteresis, Canny 1986): axons have faint
        stretches, noise has no clear ones.
    min_length
        px: parts whose bounding box has a smaller diagonal are left out.

    Returns
    -------
    int32 (H, W): 0, or a number from 1. Pixels touch by edges and corners; holes of a few pixels
    are filled.
    """
    mask = probability >= max(1, round(threshold * 255))
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) < _HOLE
    small[0] = False
    labels, count = ndimage.label(mask | small[holes], _TOUCHING)
    numbers = np.zeros(count + 1, dtype=np.int32)
    highest = np.zeros(count + 1, dtype=np.uint8)
    np.maximum.at(highest, labels[mask], probability[mask])
    sure = 255 * (threshold + SURE * (1 - threshold))
    kept = [
        highest[number] >= sure
        and math.hypot(*(extent.stop - extent.start for extent in box)) >= min_length
        for number, box in enumerate(ndimage.find_objects(labels), 1)
    ]
    numbers[1:][kept] = np.arange(1, sum(kept) + 1)
    found: npt.NDArray[np.int32] = numbers[labels]
    return found


def draw_boutons(boutons: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Discs of boutons (N, 4: row, column, radius, score), numbered from 1, the first on top."""
    labels = np.zeros(shape, dtype=np.int32)
    for index in reversed(range(len(boutons))):
        row, column, radius = boutons[index, :3]
        labels[disk((row, column), max(radius, 1.0), shape=shape)] = index + 1
    return labels


# ---------------------------------------------------------------- finding it


def is_fluorescence(image: Image, parameters: SegmentParameters) -> bool:
    """Whether an image is to be segmented as one of fluorescence.

    A named model knows; else the contrast is as given, or found by `modality.modality`.

    Raises
    ------
    InputError
        There is no such model.
    """
    if parameters.model != "auto":
        return tuple(load_card(parameters.model).classes) in FLUORESCENCE_CLASSES
    if parameters.contrast == "auto":
        return modality(image) == "fluorescence"
    return parameters.contrast == "fluorescence"


def fluorescence_models() -> list[Card]:
    """Cards of the models that are taken if none is named: for axons and boutons, the first each.

    The shipped ones come before those of the user.
    """
    found: dict[tuple[str, ...], Card] = {}
    for card in available():
        if card.task == "segmentation":
            found.setdefault(tuple(card.classes), card)
    return [found[classes] for classes in FLUORESCENCE_CLASSES if classes in found]


def fluorescence_steps(
    image: Image, parameters: SegmentParameters, device: Device
) -> Steps[FluorescenceSegmentation]:
    """Find axons and boutons, or what the named model finds, plane by plane.

    Parameters
    ----------
    image
        A fluorescence image, or a stack of them. Without a pixel size, or where the model's is not
        known, it is taken as it is.
    parameters, device
        As of `segmentation.segment_steps`.

    Yields
    ------
    Progress over the tiles of all planes and models; Notices of the models; for each finished plane
    of a stack a Partial with the result, in which that plane is filled in.

    Raises
    ------
    InputError
        No such model, or none at all, or an image in which nothing can be seen.
    """
    pixel_size = check_pixel_size(parameters.pixel_size or image.pixel_size, image.name)
    yield Notice(f"Computing on {device.reason}.")
    names = [parameters.model]
    if parameters.model == "auto":
        names = [card.name for card in fluorescence_models()]
        if not names:
            raise InputError(
                f"{image.name} looks like a fluorescence image, and no model of these is "
                "installed; import or train one, or choose the contrast TEM or SEM."
            )
    finders = tuple(_load(name, parameters, pixel_size, device) for name in names)
    yield Notice(_chosen(finders, parameters))
    planes = list(image.plane_indices())
    probabilities = np.zeros((len(finders), *image.spatial_shape), dtype=np.uint8)
    by_plane = np.moveaxis(probabilities, 0, -3)
    result = FluorescenceSegmentation(probabilities, finders, parameters, pixel_size)
    for count, plane in enumerate(planes):
        for index, finder in enumerate(finders):
            steps = predict_plane(
                finder.network,
                image,
                plane,
                scale=finder.scale,
                classes=len(finder.card.classes),
                greys=SPARSE,
                device=device,
                memory=parameters.memory,
                out=by_plane[plane][index : index + 1],
            )
            yield from counted(steps, count * len(finders) + index, len(planes) * len(finders))
        if plane:
            yield Partial(plane, result)
    return result


def _load(
    name: str, parameters: SegmentParameters, pixel_size: float | None, device: Device
) -> Finder:
    network, card, sha256 = load_network(name, device)
    scale = pixel_size / card.pixel_size if pixel_size and card.pixel_size else 1.0
    asked: float | None = getattr(parameters, f"{card.classes[-1]}_threshold")
    threshold = card.threshold if asked is None else asked
    return Finder(fold_batch_norm(network), card, sha256, snap(scale), threshold)


def _chosen(finders: tuple[Finder, ...], parameters: SegmentParameters) -> str:
    named = ", ".join(
        f"{finder.finds}s by {finder.card.name}"
        + ("" if finder.scale == 1 else f" at scale {finder.scale:.3g}")
        for finder in finders
    )
    found = parameters.model == "auto" and parameters.contrast == "auto"
    why = " (few bright pixels on dark ground; if it is none, choose the contrast)" * found
    return f"Fluorescence{why}: {named}."
