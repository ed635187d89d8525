"""What a translation is done with: the model, the scale, and from which contrast to which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from .device import Device, choose_device
from .errors import InputError
from .events import Notice, Progress, Steps
from .image import Image
from .masks import mask_diameter
from .matching import Match, match_model
from .models.card import Card, Looks
from .parameters import SegmentParameters, TranslateParameters
from .translators import (
    Translator,
    check_target,
    load_translator,
    task_of,
    translator_from,
    translator_to,
    translators,
    working_scale,
)

_OTHER = {"TEM": "SEM", "SEM": "TEM"}

_DONE = {
    "ddpm": "renders it anew",
    "sdedit": "goes on from the image itself, noised",
    "ddib": "takes it to noise and back",
    "generate": "makes one up",
}


@dataclass(frozen=True)
class Plan:
    """What is used for a translation.

    Attributes
    ----------
    model
        The network, ready to run.
    scale
        Its pixels per pixel of the image.
    segmenter
        The segmenter that was asked for the contrast, the size of the axons or the mask; None where
        all that was known.
    source, target
        Contrast of the image and of the result, as far as they are known.
    device
        Where to compute.
    parameters
        As asked for.
    """

    model: Translator
    scale: float
    segmenter: Match | None
    source: str | None
    target: str | None
    device: Device
    parameters: TranslateParameters

    @property
    def looks(self) -> Looks:
        """Of the result, by diffusion."""
        return self.model.card.looks[cast(Literal["TEM", "SEM"], self.target)]

    @property
    def grey_range(self) -> tuple[float, float]:
        """Usual 1st and 99th percentile of such images as are made, 0 to 255."""
        if self.model.card.task == "diffusion":
            return self.looks.grey_range
        return self.model.card.grey_range or (0, 255)


def plan_steps(
    image: Image,
    parameters: TranslateParameters,
    mask: Any,
    pixel_size: float | None,
    device: Device,
) -> Steps[Plan]:
    """Choose the model and the scale, asking the segmenters for what is not known.

    Parameters
    ----------
    image, parameters, mask
        As of `translation.translate_steps`.
    pixel_size
        um, or None.
    device
        Where to compute.

    Raises
    ------
    InputError
        No such model, none that suits, or the model cannot do what is asked.
    """
    by_diffusion = parameters.method != "cgan"
    name, model = _named(parameters), None
    if name is not None:
        model = load_translator(name, device, task_of(parameters.method))
        check_model(model, parameters)
    diameter, how = parameters.axon_diameter, "as given"
    if diameter is None and mask is not None:
        diameter, how = mask_diameter(mask, image) or None, "as in the mask"
    segmenter = None
    to_find = model is None
    if by_diffusion:  # what begins with the image depends on whose it is
        to_find = parameters.target == "auto" or parameters.method in ("sdedit", "ddib")
    to_segment = (
        mask is None and parameters.condition != "structure" and parameters.method != "generate"
    )
    if to_find or to_segment or diameter is None:
        segmenter = yield from _ask(image, pixel_size, diameter, device)
    found = segmenter.card.contrast if segmenter else None
    if model is None:
        model = load_translator(translator_from(found), device)
    card = model.card
    source: str | None = found or card.source
    target: str | None = card.contrast
    if by_diffusion:
        source, target = _ends(image, card, parameters, found)
    if segmenter is not None:
        yield _direction(segmenter, card, parameters, target)
        if diameter is None and segmenter.axon_diameter:
            diameter, how = segmenter.axon_diameter, f"as {segmenter.card.name} sees them"
        elif diameter is None and segmenter.card.axon_diameter:
            diameter, how = segmenter.card.axon_diameter / segmenter.scale, segmenter.reason
    scale, said = working_scale(card, diameter, how)
    yield said
    return Plan(model, scale, segmenter, source, target, device, parameters)


def check(parameters: TranslateParameters) -> Translator | None:
    """Refuse what could not be done with any image; return the model, where it is known by now.

    Raises
    ------
    InputError
        An unknown model or device, none that suits, or the model cannot do what is asked.
    """
    device, name = choose_device(parameters.device), _named(parameters)
    if name is None:
        return None
    model = load_translator(name, device, task_of(parameters.method))
    check_model(model, parameters)
    return model


def _named(parameters: TranslateParameters) -> str | None:
    """The model, as far as it is known before the image is seen."""
    task = task_of(parameters.method)
    if parameters.model != "auto":
        return parameters.model
    if parameters.target != "auto":
        return translator_to(parameters.target, task)
    first = translators(task)[0].name
    return None if parameters.method == "cgan" else first


def check_model(model: Translator, parameters: TranslateParameters) -> None:
    """Refuse what a model cannot do.

    Raises
    ------
    InputError
        It makes another contrast, or the condition, the method, the sampler or the number of steps
        does not suit it.
    """
    if parameters.target != "auto":
        check_target(model.card, parameters.target)
    if (
        parameters.method == "cgan"
        and model.network.fixed_tile is not None
        and parameters.condition == "structure"
    ):
        raise InputError(
            f"Model '{model.card.name}' renders masks and nothing else; choose the condition "
            "'mask', or another model."
        )
    if parameters.method == "cgan":
        return
    if parameters.method == "ddpm" and not model.conditional:
        raise InputError(
            f"Model '{model.card.name}' is told neither mask nor structure and cannot render them; "
            "choose the method sdedit, ddib or generate, or another model."
        )
    suited = model.samplers
    if parameters.sampler not in ("auto", *suited):
        raise InputError(
            f"The sampler '{parameters.sampler}' does not suit model '{model.card.name}'; choose "
            f"{', '.join(suited)} or auto."
        )
    begins = parameters.strength if parameters.method == "sdedit" else 1.0
    most = model.most_steps(begins)
    if most is not None and parameters.steps > most:
        raise InputError(
            f"{parameters.steps} steps are more than the {most} that there are from strength "
            f"{begins:g} on; ask for fewer steps, or for more strength."
        )


def _ends(
    image: Image, card: Card, parameters: TranslateParameters, found: str | None
) -> tuple[str | None, str]:
    """Contrast of the image and of what is made of it by diffusion."""
    if parameters.target == "auto" and found is None:
        raise InputError(f"The contrast of {image.name} is unknown; name the target, TEM or SEM.")
    target = _OTHER[found or ""] if parameters.target == "auto" else parameters.target
    check_target(card, target)
    if parameters.method == "ddib" and found not in card.looks:
        raise InputError(
            f"Model '{card.name}' knows {', '.join(card.looks)} images and cannot take one of "
            f"{found or 'unknown'} contrast to noise; choose another method."
        )
    return found, target


def _ask(
    image: Image, pixel_size: float | None, diameter: float | None, device: Device
) -> Steps[Match]:
    """The segmenter that suits the image: it tells the contrast and the size of the axons."""
    steps = match_model(image, SegmentParameters().model, pixel_size, diameter, device)
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if isinstance(event, Progress):  # what it notices is said here in the translator's terms
            yield event


def _direction(
    segmenter: Match, card: Card, parameters: TranslateParameters, target: str | None
) -> Notice:
    """Say from which contrast to which."""
    found = segmenter.card.contrast
    seen = (
        f"{found or 'Any'} contrast, by what {segmenter.card.name} sees (plausible to "
        f"{segmenter.score:.2f}): {card.name}"
    )
    if parameters.method != "cgan":
        return Notice(f"{seen} {_DONE[parameters.method]}, as {target}.")
    if found and card.source and found != card.source:
        return Notice(
            f"The image looks like {found}, while {card.name} is meant for {card.source}; it is "
            "used all the same, as asked. Choose 'auto' for the one that suits the image.",
            "warning",
        )
    return Notice(f"{seen} renders it as {target or 'its target'}.")
