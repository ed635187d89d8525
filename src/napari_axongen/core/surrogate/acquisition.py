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

from .distributions import Number
from .exact import root_
from .parameters import SurrogateParameters
from .pixels import PixelDraws
from .random import Draws, Floats
from .raster import LIGHT, gaussian, pick, places

ROUNDED = 2.0**-6  # what products may fall short of a whole number
GRAINS = 32.0  # steps of the noise under the background in a standard deviation
_WEIGHT = 1023.0  # of the middle of the filter
HALVED = 256.0  # what the first product is divided by
FEW = 16.0  # photons below which their number is looked up
ROWS = 16  # of the table, per photon
COLUMNS = 1 << 13
_LOW_16, _SHIFT_16, _COLUMN = (
    torch.tensor(number, dtype=torch.int32) for number in (0xFFFF, 16, COLUMNS - 1)
)


class Microscope:
    """Turns light into grey values, some images of a batch at a time.

    Parameters
    ----------
    parameters
        Of the images.
    draws, frame_draws
        Random numbers of the B images and of their B * T frames.
    left
        (B, T): part of the light that is not bleached.
    device
        Where the light is.
    """

    def __init__(
        self,
        parameters: SurrogateParameters,
        draws: Draws,
        frame_keys: torch.Tensor,
        left: Floats,
        device: torch.device,
    ) -> None:
        self.parameters, self.device = parameters, device
        p = parameters.acquisition
        self.values = {
            name: draws.parameter(p, name)
            for name, field in type(p).model_fields.items()
            if field.annotation == Number
        }
        self.correlation = self.values["background_correlation"]
        self.left = left
        self.haze_at = draws.uniform("haze", 2)
        self.frame_keys = frame_keys

    def expose(
        self, light: torch.Tensor, clean: torch.Tensor, images: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Grey values with and without noise.

        Parameters
        ----------
        light, clean
            int32 (n, T, H, W): intensity in 1/LIGHT, with texture and without.
        images
            Which of the batch these n are.

        Returns
        -------
        float32 (n, T, H, W), from 0 to the greatest grey value; to be cut to whole numbers.
        """
        p = self.parameters.acquisition
        height, width = light.shape[2:]
        frames = slice(images.start * light.shape[1], images.stop * light.shape[1])
        draws = PixelDraws(self.frame_keys[frames])
        scale = self._of("signal", images) / LIGHT
        if p.normalise:  # the original's: the brightest pixel of the image or series is 255
            scale = 255 / light.amax((1, 2, 3), keepdim=True).clamp(min=1).float()
        scale = scale * self._tensor(self.left[images])[..., None, None]
        noisy, clean = light * scale, clean * scale
        for other in (self._haze(images, height, width), self._of("background", images)):
            if other is not None:
                noisy.add_(other)
                clean.add_(other)
        if self._any("vignetting", images):
            rows, columns = (squared_radius(side, self.device) for side in (height, width))
            shade = 1 - self._of("vignetting", images) * (rows[:, None] + columns)
            noisy.mul_(shade)
            clean.mul_(shade)
        if self._any("line_jitter", images):
            noisy = _jitter(noisy, draws, self._of("line_jitter", images))
        if self._any("background_variation", images):
            correlation = self.correlation[images].repeat(light.shape[1])
            uneven = self._of("background_variation", images)
            noisy.add_(background(draws, correlation, height, width).view(noisy.shape).mul_(uneven))
        if self._any("gain", images):
            gain = self._of("gain", images)
            shot = photons(noisy / gain.clamp(min=1e-6), draws).mul_(gain)
            noisy = torch.where(gain > 0, shot, noisy)
        if self._any("read_noise", images):
            read = draws.normal("read", height, width).view(noisy.shape)
            noisy.add_(read.mul_(self._of("read_noise", images)))
        if self._any("offset", images):
            noisy.add_(self._of("offset", images))
            clean.add_(self._of("offset", images))
        return self._digitise(noisy, clean)

    def _digitise(
        self, noisy: torch.Tensor, clean: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        top = float(self.parameters.max_intensity)
        if self.parameters.acquisition.normalise:
            factor = top / noisy.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
            noisy.mul_(factor).add_(ROUNDED)
            clean.mul_(factor).add_(ROUNDED)
        else:  # to the nearest, as the fraction is cut off later
            noisy.add_(0.5)
            clean.add_(0.5)
        noisy.clamp_(0, top)
        clean.clamp_(0, top)
        if self.parameters.negative:  # cut first: the whole numbers are what is inverted
            noisy, clean = top - noisy.floor_(), top - clean.floor_()
        return noisy, clean

    def _of(self, name: str, images: slice) -> torch.Tensor:
        """A parameter of the images, (n, 1, 1, 1)."""
        return self._tensor(self.values[name][images]).view(-1, 1, 1, 1)

    def _any(self, name: str, images: slice) -> bool:
        """Whether a parameter is on; adding or taking away nothing would change no bit."""
        return bool((self.values[name][images] != 0).any())

    def _tensor(self, values: Floats) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.device)

    def haze_profiles(self, images: slice, side: int, axis: int) -> torch.Tensor:
        """Of a wide glow around a point somewhere, along the rows (0) or columns, (n, side)."""
        at = self._tensor(self.haze_at[images])[:, axis : axis + 1]
        off = torch.arange(side, device=self.device) - at * side
        ratio = off / self._of("haze_size", images).view(-1, 1)
        return gaussian(ratio * ratio)

    def _haze(self, images: slice, height: int, width: int) -> torch.Tensor | None:
        """(n, 1, H, W)."""
        if not self._any("haze", images):
            return None
        rows = self.haze_profiles(images, height, 0)[:, None, :, None]
        columns = self.haze_profiles(images, width, 1)[:, None, None]
        return self._of("haze", images) * rows * columns


# ------------------------------------------------------------ background


def background(draws: PixelDraws, correlation: Floats, height: int, width: int) -> torch.Tensor:
    """Gaussian-smoothed white noise of variance 1, float32 (n, H, W).

    The white noise lies on a grid of two thirds of the filter's sigma: a Gaussian has nothing left
    to alias there. Noise and filter are whole numbers small enough for the sums of the two matrix
    products to be exact in float32, whatever their order.

    Parameters
    ----------
    correlation
        (n,): sigma of the filter in px.
    """
    sigmas = np.unique(correlation).tolist()
    if len(sigmas) == 1:
        return _background(draws, sigmas[0], height, width)
    out = torch.empty((len(draws), height, width), device=draws.device)
    for sigma in sigmas:
        rows = torch.from_numpy(np.flatnonzero(correlation == sigma)).to(draws.device)
        out[rows] = _background(PixelDraws(draws.keys[rows]), sigma, height, width)
    return out


def _background(draws: PixelDraws, sigma: float, height: int, width: int) -> torch.Tensor:
    down, across = (smoother(side, sigma, draws.device) for side in (height, width))
    grains = draws.normal("background", down.weights.shape[1], across.weights.shape[1])
    grains = grains.mul_(GRAINS).round_().clamp_(-127, 127)
    half = (down.weights @ grains).mul_(1 / HALVED).round_()
    made = half @ across.weights.mT
    return made.mul_(HALVED / (GRAINS * down.spread * across.spread))


@dataclass(frozen=True)
class Smoother:
    """Weights of the coarse grid for each pixel, (side, coarse), and their root sum of squares.

    The grid has a point every ``pitch`` pixels, so a pixel so much further on has the same weights.
    """

    weights: torch.Tensor
    spread: float
    pitch: int


@functools.lru_cache(maxsize=64)
def smoother(side: int, sigma: float, device: torch.device) -> Smoother:
    """Of a Gaussian filter of this sigma in px."""
    pitch = max(1, int(sigma / 1.5))
    margin = math.ceil(4 * sigma / pitch)
    coarse = (np.arange(math.ceil(side / pitch) + 2 * margin) - margin) * pitch
    off = (np.arange(side)[:, None] - coarse) / sigma
    weights = np.rint(_WEIGHT * np.exp(-off * off / 2))
    spread = math.sqrt(float((weights**2).sum(1).mean()))
    return Smoother(torch.from_numpy(weights.astype(np.float32)).to(device), spread, pitch)


# ------------------------------------------------------------ light


def squared_radius(side: int, device: torch.device) -> torch.Tensor:
    """Of rows or columns, (side,): those of a row and a column add up to 1 in the corners."""
    return torch.linspace(-1, 1, side, device=device) ** 2 / 2


def _jitter(light: torch.Tensor, draws: PixelDraws, spread: torch.Tensor) -> torch.Tensor:
    """Shift each scan line by a random length, with linear interpolation."""
    images, frames, height, width = light.shape
    shift = draws.normal("jitter", height).view(images, frames, height, 1) * spread
    at = torch.arange(width, device=light.device) + shift
    left = torch.floor(at)
    first = light.gather(3, left.long().clamp(0, width - 1))
    second = light.gather(3, (left.long() + 1).clamp(0, width - 1))
    return first + (at - left) * (second - first)


# ------------------------------------------------------------ photons


def photons(mean: torch.Tensor, draws: PixelDraws) -> torch.Tensor:
    """Numbers of photons, whole numbers in float32 of the shape (B, T, H, W) of their means.

    Few are looked up in a table of Poisson quantiles, its row dithered so that means between rows
    come out right; many are the normal limit with its first correction (Cornish and Fisher 1938).
    """
    height, width = mean.shape[2:]
    bits = draws.bits("photons", height, width).view(mean.shape)
    mean = mean.clamp(min=0)
    row = (bits & _LOW_16).float().mul_(2.0**-16)  # dither
    row = row.add_(mean, alpha=ROWS).clamp_(max=FEW * ROWS).to(torch.int32)
    column = (bits >> _SHIFT_16).bitwise_and_(_COLUMN)
    place = row.mul_(COLUMNS).add_(column).view(-1)
    number = torch.index_select(poisson_table(mean.device), 0, place).float()
    many = places(mean > FEW)
    if len(many):
        area = height * width
        frame = torch.div(many, area, rounding_mode="floor")
        z = draws.normal_at("photons", frame, many - frame * area, area)
        some = pick(mean, many)
        number[many] = torch.round(some + root_(some.clone()) * z + (z * z - 1) / 6).clamp_(min=0)
    return number.view(mean.shape)


@functools.lru_cache
def poisson_table(device: torch.device) -> torch.Tensor:
    """Quantiles of Poisson distributions of means 0 to 16, uint8, a row for each 1/16."""
    means = np.arange(int(FEW * ROWS) + 2)[:, None] / ROWS
    counts = np.arange(64)
    edges = poisson.cdf(counts, means)
    u = (np.arange(COLUMNS) + 0.5) / COLUMNS
    table = np.stack([np.searchsorted(row, u) for row in edges])
    return torch.tensor(table.astype(np.uint8).ravel(), device=device)
