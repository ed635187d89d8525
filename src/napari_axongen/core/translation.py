"""Translating a micrograph: another microscope's picture of the same axons.

A translator renders what the source tells it: where axons and myelin lie (a mask, given or made by
the shipped segmenter) and where grey values change. The source is brought to the scale that the
translator knows, by the median diameter of its axons, and the result back to the source's pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .device import Device, choose_device
from .errors import InputError
from .events import Notice, Partial, Progress, Steps, counted
from .image import Image, check_pixel_size, normalised
from .masks import check_mask, mask_diameter
from .matching import Match, match_model
from .models.card import Card
from .parameters import SegmentParameters, TranslateParameters
from .rendering import Source, grey_levels, render_plane, rendered_from
from .segmentation import class_values, fibre_probabilities
from .tiling import Read, Window, Write, predict
from .translators import Translator, load_translator, translator_from, translators, working_scale

FINDING, TRANSLATING = "finding axons and myelin", "translating"
"""What progress says: while the mask is made, and while the result is written."""

Origin: TypeAlias = Literal["given", "segmented"]

_LARGE = 1 << 24  # px of a plane whose mask takes so long that one should see something before
_GLANCE = 1024  # rows and columns that are shown then


@dataclass(frozen=True)
class Plan:
    """What is used for a translation.

    Attributes
    ----------
    model
        The translator, ready to run.
    scale
        Its pixels per pixel of the image.
    segmenter
        The segmenter that was asked for the contrast, the size of the axons or the mask; None where
        all that was known.
    device
        Where to compute.
    parameters
        As asked for.
    """

    model: Translator
    scale: float
    segmenter: Match | None
    device: Device
    parameters: TranslateParameters


@dataclass(frozen=True)
class Translation:
    """An image in another contrast, and the mask that holds for both.

    Attributes
    ----------
    image
        uint8 of the source's spatial shape.
    mask
        uint8 of the same shape: 0 background, 127 myelin, 255 axon; None where there was no need of
        one.
    mask_origin
        Whether it was given or segmented.
    plan
        The model, the scale, and how they were found.
    parameters
        As asked for.
    pixel_size
        um, or None.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None
    mask_origin: Origin | None
    plan: Plan
    parameters: TranslateParameters
    pixel_size: float | None

    @property
    def card(self) -> Card:
        """That of the translator."""
        return self.plan.model.card

    @property
    def scale(self) -> float:
        """Pixels of the translator per pixel of the image."""
        return self.plan.scale

    @property
    def source(self) -> str | None:
        """Contrast of the source, ``TEM`` or ``SEM``: as found, else as the model's card says."""
        asked = self.plan.segmenter
        return (asked.card.contrast if asked else None) or self.card.source

    @property
    def target(self) -> str | None:
        """Contrast of the result."""
        return self.card.contrast

    def recipe(self) -> dict[str, Any]:
        """All that is needed to make this result again, as JSON."""
        asked = self.plan.segmenter
        return {
            "verb": "translate",
            "parameters": self.parameters.model_dump(mode="json")
            | {"model": self.card.name, "pixel_size": self.pixel_size},
            "model": {"name": self.card.name, "sha256": self.plan.model.sha256},
            "segmenter": asked and {"name": asked.card.name, "sha256": asked.sha256},
            "mask": self.mask_origin,
            "source": self.source,
            "target": self.target,
            "scale": self.scale,
            "seed": self.parameters.seed,
            "version": version("napari-axongen"),
        }


