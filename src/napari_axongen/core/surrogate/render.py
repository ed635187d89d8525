"""A scene to light and masks: what is where, before the microscope adds its part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .cells import EXTENT, LOBES
from .parameters import SurrogateParameters
from .pixels import PixelDraws
from .raster import (
    LIGHT,
    Bodies,
    Canvas,
    Segments,
    Spots,
    add_lines,
    by_window,
    gaussian,
    nearest,
)

_RIM = 0.05  # intensity at the rim of a bouton
_PROFILE = 3.2  # sigmas beyond which a profile is not drawn
_TAIL = 2.6  # the same of a bouton of true width


@dataclass
class Rendered:
    """What a scene looks like, all int32 (B, H, W).

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

    def finished(self) -> Rendered:
        """What was drawn so far."""
        drawn = (self.light, self.clean, self.axon_labels, self.branch_labels, self.in_bouton)
        return Rendered(*(self.canvas.crop(pixels) for pixels in drawn))

    def draw_branches(self, segments: Segments, labelled: bool = True) -> None:
        """Draw axons, and label what is near to them."""
        reach = segments.half_width
        if not self.additive:
            reach = torch.maximum(reach, _PROFILE * segments.sigma)
        if labelled or not self.additive:
            pixel, near, distance = nearest(self.canvas, segments, reach)
        if labelled:
            inside = distance < segments.half_width[near]
            self.axon_labels[pixel[inside]] = segments.axon[near[inside]]
            self.branch_labels[pixel[inside]] = segments.branch[near[inside]]
        if self.additive:
            light = self.canvas.full(0)
            add_lines(self.canvas, light, segments)
            self.clean += light
            self._texture(light)
            self.light += light
        else:
            self._profile(segments, pixel, near, distance)

    def _profile(
        self,
        segments: Segments,
        pixel: torch.Tensor,
        near: torch.Tensor,
        distance: torch.Tensor,
    ) -> None:
        """Intensity by the distance from the nearest branch (Billot 2017)."""
        sigma = segments.sigma[near]
        seen = (distance < _PROFILE * sigma).nonzero()[:, 0]
        pixel, near, sigma = pixel[seen], near[seen], sigma[seen]
        ratio = distance[seen] / sigma
        shape = gaussian(ratio * ratio) * (LIGHT / math.sqrt(2 * math.pi)) / sigma
        value = segments.brightness[near]
        self._merge(self.clean, pixel, shape * value)
        self._merge(self.light, pixel, shape * (value + self._noise(pixel)))

    def _texture(self, light: torch.Tensor) -> None:
        """Noise in proportion to the light, in place."""
        if not bool((self.texture > 0).any()):
            return
        pixel = light.nonzero()[:, 0]
        light[pixel] = (light[pixel] * (1 + self._noise(pixel))).to(torch.int32)

    def _noise(self, pixel: torch.Tensor) -> torch.Tensor:
        """Texture at some pixels."""
        area = self.canvas.area
        image = torch.div(pixel, area, rounding_mode="floor")
        drawn = self.draws.normal_at("texture", image, pixel - image * area, area)
        return drawn * self.texture[image]

    def draw_boutons(self, spots: Spots) -> None:
        """Draw boutons and their mask."""
        radius = spots.radius * spots.elongation
        if self.true_width:  # the radius is half the width at half the height
            sigma = spots.radius / math.sqrt(2 * math.log(2))
            peak = spots.brightness
        else:
            peak = spots.brightness
            sigma = spots.radius / (2 * (peak / _RIM).clamp(min=1.65).log()).sqrt()
        psf = spots.psf * spots.psf
        wide = (sigma * sigma + psf).sqrt()  # across the axon
        long = ((sigma * spots.elongation) ** 2 + psf).sqrt()
        peak = peak * (sigma * sigma * spots.elongation) / (wide * long)
        reach = torch.maximum(radius, _TAIL * long) if self.true_width else radius
        for half, part in by_window(reach + 1):
            index, row, column = self.canvas.windows(spots.frame[part], spots.centre[part], half)
            down, right = spots.along[part].unbind(1)
            forth = (row * down[:, None])[:, :, None] + (column * right[:, None])[:, None, :]
            off = (row * right[:, None])[:, :, None] - (column * down[:, None])[:, None, :]
            shape = spots.elongation[part, None, None]
            ellipse = (forth / shape).square_().add_(off.square()).sqrt_()
            inside = ellipse < spots.radius[part, None, None]
            self.in_bouton.scatter_reduce_(
                0, index.view(-1), inside.to(torch.int32).view(-1), "amax"
            )
            across, along = wide[part, None, None], long[part, None, None]
            distance = ((forth / along) ** 2).add_((off / across) ** 2).sqrt_()
            shown = peak[part, None, None] * LIGHT
            if not self.true_width:
                shown = shown * inside
            self._merge(self.clean, index, gaussian(distance * distance) * shown)
            noise = PixelDraws(spots.keys[part]).normal("speckle", (2 * half + 1) ** 2)
            noise = noise.view(ellipse.shape) * (
                self.bouton_noise[spots.frame[part], None, None] / across
            )
            speckled = distance.add_(noise)
            self._merge(self.light, index, gaussian(speckled * speckled) * shown)

    def draw_cells(self, bodies: Bodies) -> None:
        """Draw cells: the nearest of five lobes decides, dark dots and speckle on top."""
        radius = bodies.radius
        sigma = (
            radius
            / (2 * (1 / (_RIM * bodies.brightness.clamp(min=1e-3))).clamp(min=1.65).log()).sqrt()
        )
        offsets = bodies.centres - bodies.centres[:, :1]
        reach = offsets.square().sum(-1).amax(1).sqrt() + EXTENT * radius if len(radius) else radius
        for half, part in by_window(reach + 1):
            index, row, column = self.canvas.windows(
                bodies.frame[part], bodies.centres[part, 0], half
            )
            squared = torch.full(index.shape, torch.inf, device=index.device)
            for lobe in range(LOBES):
                down = row - offsets[part, lobe, :1]
                right = column - offsets[part, lobe, 1:]
                away = (down * down)[:, :, None] + (right * right)[:, None, :]
                squared = torch.minimum(squared, away)
            size = radius[part, None, None]
            inside = squared < (EXTENT * size) ** 2
            distance = squared.add_((size / 6) ** 2).sqrt_()
            width = sigma[part, None, None]
            shown = inside * (bodies.brightness[part, None, None] * LIGHT)
            ratio = distance / width
            self._merge(self.clean, index, gaussian(ratio * ratio) * shown)
            draws = PixelDraws(bodies.keys[part])
            pixels = (2 * half + 1) ** 2
            dots = (draws.bits("dots", pixels).view(distance.shape) >> 8) & 0xFFFFFF
            dark = dots < (bodies.dark[part, None, None] * 2**24)
            noise = draws.normal("speckle", pixels).view(distance.shape)
            noise *= self.cell_noise[bodies.frame[part], None, None]
            ratio = torch.where(dark, size, distance).add_(noise).div_(width)
            self._merge(self.light, index, gaussian(ratio * ratio) * shown)

    def _merge(self, pixels: torch.Tensor, index: torch.Tensor, value: torch.Tensor) -> None:
        """Add intensities, or keep the greater."""
        whole = value.to(torch.int32).view(-1)
        if self.additive:
            pixels.scatter_add_(0, index.view(-1), whole)
        else:
            pixels.scatter_reduce_(0, index.view(-1), whole, "amax")
