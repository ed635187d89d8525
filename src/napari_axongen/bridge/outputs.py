"""What a segmentation shows in its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FIBRES = ("myelin", "axon", "fibres")
"""What is made from a micrograph, from the bottom of the layer list to its top."""

OBJECTS = ("axons", "boutons", "centrelines", "bouton centres")
"""What is made from a fluorescence image."""


@dataclass(frozen=True)
class Paths:
    """Paths (K, ndim) in pixels of the image, and what is known of each."""

    data: list[npt.NDArray[np.float64]]
    features: dict[str, list[int]]


@dataclass(frozen=True)
class Spots:
    """Places (N, ndim) in pixels of the image, their diameters, and what is known of each."""

    data: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]
    features: dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Output:
    """What a layer shows; comes as the value of a `Partial`.

    Attributes
    ----------
    name
        One of `FIBRES` or `OBJECTS`.
    values
        Of one plane (Y, X): uint8 of 0 and 1 for myelin and axon; int32 labels, of which none
        occurs in two planes of a stack, for fibres, axons and boutons. Of all planes: `Paths` for
        centrelines, `Spots` for bouton centres.
    """

    name: str
    values: npt.NDArray[Any] | Paths | Spots