def translate_steps(
    image: Image,
    parameters: TranslateParameters | None = None,
    mask: Any = None,
    *,
    out: Any = None,
    first: tuple[int, ...] | None = None,
) -> Steps[Translation]:
    """Translate an image, plane by plane.

    Parameters
    ----------
    image
        A micrograph, or a stack of them. A lazy array is read window by window.
    parameters
        Defaults when omitted. A pixel size here overrules that of the image.
    mask
        Array of ``image.spatial_shape``: 0 background, 127 myelin, 255 axon. Without one the
        shipped segmenter makes it, if the condition has a mask.
    out
        uint8 array of ``image.spatial_shape`` that the result is written to, tile by tile: in
        memory, mapped to a file, or of zarr. Made when omitted.
    first
        Pixel (plane indices, row, column) around which to begin.

    Yields
    ------
    Progress over the tiles of all planes, each of which is in ``out`` then; Notices of the model
    and scale that were chosen and why; a Partial with the image of each finished plane of a stack.

    Raises
    ------
    InputError
        An unknown model or device, no translator at all, a mask that is none or of another size, or
        an image in which nothing can be seen.
    """
    parameters = parameters or TranslateParameters()
    pixel_size = check_pixel_size(parameters.pixel_size or image.pixel_size, image.name)
    device = choose_device(parameters.device)
    if out is not None and (tuple(out.shape), out.dtype) != (image.spatial_shape, np.uint8):
        raise InputError(
            f"The array for the result has shape {tuple(out.shape)} and type {out.dtype}; "
            f"{image.name} needs {image.spatial_shape} and uint8."
        )
    if mask is not None:
        check_mask(mask, image)
    yield Notice(f"Computing on {device.reason}.")
    plan = yield from _plan(image, parameters, mask, pixel_size, device)

    result = np.zeros(image.spatial_shape, dtype=np.uint8) if out is None else out
    origin: Origin | None = None if mask is None else "given"
    if mask is None and parameters.condition != "structure":
        mask, origin = np.zeros(image.spatial_shape, dtype=np.uint8), "segmented"
    looked_at = None if first is None else first[:-2]
    planes = sorted(image.plane_indices(), key=lambda plane: plane != looked_at)
    for count, plane in enumerate(planes):
        around = (first[-2], first[-1]) if first is not None and plane == looked_at else None
        steps = _plane(plan, image, plane, mask, origin, result, around)
        yield from counted(steps, count, len(planes))
        if plane:
            yield Partial(plane, result[plane])
    return Translation(result, mask, origin, plan, parameters, pixel_size)


def _plane(
    plan: Plan,
    image: Image,
    plane: tuple[int, ...],
    mask: Any,
    origin: Origin | None,
    out: Any,
    first: tuple[int, int] | None,
) -> Steps[None]:
    """Translate one plane: first its mask, if it has to be made, then the image.

    Of a large plane whose mask takes its time, what is looked at is made before all else.
    """
    condition, stack = plan.parameters.condition, image.spatial_shape[:-2]
    segmented = origin == "segmented"
    grey = normalised(image, plane) if segmented or condition != "mask" else None
    source = Source(
        image.plane_shape,
        None if condition == "structure" else _window(mask, plane),
        None if condition == "mask" else grey,
    )

    def mask_steps(part: Window | None) -> Steps[None]:
        if segmented and grey is not None and plan.segmenter is not None:
            yield from _segment(plan, plan.segmenter, grey, mask[plane], first or (0, 0), part)

    def image_steps(part: Window | None) -> Steps[None]:
        yield from render_plane(
            plan.model.network,
            source,
            _writer(out, plane, plan.model.card),
            scale=plan.scale,
            seed=plan.parameters.seed,
            variety=plan.parameters.variety,
            plane=int(np.ravel_multi_index(plane, stack)) if stack else 0,
            device=plan.device,
            memory=plan.parameters.memory,
            first=first or (0, 0),
            part=part,
        )

    if segmented and first is not None and math.prod(image.plane_shape) >= _LARGE:
        part = _around(first, image.plane_shape)
        read = rendered_from(plan.model.network, image.plane_shape, plan.scale, part)
        for steps, message in ((mask_steps(read), FINDING), (image_steps(part), TRANSLATING)):
            for event in steps:
                yield Progress(0, 1, message) if isinstance(event, Progress) else event
    yield from counted(mask_steps(None), 0, 2, FINDING)
    yield from counted(image_steps(None), int(segmented), 1 + segmented, TRANSLATING)


