"""How good a translation is: whether it keeps the structure and looks like the target.

No pairs are needed: structure is judged against the source's mask, looks against real images of
the target. Images are float arrays at one scale, with the 1st and 99th percentile of each at 0 and
1 (`core.image.intensity_range`); classes are 0 background, 1 myelin, 2 axon. Not here, because they
mean nothing at these sizes or without pairs: FID, SSIM, PSNR.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from .evaluation import dice

Grey = npt.NDArray[np.float32]
Classes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

TILE = 64
"""Side (px) of the tiles whose texture is compared."""

_MYELIN, _AXON = 1, 2


# ---------------------------------------------------------------- structure


@dataclass(frozen=True)
class Consistency:
    """How well a segmenter of the target finds the source's structure in a translation.

    Attributes
    ----------
    axon, myelin
        Dice against the source's mask.
    swapped
        What is called axon agrees better with the source's myelin than with its axons: the
        polarity was taken the wrong way round.
    """

    axon: float
    myelin: float
    swapped: bool


def structure_consistency(found: Classes, source: Classes) -> Consistency:
    """Compare what a frozen target segmenter finds in a translation with the source's mask.

    Parameters
    ----------
    found, source
        Class indices, of one shape.

    Notes
    -----
    The segmentation consistency of Huo et al. 2019 (SynSeg-Net), used as a measure. The share of
    swapped images is the swap rate.
    """
    axon = dice(found == _AXON, source == _AXON)
    return Consistency(
        axon,
        dice(found == _MYELIN, source == _MYELIN),
        dice(found == _AXON, source == _MYELIN) > axon,
    )


# ---------------------------------------------------------------- looks


def spectrum_distance(found: Iterable[Grey], real: Iterable[Grey], side: int = TILE) -> float:
    """Mean absolute difference of the radial power spectra of two sets of images.

    Natural logarithms: 0.1 is some 10 % of power at each frequency. Neither polarity nor contrast
    counts, as each tile is standardised.

    Parameters
    ----------
    found, real
        Images, each at least one tile large.
    side
        Of the tiles, px.

    Notes
    -----
    After Durall et al. 2020 (Watch your up-convolution), who found that generators fail in the
    spectrum's high end. See `radial_spectrum`.
    """
    a, b = (
        np.mean([radial_spectrum(image, side) for image in images], axis=0)
        for images in (found, real)
    )
    return float(np.abs(a - b).mean())


def radial_spectrum(image: Grey, side: int = TILE) -> Floats:
    """Logarithm of the radially averaged power spectrum of an image's tiles.

    Parameters
    ----------
    image
        (H, W).
    side
        Of the tiles; they overlap by half, are standardised, and fade out by a Hann window.

    Returns
    -------
    (side / 2 - 1,) of the frequencies 1, 2, ... cycles a tile

    Raises
    ------
    ValueError
        The image is smaller than a tile, or flat.
    """
    pieces = tiles(image, side)
    pieces = pieces[pieces.std((1, 2)) > 0]
    if not len(pieces):
        raise ValueError("a flat image has no spectrum")
    pieces = pieces - pieces.mean((1, 2), keepdims=True)
    pieces /= pieces.std((1, 2), keepdims=True)
    fade = np.hanning(side + 1)[:-1]
    power = (np.abs(np.fft.fft2(pieces * fade * fade[:, None])) ** 2).mean(0)
    frequency = np.fft.fftfreq(side, 1 / side)
    radius = np.rint(np.hypot(frequency, frequency[:, None])).astype(int)
    rings = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    return np.asarray(np.log(rings[1 : side // 2]))


def grey_distances(
    found: Sequence[tuple[Grey, Classes]], real: Sequence[tuple[Grey, Classes]]
) -> tuple[float, float, float]:
    """Wasserstein-1 distance of the grey values of background, myelin and axon.

    In units of the grey range; each image counts alike. NaN for a class that one side lacks.

    Parameters
    ----------
    found, real
        Images with their classes.

    Notes
    -----
    The area between the two distribution functions (Vallender 1974).
    """
    background, myelin, axon = (
        _wasserstein(*_pixels(found, index), *_pixels(real, index)) for index in range(3)
    )
    return background, myelin, axon


def _pixels(images: Sequence[tuple[Grey, Classes]], index: int) -> tuple[Floats, Floats]:
    """Grey values of a class, and weights by which each image counts alike."""
    parts = [grey[classes == index].astype(np.float64) for grey, classes in images]
    weights = [np.full(part.size, 1 / max(1, part.size)) for part in parts]
    return np.concatenate(parts), np.concatenate(weights)


def _wasserstein(a: Floats, a_weights: Floats, b: Floats, b_weights: Floats) -> float:
    if not a.size or not b.size:
        return float("nan")
    return float(stats.wasserstein_distance(a, b, a_weights, b_weights))


# ---------------------------------------------------------------- seams and memory


def seam_index(image: Grey, rows: Sequence[int], columns: Sequence[int]) -> float:
    """Mean step of the grey values across the borders of tiles, over that elsewhere.

    1: no seam to be seen.

    Parameters
    ----------
    image
        (H, W).
    rows, columns
        First rows and columns of the tiles; 0 is no border.

    Raises
    ------
    ValueError
        There is no border, or the image is flat between borders.

    Notes
    -----
    The blockiness measure of Wu & Yuen 1997 without their weights, for any borders.
    """
    across: list[Floats] = []
    inside: list[Floats] = []
    for axis, borders in ((0, rows), (1, columns)):
        places = [border - 1 for border in borders if border > 0]
        if places:
            steps = np.moveaxis(np.abs(np.diff(image.astype(np.float64), axis=axis)), axis, 0)
            across.append(steps[places].ravel())
            inside.append(np.delete(steps, places, 0).ravel())
    inner = float(np.concatenate(inside).mean()) if inside else 0.0
    if inner == 0:
        raise ValueError("a seam index needs borders, and grey values that vary between them")
    return float(np.concatenate(across).mean() / inner)


def nearest_patch_distances(patches: Grey, training: Grey) -> Floats:
    """Distance of each patch to the nearest training patch: near 0, it was learnt by heart.

    Parameters
    ----------
    patches, training
        (N, h, w) and (M, h, w).

    Returns
    -------
    (N,) root mean square difference of the grey values

    Notes
    -----
    The test of Carlini et al. 2023 (Extracting training data from diffusion models). What is near
    is told by the same distance of real patches that were not trained on.
    """
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (patches, training))
    square: Any = (b**2).sum(1)
    nearest = [(row @ row - 2 * (b @ row) + square).min() for row in a]
    return np.asarray(np.sqrt(np.maximum(nearest, 0) / a.shape[1]))


# ---------------------------------------------------------------- shared


def tiles(image: npt.NDArray[Any], side: int = TILE) -> npt.NDArray[Any]:
    """Square tiles of an image, overlapping by half: (n, side, side).

    Raises
    ------
    ValueError
        The image is smaller than a tile.
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side))
    return windows[:: side // 2, :: side // 2].reshape(-1, side, side)
