"""What the microscope adds: background, optics, photons, detector, grey values.

Of the original (Billot 2017) are the smoothed Poisson background (by its Gaussian limit), the white
noise and the normalisation to the brightest pixel; the rest is off there. All noise is looked up in
tables and summed in whole numbers, so that devices agree.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import poisson

from .parameters import AcquisitionParameters, SurrogateParameters
from .random import Draws
from .raster import gaussian

_GRAINS = 32.0  # steps of the noise under the background in a standard deviation
_WEIGHT = 1023.0
_FEW = 16.0  # photons below which their number is looked up
_ROWS = 16  # of the table, per photon
_COLUMNS = 1 << 13


@dataclass
class Exposed:
    """Grey values (B, H, W), float32 and whole, with and without noise."""

    image: torch.Tensor
    clean: torch.Tensor


def expose(
    light: torch.Tensor,
    clean: torch.Tensor,
    parameters: SurrogateParameters,
    draws: Draws,
    frame_draws: Draws,
    bleached: torch.Tensor,
) -> Exposed:
    """Turn light into grey values.

    Parameters
    ----------
    light, clean
        float32 (B, T, H, W): intensity with texture and without.
    draws, frame_draws
        Random numbers of the images (B rows) and of the frames (B * T rows).
    bleached
        float64 (B, T): part of the light that is left.

    Returns
    -------
    Frames (B * T, H, W).
    """
    p = parameters.acquisition
    images, frames, height, width = light.shape

    def of(name: str) -> torch.Tensor:
        """A parameter of each image, for (B, T, H, W)."""
        return draws.parameter(p, name).float().to(light.device).view(images, 1, 1, 1)

    scale: torch.Tensor | float = of("signal")
    if p.normalise:  # the original's: the brightest pixel of the image or series is 255
        scale = 255 / light.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
    left = bleached.float().to(light.device).view(images, frames, 1, 1)
    both = [light * scale * left, clean * scale * left]
    haze = _haze(p, draws, light)
    if haze is not None:
        both = [value + haze * left for value in both]
    both = [value + of("background") for value in both]
    shade = _vignette(of("vignetting"), height, width)
    if shade is not None:
        both = [value * shade for value in both]
    noisy, clean = both
    if bool((of("line_jitter") > 0).any()):
        noisy = _jitter(noisy, frame_draws, of("line_jitter"))
    uneven = of("background_variation")
    if bool((uneven > 0).any()):
        field = background(
            frame_draws, draws.parameter(p, "background_correlation"), frames, height, width
        )
        noisy = noisy + field.view(light.shape) * uneven
    gain = of("gain")
    if bool((gain > 0).any()):
        noisy = torch.where(
            gain > 0, gain * photons(noisy / gain.clamp(min=1e-6), frame_draws), noisy
        )
    read = of("read_noise")
    if bool((read > 0).any()):
        noisy = noisy + frame_draws.normal("read", height, width).view(light.shape) * read
    return _digitise(noisy + of("offset"), clean + of("offset"), parameters)


def _digitise(noisy: torch.Tensor, clean: torch.Tensor, parameters: SurrogateParameters) -> Exposed:
    top = float(parameters.max_intensity)
    if parameters.acquisition.normalise:
        noisy = noisy.clamp(min=0)
        factor = top / noisy.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
        noisy, clean = torch.floor(noisy * factor), torch.floor(clean * factor)
    else:
        noisy, clean = torch.floor(noisy + 0.5), torch.floor(clean + 0.5)
    noisy, clean = noisy.clamp(0, top).flatten(0, 1), clean.clamp(0, top).flatten(0, 1)
    if parameters.negative:
        noisy, clean = top - noisy, top - clean
    return Exposed(noisy, clean)


# ------------------------------------------------------------ background


def background(
    draws: Draws, correlation: torch.Tensor, frames: int, height: int, width: int
) -> torch.Tensor:
    """Gaussian-smoothed white noise of variance 1, float32 (B * T, H, W).

    The white noise lies on a grid of two thirds of the filter's sigma: a Gaussian has nothing left
    to alias there. Noise and filter are whole numbers small enough for the sums of the two matrix
    products to be exact in float32, whatever their order.

    Parameters
    ----------
    correlation
        float64 (B,): sigma of the filter in px.
    """
    out = torch.empty((len(draws), height, width), device=draws.device)
    by_frame = correlation.repeat_interleave(frames)
    for sigma in torch.unique(correlation).tolist():
        rows = (by_frame == sigma).nonzero()[:, 0]
        down, across = (_smoother(side, sigma, draws.device) for side in (height, width))
        grains = draws.select(rows).normal("background", len(down[0]), len(across[0]))
        grains = torch.round(grains * _GRAINS).clamp_(-127, 127)
        half = torch.round(down @ grains / 256)
        out[rows] = half @ across.mT
        spread = (
            _GRAINS
            / 256
            * math.sqrt(float((down * down).sum(1).mean()) * float((across * across).sum(1).mean()))
        )
        out[rows] /= spread
    return out


@functools.lru_cache(maxsize=16)
def _smoother(side: int, sigma: float, device: torch.device) -> torch.Tensor:
    """Weights of the coarse grid for each pixel, whole numbers in float32 (side, coarse)."""
    pitch = max(1, int(sigma / 1.5))
    margin = math.ceil(4 * sigma / pitch)
    coarse = (np.arange(math.ceil(side / pitch) + 2 * margin) - margin) * pitch
    off = (np.arange(side)[:, None] - coarse) / sigma
    weights = np.rint(_WEIGHT * np.exp(-off * off / 2))
    return torch.tensor(weights, dtype=torch.float32, device=device)


# ------------------------------------------------------------ light


def _haze(p: AcquisitionParameters, draws: Draws, light: torch.Tensor) -> torch.Tensor | None:
    """A wide glow around a point somewhere, (B, 1, H, W)."""
    peak = draws.parameter(p, "haze").float()
    if not bool((peak > 0).any()):
        return None
    size = draws.parameter(p, "haze_size").float()
    place = draws.uniform("haze", 2).float()

    def profile(side: int, at: torch.Tensor) -> torch.Tensor:
        off = (torch.arange(side, device=at.device) - at[:, None] * side) / size[:, None]
        return gaussian(off * off).to(light.device)

    rows, columns = profile(light.shape[2], place[:, 0]), profile(light.shape[3], place[:, 1])
    peak = peak.to(light.device)[:, None, None]
    return (peak * rows[:, :, None] * columns[:, None, :])[:, None]


def _vignette(lost: torch.Tensor, height: int, width: int) -> torch.Tensor | None:
    """What is left of the light, falling with the squared distance from the centre."""
    if not bool((lost > 0).any()):
        return None
    row, column = (
        (torch.linspace(-1, 1, side, device=lost.device) ** 2) / 2 for side in (height, width)
    )
    return 1 - lost * (row[:, None] + column)


def _jitter(light: torch.Tensor, draws: Draws, spread: torch.Tensor) -> torch.Tensor:
    """Shift each scan line by a random length, with linear interpolation."""
    images, frames, height, width = light.shape
    shift = draws.normal("jitter", height).view(images, frames, height, 1) * spread
    at = torch.arange(width, device=light.device) + shift
    left = torch.floor(at)
    part = at - left
    first = light.gather(3, left.long().clamp(0, width - 1))
    second = light.gather(3, (left.long() + 1).clamp(0, width - 1))
    return first + part * (second - first)


# ------------------------------------------------------------ photons


def photons(mean: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Numbers of photons, whole numbers in float32 of the shape (B, T, H, W) of their means.

    Few are looked up in a table of Poisson quantiles, its row dithered so that means between rows
    come out right; many are the normal limit with its first correction (Cornish and Fisher 1938).
    """
    height, width = mean.shape[2:]
    bits = draws.bits("photons", height, width).view(mean.shape)
    mean = mean.clamp(min=0)
    row = mean.clamp(max=_FEW).mul_(_ROWS)
    dither = (bits & 0xFFFF).float().mul_(2.0**-16)
    row = row.add_(dither).to(torch.int32)
    column = (bits >> 16) & (_COLUMNS - 1)
    table = _poisson_table(mean.device)
    few = torch.index_select(table, 0, (row * _COLUMNS + column).view(-1)).view(mean.shape).float()
    if not bool((mean > _FEW).any()):
        return few
    z = draws.normal("photons", height, width).view(mean.shape)
    many = torch.round(mean + mean.sqrt() * z + (z * z - 1) / 6).clamp_(min=0)
    return torch.where(mean > _FEW, many, few)


@functools.lru_cache
def _poisson_table(device: torch.device) -> torch.Tensor:
    """Quantiles of Poisson distributions of means 0 to 16, uint8, a row for each 1/16."""
    means = np.arange(int(_FEW * _ROWS) + 2)[:, None] / _ROWS
    counts = np.arange(64)
    edges = poisson.cdf(counts, means)
    u = (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    table = np.stack([np.searchsorted(row, u) for row in edges])
    return torch.tensor(table.astype(np.uint8).ravel(), device=device)