def _around(pixel: tuple[int, int], shape: tuple[int, int]) -> Window:
    """A window around a pixel, inside the plane."""
    starts = [
        max(0, min(at - _GLANCE // 2, length - _GLANCE))
        for at, length in zip(pixel, shape, strict=True)
    ]
    rows, columns = (
        slice(start, min(start + _GLANCE, length))
        for start, length in zip(starts, shape, strict=True)
    )
    return rows, columns


# ---------------------------------------------------------------- the model and the scale


def _plan(
    image: Image,
    parameters: TranslateParameters,
    mask: Any,
    pixel_size: float | None,
    device: Device,
) -> Steps[Plan]:
    """Choose the model and the scale, asking the segmenters for what is not known."""
    model = None
    if parameters.model == "auto":
        translators()  # if there is none, it is said before anything is looked for
    else:
        model = load_translator(parameters.model, device)
    diameter, how = parameters.axon_diameter, "as given"
    if diameter is None and mask is not None:
        diameter, how = mask_diameter(mask, image) or None, "as in the mask"
    segmenter = None
    if model is None or mask is None or diameter is None:
        segmenter = yield from _ask(image, pixel_size, diameter, device)
    if model is None:
        contrast = segmenter.card.contrast if segmenter else None
        model = load_translator(translator_from(contrast), device)
    card = model.card
    if model.network.fixed_tile is not None and parameters.condition == "structure":
        raise InputError(
            f"Model '{card.name}' renders masks and nothing else; choose the condition 'mask', or "
            "another model."
        )
    if segmenter is not None:
        yield _direction(segmenter, card)
        if diameter is None and segmenter.axon_diameter:
            diameter, how = segmenter.axon_diameter, f"as {segmenter.card.name} sees them"
        elif diameter is None and segmenter.card.axon_diameter:
            diameter, how = segmenter.card.axon_diameter / segmenter.scale, segmenter.reason
    scale, said = working_scale(card, diameter, how)
    yield said
    return Plan(model, scale, segmenter, device, parameters)


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


def _direction(segmenter: Match, card: Card) -> Notice:
    """Say from which contrast to which."""
    found = segmenter.card.contrast
    if found and card.source and found != card.source:
        return Notice(
            f"The image looks like {found}, while {card.name} is meant for {card.source}; it is "
            "used all the same, as asked. Choose 'auto' for the one that suits the image.",
            "warning",
        )
    return Notice(
        f"{found or 'Any'} contrast, by what {segmenter.card.name} sees (plausible to "
        f"{segmenter.score:.2f}): {card.name} renders it as {card.contrast or 'its target'}."
    )


# ---------------------------------------------------------------- one plane, in and out


def _window(mask: Any, plane: tuple[int, ...]) -> Read:
    return lambda rows, columns: np.asarray(mask[(*plane, rows, columns)])


def _writer(out: Any, plane: tuple[int, ...], card: Card) -> Write:
    grey_range = card.grey_range or (0, 255)

    def write(rows: slice, columns: slice, values: npt.NDArray[np.float32]) -> None:
        out[(*plane, rows, columns)] = grey_levels(values[0], grey_range)

    return write


def _segment(
    plan: Plan,
    segmenter: Match,
    grey: Read,
    mask: npt.NDArray[np.uint8],
    first: tuple[int, int],
    part: Window | None,
) -> Steps[None]:
    """Write the classes of one plane into a mask, tile by tile."""

    def write(rows: slice, columns: slice, values: npt.NDArray[np.float32]) -> None:
        mask[rows, columns] = class_values(np.rint(values * 255).astype(np.uint8))

    yield from predict(
        segmenter.network,
        grey,
        write,
        (mask.shape[0], mask.shape[1]),
        scale=segmenter.scale,
        device=plan.device,
        memory=plan.parameters.memory,
        activation=fibre_probabilities,
        first=first,
        part=part,
    )
