"""What a learnt segmenter of fluorescence images must beat: filters that know one shape each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import frangi

from .detection import MIN_DISTANCE, Boutons, find_peaks

BLOB_SIGMAS = (3.0, 4.0, 5.0, 6.0)
"""px: standard deviations of the blobs that are sought; of the boutons of Bass et al. (2017)."""

RIDGE_SIGMAS = (1.0, 1.5, 2.0, 3.0)
"""px: of the ridges, likewise; masks of axons are some 5 px wide."""


def find_blobs(
    image: npt.NDArray[Any],
    threshold: float,
    sigmas: Sequence[float] = BLOB_SIGMAS,
    min_distance: int = MIN_DISTANCE,
) -> Boutons:
    """Bright blobs: peaks of the Laplacian of Gaussian over scales (Lindeberg 1998).

    Parameters
    ----------
    image
        (H, W). Its grey values are taken as they are: brought to each image's own range, the blobs
        of a dim image would be as high as those of a bright one.
    threshold
        Above 0: response that a blob reaches at least, in grey values; a Gaussian blob of height a
        responds with a / 2.
    sigmas
        px: standard deviations of the blobs.
    min_distance
        As of `detection.find_boutons`.

    Returns
    -------
    (N, 4): row, column, radius and response; the highest first. The radius is the standard
    deviation of the scale that responds most, times the square root of 2.
    """
    grey = image.astype(np.float32)
    scales = np.stack([-(s**2) * ndimage.gaussian_laplace(grey, s) for s in sigmas])
    peaks = find_peaks(scales.max(0), threshold, min_distance)
    rows, columns = peaks[:, :2].astype(int).T
    radius = np.sqrt(2) * np.asarray(sigmas)[scales.argmax(0)[rows, columns]]
    return np.column_stack([peaks[:, :2], radius, peaks[:, 2]])


def ridge_response(
    image: npt.NDArray[Any], sigmas: Sequence[float] = RIDGE_SIGMAS
) -> npt.NDArray[np.float32]:
    """Bright ridges: the vesselness of Frangi et al. (1998).

    Parameters
    ----------
    image
        (H, W).
    sigmas
        px: standard deviations of the ridges.

    Returns
    -------
    (H, W), 0 and more; the strongest curvature of the image itself sets the scale
    """
    return frangi(image.astype(np.float32), sigmas=sigmas, black_ridges=False).astype(np.float32)  # type: ignore[no-any-return]


def response_thresholds(
    responses: Iterable[npt.NDArray[Any]], count: int = 200
) -> npt.NDArray[np.float64]:
    """Thresholds to try: values above 0 of some images, at equally spaced ranks.

    Raises
    ------
    ValueError
        There is no value above 0.
    """
    values = np.concatenate([np.ravel(response) for response in responses])
    values = values[values > 0]
    if not values.size:
        raise ValueError("the filter responds to none of the images")
    return np.quantile(values.astype(np.float64), np.linspace(0, 1, count))
