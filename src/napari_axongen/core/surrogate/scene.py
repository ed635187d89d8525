"""A drawn scene as flat lists of lines, spots and bodies, where each lies in each frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .axons import Axons
from .boutons import Boutons
from .cells import Cells
from .parameters import SurrogateParameters
from .random import Draws
from .raster import Canvas, Segments
from .series import transform
from .walks import directions

_FWHM = 2 * math.sqrt(2 * math.log(2))
_STALK_PIECES = 6
_STALK_WIDTH = 0.75  # of that of an axon
_CAP = 0.75  # px: how far the original's stamp reaches beyond the thickness
_LEAST_HALF_WIDTH = 0.75  # px: a mask without holes
_FARTHEST = 64.0  # px around the image beyond which nothing shows
_IN_FOCUS = 2.0  # times its width to which defocus may widen an axon that is labelled


@dataclass
class Spots:
    """Boutons as drawn: frame (n,), centre and unit vector along the axon (n, 2), the rest (n,)."""

    image: torch.Tensor
    centre: torch.Tensor
    along: torch.Tensor
    radius: torch.Tensor
    elongation: torch.Tensor
    brightness: torch.Tensor
    psf: torch.Tensor
    draws: Draws


@dataclass
class Bodies:
    """Cells as drawn: frame (n,), centres of the lobes (n, LOBES, 2), the rest (n,)."""

    image: torch.Tensor
    centres: torch.Tensor
    radius: torch.Tensor
    brightness: torch.Tensor
    dark: torch.Tensor
    draws: Draws


class Composer:
    """Lists what is drawn in each frame.

    Parameters
    ----------
    parameters
        Of the images.
    matrices
        float64 (B, T, 3, 3), see `series.Motion`.
    psf
        float64 (B,): px.
    canvas
        Of the B * T frames, numbered ``image * T + t``.
    """

    def __init__(
        self,
        parameters: SurrogateParameters,
        matrices: torch.Tensor,
        psf: torch.Tensor,
        canvas: Canvas,
    ) -> None:
        self.frames = matrices.shape[1]
        self.matrices = matrices.flatten(0, 1)
        self.psf = psf
        self.canvas = canvas
        self.true_width = parameters.acquisition.true_width

    def branches(self, axons: Axons) -> Segments:
        """The steps of all branches, with labels from 1 in each image."""
        valid = axons.valid
        frame, image, a, j, p = self._in_frames(valid[..., :-1] & valid[..., 1:])
        start = self._move(frame, axons.points[image, a, j, p])
        end = self._move(frame, axons.points[image, a, j, p + 1])
        near = self.canvas.near((start + end) / 2, _FARTHEST).nonzero()[:, 0]
        image, a, j, p = image[near], a[near], j[near], p[near]
        sigma, half_width = self._widths(axons, image, a, j)
        blur = axons.blur[image, a, j, p]
        labelled = blur < _IN_FOCUS * sigma
        exists = axons.count > 0
        branch = exists.flatten(1).cumsum(1).view(exists.shape)
        return Segments(
            frame[near],
            start[near].float(),
            end[near].float(),
            ((axons.brightness[image, a, j, p] + axons.brightness[image, a, j, p + 1]) / 2).float(),
            (sigma * sigma + blur * blur).sqrt().float(),
            torch.where(labelled, half_width, 0.0).float(),
            exists.any(-1).cumsum(1)[image, a].int(),
            branch[image, a, j].int(),
        )

    def _widths(
        self, axons: Axons, image: torch.Tensor, a: torch.Tensor, j: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sigma of the profile with the PSF, and half-width of the mask."""
        thickness, psf = axons.thickness[image, a, j], self.psf[image]
        if self.true_width:
            sigma, half = thickness / _FWHM, (thickness / 2).clamp(min=_LEAST_HALF_WIDTH)
        else:
            sigma = axons.sigma[image, a, j]
            half = torch.minimum(axons.mask_distance[image, a, j], thickness + _CAP)
        return (sigma * sigma + psf * psf).sqrt(), half

    def stalks(self, axons: Axons, boutons: Boutons, shown: torch.Tensor) -> Segments:
        """Stalks of the terminal boutons: from the axon towards a point, bending to the bouton."""
        there = (shown > 0) & boutons.terminal[:, None]
        image, t, n = there.nonzero(as_tuple=True)
        frame = image * self.frames + t
        u = torch.linspace(0, 1, _STALK_PIECES + 1, dtype=torch.float64, device=frame.device)
        u = u[None, :, None]
        foot, control, centre = (
            self._move(frame, points[image, n])[:, None]
            for points in (boutons.foot, boutons.control, boutons.centre)
        )
        path = (1 - u) ** 2 * foot + 2 * u * (1 - u) * control + u**2 * centre
        at = (image, boutons.axon[image, n], boutons.branch[image, n])
        sigma, _ = self._widths(axons, *at)
        zero = torch.zeros(frame.numel() * _STALK_PIECES, device=frame.device)
        return Segments(
            frame.repeat_interleave(_STALK_PIECES),
            path[:, :-1].reshape(-1, 2).float(),
            path[:, 1:].reshape(-1, 2).float(),
            boutons.stalk[image, n].repeat_interleave(_STALK_PIECES).float(),
            (_STALK_WIDTH * sigma).repeat_interleave(_STALK_PIECES).float(),
            zero,
            zero.int(),
            zero.int(),
        )

    def spots(self, boutons: Boutons, shown: torch.Tensor) -> Spots:
        """Boutons where they show."""
        image, t, n = (shown > 0).nonzero(as_tuple=True)
        frame = image * self.frames + t
        centre = self._move(frame, boutons.centre[image, n])
        near = self.canvas.near(centre, _FARTHEST).nonzero()[:, 0]
        frame, image, t, n = frame[near], image[near], t[near], n[near]
        along = directions(boutons.heading[image, n])
        along = (self.matrices[frame, :2, :2] * along[:, None]).sum(-1)
        return Spots(
            frame,
            centre[near].float(),
            along.float(),
            boutons.radius[image, n].float(),
            boutons.elongation[image, n].float(),
            shown[image, t, n].float(),
            self.psf[image].float(),
            boutons.draws.select(image * boutons.there.shape[1] + n),
        )

    def bodies(self, cells: Cells) -> Bodies:
        """Cells; they move with the tissue."""
        frame, image, n = self._in_frames(cells.there)
        centres = self._move(frame, cells.centres[image, n])
        near = self.canvas.near(centres[:, 0], _FARTHEST).nonzero()[:, 0]
        frame, image, n = frame[near], image[near], n[near]
        return Bodies(
            frame,
            centres[near].float(),
            cells.radius[image, n].float(),
            cells.brightness[image, n].float(),
            cells.dark[image, n].float(),
            cells.draws.select(image * cells.there.shape[1] + n),
        )

    def _in_frames(self, where: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Frame, image and slots of what is there (B, ...), in each frame and sorted by it."""
        image, *slots = where.nonzero(as_tuple=True)
        if self.frames == 1:
            return image, image, *slots
        every = torch.arange(self.frames, device=image.device)
        frame = (image[:, None] * self.frames + every).flatten()
        order = torch.argsort(frame, stable=True)
        again = (slot.repeat_interleave(self.frames)[order] for slot in (image, *slots))
        return frame[order], *again

    def _move(self, frame: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Points (n, ..., 2) of the tissue as they lie in their frames."""
        if self.frames == 1:
            return points
        flat = points.reshape(len(points), -1, 2)
        return transform(self.matrices[frame][:, None], flat).view(points.shape)
