"""Axon and myelin in electron micrographs: image in, probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .classes import FIBRE_CLASSES
from .device import Device, choose_device
from .events import Notice, Partial, Steps, counted
from .files import AXON, BACKGROUND, MYELIN
from .image import USUAL, Greys, Image, check_pixel_size, normalised
from .matching import Match, match_model
from .networks import TileExactNetwork
from .parameters import DEFAULT_MEMORY, SegmentParameters
from .tiling import predict

if TYPE_CHECKING:
    from .fluorescence import FluorescenceSegmentation


@dataclass(frozen=True)
class Segmentation:
    """What the network saw in an image, from which masks follow at any threshold.

    Attributes
    ----------
    probabilities
        uint8 (2, *spatial shape): probability of axon and of myelin, x 255.
    match
        The model and the scale that were used, and why.
    parameters
        As asked for.
    pixel_size
        um, or None.
    """

    probabilities: npt.NDArray[np.uint8]
    match: Match
    parameters: SegmentParameters
    pixel_size: float | None

    def classes(self, threshold: float | None = None) -> npt.NDArray[np.uint8]:
        """Class image: 0 background, 127 myelin, 255 axon; see `class_values`."""
        chosen = self.parameters.threshold if threshold is None else threshold
        return class_values(self.probabilities, chosen)

    def recipe(self) -> dict[str, Any]:
        """All that is needed to make this result again, as JSON."""
        return {
            "verb": "segment",
            "parameters": self.parameters.model_dump(mode="json")
            | {"model": self.match.card.name, "pixel_size": self.pixel_size},
            "model": {"name": self.match.card.name, "sha256": self.match.sha256},
            "scale": self.match.scale,
            "version": version("napari-axongen"),
        }


def class_values(
    probabilities: npt.NDArray[np.uint8], threshold: float = 0.5
) -> npt.NDArray[np.uint8]:
    """Class image at a threshold.

    A pixel belongs to a fibre where axon and myelin together reach the threshold, and is then the
    likelier of the two.

    Parameters
    ----------
    probabilities
        uint8 (2, ...): axon and myelin, x 255.
    threshold
        0 to 1.

    Returns
    -------
    uint8 (...): 0 background, 127 myelin, 255 axon
    """
    axon, myelin = probabilities
    result = np.empty(axon.shape, dtype=np.uint8)
    limit = max(1, round(threshold * 255))
    for part in _blocks(axon.shape):
        total = axon[part].astype(np.uint16) + myelin[part]
        values = np.where(axon[part] >= myelin[part], np.uint8(AXON), np.uint8(MYELIN))
        result[part] = np.where(total >= limit, values, np.uint8(BACKGROUND))
    return result


def _blocks(shape: tuple[int, ...], size: int = 1 << 22) -> list[slice]:
    """Slices of the first axis of some million elements: temporaries stay small."""
    rows = max(1, size // max(1, int(np.prod(shape[1:]))))
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]


def class_probabilities(logits: Tensor) -> Tensor:
    """Probabilities (C - 1, h, w) of the classes but the background, the last class first.

    Of `classes.FIBRE_CLASSES` these are axon and myelin.
    """
    return torch.softmax(logits, 0)[1:].flip(0)


def predict_plane(
    network: TileExactNetwork,
    image: Image,
    plane: tuple[int, ...],
    *,
    scale: float,
    classes: int = len(FIBRE_CLASSES),
    greys: Greys = USUAL,
    device: Device | None = None,
    memory: int = DEFAULT_MEMORY,
    tile: int | None = None,
    out: npt.NDArray[np.uint8] | None = None,
) -> Steps[npt.NDArray[np.uint8]]:
    """Probabilities of one plane, tile by tile.

    Parameters
    ----------
    classes
        How many the network knows, with the background.
    greys
        As of `image.intensity_range`.
    out
        To write to, instead of a new array.

    The others are as of `tiling.predict`.

    Returns
    -------
    uint8 (classes - 1, H, W), x 255, as of `class_probabilities`
    """
    shape = (classes - 1, *image.plane_shape)
    result = np.empty(shape, dtype=np.uint8) if out is None else out

    def write(rows: slice, columns: slice, values: npt.NDArray[np.float32]) -> None:
        result[:, rows, columns] = np.rint(values * 255)

    yield from predict(
        network,
        normalised(image, plane, greys),
        write,
        image.plane_shape,
        scale=scale,
        device=device,
        memory=memory,
        tile=tile,
        activation=class_probabilities,
    )
    return result


def segment_steps(
    image: Image, parameters: SegmentParameters | None = None, device: Device | None = None
) -> Steps[Segmentation | FluorescenceSegmentation]:
    """Segment an image, plane by plane: fibres of a micrograph, axons and boutons of fluorescence.

    Parameters
    ----------
    image
        An image, or a stack of them.
    parameters
        Defaults when omitted. A pixel size here overrules that of the image.
    device
        Where to compute; omitted, as the parameters say.

    Yields
    ------
    what `fibre_steps` or `fluorescence.fluorescence_steps` yields.

    Raises
    ------
    InputError
        An unknown model or device, or an image in which nothing can be seen.
    """
    from .fluorescence import fluorescence_steps, is_fluorescence

    parameters = parameters or SegmentParameters()
    device = device or choose_device(parameters.device)
    if is_fluorescence(image, parameters):
        return (yield from fluorescence_steps(image, parameters, device))
    return (yield from fibre_steps(image, parameters, device))


def fibre_steps(image: Image, parameters: SegmentParameters, device: Device) -> Steps[Segmentation]:
    """Find axons and myelin in a micrograph; arguments as of `segment_steps`.

    Yields
    ------
    Progress over the tiles of all planes; Notices of the model and scale that were chosen and why;
    a Partial with the (2, H, W) probabilities of each finished plane of a stack.

    Raises
    ------
    InputError
        As of `segment_steps`.
    """
    pixel_size = check_pixel_size(parameters.pixel_size or image.pixel_size, image.name)
    yield Notice(f"Computing on {device.reason}.")
    match = yield from match_model(
        image,
        parameters.model,
        pixel_size,
        parameters.axon_diameter,
        device,
        parameters.contrast,
    )
    planes = list(image.plane_indices())
    probabilities = np.zeros((2, *image.spatial_shape), dtype=np.uint8)
    by_plane = np.moveaxis(probabilities, 0, -3)
    for count, plane in enumerate(planes):
        steps = predict_plane(
            match.network,
            image,
            plane,
            scale=match.scale,
            device=device,
            memory=parameters.memory,
            out=by_plane[plane],
        )
        yield from counted(steps, count, len(planes))
        if plane:
            yield Partial(plane, by_plane[plane])
    return Segmentation(probabilities, match, parameters, pixel_size)
