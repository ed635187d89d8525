"""Small synthetic electron micrographs of myelinated fibres, with the exact answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_axongen.core.errors import InputError
from napari_axongen.core.image import check_pixel_size

from .em_layout import Tissue, draw_labels, pack_fibres
from .em_render import render_sem, render_tem

Contrast: TypeAlias = Literal["tem", "sem"]
_LEAST_AXON = 3.0  # px: median axon below which a field shows nothing


@dataclass(frozen=True)
class _Modality:
    tissue: Tissue
    pixel_size: float
    render: Callable[
        [np.random.Generator, NDArray[np.uint8], NDArray[np.int32], float], NDArray[np.uint8]
    ]


_MODALITIES: Mapping[str, _Modality] = {
    # Mouse corpus callosum: median axon 0.4 um, some 80 px.
    "tem": _Modality(
        Tissue(0.40, 0.38, 0.74, 0.05, 0.12, 0.64, (0.008, 0.05)), 0.00493, render_tem
    ),
    # Rat spinal cord: median axon 1.6 um, 16 px; thicker sheaths.
    "sem": _Modality(Tissue(1.6, 0.48, 0.66, 0.06, 0.11, 0.70, (0.1, 0.4)), 0.1, render_sem),
}


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
        int32: fibre numbers from 1 in raster order, above 0 exactly where ``classes`` is.
    pixel_size
        um.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    labels: NDArray[np.int32]
    pixel_size: float


def em_field(
    shape: tuple[int, int] = (512, 512),
    contrast: Contrast = "tem",
    pixel_size: float | None = None,
    seed: int = 0,
) -> EmField:
    """Make a field of myelinated fibres.

    Axon diameters are log-normal, g-ratios normal, outlines smooth and irregular; fibres never
    overlap and at least a pixel of background parts them. The fibres depend on the shape, the
    pixel size and the seed, the grey values on a generator of their own.

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
    if contrast not in _MODALITIES:
        raise InputError(f"Contrast '{contrast}' is unknown; choose 'tem' or 'sem'.")
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"A field of shape {shape} cannot be made; give rows and columns.")
    if seed < 0:
        raise InputError(f"The seed is {seed}; it must be a whole number of at least 0.")
    modality = _MODALITIES[contrast]
    size = check_pixel_size(pixel_size, "the synthetic field") or modality.pixel_size
    if modality.tissue.diameter / size < _LEAST_AXON:
        raise InputError(
            f"A pixel of {size:g} um is too coarse for {contrast.upper()} axons of "
            f"{modality.tissue.diameter:g} um; give at most "
            f"{modality.tissue.diameter / _LEAST_AXON:.2g} um."
        )
    shape = (int(shape[0]), int(shape[1]))
    fibres = pack_fibres(np.random.default_rng((seed, 0)), shape, modality.tissue, size)
    classes, labels = draw_labels(fibres, shape)
    image = modality.render(np.random.default_rng((seed, 1)), classes, labels, size)
    return EmField(image, classes, labels, size)
