"""Translation as the window needs it: which model, where to begin, and labels for the result."""

from __future__ import annotations

import importlib
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Partial, Progress, Steps
from napari_axongen.core.files import AXON, MYELIN
from napari_axongen.core.image import Image
from napari_axongen.core.models.card import Card
from napari_axongen.core.parameters import HEEDED, TranslateParameters, unheeded_by

from .jobs import EVENT_INTERVAL
from .layers import level_0, recipe_of
from .outputs import Output

if TYPE_CHECKING:
    from napari_axongen.core.translation import Translation

CGAN, GENERATE = "cgan", "generate"
FROM_THE_IMAGE = ("sdedit", "ddib")
"""Methods that begin with the image itself."""

METHODS = {
    CGAN: ("Conditional GAN", "Fast: paints the other contrast in one go."),
    "ddpm": ("Diffusion: re-render", "Out of noise, step by step, guided as below."),
    "sdedit": ("Diffusion: from the image", "The image, noised and cleaned: forms stay."),
    "ddib": ("Diffusion: noise and back", "The image to its noise, and back as the other."),
    GENERATE: ("Diffusion: make one up", "Invented, around labels if there are any."),
}
"""How it is made: what a person calls it, and what that means."""

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

AUTO = "auto"
_HIGHEST = 99.5  # percentile of a spread that is shown brightest
_ENOUGH = 1 << 20  # pixels that tell it
_NAMED = re.compile(r"(?<![a-z])(tem|sem)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Written:
    """Something was written into the array of a translation.

    Attributes
    ----------
    done
        What part of all that is to do has been done, 0 to 1.
    whole
        Index (sample, planes) of each part of which no pixel is as it was before.
    """

    done: float
    whole: Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Spread:
    """How much the samples of a translation differ.

    Attributes
    ----------
    values
        Standard deviation, grey levels; of the source's shape.
    highest
        The value to show brightest.
    """

    values: npt.NDArray[np.float32]
    highest: float


@dataclass(frozen=True)
class Direction:
    """From which contrast to which, as a person chooses it.

    Attributes
    ----------
    title, help
        What is shown of it.
    model, target
        As of `TranslateParameters`.
    source, contrast
        What is meant to go in, and what comes out; None where that is found when it runs.
    """

    title: str
    model: str = AUTO
    target: str = AUTO
    source: str | None = None
    contrast: str | None = None
    help: str = ""


def models(method: str) -> list[Card]:
    """Cards of the models for a method, the shipped ones first."""
    from napari_axongen.core.models.store import available

    task = "translation" if method == CGAN else "diffusion"
    try:
        return [card for card in available() if card.task == task]
    except InputError:  # a broken model folder is told of when a model is loaded
        return []


def translators() -> list[Card]:
    """Cards of the conditional GANs."""
    return models(CGAN)


def directions(method: str, cards: Sequence[Card]) -> list[Direction]:
    """What can be chosen of some models for a method, first what is found when it runs.

    Conditional GANs have a direction each. Of denoisers, what the first one can make is offered.
    """
    if method == CGAN:
        by_card = [
            Direction(
                f"{direction(card)} ({card.name})",
                model=card.name,
                source=card.source,
                contrast=card.contrast,
                help=card.description,
            )
            for card in cards
        ]
        return [Direction("Found from the image"), *by_card]
    makes_up = method == GENERATE
    by_target = [
        Direction(
            target if makes_up else f"{source} → {target}",
            target=target,
            source=source,
            contrast=target,
        )
        for source, target in (("TEM", "SEM"), ("SEM", "TEM"))
        if cards and target in cards[0].looks
    ]
    found = "Other than the image's" if makes_up else "Found from the image"
    return [Direction(found), *by_target]


def direction(card: Card) -> str:
    """From what to what a model translates."""
    return f"{card.source or 'any'} → {card.contrast or 'any'}"


def suitable(choices: Sequence[Direction], source: str | None) -> Direction:
    """The first direction for images of a contrast; else that which is found when it runs."""
    return next((one for one in choices if source and one.source == source), choices[0])


def towards(choices: Sequence[Direction], contrast: str | None) -> Direction:
    """The first direction that makes a contrast; else that which is found when it runs."""
    return next((one for one in choices if contrast and one.contrast == contrast), choices[0])


def samplers(card: Card) -> tuple[str, ...]:
    """Samplers of `TranslateParameters` that suit a denoiser."""
    if card.network.get("objective") == "flow":
        return (AUTO, "euler")
    return (AUTO, "dpm++", "ddim", "ddpm")


def heeded(method: str, stack: bool) -> set[str]:
    """Parameters, of those that only some methods heed, that one does.

    Parameters
    ----------
    method
        Of `METHODS`.
    stack
        Whether the image has several planes.
    """
    return HEEDED[method] - (set() if stack else {"shared_noise"})


def unheeded(method: str, stack: bool) -> dict[str, Any]:
    """The parameters that a method does not heed, as they are by default: not to be spoken of."""
    fields = TranslateParameters.model_fields
    single = set() if stack else {"shared_noise"}
    return {name: fields[name].default for name in {*unheeded_by(method), *single}}


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


@dataclass(frozen=True)
class Stage:
    """Where a translation is.

    Attributes
    ----------
    text
        Which plane, sample and step, as far as there are several.
    whole
        Parts (samples of planes), of all in their order, that have been written all over.
    """

    text: str
    whole: int

    @classmethod
    def of(cls, event: Progress, parameters: TranslateParameters, planes: int, find: bool) -> Stage:
        """Tell it from the progress of `core.translation.translate_steps` while it writes.

        Parameters
        ----------
        event
            Its progress: all parts of the translation take as much of it.
        parameters, planes
            What is made, of how many planes.
        find
            Whether the first half of a plane's first part was to find its labels.
        """
        samples, steps = parameters.samples, 1
        if parameters.method != CGAN:
            steps = parameters.steps * (2 if parameters.method == "ddib" else 1)
        reached = Fraction(event.done * samples * planes, event.total)
        part = max(0, math.ceil(reached) - 1)
        plane, sample = divmod(part, samples)
        within = reached - part
        if find and sample == 0:
            within = 2 * within - 1
        words = [f"plane {plane + 1} of {planes}"] if planes > 1 else []
        words += [f"sample {sample + 1} of {samples}"] if samples > 1 else []
        if parameters.method != CGAN:
            words.append(f"step {min(max(math.ceil(within * steps), 1), steps)} of {steps}")
        return cls(", ".join(words), part + (within * steps >= 1))


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
        uint8 of the image's spatial shape, with an axis for several samples in front; filled tile
        by tile.
    first
        Pixel around which to begin.

    Yields
    ------
    what `translate_steps` yields but its planes, its progress with what it is at; a `Partial` with
    `Written` when ``out`` has more to show, at most ten times a second; in the end one with the
    result, one with the `Spread` of several samples, and one for each `Output`, plane by plane.
    """
    # napari would, on the GUI thread, with its first Labels layer
    importlib.import_module("pandas")
    from napari_axongen.core.translation import TRANSLATING, translate_steps

    given, shown, seen = (None if mask is None else mask()), 0.0, 0.0
    planes = sorted(image.plane_indices(), key=lambda plane: plane != first[:-2])
    several = range(parameters.samples) if parameters.samples > 1 else None
    parts = planes if several is None else [(n, *plane) for plane in planes for n in several]
    find = finds_labels(parameters, mask is not None)
    written = Written(0.0, ())
    steps = translate_steps(image, parameters, given, out=out, first=first)
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            result: Translation = end.value
            break
        if isinstance(event, Partial):
            continue
        if isinstance(event, Progress) and event.message == TRANSLATING:
            at = Stage.of(event, parameters, len(planes), find)
            written = Written(event.done / event.total, parts[: at.whole])
            event = Progress(event.done, event.total, at.text or TRANSLATING)
        yield event
        if written.done > seen and time.monotonic() - shown > EVENT_INTERVAL:
            yield Partial((), written)
            shown, seen = time.monotonic(), written.done
    yield Partial((), result)
    if result.spread is not None:
        yield Notice(
            f"The {parameters.samples} samples differ by {result.spread.mean():.3g} grey levels on "
            "average (standard deviation); the layer 'spread' shows where."
        )
        values = result.spread.ravel()[:: math.ceil(result.spread.size / _ENOUGH)]
        yield Partial((), Spread(result.spread, float(np.percentile(values, _HIGHEST))))
    if result.mask is not None:
        for plane in np.ndindex(*result.mask.shape[:-2]):
            for name, value in (("myelin", MYELIN), ("axon", AXON)):
                yield Partial(plane, Output(name, (result.mask[plane] == value).view(np.uint8)))
    return result


def finds_labels(parameters: TranslateParameters, given: bool) -> bool:
    """Whether a segmenter has to make the mask."""
    wanted = parameters.condition != "structure" and parameters.method != GENERATE
    return wanted and not given
