"""What the generator gives back: images, and the exact answer to every question about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .parameters import SurrogateParameters

BOUTON = np.dtype(
    [
        ("image", "i4"),
        ("bouton", "i4"),
        ("axon", "i4"),
        ("branch", "i4"),
        ("terminal", "?"),
        ("row", "f4"),
        ("column", "f4"),
        ("radius", "f4"),
        ("amplitude", "f4"),
        ("first_frame", "i4"),
        ("last_frame", "i4"),
    ]
)
"""A bouton. ``image`` counts as the seed does, ``bouton`` from 1 within the image, ``axon`` and
``branch`` are the labels; ``row`` and ``column`` in pixels (pixel centres are whole), in a series
before the frames were moved; frames from 0, both included (0 and 0 in a single image)."""

TRACK = np.dtype(
    [
        ("image", "i4"),
        ("frame", "i4"),
        ("bouton", "i4"),
        ("row", "f4"),
        ("column", "f4"),
        ("amplitude", "f4"),
    ]
)
"""A bouton in one frame of a series, where it lies in that frame."""


@dataclass(frozen=True)
class Centreline:
    """Path of one branch.

    Attributes
    ----------
    image
        Index of the image, counted as the seed does.
    axon, branch
        Labels of the axon and of the branch, from 1 within the image.
    parent
        Label of the branch it comes from; 0 for the first branch of an axon.
    points
        float32 (K, 2): rows and columns in pixels; in a series before the frames were moved.
    brightness
        float32 (K,): coefficient along the path, gaps included.
    """

    image: int
    axon: int
    branch: int
    parent: int
    points: NDArray[np.float32]
    brightness: NDArray[np.float32]


@dataclass(frozen=True)
class Surrogates:
    """Images ``first`` to ``first + N - 1`` of a seed, with their truth.

    Attributes
    ----------
    images, clean_images
        (N, H, W), of a series (N, T, H, W); uint8, or uint16 where the greatest grey value is above
        255. A clean image is the same scene in the same grey scale without noise of any kind:
        texture, speckle, background fluctuation, shot and read noise.
    axon_masks, bouton_masks
        uint8 of that shape: 0 and 255. Gaps are filled, stalks and boutons not part of axons.
    axon_labels, branch_labels
        int16 of that shape: the axon or branch of each pixel of the axon mask, 0 elsewhere.
    centrelines
        Of all images.
    boutons
        Records of `BOUTON`.
    tracks
        Records of `TRACK`; of single images empty.
    transforms
        (N, T, 3, 3), of single images None: maps homogeneous (row, column, 1) of centrelines and
        boutons to those in the frame.
    parameters, seed, first
        What they were made from.
    """

    images: NDArray[Any]
    clean_images: NDArray[Any]
    axon_masks: NDArray[np.uint8]
    bouton_masks: NDArray[np.uint8]
    axon_labels: NDArray[np.int16]
    branch_labels: NDArray[np.int16]
    centrelines: list[Centreline]
    boutons: NDArray[Any]
    tracks: NDArray[Any]
    transforms: NDArray[np.float64] | None
    parameters: SurrogateParameters
    seed: int
    first: int

    def __len__(self) -> int:
        return len(self.images)

    def recipe(self) -> dict[str, Any]:
        """Verb, parameters, seed and version: enough to make the same images again."""
        from napari_axongen import __version__

        return {
            "verb": "generate" if self.transforms is None else "generate_series",
            "parameters": self.parameters.model_dump(mode="json", by_alias=True),
            "seed": self.seed,
            "first": self.first,
            "count": len(self),
            "version": __version__,
        }
