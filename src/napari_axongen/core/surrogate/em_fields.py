"""Small synthetic electron micrographs of myelinated fibres, with the exact answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_axongen.core.errors import InputError
from napari_axongen.core.image import check_pixel_size

from .em_layout import em_fibres
from .em_parameters import PRESETS, Preset
from .em_render import render_sem, render_tem

_RENDER = {"tem": render_tem, "sem": render_sem}


@dataclass(frozen=True)
class EmField:
    """A synthetic field and its exact answer, all (Y, X).

    Attributes
    ----------
    image
        uint8 grey values.
    classes
        uint8: 0 background, 127 myelin, 255 axon.
    labels
        int32: fibre numbers from 1, as of `em_layout.EmLayout`.
    pixel_size
        um.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    labels: NDArray[np.int32]
    pixel_size: float


def em_field(
    shape: tuple[int, int] = (512, 512),
    contrast: Preset = "tem",
    pixel_size: float | None = None,
    seed: int = 0,
) -> EmField:
    """Make a field of myelinated fibres.

    The fibres are those of `em_layout.em_fibres` under the preset of the contrast; they depend on
    the shape, the pixel size and the seed, the grey values on a generator of their own.

    Parameters
    ----------
    shape
        Rows and columns.
    contrast
        ``tem`` (dark myelin) or ``sem`` (bright myelin).
    pixel_size
        um; omitted, 0.00493 for TEM and 0.1 for SEM. The fibres keep their size in um.
    seed
        The same seed gives the same field.

    Raises
    ------
    InputError
        No such contrast or shape, a negative seed, or a pixel too coarse to show axons.
    """
    if contrast not in _RENDER:
        raise InputError(f"Contrast '{contrast}' is unknown; choose 'tem' or 'sem'.")
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"A field of shape {shape} cannot be made; give rows and columns.")
    size = check_pixel_size(pixel_size, "the synthetic field") or PRESETS[contrast].pixel_size
    place = {"height": int(shape[0]), "width": int(shape[1]), "pixel_size": size}
    layout = em_fibres(PRESETS[contrast].model_copy(update=place), seed)
    rng = np.random.default_rng((seed, 1))
    image = _RENDER[contrast](rng, layout.classes, layout.labels, size)
    return EmField(image, layout.classes, layout.labels, size)
