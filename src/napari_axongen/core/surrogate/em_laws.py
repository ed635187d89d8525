"""The laws of the sizes of fibres: diameters, g-ratios, and the pixel size that suits them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import gammainc, gammaincinv, ndtr, ndtri

from .em_packing import Floats
from .em_parameters import EmFibreParameters

LEAST_AXON = 2.0
"""Smallest diameter of an axon, px."""

_CUT = 0.001  # part of a law of diameters that is cut off on either side
_GRATIOS = (0.2, 0.95)


def diameters(p: EmFibreParameters, mean: float, sd: float) -> Callable[[Floats], Floats]:
    """Quantile function of the diameters in px, of uniform numbers in (0, 1)."""
    mean, sd = mean / p.pixel_size, sd / p.pixel_size
    if sd == 0:
        return lambda u: np.full_like(u, mean)
    if p.diameter_law == "lognormal":
        spread = math.sqrt(math.log1p((sd / mean) ** 2))
        centre = math.log(mean) - spread**2 / 2
        low = float(ndtr((math.log(LEAST_AXON) - centre) / spread))
    else:
        shape, scale = (mean / sd) ** 2, sd**2 / mean
        low = float(gammainc(shape, LEAST_AXON / scale))
    low = max(low, _CUT)

    def quantile(u: Floats) -> Floats:
        u = low + (1 - _CUT - low) * u
        if p.diameter_law == "lognormal":
            return np.asarray(np.exp(centre + spread * ndtri(u)))
        return np.asarray(scale * gammaincinv(shape, u))

    return quantile


def gratios(p: EmFibreParameters, u: Floats) -> Floats:
    """g-ratios of uniform numbers in (0, 1); the cut is symmetric, so the mean is kept."""
    mean, sd = p.gratio_mean, p.gratio_sd
    if sd == 0:
        return np.full_like(u, mean)
    tail = float(ndtr(-min(2.5, (mean - _GRATIOS[0]) / sd, (_GRATIOS[1] - mean) / sd)))
    return np.asarray(mean + sd * ndtri(tail + (1 - 2 * tail) * u))


def median_diameter(parameters: EmFibreParameters) -> float:
    """Median axon diameter, px, under the law of the parameters."""
    p = parameters
    return float(diameters(p, p.diameter_mean, p.diameter_sd)(np.array([0.5]))[0])


def suited(parameters: EmFibreParameters, axon_diameter: float | None) -> EmFibreParameters:
    """The same fibres at the pixel size at which a translator works: nothing is enlarged then.

    Parameters
    ----------
    parameters
        What is laid out.
    axon_diameter
        Median axon diameter (px) that the translator knows; None: they stay as they are.
    """
    if not axon_diameter:
        return parameters
    size = parameters.pixel_size * median_diameter(parameters) / axon_diameter
    return parameters.model_copy(update={"pixel_size": float(f"{size:.3g}")})
