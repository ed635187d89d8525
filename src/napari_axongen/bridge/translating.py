"""Translation as the window needs it: which model, where to begin, and labels for the result."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Partial, Progress, Steps
from napari_axongen.core.files import AXON, MYELIN
from napari_axongen.core.image import Image
from napari_axongen.core.models.card import Card
from napari_axongen.core.parameters import TranslateParameters

from .jobs import EVENT_INTERVAL
from .layers import level_0, recipe_of
from .segmenting import Output

if TYPE_CHECKING:
    from napari_axongen.core.translation import Translation

CONDITIONS = {
    "mask": (
        "Labels",
        "Axons and myelin stay where they are; all else is made up in the other contrast.",
    ),
    "mask and structure": (
        "Labels and structure",
        "Axons and myelin stay, and so do organelles, membranes and the like.",
    ),
    "structure": (
        "Structure alone",
        "Only edges guide it: labels are not needed, and none come along unless given.",
    ),
}
"""What a translation is conditioned on: what a person calls it, and what that means."""

_NAMED = re.compile(r"(?<![a-z])(tem|sem)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Written:
    """Something was written into the array of a translation."""


def translators() -> list[Card]:
    """Cards of the translation models, the shipped ones first."""
    from napari_axongen.core.models.store import available

    try:
        return [card for card in available() if card.task == "translation"]
    except InputError:  # a broken model folder is told of when a model is loaded
        return []


def direction(card: Card) -> str:
    """From what to what a model translates."""
    return f"{card.source or 'any'} → {card.contrast or 'any'}"


def suitable(cards: Sequence[Card], contrast: str | None) -> Card | None:
    """The first model for a contrast; None when the contrast is unknown or there is no model."""
    return next((card for card in cards if contrast and card.source == contrast), None)


def contrast_of(layer: Any, layers: Iterable[Any]) -> str | None:
    """``TEM`` or ``SEM`` where that is known without looking at the pixels, else None.

    By what made the layer, by the model that segmented it, or by its name.
    """
    recipe = recipe_of(layer)
    if recipe and recipe.get("target"):
        return str(recipe["target"])
    for other in layers:
        made = recipe_of(other)
        if made and made.get("verb") == "segment" and made.get("source") == layer.name:
            found = _NAMED.search(str(made.get("model", {}).get("name", "")))
            if found:
                return found[1].upper()
    found = _NAMED.search(layer.name)
    return found[1].upper() if found else None


def looked_at(layer: Any, point: Sequence[float]) -> tuple[int, ...]:
    """Pixel (plane indices, row, column) in the middle of what the canvas shows of a layer.

    Parameters
    ----------
    layer
        An image layer in a viewer.
    point
        Where the viewer's sliders stand, in the world (``viewer.dims.point``).
    """
    data = level_0(layer)
    shape = data.shape[: layer.ndim]
    here = [float(n) for n in layer.world_to_data(point)]
    factors = layer.downsample_factors[layer.data_level] if layer.multiscale else (1,) * layer.ndim
    middle = layer.corner_pixels.mean(0) * np.asarray(factors)
    where = [*here[:-2], *middle[-2:]]
    return tuple(int(np.clip(round(at), 0, n - 1)) for at, n in zip(where, shape, strict=True))


def translate(
    image: Image,
    parameters: TranslateParameters,
    mask: Callable[[], npt.NDArray[np.uint8]] | None,
    out: npt.NDArray[np.uint8],
    first: tuple[int, ...],
) -> Steps[Translation]:
    """Translate an image into an array that is looked at meanwhile, then show its labels.

    Parameters
    ----------
    image, parameters
        As of `core.translation.translate_steps`.
    mask
        Reads the mask; None: the segmenter makes it.
    out
        uint8 of the image's spatial shape, filled tile by tile.
    first
        Pixel around which to begin.

    Yields
    ------
    what `translate_steps` yields but its planes; a `Partial` with `Written` when ``out`` has more
    to show, at most ten times a second; in the end one with the result, and one for each `Output`,
    plane by plane.
    """
    # napari would, on the GUI thread, with its first Labels layer
    importlib.import_module("pandas")
    from napari_axongen.core.translation import TRANSLATING, translate_steps

    given, shown = (None if mask is None else mask()), 0.0
    steps = translate_steps(image, parameters, given, out=out, first=first)
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            result: Translation = end.value
            break
        if isinstance(event, Partial):
            continue
        yield event
        written = isinstance(event, Progress) and event.message == TRANSLATING
        if written and time.monotonic() - shown > EVENT_INTERVAL:
            yield Partial((), Written())
            shown = time.monotonic()
    yield Partial((), result)
    if result.mask is not None:
        for plane in np.ndindex(*result.mask.shape[:-2]):
            for name, value in (("myelin", MYELIN), ("axon", AXON)):
                yield Partial(plane, Output(name, (result.mask[plane] == value).view(np.uint8)))
    return result
