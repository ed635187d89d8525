"""Translating a micrograph: another microscope's picture of the same axons.

A translator renders what the source tells it: where axons and myelin lie (a mask, given or made by
the shipped segmenter) and where grey values change. The source is brought to the scale that the
translator knows, by the median diameter of its axons, and the result back to the source's pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .device import Device, choose_device
from .errors import InputError
from .events import Notice, Partial, Progress, Steps
from .files import AXON
from .image import Image, check_pixel_size, intensity_range
from .matching import Match, match_model, median_axon_diameter, snap
from .models.card import Card
from .models.store import available, load_network
from .networks import TileExactNetwork, fold_batch_norm
from .parameters import SegmentParameters, TranslateParameters
from .rendering import VALUES, Source, grey_levels, render_plane
from .segmentation import class_values, fibre_probabilities
from .tiling import Read, Write, predict

RUN_MODEL = "model.safetensors"
"""The model in the folder of a training run."""

_LARGEST_SCALE = 8.0
_USUAL_SCALES = (0.5, 1.5)  # beyond them it is said what that does to the result
_MEASURED_SIDE = 4096  # px of a mask in which axons are measured at a time
_CHECKED = 1 << 24  # px of a mask that are checked at a time


@dataclass(frozen=True)
class Translation:
    """An image in another contrast, and the mask that holds for both.

    Attributes
    ----------
    image
        uint8 of the source's spatial shape.
    mask
        uint8 of the same shape: 0 background, 127 myelin, 255 axon, as given or as the segmenter
        made it; None where there was no need of one.
    source, target
        Contrasts, ``TEM`` or ``SEM``; None where it is not known.
    card, sha256
        The translator.
    scale
        Its pixels per pixel of the image.
    segmenter
        The segmenter that was asked for the contrast, the scale or the mask, with its scale; None
        where all that was known.
    parameters
        As asked for.
    pixel_size
        um, or None.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None
    source: str | None
    target: str | None
    card: Card
    sha256: str
    scale: float
    segmenter: Match | None
    mask_given: bool
    parameters: TranslateParameters
    pixel_size: float | None

    def recipe(self) -> dict[str, Any]:
        """All that is needed to make this result again, as JSON."""
        asked = self.segmenter
        return {
            "verb": "translate",
            "parameters": self.parameters.model_dump(mode="json")
            | {"model": self.card.name, "pixel_size": self.pixel_size},
            "model": {"name": self.card.name, "sha256": self.sha256},
            "segmenter": asked and {"name": asked.card.name, "sha256": asked.sha256},
            "mask": "given" if self.mask_given else "segmented" if self.mask is not None else None,
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
        _check_mask(mask, image)
    yield Notice(f"Computing on {device.reason}.")

    chosen = None if parameters.model == "auto" else _load(parameters.model, device)
    diameter, how = parameters.axon_diameter, "as given"
    if diameter is None and mask is not None:
        diameter, how = _mask_diameter(mask, image) or None, "as in the mask"
    segmenter = None
    if chosen is None or mask is None or diameter is None:
        segmenter = yield from _ask(image, pixel_size, diameter, device)
    if chosen is None:
        chosen = _load(_suitable(segmenter), device)
    network, card, sha256 = chosen
    if segmenter is not None:
        yield _direction(segmenter, card)
    if network.fixed_tile is not None and parameters.condition == "structure":
        raise InputError(
            f"Model '{card.name}' renders masks and nothing else; choose the condition 'mask', or "
            "another model."
        )
    if diameter is None and segmenter is not None and segmenter.card.axon_diameter:
        diameter, how = segmenter.card.axon_diameter / segmenter.scale, segmenter.reason
    scale, said = _scale(card, diameter, how)
    yield said

    result = np.zeros(image.spatial_shape, dtype=np.uint8) if out is None else out
    segmented = mask is None and parameters.condition != "structure"
    if segmented:
        mask = np.zeros(image.spatial_shape, dtype=np.uint8)
    stack = image.spatial_shape[:-2]
    planes = sorted(image.plane_indices(), key=lambda plane: first is None or plane != first[:-2])
    phases = len(planes) * (2 if segmented else 1)
    phase = 0
    for plane in planes:
        around = (0, 0) if first is None or plane != first[:-2] else (first[-2], first[-1])
        grey = _grey(image, plane) if segmented or parameters.condition != "mask" else None
        if segmented and grey is not None and segmenter is not None:
            steps = _segment(segmenter, grey, mask[plane], device, parameters.memory, around)
            yield from _counted(steps, phase, phases, "finding axons and myelin")
            phase += 1
        source = Source(
            image.plane_shape,
            None if parameters.condition == "structure" else _window(mask, plane),
            None if parameters.condition == "mask" else grey,
        )

        steps = render_plane(
            network,
            source,
            _writer(result, plane, card),
            scale=scale,
            seed=parameters.seed,
            plane=int(np.ravel_multi_index(plane, stack)) if stack else 0,
            device=device,
            memory=parameters.memory,
            first=around,
        )
        yield from _counted(steps, phase, phases, "translating")
        phase += 1
        if plane:
            yield Partial(plane, result[plane])
    return Translation(
        result,
        mask,
        segmenter.card.contrast if segmenter else card.source,
        card.contrast,
        card,
        sha256,
        scale,
        segmenter,
        mask is not None and not segmented,
        parameters,
        pixel_size,
    )


# ---------------------------------------------------------------- the model and the scale


def _load(model: str, device: Device) -> tuple[TileExactNetwork, Card, str]:
    """A translator by name, file or folder of a training run."""
    run = Path(model) / RUN_MODEL
    network, card, sha256 = load_network(run if run.is_file() else model, device)
    if card.task != "translation":
        raise InputError(f"Model '{model}' is for {card.task}; choose one for translation.")
    return fold_batch_norm(network), card, sha256


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


def _suitable(segmenter: Match | None) -> str:
    """Name of the first translator for a contrast."""
    cards = [card for card in available() if card.task == "translation"]
    if not cards:
        raise InputError(
            "No translator is installed; import one with 'axongen models import', or train one "
            "with 'axongen train'."
        )
    contrast = segmenter.card.contrast if segmenter else None
    for card in cards:
        if contrast in (None, card.source):
            return card.name
    raise InputError(
        f"The image is of {contrast} contrast, for which no translator is installed "
        f"({', '.join(card.name for card in cards)}); import one, or name the model to use."
    )


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


def _scale(card: Card, diameter: float | None, how: str) -> tuple[float, Notice]:
    """Working pixels per image pixel, and a sentence on it."""
    if not card.axon_diameter or diameter is None:
        return 1.0, Notice(f"The size of the axons is unknown: {card.name} works at scale 1.")
    wanted = card.axon_diameter / diameter
    scale = snap(min(wanted, _LARGEST_SCALE))
    text = (
        f"Axons of {diameter:.3g} px ({how}) are brought to the {card.axon_diameter:g} px that "
        f"{card.name} knows (scale {scale:.3g}), and the result back to the image's pixels."
    )
    if scale < _USUAL_SCALES[0]:
        text += f" The image is finer than that: detail below {2 / scale:.2g} px is not rendered."
    if scale > _USUAL_SCALES[1]:
        text += " The image is coarser than that: less is rendered than the model could."
    if wanted > _LARGEST_SCALE:
        return scale, Notice(f"{text} A larger scale is not used.", "warning")
    return scale, Notice(text)


# ---------------------------------------------------------------- masks


def _check_mask(mask: Any, image: Image) -> None:
    """Refuse what is no mask of this image."""
    shape = tuple(int(n) for n in mask.shape)
    if shape != image.spatial_shape:
        raise InputError(
            f"The mask has shape {shape} and {image.name} {image.spatial_shape}; take the mask "
            "that was made from this image."
        )
    expected = "0 background, 127 myelin and 255 axon"
    if np.dtype(mask.dtype).kind not in "ui":
        raise InputError(f"The mask of {image.name} is of type {mask.dtype}; it needs {expected}.")
    rows = max(1, _CHECKED // shape[-1])
    for plane in image.plane_indices():
        for start in range(0, shape[-2], rows):
            window = np.asarray(mask[(*plane, slice(start, start + rows))])
            stray = window[~np.isin(window, VALUES)]
            if stray.size:
                raise InputError(
                    f"The mask of {image.name} holds the value {stray[0]}, where {expected} are "
                    "expected; labels that number the fibres are no mask."
                )


def _mask_diameter(mask: Any, image: Image) -> float:
    """Median axon diameter (px) of a mask, by its middle plane; 0 if there are no axons.

    A large plane is measured in parts, from the middle on, until axons are found.
    """
    planes = list(image.plane_indices())
    height, width = image.plane_shape
    for plane in sorted(planes, key=lambda plane: abs(planes.index(plane) - len(planes) // 2)):
        for row in _from_middle(height):
            for column in _from_middle(width):
                window = np.asarray(mask[(*plane, row, column)])
                diameter = median_axon_diameter([window == AXON])
                if diameter:
                    return diameter
    return 0.0


def _from_middle(length: int) -> list[slice]:
    """Parts of an axis, the one in the middle first."""
    start = max(0, (length - _MEASURED_SIDE) // 2) % _MEASURED_SIDE
    edges = [0, *range(start, length, _MEASURED_SIDE), length]
    parts = [slice(a, b) for a, b in pairwise(edges) if b > a]
    return sorted(parts, key=lambda part: abs(part.start + part.stop - length))


def _window(mask: Any, plane: tuple[int, ...]) -> Read:
    return lambda rows, columns: np.asarray(mask[(*plane, rows, columns)])


def _writer(out: Any, plane: tuple[int, ...], card: Card) -> Write:
    grey_range = card.grey_range or (0, 255)

    def write(rows: slice, columns: slice, values: npt.NDArray[np.float32]) -> None:
        out[(*plane, rows, columns)] = grey_levels(values[0], grey_range)

    return write


def _grey(image: Image, plane: tuple[int, ...]) -> Read:
    grey = intensity_range(image, plane)
    return lambda rows, columns: grey.normalise(image.read(plane, rows, columns))


def _segment(
    segmenter: Match,
    grey: Read,
    mask: npt.NDArray[np.uint8],
    device: Device,
    memory: int,
    first: tuple[int, int],
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
        device=device,
        memory=memory,
        activation=fibre_probabilities,
        first=first,
    )


def _counted(steps: Steps[None], phase: int, phases: int, message: str) -> Steps[None]:
    """The events of one of several phases, with progress over all of them."""
    for event in steps:
        if isinstance(event, Progress):
            yield Progress(phase * event.total + event.done, phases * event.total, message)
        else:
            yield event
