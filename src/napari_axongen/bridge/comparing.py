"""Two segmenters on one image: what each finds, and how far they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Progress, Steps, counted
from napari_axongen.core.image import Image
from napari_axongen.core.parameters import SegmentParameters

from .open_pairs import OpenPair, labelled

if TYPE_CHECKING:
    from napari_axongen.core.models.card import Card

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Dice coefficients of one class; NaN where there is nothing to compare with.

    Attributes
    ----------
    name
        Of the class.
    between
        Of what the two models find.
    first, second
        Of what each finds, and the labels.
    """

    name: str
    between: float
    first: float
    second: float


@dataclass(frozen=True)
class Comparison:
    """What two models find in an image.

    Attributes
    ----------
    models
        Their names.
    found
        For each, uint8 (Y, X): 0, or the number of the class in ``names``, from 1.
    names
        Of the classes that both know.
    agreements
        Of each of them.
    """

    models: tuple[str, str]
    found: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
    names: list[str]
    agreements: list[Agreement]


def comparable() -> list[Card]:
    """Cards of the segmenters."""
    from napari_axongen.core.models.store import available

    return [card for card in available() if card.task == "segmentation"]


def compare_steps(
    image: Image, models: tuple[Card, Card], parameters: SegmentParameters, truth: OpenPair | None
) -> Steps[Comparison]:
    """Segment one plane by two models.

    Parameters
    ----------
    image
        One plane.
    models
        Their cards.
    parameters
        Of both; the model is theirs.
    truth
        The layer with its labels, if there are any.

    Raises
    ------
    InputError
        The models have no class in common, or the labels cannot be taken for their classes.
    """
    from napari_axongen.core.evaluation import dice
    from napari_axongen.core.segmentation import segment_steps

    names = [name for name in models[0].classes[1:] if name in models[1].classes]
    if not names:
        raise InputError(
            f"'{models[0].name}' finds {' and '.join(models[0].classes[1:])} and "
            f"'{models[1].name}' {' and '.join(models[1].classes[1:])}; choose two that find the "
            "same."
        )
    drawn: dict[str, Mask] = {}
    if truth is not None:
        yield Progress(0, 2, "reading the labels")
        classes = models[0].classes
        (image_and_truth,), _ = labelled(truth, classes)
        drawn = {name: image_and_truth.classes == classes.index(name) for name in names}
    masks = []
    for part, card in enumerate(models):
        asked = parameters.model_copy(update={"model": card.name})
        result = yield from counted(segment_steps(image, asked), part, 2, card.name)
        masks.append(_masks(result))
    agreements = [
        Agreement(
            name,
            dice(masks[0][name], masks[1][name]),
            *(dice(one[name], drawn[name]) if drawn else float("nan") for one in masks),
        )
        for name in names
    ]
    first, second = (_numbered(one, names) for one in masks)
    return Comparison((models[0].name, models[1].name), (first, second), names, agreements)


def _masks(result: Any) -> dict[str, Mask]:
    """What a segmentation found, as its layers show it, by the name of the class."""
    from napari_axongen.core.files import AXON, MYELIN

    if hasattr(result, "finders"):
        objects = result.objects()
        masks = {"axon": objects.axons > 0, "bouton": objects.bouton_labels > 0}
        return {finder.finds: masks[finder.finds] for finder in result.finders}
    classes = result.classes()
    return {"axon": classes == AXON, "myelin": classes == MYELIN}


def _numbered(masks: dict[str, Mask], names: list[str]) -> npt.NDArray[np.uint8]:
    found = np.zeros(masks[names[0]].shape, np.uint8)
    for number, name in enumerate(names, 1):
        found[masks[name]] = number
    return found
