"""A drawn scene as flat lists of lines, spots and bodies, where each lies in each frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .axons import Axons, Ints
from .boutons import Boutons
from .cells import Cells
from .parameters import SurrogateParameters
from .pixels import pixel_keys
from .random import Floats
from .raster import Bodies, Segments, Spots
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
class Scene:
    """What there is in each frame of a batch.

    Attributes
    ----------
    branches, stalks, spots, bodies
        Sorted by frame; frames are numbered ``image * T + t``.
    noises
        float32 (B, 3): noise of axons, boutons and cells.
    """

    branches: Segments
    stalks: Segments
    spots: Spots
    bodies: Bodies
    noises: torch.Tensor


class Composer:
    """Lists what is drawn in each frame; frames are numbered ``image * T + t``.

    Parameters
    ----------
    parameters
        Of the images.
    matrices
        (B, T, 3, 3), see `series.Motion`.
    psf
        (B,): px.
    """

    def __init__(self, parameters: SurrogateParameters, matrices: Floats, psf: Floats) -> None:
        self.frames = matrices.shape[1]
        self.matrices = matrices.reshape(-1, 3, 3)
        self.psf = psf
        self.shape = (parameters.height, parameters.width)
        self.true_width = parameters.acquisition.true_width

    def branches(self, axons: Axons) -> Segments:
        """The steps of all branches, with labels from 1 in each image."""
        steps = np.maximum(axons.count.ravel() - 1, 0)
        slot = np.arange(len(steps)).repeat(steps)
        place = np.arange(len(slot)) + (
            axons.points.shape[3] * np.arange(len(steps)) - steps.cumsum() + steps
        ).repeat(steps)
        frame, _, slot, place = self._in_frames(
            slot // math.prod(axons.count.shape[1:]), slot, place
        )
        points = axons.points.reshape(-1, 2)
        start, end = self._move(frame, points[place]), self._move(frame, points[place + 1])
        if self.frames > 1:
            near = self._near(start)
            frame, slot, place = (value[near] for value in (frame, slot, place))
            start, end = start[near], end[near]
        sigma, half_width = (width.ravel()[slot] for width in self._widths(axons))
        blur, brightness = axons.blur.ravel()[place], axons.brightness.ravel()
        exists = axons.count > 0
        branch = exists.reshape(len(exists), -1).cumsum(1, dtype=np.int32).ravel()
        axon = exists.any(-1).cumsum(1, dtype=np.int32).ravel()
        return Segments(
            torch.from_numpy(frame),
            _tensor(start),
            _tensor(end),
            _tensor((brightness[place] + brightness[place + 1]) / 2),
            _tensor(np.sqrt(sigma * sigma + blur * blur)),
            _tensor(np.where(blur < _IN_FOCUS * sigma, half_width, 0)),
            torch.from_numpy(axon[slot // exists.shape[2]]),
            torch.from_numpy(branch[slot]),
        )

    def _widths(self, axons: Axons) -> tuple[Floats, Floats]:
        """Sigma of the profile with the PSF, and half-width of the mask, (B, A, J)."""
        if self.true_width:
            sigma = axons.thickness / _FWHM
            half = np.maximum(axons.thickness / 2, _LEAST_HALF_WIDTH)
        else:
            sigma = axons.sigma
            half = np.minimum(axons.mask_distance, axons.thickness + _CAP)
        return np.hypot(sigma, self.psf[:, None, None]), half

    def stalks(self, axons: Axons, boutons: Boutons, shown: Floats) -> Segments:
        """Stalks of the terminal boutons: from the axon towards a point, bending to the bouton."""
        image, t, n = np.nonzero((shown > 0) & boutons.terminal[:, None])
        frame = image * self.frames + t
        u = np.linspace(0, 1, _STALK_PIECES + 1)[:, None]
        foot, control, centre = (
            self._move(frame, points[image, n])[:, None]
            for points in (boutons.foot, boutons.control, boutons.centre)
        )
        path = (1 - u) ** 2 * foot + 2 * u * (1 - u) * control + u**2 * centre
        sigma, _ = self._widths(axons)
        sigma = sigma[image, boutons.axon[image, n], boutons.branch[image, n]]
        none = torch.zeros(len(frame) * _STALK_PIECES)
        return Segments(
            torch.from_numpy(frame.repeat(_STALK_PIECES)),
            _tensor(path[:, :-1].reshape(-1, 2)),
            _tensor(path[:, 1:].reshape(-1, 2)),
            _tensor(boutons.stalk[image, n].repeat(_STALK_PIECES)),
            _tensor((_STALK_WIDTH * sigma).repeat(_STALK_PIECES)),
            none,
            none.int(),
            none.int(),
        )

    def spots(self, boutons: Boutons, shown: Floats) -> Spots:
        """Boutons where they show."""
        image, t, n = np.nonzero(shown > 0)
        frame = image * self.frames + t
        along = directions(boutons.heading[image, n])
        along = (self.matrices[frame, :2, :2] * along[:, None]).sum(-1)
        return Spots(
            torch.from_numpy(frame),
            _tensor(self._move(frame, boutons.centre[image, n])),
            _tensor(along),
            _tensor(boutons.radius[image, n]),
            _tensor(boutons.elongation[image, n]),
            _tensor(shown[image, t, n]),
            _tensor(self.psf[image]),
            pixel_keys(boutons.draws.keys[image * boutons.there.shape[1] + n]),
        )

    def bodies(self, cells: Cells) -> Bodies:
        """Cells; they move with the tissue."""
        frame, image, n = self._in_frames(*np.nonzero(cells.there))
        centres = self._move(frame, cells.centres[image, n])
        near = self._near(centres[:, 0])
        frame, image, n = frame[near], image[near], n[near]
        return Bodies(
            torch.from_numpy(frame),
            _tensor(centres[near]),
            _tensor(cells.radius[image, n]),
            _tensor(cells.brightness[image, n]),
            _tensor(cells.dark[image, n]),
            pixel_keys(cells.draws.keys[image * cells.there.shape[1] + n]),
        )

    def _in_frames(self, image: Ints, *slots: Ints) -> tuple[Ints, ...]:
        """Frame, image and slots of each object in each frame, sorted by frame."""
        if self.frames == 1:
            return image, image, *slots
        frame = (image[:, None] * self.frames + np.arange(self.frames)).ravel()
        order = np.argsort(frame, kind="stable")
        again = (slot.repeat(self.frames)[order] for slot in (image, *slots))
        return frame[order], *again

    def _move(self, frame: Ints, points: Floats) -> Floats:
        """Points (n, ..., 2) of the tissue as they lie in their frames."""
        if self.frames == 1:
            return points
        flat = points.reshape(len(points), math.prod(points.shape[1:-1]), 2)
        return transform(self.matrices[frame][:, None], flat).reshape(points.shape)

    def _near(self, points: Floats) -> NDArray[np.int64]:
        """Which points (n, 2) are near enough to the image to show."""
        size = np.array(self.shape)
        return np.flatnonzero(((points > -_FARTHEST) & (points < size + _FARTHEST)).all(1))


def _tensor(values: Floats) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
