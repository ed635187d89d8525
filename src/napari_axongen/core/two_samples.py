"""Whether a classifier can tell translations from real images: the classifier two-sample test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from .realism import TILE, Floats, Grey, radial_spectrum, tiles

_SIGMAS = (0.7, 1.4, 2.8)
_RANKS = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST_TILES = 100  # of one image: more of them are not more animals
_RIDGE = 1.0


def two_sample_auc(found: Sequence[Grey], real: Sequence[Grey], side: int = TILE) -> float:
    """How well a classifier tells tiles of translations from tiles of real images.

    0.5: not at all. 1: always. Real images of other animals do not reach 0.5 either: set their
    value beside it.

    Parameters
    ----------
    found, real
        At least two images each, each at least one tile large.
    side
        Of the tiles, px.

    Raises
    ------
    ValueError
        Fewer than two images on one side.

    Notes
    -----
    Classifier two-sample test (Lopez-Paz & Oquab 2017), with the area under the ROC curve in place
    of the accuracy. Logistic regression on `texture` is cross-validated; tiles of an image stay in
    one fold, and each fold has images of both sides.
    """
    folds = min(len(found), len(real), 5)
    if folds < 2:
        raise ValueError("two images of each kind are needed: one to learn from, one to test on")
    features, labels, fold = [], [], []
    for label, images in ((1, found), (0, real)):
        for index, image in enumerate(images):
            rows = texture(image, side)
            features.append(rows)
            labels.append(np.full(len(rows), label))
            fold.append(np.full(len(rows), index % folds))
    x, y, group = np.concatenate(features), np.concatenate(labels), np.concatenate(fold)
    scores = []
    for held_out in range(folds):
        test = group == held_out
        scores.append(auc(_logistic(x[~test], y[~test], x[test]), y[test] == 1))
    return float(np.mean(scores))


def texture(image: Grey, side: int = TILE) -> Floats:
    """Features of an image's tiles: grey values, edges and blobs at three scales, spectrum.

    Parameters
    ----------
    image
        (H, W).
    side
        Of the tiles; they overlap by half, and at most 100 of them are taken, evenly.

    Returns
    -------
    (tiles, features)
    """
    windows = tiles(image, side)
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), _MOST_TILES)).round().astype(int)
    pieces = windows[chosen]
    columns = [*_moments(pieces), *np.quantile(pieces, _RANKS, (1, 2))]
    for sigma in _SIGMAS:
        columns += _moments(tiles(ndimage.gaussian_laplace(image, sigma), side)[chosen])[1:]
        edges = ndimage.gaussian_gradient_magnitude(image, sigma)
        columns += _moments(tiles(edges, side)[chosen])[:2]
    return np.column_stack([*columns, [_bands(piece) for piece in pieces]])


def _moments(pieces: Grey) -> list[Floats]:
    """Mean, standard deviation, skewness and kurtosis of each tile; 0 where a tile is flat."""
    flat = pieces.reshape(len(pieces), -1).astype(np.float64)
    mean, deviation = flat.mean(1), flat.std(1)
    z = (flat - mean[:, None]) / np.where(deviation > 0, deviation, 1)[:, None]
    return [mean, deviation, (z**3).mean(1), (z**4).mean(1)]


def _bands(tile: Grey) -> Floats:
    """Log power of a tile in octaves."""
    if tile.std() == 0:
        return np.zeros(int(np.log2(len(tile))) - 1)
    rings = radial_spectrum(tile, len(tile))
    edges = 2 ** np.arange(int(np.log2(len(tile))) - 1) - 1
    sizes = np.diff([*edges, len(rings)])
    return np.asarray(np.add.reduceat(rings, edges) / sizes)


def _logistic(x: Floats, y: npt.NDArray[np.int_], new: Floats) -> Floats:
    """Scores of new rows by ridge-penalised logistic regression; both classes weigh the same."""
    centre, spread = x.mean(0), x.std(0)
    spread[spread == 0] = 1
    x, new = ((np.column_stack([(a - centre) / spread, np.ones(len(a))])) for a in (x, new))
    weight = np.where(y == 1, 0.5 / np.mean(y == 1), 0.5 / np.mean(y == 0))
    penalty = np.full(x.shape[1], _RIDGE)
    penalty[-1] = 1e-6
    beta = np.zeros(x.shape[1])
    for _ in range(50):  # Newton's method: the function is convex
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (weight * (p - y)) + penalty * beta
        curvature = (x.T * (weight * np.maximum(p * (1 - p), 1e-6))) @ x + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        beta -= step / max(1.0, float(np.abs(step).max()))  # at most 1 a step: it cannot overshoot
        if np.abs(step).max() < 1e-6:
            break
    return np.asarray(new @ beta)


def auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the Mann-Whitney statistic (Hanley & McNeil 1982).

    Parameters
    ----------
    scores, positive
        (N,); both kinds must be there.

    Raises
    ------
    ValueError
        There is only one kind.
    """
    count = int(np.count_nonzero(positive))
    if count in (0, len(positive)):
        raise ValueError("an area under the ROC curve needs both kinds")
    ranks = stats.rankdata(scores)
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))
