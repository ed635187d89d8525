"""Segmentation as the window needs it: masks and fibres, plane by plane, and again on demand."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Partial, Progress, Steps
from napari_axongen.core.image import Image
from napari_axongen.core.parameters import SegmentParameters

from .fluorescence import ObjectsShown, objects_again
from .outputs import Output

if TYPE_CHECKING:
    from napari_axongen.core.fluorescence import FluorescenceSegmentation
    from napari_axongen.core.models.card import Card
    from napari_axongen.core.segmentation import Segmentation

Plane = tuple[int, ...]


FLUORESCENCE = "auto:fluorescence"
"""Choice of the models of fluorescence images, whatever the image looks like."""


def segmentation_models() -> list[tuple[str, str]]:
    """Title and name of each model that can be chosen, ``auto`` first; see `chosen`."""
    from napari_axongen.core.models.store import available

    choices = [("Found from the image", "auto")]
    try:
        cards = [card for card in available() if card.task == "segmentation"]
    except InputError:  # a broken model folder is told of when a model is loaded
        cards = []
    if any(card.contrast == "fluorescence" for card in cards):
        choices.append(("Fluorescence: axons and boutons", FLUORESCENCE))
    return choices + [(_title(card), card.name) for card in cards]


def _title(card: Card) -> str:
    if card.contrast == "fluorescence":
        return f"Fluorescence: {card.classes[-1]}s ({card.name})"
    return f"{card.contrast} ({card.name})"


def chosen(name: str) -> dict[str, str]:
    """Parameters of `core.parameters.SegmentParameters` that a choice stands for."""
    model, _, contrast = name.partition(":")
    return {"model": model, "contrast": contrast or "auto"}


def segment(
    image: Image, parameters: SegmentParameters, instances: bool
) -> Steps[Segmentation | FluorescenceSegmentation]:
    """Segment an image and show each plane as soon as it is done.

    Yields
    ------
    what `core.segmentation.segment_steps` yields, but a `Partial` for each `Output` instead of its
    own; of a single plane they come at the end.
    """
    # napari would, on the GUI thread, with its first Labels layer
    importlib.import_module("pandas")
    from napari_axongen.core.segmentation import segment_steps

    steps, highest = segment_steps(image, parameters), 0
    objects: ObjectsShown | None = None
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            result: Segmentation | FluorescenceSegmentation = end.value
            break
        if not isinstance(event, Partial):
            yield event
        elif is_fluorescence(event.value):
            objects = objects or ObjectsShown(event.value)
            yield from objects.plane(event.plane)
        else:
            highest = yield from _show(event.plane, event.value, parameters, instances, highest)
    if is_fluorescence(result):
        yield from objects_again(result) if objects is None else objects.rest()
    elif result.probabilities.ndim == 3:
        yield from _show((), result.probabilities, parameters, instances, 0)
    return result


def is_fluorescence(result: Any) -> TypeGuard[FluorescenceSegmentation]:
    """Whether a result is of a fluorescence image; torch need not be loaded to know."""
    return hasattr(result, "finders")


def masks_again(
    probabilities: npt.NDArray[np.uint8], threshold: float, first: Plane = ()
) -> Steps[None]:
    """Masks at another threshold, of all planes, beginning with the one that is looked at."""
    planes = sorted(_planes(probabilities), key=lambda plane: plane != first)
    for plane in planes:
        yield from _masks(plane, _of(probabilities, plane), threshold)


def fibres_again(
    probabilities: npt.NDArray[np.uint8], threshold: float, min_diameter: float
) -> Steps[None]:
    """Fibres at another threshold, plane by plane."""
    from napari_axongen.core.instances import label_fibres
    from napari_axongen.core.segmentation import class_values

    highest, planes = 0, list(_planes(probabilities))
    for count, plane in enumerate(planes):
        yield Progress(count, len(planes), "separating fibres")
        classes = class_values(_of(probabilities, plane), threshold)
        labels, highest = _raise(label_fibres(classes, min_diameter), highest)
        yield Partial(plane, Output("fibres", labels))


def _show(
    plane: Plane,
    probabilities: npt.NDArray[np.uint8],
    parameters: SegmentParameters,
    instances: bool,
    highest: int,
) -> Steps[int]:
    """Yield what there is to show of one plane; return the highest label so far."""
    from napari_axongen.core.instances import label_fibres

    classes = yield from _masks(plane, probabilities, parameters.threshold)
    if not instances:
        return highest
    labels, highest = _raise(label_fibres(classes, parameters.min_diameter), highest)
    yield Partial(plane, Output("fibres", labels))
    if not plane:
        yield Notice(f"{highest:,} fibres found." if highest else "No fibre was found.")
    return highest


def _masks(
    plane: Plane, probabilities: npt.NDArray[np.uint8], threshold: float
) -> Steps[npt.NDArray[np.uint8]]:
    """Yield the masks of one plane; return its classes."""
    from napari_axongen.core.files import AXON, MYELIN
    from napari_axongen.core.segmentation import class_values

    classes = class_values(probabilities, threshold)
    for name, value in (("myelin", MYELIN), ("axon", AXON)):
        yield Partial(plane, Output(name, (classes == value).view(np.uint8)))
    return classes


def _of(probabilities: npt.NDArray[np.uint8], plane: Plane) -> npt.NDArray[np.uint8]:
    """Probabilities of one plane, (2, Y, X)."""
    index: tuple[Any, ...] = (slice(None), *plane)
    return np.asarray(probabilities[index])


def _planes(probabilities: npt.NDArray[np.uint8]) -> Iterator[Plane]:
    yield from np.ndindex(*probabilities.shape[1:-2])


def _raise(labels: npt.NDArray[np.int32], highest: int) -> tuple[npt.NDArray[np.int32], int]:
    """Move the labels of a plane above those of the planes before it."""
    if highest:
        labels[labels > 0] += highest
    return labels, max(highest, int(labels.max(initial=0)))
