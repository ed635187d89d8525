"""Which model suits an image, and at what scale.

With a known pixel size the scale follows from the model's card. Without one the model itself is
asked: it looks at the middle of the image at several scales, and the scale at which what it sees is
the most plausible is taken. The same measure chooses between models, and so finds the contrast: a
network that meets the other microscope's contrast sees axons without their myelin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from .classes import FIBRE_CLASSES
from .device import Device
from .errors import InputError
from .events import Notice, Progress, Steps, run
from .image import Image, IntensityRange, intensity_range
from .models.card import Card
from .models.store import available, load_network
from .networks import TileExactNetwork, fold_batch_norm
from .parameters import Contrast
from .tiling import predict

SCALES = tuple(float(2**exponent) for exponent in np.arange(-4, 1.51, 0.5))
"""Network pixels per image pixel that are tried: steps that the training's zoom bridges."""

LOOK = 256
"""Side, in network pixels, of the part of the image that is looked at."""

_CONVINCING = 0.6  # plausibility from which a scale known from the pixel size is not questioned
_BETTER = 1.2  # how many times more plausible another scale must be to overrule it
_FLAT = 1.5  # factor by which the size of the axons may move the scale that was found
_NEAR_ONE = 0.02  # a scale this close to 1 is taken as 1: resampling would only blur
_BACKGROUND, _MYELIN, _AXON = 0, 1, 2


@dataclass(frozen=True)
class Match:
    """A model, ready to run, and the scale at which to run it.

    Attributes
    ----------
    network, card, sha256
        The model.
    scale
        Network pixels per image pixel.
    score
        `plausibility` of what it sees in the middle of the image.
    reason
        Why this scale.
    axon_diameter
        Median diameter, image px, of the axons that it sees in the middle of the image; 0: none.
    """

    network: TileExactNetwork
    card: Card
    sha256: str
    scale: float
    score: float
    reason: str
    axon_diameter: float


