"""What a learnt translation must beat: plain maps of grey values, which know no structure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_LEVELS = 1024


def grey_quantiles(
    images: Iterable[npt.NDArray[np.float32]], levels: int = _LEVELS
) -> npt.NDArray[np.float64]:
    """Grey values of some images at equally spaced ranks, each image counting alike.

    Parameters
    ----------
    images
        Images of any size, normalised to one grey range (see `core.image.intensity_range`).
    levels
        How many ranks part 0..1.

    Returns
    -------
    (levels + 1,) non-decreasing; the mean of the images' own quantiles

    Raises
    ------
    ValueError
        There is no image.

    Notes
    -----
    The mean of quantile functions is the Wasserstein barycentre of the images' grey values (Agueh
    & Carlier 2011): the histogram of a typical image, which pooled pixels of images of different
    brightness would smear.
    """
    ranks = np.linspace(0, 1, levels + 1)
    tables = [np.quantile(image, ranks) for image in images]
    if not tables:
        raise ValueError("the grey values of no image at all were asked for")
    return np.asarray(np.mean(tables, axis=0))


def match_greys(
    image: npt.NDArray[np.float32],
    quantiles: npt.NDArray[np.float64],
    whole: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]:
    """Histogram matching: give each pixel the target's grey value at its own rank.

    Parameters
    ----------
    image
        Any shape.
    quantiles
        Of the target, as `grey_quantiles` makes them.
    whole
        Values among which the ranks are: of the whole, of which ``image`` is a part.

    Returns
    -------
    float32 array of the image's shape

    Notes
    -----
    Gonzalez & Woods, Digital Image Processing, "Histogram matching (specification)". Pixels of the
    same value stay alike: they get the mean over the ranks that they share.
    """
    own = np.quantile(image if whole is None else whole, np.linspace(0, 1, len(quantiles)))
    values, place = np.unique(own, return_inverse=True)
    shared = np.bincount(place, quantiles) / np.bincount(place)
    return np.interp(image, values, shared).astype(np.float32)


def invert_and_match(
    image: npt.NDArray[np.float32], quantiles: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Inversion, then histogram matching to the target: see `match_greys`.

    TEM and SEM are near-negatives of each other (myelin dark, myelin bright), so that this is the
    translation to beat.
    """
    return match_greys(-image, quantiles)
