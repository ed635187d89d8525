"""How long a translation will take, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_axongen.core.events import Notice, Steps
from napari_axongen.core.files import AXON
from napari_axongen.core.models.card import Card
from napari_axongen.core.parameters import TranslateParameters

from .layers import level_0
from .masks import MaskLayers
from .pace import Pace, pace_steps
from .translating import CGAN, FROM_THE_IMAGE, GENERATE, finds_labels

_MEASURED = 1024  # rows and columns of a mask in which axons are measured


@dataclass(frozen=True)
class Question:
    """A translation that may be asked for.

    Attributes
    ----------
    parameters
        Of it; the pixel size is that of the layer.
    shape
        Of the image: planes, rows, columns.
    source
        Contrast of the image, where it is known.
    mask
        Layers of its labels.
    diameter
        Median axon diameter (px of the image) that an earlier run found.
    """

    parameters: TranslateParameters
    shape: tuple[int, ...]
    source: str | None = None
    mask: MaskLayers | None = None
    diameter: float | None = None


@dataclass(frozen=True)
class Forecast:
    """How long a translation will take.

    Attributes
    ----------
    seconds
        All in all.
    on_cpu
        Whether the processor computes.
    assumed
        Median axon diameter (px of the image) that was taken because none is known yet; else None.
    """

    seconds: float
    on_cpu: bool
    assumed: float | None = None


def forecast_steps(question: Question) -> Steps[Forecast]:
    """Tell how long a translation will take, timing a call of each network that was not yet timed.

    Yields
    ------
    A Notice of the device; Progress between two timings.

    Raises
    ------
    InputError
        There is no model or no such device.
    """
    from napari_axongen.core.device import choose_device
    from napari_axongen.core.models.store import available

    parameters = question.parameters
    device = choose_device(parameters.device)
    yield Notice(f"Computing on {device.reason}.")
    pace = yield from pace_steps(_model(question), device)
    segmenters = []
    for card in available():
        if card.task == "segmentation":
            segmenters.append((yield from pace_steps(card, device)))
    # that which suits the image first
    segmenters.sort(key=lambda one: one.card.contrast != question.source)
    diameter = axon_diameter(question, [one.card for one in segmenters])
    seconds = expected_seconds(question, pace, segmenters, diameter)
    return Forecast(
        seconds,
        device.torch.type == "cpu",
        pace.card.axon_diameter if diameter is None else None,
    )


def _model(question: Question) -> Card:
    """The model that will be used, or one that takes as long.

    Raises
    ------
    InputError
        There is none.
    """
    from napari_axongen.core.translators import translators

    parameters = question.parameters
    cards = translators("translation" if parameters.method == CGAN else "diffusion")
    named = [card for card in cards if card.name == parameters.model]
    suited = [card for card in cards if question.source in (None, card.source)]
    return (named or suited or cards)[0]


def axon_diameter(question: Question, segmenters: Sequence[Card]) -> float | None:
    """Median axon diameter (px of the image) as far as it is known before a run."""
    parameters = question.parameters
    diameter = parameters.axon_diameter
    if diameter is None and question.mask is not None:
        diameter = _mask_diameter(question.mask) or None
    if diameter is None:
        diameter = question.diameter
    if diameter is None and parameters.pixel_size and segmenters:
        card = segmenters[0]
        if card.axon_diameter and card.pixel_size:
            diameter = card.axon_diameter * card.pixel_size / parameters.pixel_size
    return diameter


def expected_seconds(
    question: Question, pace: Pace, segmenters: Sequence[Pace], diameter: float | None
) -> float:
    """Seconds that a translation will take, with what goes before and after.

    Parameters
    ----------
    question
        What is asked for.
    pace
        Of the model.
    segmenters
        Their paces, that which suits the image first.
    diameter
        Median axon diameter, px of the image; None: unknown, taken as the model knows it.
    """
    from napari_axongen.core.methods import ROUND_TRIP

    parameters, plane = question.parameters, question.shape[-2:]
    planes = int(np.prod(question.shape[:-2], dtype=int))
    memory = parameters.memory
    scale = _scale(pace.card, diameter)
    given = question.mask is not None
    if not pace.conditional or (parameters.method == GENERATE and not given):
        parameters = parameters.model_copy(update={"guidance": 1})  # there is nothing to exaggerate
    a_pixel = parameters.network_calls * pace.seconds
    seconds = pace.pixels(plane, scale, memory) * planes * a_pixel
    if parameters.method == "ddib":
        part = np.prod([min(ROUND_TRIP, length * scale) for length in plane])
        seconds += float(part) * a_pixel
    if segmenters and finds_labels(parameters, given):
        first = segmenters[0]
        pixels = first.pixels(plane, _scale(first.card, diameter), memory)
        seconds += pixels * planes * first.seconds
    sized = given or parameters.axon_diameter is not None
    if not sized or finds_labels(parameters, given) or _looks_for_contrast(parameters):
        for place, one in enumerate(segmenters):
            fits = place == 0 and parameters.pixel_size is not None
            seconds += _seconds_to_match(one, plane, diameter if sized or fits else None)
    return seconds


def _seconds_to_match(pace: Pace, plane: tuple[int, ...], diameter: float | None) -> float:
    """Seconds that a segmenter looks at an image: at one scale, or to find that which suits."""
    from napari_axongen.core.matching import LOOK, SCALES

    scales = SCALES if diameter is None else [_scale(pace.card, diameter)]
    seconds = 0.0
    for scale in scales:
        working = float(np.prod([min(LOOK, length * scale) for length in plane]))
        seconds += working * (pace.seconds + pace.seconds_around / scale**2)
    return seconds


def _looks_for_contrast(parameters: TranslateParameters) -> bool:
    """Whether the segmenters are asked whose picture an image is."""
    if parameters.method == CGAN:
        return parameters.model == parameters.target == "auto"
    return parameters.target == "auto" or parameters.method in FROM_THE_IMAGE


def _scale(card: Card, diameter: float | None) -> float:
    """Working pixels per pixel of the image; 1 where nothing is known."""
    return card.axon_diameter / diameter if card.axon_diameter and diameter else 1.0


def _mask_diameter(mask: MaskLayers) -> float:
    """Median axon diameter (px) in the middle of a mask; 0: no axons there."""
    from napari_axongen.core.matching import median_axon_diameter

    data = level_0(mask.axon)
    middle = tuple(
        slice(max(0, (n - _MEASURED) // 2), (n + _MEASURED) // 2) for n in data.shape[-2:]
    )
    values = np.asarray(data[(*(n // 2 for n in data.shape[:-2]), *middle)])
    return median_axon_diameter([values > 0 if mask.myelin is not None else values == AXON])
