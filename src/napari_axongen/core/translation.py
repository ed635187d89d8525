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
from .masks import check_mask
from .matching import Match
from .methods import make_plane, round_trip, shows_greys
from .models.card import Card
from .parameters import TranslateParameters
from .planning import Plan, plan_steps
from .rendering import Source, grey_levels, rendered_from
from .room import IN_MEMORY, on_disk
from .segmentation import class_probabilities, class_values
from .tiling import Read, Window, Write, predict

FINDING, TRANSLATING = "finding axons and myelin", "translating"
CHECKING = "checking the way back"
"""What progress says: while the mask is made, while the result is written, and after ``ddib``."""

Origin: TypeAlias = Literal["given", "segmented"]

_LARGE = 1 << 24  # px of a plane whose mask takes so long that one should see something before
_PART = 1 << 23  # px of all samples, whose spread is computed at a time
_GLANCE = 1024  # rows and columns that are shown then


@dataclass(frozen=True)
class Translation:
    """An image in another contrast, and the mask that holds for both.

    Attributes
    ----------
    image
        uint8 of the source's spatial shape; of several samples, with an axis for them in front.
    mask
        uint8 of the spatial shape: 0 background, 127 myelin, 255 axon; None where there was no need
        of one.
    mask_origin
        Whether it was given or segmented.
    plan
        The model, the scale, and how they were found.
    parameters
        As asked for.
    pixel_size
        um, or None.
    spread
        float32 of the spatial shape: standard deviation over the samples, in grey values; None of
        one sample.
    round_trip
        Of ``ddib``: root mean square error, in units of the grey range, of taking a part of the
        image to noise and back with its own label; else None.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None
    mask_origin: Origin | None
    plan: Plan
    parameters: TranslateParameters
    pixel_size: float | None
    spread: npt.NDArray[np.float32] | None = None
    round_trip: float | None = None

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
        return self.plan.source

    @property
    def target(self) -> str | None:
        """Contrast of the result."""
        return self.plan.target

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
            "round_trip": self.round_trip,
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
    device: Device | None = None,
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
        uint8 array that the result is written to, tile by tile: in memory, mapped to a file, or of
        zarr; of ``image.spatial_shape``, or of several samples with an axis for them in front. Made
        when omitted: of many samples in a file without a name.
    first
        Pixel (plane indices, row, column) around which to begin.
    device
        Where to compute; omitted, as the parameters say.

    Yields
    ------
    Progress over the tiles of all planes, each of which is in ``out`` then (by diffusion, as far as
    it can be seen after each step); Notices of the model and scale that were chosen and why; a
    Partial with the image of each finished plane of a stack or of samples.

    Raises
    ------
    InputError
        An unknown model or device, no translator at all, a mask that is none or of another size, or
        an image in which nothing can be seen.
    """
    parameters = parameters or TranslateParameters()
    pixel_size = check_pixel_size(parameters.pixel_size or image.pixel_size, image.name)
    device = device or choose_device(parameters.device)
    several = (parameters.samples,) if parameters.samples > 1 else ()
    shape = several + image.spatial_shape
    if out is not None and (tuple(out.shape), out.dtype) != (shape, np.uint8):
        raise InputError(
            f"The array for the result has shape {tuple(out.shape)} and type {out.dtype}; "
            f"{image.name} needs {shape} and uint8."
        )
    if mask is not None:
        check_mask(mask, image)
    yield Notice(f"Computing on {device.reason}.")
    plan = yield from plan_steps(image, parameters, mask, pixel_size, device)

    result = out
    if result is None:  # of samples there may be more than fit into the memory
        many = several and math.prod(shape) > IN_MEMORY
        result = on_disk(shape, np.uint8) if many else np.zeros(shape, np.uint8)
    origin: Origin | None = None if mask is None else "given"
    if mask is None and parameters.condition != "structure" and parameters.method != "generate":
        mask, origin = np.zeros(image.spatial_shape, dtype=np.uint8), "segmented"
    looked_at = None if first is None else first[:-2]
    planes = sorted(image.plane_indices(), key=lambda plane: plane != looked_at)
    parts = [(sample, plane) for plane in planes for sample in range(parameters.samples)]
    for count, (sample, plane) in enumerate(parts):
        around = (first[-2], first[-1]) if first is not None and plane == looked_at else None
        place = (sample, *plane) if several else plane
        steps = _plane(plan, image, plane, mask, origin, sample, place, result, around)
        yield from counted(steps, count, len(parts))
        if place:
            yield Partial(place, result[place])
    spread = _deviation(result) if several else None
    trip = None
    if parameters.method == "ddib":
        steps_back = round_trip(plan, image, mask, planes[0], first)
        trip = yield from counted(steps_back, 0, 1, CHECKING)
        yield Notice(
            "Taken to noise and back with its own label, a part of the image returns to within "
            f"{trip:.1%} of the grey range (root mean square)."
        )
    return Translation(result, mask, origin, plan, parameters, pixel_size, spread, trip)


def _plane(
    plan: Plan,
    image: Image,
    plane: tuple[int, ...],
    mask: Any,
    origin: Origin | None,
    sample: int,
    place: tuple[int, ...],
    out: Any,
    first: tuple[int, int] | None,
) -> Steps[None]:
    """Translate one plane into a place: first its mask, if it has to be made, then the image.

    Of a large plane whose mask takes its time, what is looked at is made before all else.
    """
    parameters, stack = plan.parameters, image.spatial_shape[:-2]
    segmented = origin == "segmented" and not sample  # for the first sample: it holds for all
    shown = shows_greys(parameters)
    grey = normalised(image, plane) if segmented or shown else None
    told = mask is not None and (
        parameters.condition != "structure" or parameters.method == "generate"
    )
    source = Source(
        image.plane_shape, _window(mask, plane) if told else None, grey if shown else None
    )
    index = int(np.ravel_multi_index(plane, stack)) if stack else 0

    def mask_steps(part: Window | None) -> Steps[None]:
        if segmented and grey is not None and plan.segmenter is not None:
            yield from _segment(plan, plan.segmenter, grey, mask[plane], first or (0, 0), part)

    def image_steps(part: Window | None) -> Steps[None]:
        yield from make_plane(
            plan,
            source,
            _writer(out, place, plan),
            seed=parameters.seed + sample,
            plane=0 if parameters.shared_noise else index,
            first=first or (0, 0),
            part=part,
        )

    large = math.prod(image.plane_shape) >= _LARGE
    if segmented and first is not None and large and parameters.method == "cgan":
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


# ---------------------------------------------------------------- one plane, in and out


def _window(mask: Any, plane: tuple[int, ...]) -> Read:
    return lambda rows, columns: np.asarray(mask[(*plane, rows, columns)])


def _writer(out: Any, place: tuple[int, ...], plan: Plan) -> Write:
    def write(rows: slice, columns: slice, values: npt.NDArray[np.float32]) -> None:
        out[(*place, rows, columns)] = grey_levels(values[0], plan.grey_range)

    return write


def _deviation(samples: Any) -> npt.NDArray[np.float32]:
    """Standard deviation over the first axis, some rows at a time."""
    spread = np.empty(samples.shape[1:], np.float32)
    rows = max(1, _PART // (len(samples) * spread.shape[-1]))
    for plane in np.ndindex(*spread.shape[:-2]):
        for start in range(0, spread.shape[-2], rows):
            part = np.asarray(samples[(slice(None), *plane, slice(start, start + rows))])
            spread[(*plane, slice(start, start + rows))] = part.std(0, dtype=np.float32)
    return spread


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
        activation=class_probabilities,
        first=first,
        part=part,
    )
