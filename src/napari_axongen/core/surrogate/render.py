"""A scene to light and masks: what is where, before the microscope adds its part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .cells import EXTENT, LOBES
from .exact import root_
from .parameters import SurrogateParameters
from .pixels import PixelDraws
from .raster import (
    LIGHT,
    WINDOW_PLACES,
    Bodies,
    Canvas,
    Segments,
    Spots,
    add_lines,
    by_largest,
    gaussian,
    nearest,
    pick,
    places,
    window_places,
)

_RIM = 0.05  # intensity at the rim of a bouton, and of a cell in terms of its peak squared
_LEAST_FALL = 0.6  # of a dim object's intensity at its rim
PROFILE = 3.2  # sigmas beyond which a profile is not drawn
TAIL = 2.6  # the same of a bouton of true width


@dataclass
class Rendered:
    """What a scene looks like, all int32 (B, T, H, W).

    Attributes
    ----------
    light, clean_light
        Intensity in 1/LIGHT, with texture and speckle and without.
    axon_labels, branch_labels
        Above 0 in the axon mask.
    boutons
        1 in the bouton mask, else 0.
    """

    light: torch.Tensor
    clean_light: torch.Tensor
    axon_labels: torch.Tensor
    branch_labels: torch.Tensor
    boutons: torch.Tensor


def branch_reach(segments: Segments, additive: bool) -> torch.Tensor:
    """How far around segments pixels are labelled or show them, (n,)."""
    if additive:
        return segments.half_width
    return torch.maximum(segments.half_width, PROFILE * segments.sigma)


def bouton_looks(spots: Spots, true_width: bool) -> tuple[torch.Tensor, ...]:
    """Sigma across the axon and along it, peak, and px that a bouton may show in, each (n,)."""
    if true_width:  # the radius is half the width at half the height
        sigma = spots.radius / math.sqrt(2 * math.log(2))
    else:
        fall = (_RIM / spots.brightness.clamp(min=1e-6)).clamp(max=_LEAST_FALL)
        sigma = spots.radius / root_(-2 * fall.log())
    psf = spots.psf * spots.psf
    wide = root_(sigma * sigma + psf)
    long = root_((sigma * spots.elongation) ** 2 + psf)
    peak = spots.brightness * (sigma * sigma * spots.elongation) / (wide * long)
    reach = spots.radius * spots.elongation
    if true_width:
        reach = torch.maximum(reach, TAIL * long)
    return wide, long, peak, reach + 1


def cell_looks(bodies: Bodies) -> tuple[torch.Tensor, torch.Tensor]:
    """Sigma, and px that a cell shows in, each (n,)."""
    rim = (_RIM * bodies.brightness).clamp(min=1e-3)
    sigma = bodies.radius / root_(-2 * rim.clamp(max=_LEAST_FALL).log())
    offsets = bodies.centres - bodies.centres[:, :1]
    return sigma, root_((offsets * offsets).sum(-1).amax(1)) + EXTENT * bodies.radius + 1


class Renderer:
    """Draws the frames of a batch, object after object.

    Parameters
    ----------
    canvas
        Of the frames.
    parameters
        Of the images.
    draws
        Random numbers of the frames.
    texture, bouton_noise, cell_noise
        float32 (B,): noise of axons, boutons and cells in each frame.
    """

    def __init__(
        self,
        canvas: Canvas,
        parameters: SurrogateParameters,
        draws: PixelDraws,
        texture: torch.Tensor,
        bouton_noise: torch.Tensor,
        cell_noise: torch.Tensor,
    ) -> None:
        self.canvas, self.draws = canvas, draws
        self.additive = parameters.acquisition.additive
        self.true_width = parameters.acquisition.true_width
        self.texture = texture
        self.bouton_noise, self.cell_noise = bouton_noise, cell_noise
        self.light, self.clean = canvas.full(0), canvas.full(0)
        self.in_bouton = canvas.full(0)
        self.axon_labels, self.branch_labels = canvas.full(0), canvas.full(0)

    def finished(self, frames: int) -> Rendered:
        """What was drawn so far, with so many frames an image."""
        drawn = (self.light, self.clean, self.axon_labels, self.branch_labels, self.in_bouton)
        return Rendered(*(self.canvas.crop(pixels, frames) for pixels in drawn))

    def draw_branches(self, segments: Segments) -> None:
        """Draw axons, and label what is near to them."""
        pixel, near, distance = nearest(
            self.canvas, segments, branch_reach(segments, self.additive)
        )
        inside = places(distance < pick(segments.half_width, near))
        labelled, label = pick(pixel, inside), pick(near, inside)
        self.axon_labels[labelled] = pick(segments.axon, label)
        self.branch_labels[labelled] = pick(segments.branch, label)
        if self.additive:
            add_lines(self.canvas, (self.clean,), segments)
            self.light.copy_(self.clean)
            self._texture(self.light)
        else:
            self._profile(segments, pixel, near, distance)

    def draw_stalks(self, segments: Segments) -> None:
        """Draw the stalks of boutons; they are in no mask."""
        add_lines(self.canvas, (self.clean, self.light), segments)

    def _profile(
        self,
        segments: Segments,
        pixel: torch.Tensor,
        near: torch.Tensor,
        distance: torch.Tensor,
    ) -> None:
        """Intensity by the distance from the nearest branch (Billot 2017)."""
        sigma = pick(segments.sigma, near)
        seen = places(distance < PROFILE * sigma)
        pixel, near, sigma = pick(pixel, seen), pick(near, seen), pick(sigma, seen)
        ratio = pick(distance, seen) / sigma
        shape = gaussian(ratio * ratio) * (LIGHT / math.sqrt(2 * math.pi)) / sigma
        value = pick(segments.brightness, near)
        noise = self._noise(pixel, pick(segments.frame, near))
        self.clean[pixel] = (shape * value).to(torch.int32)
        self.light[pixel] = (shape * (value + noise)).to(torch.int32)

    def _texture(self, light: torch.Tensor) -> None:
        """Noise in proportion to the light, in place."""
        if not bool((self.texture > 0).any()):
            return
        pixel = places(light > 0)
        frame = torch.div(pixel, self.canvas.area, rounding_mode="floor")
        light[pixel] = (pick(light, pixel) * (1 + self._noise(pixel, frame))).to(torch.int32)

    def _noise(self, pixel: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """Texture at some pixels."""
        area = self.canvas.area
        drawn = self.draws.normal_at("texture", frame, pixel - frame * area, area)
        return drawn * pick(self.texture, frame)

    def draw_boutons(self, spots: Spots) -> None:
        """Draw boutons and their mask."""
        radius = spots.radius
        wide, long, peak, reach = bouton_looks(spots, self.true_width)
        for half, part in by_largest(reach):
            window, row, column = self.canvas.windows(spots.frame[part], spots.centre[part], half)
            down, right = spots.along[part].unbind(1)
            forth = (row * down[:, None])[:, :, None] + (column * right[:, None])[:, None, :]
            off = (row * right[:, None])[:, :, None] - (column * down[:, None])[:, None, :]
            ellipse = (forth / spots.elongation[part, None, None]).square_().add_(off.square())
            inside = ellipse < (radius[part] ** 2)[:, None, None]
            self.in_bouton[window[inside]] = 1
            distance = (forth / long[part, None, None]).square_()
            distance.add_((off / wide[part, None, None]).square_())
            # beyond its mask a bouton shows only where its light may end as it likes
            seen = places(distance < TAIL**2 if self.true_width else inside)
            pixels = (2 * half + 1) ** 2
            number = torch.div(seen, pixels, rounding_mode="floor")
            place = pick(window_places(half, seen.device), seen - number * pixels)
            distance, index = root_(pick(distance, seen)), pick(window, seen)
            bouton = pick(part, number)
            shown = pick(peak, bouton) * LIGHT
            self._merge(self.clean, index, gaussian(distance * distance) * shown)
            noise = PixelDraws(spots.keys[part]).normal_at("speckle", number, place, WINDOW_PLACES)
            noise *= pick(self.bouton_noise, pick(spots.frame, bouton)) / pick(wide, bouton)
            distance.add_(noise)
            self._merge(self.light, index, gaussian(distance * distance) * shown)

    def draw_cells(self, bodies: Bodies) -> None:
        """Draw cells: the nearest of five lobes decides, dark dots and speckle on top."""
        radius = bodies.radius
        sigma, reach = cell_looks(bodies)
        offsets = bodies.centres - bodies.centres[:, :1]
        for half, part in by_largest(reach):
            window, row, column = self.canvas.windows(
                bodies.frame[part], bodies.centres[part, 0], half
            )
            down = (row[:, None] - offsets[part, :, :1]).square_()
            right = (column[:, None] - offsets[part, :, 1:]).square_()
            squared = down[:, 0, :, None] + right[:, 0, None]
            for lobe in range(1, LOBES):
                torch.minimum(squared, down[:, lobe, :, None] + right[:, lobe, None], out=squared)
            inside = places(squared < ((EXTENT * radius[part]) ** 2)[:, None, None])
            squared, index = pick(squared, inside), pick(window, inside)
            pixels = (2 * half + 1) ** 2
            number = torch.div(inside, pixels, rounding_mode="floor")
            place = pick(window_places(half, inside.device), inside - number * pixels)
            cell = pick(part, number)
            size, width = pick(radius, cell), pick(sigma, cell)
            distance = root_(squared.add_((size / 6).square_()))
            shown = pick(bodies.brightness, cell) * LIGHT
            ratio = distance / width
            self._merge(self.clean, index, gaussian(ratio * ratio) * shown)
            draws = PixelDraws(pick(bodies.keys, part))
            noise, chance = draws.pair_at("speckle", number, place, WINDOW_PLACES)
            dark = chance < pick(bodies.dark, cell)
            noise *= pick(self.cell_noise, pick(bodies.frame, cell))
            ratio = torch.where(dark, size, distance).add_(noise).div_(width)
            self._merge(self.light, index, gaussian(ratio * ratio) * shown)

    def _merge(self, pixels: torch.Tensor, index: torch.Tensor, value: torch.Tensor) -> None:
        """Add intensities, or keep the greater."""
        whole = value.to(torch.int32).view(-1)
        if self.additive:
            pixels.scatter_add_(0, index.view(-1), whole)
        else:
            pixels.scatter_reduce_(0, index.view(-1), whole, "amax")