def match_model(
    image: Image,
    model: str,
    pixel_size: float | None,
    axon_diameter: float | None,
    device: Device,
    contrast: Contrast = "auto",
) -> Steps[Match]:
    """Choose the model of electron micrographs and the scale.

    Parameters
    ----------
    image
        The image; the middle of its middle plane is looked at.
    model
        Name or file of a model, or ``auto``.
    pixel_size
        um; None when unknown.
    axon_diameter
        Median axon diameter in pixels, when the user knows it: it overrules the pixel size.
    device
        Where to compute.
    contrast
        Of the models that ``auto`` chooses from: ``TEM``, ``SEM``, or ``auto`` for both.

    Yields
    ------
    Progress over the scales that are tried, so that it can be stopped between two of them; Notices
    of what was chosen and why.

    Raises
    ------
    InputError
        No such model, or none at all.
    """
    names = [model]
    if model == "auto":
        names = [card.name for card in available() if _knows(card, contrast)]
    if not names:
        kind = "electron micrographs" if contrast == "auto" else contrast
        raise InputError(
            f"No segmentation model of {kind} is installed; import one with 'axongen models "
            "import'."
        )
    planes = list(image.plane_indices())
    view = _View(image, planes[len(planes) // 2])
    found = []
    for name in names:
        found.append((yield from _match(view, name, pixel_size, axon_diameter, device)))
    best = max(found, key=lambda match: match.score)
    if len(found) > 1:
        others = ", ".join(f"{m.card.name} {m.score:.2f}" for m in found if m is not best)
        yield Notice(
            f"{best.card.contrast or 'Any'} contrast: what {best.card.name} sees is the most "
            f"plausible ({best.score:.2f}; {others})."
        )
    yield Notice(f"Scale {best.scale:.3g} (network pixels per image pixel): {best.reason}.")
    return best


def winners(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """The most probable class of each pixel, of (3, H, W): as argmax, in a sixth of its time."""
    background, myelin, axon = probabilities
    sheathed = np.where(myelin > background, np.int8(_MYELIN), np.int8(_BACKGROUND))
    return np.where(axon > np.maximum(background, myelin), np.int8(_AXON), sheathed)


def plausibility(
    probabilities: npt.NDArray[np.float32], classes: npt.NDArray[np.int8] | None = None
) -> float:
    """How plausible a segmentation is as a picture of myelinated axons, 0 to 1.

    The mean of the winning probability, times the part of the axons' outline that runs along myelin
    (not background), times a penalty where next to nothing was found.

    Parameters
    ----------
    probabilities
        (3, H, W): background, myelin, axon.
    classes
        Their `winners`, where they are known already.
    """
    if classes is None:
        classes = winners(probabilities)
    enclosed = exposed = 0
    for a, b in ((classes[1:], classes[:-1]), (classes[:, 1:], classes[:, :-1])):
        enclosed += int(np.count_nonzero(a + b == _MYELIN + _AXON))
        exposed += int(np.count_nonzero((a + b == _AXON) & (a != b)))
    if enclosed == 0:
        return 0.0
    found = float(np.mean(classes != _BACKGROUND))
    return float(
        probabilities.max(0).mean() * enclosed / (enclosed + exposed) * min(1, found / 0.2)
    )


def median_axon_diameter(axons: Iterable[npt.NDArray[np.bool_]]) -> float:
    """Median equivalent diameter (px) of the axons in some masks; 0 when there is none.

    Specks of less than 20 pixels are not counted.
    """
    areas = [np.bincount(ndimage.label(mask)[0].ravel())[1:] for mask in axons]
    large = np.concatenate(areas)
    large = large[large >= 20]
    return float(np.median(2 * np.sqrt(large / math.pi))) if large.size else 0.0


def judged(probabilities: npt.NDArray[np.float32]) -> tuple[float, float]:
    """`plausibility` of a segmentation (3, H, W), and the median diameter (px) of its axons."""
    classes = winners(probabilities)
    return plausibility(probabilities, classes), median_axon_diameter([classes == _AXON])


class _View:
    """The middle of one plane, normalised as the plane is."""

    def __init__(self, image: Image, plane: tuple[int, ...]) -> None:
        self.image, self.plane = image, plane
        self.grey: IntensityRange = intensity_range(image, plane)

    def look(self, network: TileExactNetwork, scale: float, device: Device) -> tuple[float, float]:
        """Plausibility of what a network sees at a scale, and its median axon diameter.

        The diameter is in image pixels.
        """
        rows, columns = (_middle(length, round(LOOK / scale)) for length in self.image.plane_shape)
        window = self.grey.normalise(self.image.read(self.plane, rows, columns))
        result: list[npt.NDArray[np.float32]] = []
        steps = predict(
            network,
            lambda rows, columns: window[rows, columns],
            lambda _rows, _columns, values: result.append(values),
            (window.shape[0], window.shape[1]),
            scale=scale,
            device=device,
            tile=max(window.shape),
            activation=lambda logits: torch.softmax(logits, 0),
        )
        run(steps)
        return judged(result[-1])


def _knows(card: Card, contrast: Contrast) -> bool:
    """Whether a model segments micrographs of a contrast."""
    fibres = card.task == "segmentation" and tuple(card.classes) == FIBRE_CLASSES
    return fibres and (contrast == "auto" or card.contrast in (contrast, None))


def _match(
    view: _View,
    name: str,
    pixel_size: float | None,
    axon_diameter: float | None,
    device: Device,
) -> Steps[Match]:
    """A model with the scale that suits it."""
    network, card, sha256 = load_network(name, device)
    if card.task != "segmentation":
        raise InputError(f"Model '{name}' is for {card.task}; choose one for segmentation.")
    network = fold_batch_norm(network)
    given: float | None = None
    reason = "found from the image, its pixel size being unknown"
    if axon_diameter is not None and card.axon_diameter:
        given = card.axon_diameter / axon_diameter
        reason = f"axons of {axon_diameter:g} px, as given"
        score, size = view.look(network, given, device)
        return Match(network, card, sha256, snap(given), score, reason, size)
    if pixel_size is not None and card.pixel_size is not None:
        given = pixel_size / card.pixel_size
        reason = f"{pixel_size:g} um per pixel"
        score, size = view.look(network, given, device)
        if score >= _CONVINCING:
            return Match(network, card, sha256, snap(given), score, reason, size)
    best, scale, diameter = 0.0, 1.0, 0.0
    for count, candidate in enumerate(SCALES):
        yield Progress(count, len(SCALES), f"finding the scale for {card.name}")
        seen, axons = view.look(network, candidate, device)
        if seen > best:
            best, scale, diameter = seen, candidate, axons
    if given is not None:
        if best < _BETTER * score:
            return Match(network, card, sha256, snap(given), score, reason, size)
        reason = (
            f"found from the image, as the axons have not the size that {pixel_size:g} um per "
            "pixel lets expect"
        )
    if card.axon_diameter and diameter:
        # Plausibility is flat near its peak; there the size of the axons says where they were
        # learnt. They are measured in image pixels here.
        correction = card.axon_diameter / (diameter * scale)
        scale *= min(max(correction, 1 / _FLAT), _FLAT)
    return Match(network, card, sha256, snap(scale), best, reason, diameter)


def snap(scale: float) -> float:
    """A scale, or 1 when it is all but that."""
    return 1.0 if abs(scale - 1) < _NEAR_ONE else scale


def _middle(length: int, size: int) -> slice:
    size = max(1, min(size, length))
    return slice((length - size) // 2, (length - size) // 2 + size)
