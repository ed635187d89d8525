"""Which model suits an image, and at what scale.

With a known pixel size the scale follows from the model's card. Without one the model itself is
asked: it looks at the middle of the image at several scales, and the scale at which it is surest of
what it sees is taken. The same score chooses between models, and so finds the contrast: a network
that meets the other microscope's contrast finds little, and is unsure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .device import Device
from .errors import InputError
from .events import Notice, Steps, run
from .image import Image, IntensityRange, intensity_range
from .models.card import Card
from .models.store import available, load_network
from .networks import TileExactNetwork
from .tiling import predict

SCALES = tuple(float(2**exponent) for exponent in np.arange(-3.5, 2.01, 0.5))
_LOOK = 320  # side, in working pixels, of the part of the image that is looked at
_NEAR_ONE = 0.02  # a scale this close to 1 is taken as 1: resampling would only blur


@dataclass(frozen=True)
class Match:
    """A model, ready to run, and the scale at which to run it."""

    network: TileExactNetwork
    card: Card
    sha256: str
    scale: float
    """Network pixels per image pixel."""


def match_model(
    image: Image,
    model: str,
    pixel_size: float | None,
    axon_diameter: float | None,
    device: Device,
) -> Steps[Match]:
    """Choose the model and the scale.

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

    Yields
    ------
    Notices of what was chosen and why.

    Raises
    ------
    InputError
        No such model, or none at all.
    """
    names = (
        [model] if model != "auto" else [c.name for c in available() if c.task == "segmentation"]
    )
    if not names:
        raise InputError(
            "No segmentation model is installed; import one with 'axongen models import'."
        )
    planes = list(image.plane_indices())
    plane = planes[len(planes) // 2]
    grey = intensity_range(image, plane)
    found: list[tuple[float, Match, str]] = []
    for name in names:
        network, card, sha256 = load_network(name, device)
        if card.task != "segmentation":
            raise InputError(f"Model '{name}' is for {card.task}; choose one for segmentation.")
        scale, why = _known_scale(card, pixel_size, axon_diameter)
        if scale is not None and len(names) == 1:
            score = 1.0
        elif scale is not None:
            score = certainty(network, image, plane, grey, scale, device)
        else:
            scores = [certainty(network, image, plane, grey, s, device) for s in SCALES]
            best = int(np.argmax(scores))
            score, scale = scores[best], SCALES[best]
            why = "found from the image, its pixel size being unknown"
        scale = 1.0 if abs(scale - 1) < _NEAR_ONE else scale
        found.append((score, Match(network, card, sha256, scale), why))
    score, match, why = max(found, key=lambda entry: entry[0])
    if len(names) > 1:
        others = ", ".join(f"{m.card.name} {s:.2f}" for s, m, _ in found if m is not match)
        yield Notice(
            f"{match.card.contrast} contrast: model {match.card.name} is the surest of what "
            f"it sees ({score:.2f}; {others})."
        )
    yield Notice(f"Scale {match.scale:.3g} (network pixels per image pixel): {why}.")
    return match


def _known_scale(
    card: Card, pixel_size: float | None, axon_diameter: float | None
) -> tuple[float | None, str]:
    if axon_diameter is not None and card.axon_diameter:
        return card.axon_diameter / axon_diameter, f"axons of {axon_diameter:g} px, as given"
    if pixel_size is not None and card.pixel_size is not None:
        return pixel_size / card.pixel_size, f"{pixel_size:g} um per pixel"
    return None, ""


def certainty(
    network: TileExactNetwork,
    image: Image,
    plane: tuple[int, ...],
    grey: IntensityRange,
    scale: float,
    device: Device,
) -> float:
    """How sure a segmenter is of what it sees at a scale, 0 to 1."""
    rows, columns = (_middle(length, round(_LOOK / scale)) for length in image.plane_shape)
    window = grey.normalise(image.read(plane, rows, columns))
    result: list[npt.NDArray[np.float32]] = []
    run(
        predict(
            network,
            lambda r, c: window[r, c],
            lambda _r, _c, values: result.append(values),
            window.shape,
            scale=scale,
            device=device,
            tile=max(window.shape),
            activation=lambda logits: torch.softmax(logits, 0),
        )
    )
    best = result[0].max(0)
    return float(best.mean())


def _middle(length: int, size: int) -> slice:
    size = max(1, min(size, length))
    return slice((length - size) // 2, (length - size) // 2 + size)
