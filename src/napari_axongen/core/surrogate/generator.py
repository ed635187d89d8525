"""Make surrogate images: parameters and a seed to images and their truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Progress, Steps

from . import compiling
from .acquisition import Microscope
from .axons import Axons, Ints, draw_axons
from .boutons import Boutons, draw_boutons
from .cells import draw_cells
from .developing import Pixels, develop
from .parameters import SurrogateParameters
from .pixels import pixel_keys
from .random import Draws, Floats, image_keys
from .scene import Composer, Scene
from .series import at_rest, bouton_courses, draw_motion, transform
from .truth import BOUTON, TRACK, Centreline, Surrogates

_BATCH = 64  # images whose scenes are drawn at once
_BATCH_PIXELS = 1 << 22
_BATCH_PIXELS_GPU = 1 << 24
_TEXTURE = 1 / (2 * math.sqrt(math.pi))  # of white noise behind a Gaussian of sigma 1


@dataclass
class Batch(Pixels):
    """Images as they come off the device; T is 1 unless it is a series.

    Attributes
    ----------
    axons, boutons
        The scene.
    matrices
        (B, T, 3, 3): scene to frame.
    shown
        (B, T, N): brightness of each bouton in each frame, 0 where it is not there.
    missing
        (3,): axons and branches, boutons and cells for which no room was found.
    """

    axons: Axons
    boutons: Boutons
    matrices: Floats
    shown: Floats
    missing: Ints


def render_batch(
    parameters: SurrogateParameters,
    seed: int,
    indices: range,
    device: torch.device,
    series: bool = False,
) -> Batch:
    """Make some images at once: first the scenes of all, then the pixels.

    Parameters
    ----------
    parameters
        Of the images.
    seed, indices
        Which images: each depends on the seed and its own index alone.
    device
        Where the pixels are made.
    series
        Whether each image is a series of frames.
    """
    if device.type == "cpu":
        frames = parameters.series.frames if series else 1
        area = parameters.width * parameters.height
        compiling.expect(len(indices), len(indices) * frames * area)
    draws = Draws(image_keys(seed, indices))
    p, shape = parameters, (parameters.height, parameters.width)
    motion = draw_motion(draws, p.series, shape) if series else at_rest(draws, shape)
    axons = draw_axons(draws, p.axons, motion.field)
    boutons = draw_boutons(draws, p.boutons, axons, lambda at: motion.visible(at, shape))
    cells = draw_cells(draws, p.cells, axons, boutons, motion.field)
    if series:
        shown = bouton_courses(draws, p.series, p.boutons, boutons)
    else:
        shown = np.where(boutons.there, boutons.brightness, 0.0)[:, None]

    psf = draws.parameter(p.acquisition, "psf_sigma")
    composer = Composer(p, motion.matrices, psf)
    # what the optics leave of white noise
    blurred = np.minimum(_TEXTURE / np.maximum(psf, 1e-6), 1)
    noises = [draws.parameter(group, "noise") * blurred for group in (p.axons, p.boutons, p.cells)]
    scene = Scene(
        composer.branches(axons),
        composer.stalks(axons, boutons, shown),
        composer.spots(boutons, shown),
        composer.bodies(cells),
        torch.from_numpy(np.stack(noises, axis=1).astype(np.float32)),
    )
    frame_keys = pixel_keys(draws.children("frame", shown.shape[1]).keys).to(device)
    microscope = Microscope(p, draws, frame_keys, motion.left, device)
    pixels = develop(scene, microscope)
    missing = np.array([part.missing.sum() for part in (axons, boutons, cells)])
    return Batch(
        **vars(pixels),
        axons=axons,
        boutons=boutons,
        matrices=motion.matrices,
        shown=shown,
        missing=missing,
    )


def batch_size(parameters: SurrogateParameters, device: torch.device, series: bool) -> int:
    """Images to make at once."""
    pixels = _BATCH_PIXELS if device.type == "cpu" else _BATCH_PIXELS_GPU
    frames = parameters.series.frames if series else 1
    return max(
        1,
        min(
            _BATCH if device.type == "cpu" else 4 * _BATCH,
            pixels // (parameters.width * parameters.height * frames),
        ),
    )


def generate_steps(
    parameters: SurrogateParameters,
    count: int = 1,
    seed: int = 0,
    first: int = 0,
    device: str = "auto",
    series: bool = False,
) -> Steps[Surrogates]:
    """Make images and their truth.

    Parameters
    ----------
    parameters
        Of the images.
    count, first
        How many, and the index of the first. An image depends on the seed and its index alone.
    seed
        Any whole number of at least 0.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``. Labels are the same on all of them.
    series
        Whether each image is a series of frames.

    Returns
    -------
    Images, masks, labels, centrelines and boutons.

    Raises
    ------
    InputError
        A negative seed, count or index, or a device that is not there.
    """
    for name, value, least in (("seed", seed, 0), ("count", count, 1), ("first", first, 0)):
        if value < least:
            raise InputError(
                f"The {name} is {value}; it must be a whole number of at least {least}."
            )
    chosen = choose_device(device).torch
    size = batch_size(parameters, chosen, series)
    parts: list[Surrogates] = []
    missing = np.zeros(3, dtype=np.int64)
    for begin in range(first, first + count, size):
        indices = range(begin, min(begin + size, first + count))
        batch = render_batch(parameters, seed, indices, chosen, series)
        parts.append(_to_surrogates(batch, parameters, seed, indices, series))
        missing += batch.missing
        yield Progress(indices.stop - first, count, "images")
    for number, what in zip(
        missing.tolist(), ("axons and branches", "boutons", "cells"), strict=True
    ):
        if number:
            yield Notice(f"{number} {what} found no room and were left out; the field is crowded.")
    return _joined(parts)


# ------------------------------------------------------------ truth


def _to_surrogates(
    batch: Batch, parameters: SurrogateParameters, seed: int, indices: range, series: bool
) -> Surrogates:
    kind = np.uint8 if parameters.max_intensity <= 255 else np.uint16

    def array(values: torch.Tensor) -> NDArray[Any]:
        return (values if series else values[:, 0]).cpu().numpy()

    return Surrogates(
        images=array(batch.images).astype(kind, copy=False),
        clean_images=array(batch.clean_images).astype(kind, copy=False),
        axon_masks=array(batch.axon_masks),
        bouton_masks=array(batch.bouton_masks),
        axon_labels=array(batch.axon_labels),
        branch_labels=array(batch.branch_labels),
        centrelines=_centrelines(batch.axons, indices),
        boutons=_boutons(batch, indices),
        tracks=_tracks(batch, indices) if series else np.zeros(0, TRACK),
        transforms=batch.matrices.copy() if series else None,
        parameters=parameters,
        seed=seed,
        first=indices.start,
    )


def _labels(axons: Axons) -> tuple[Ints, Ints]:
    """Labels of axons (B, A) and branches (B, A, J)."""
    exists = axons.count > 0
    branches = exists.reshape(len(exists), -1).cumsum(1).reshape(exists.shape)
    return exists.any(2).cumsum(1), branches


def _centrelines(axons: Axons, indices: range) -> list[Centreline]:
    axon_label, branch_label = (labels.tolist() for labels in _labels(axons))
    count, parent = axons.count.tolist(), axons.parent.tolist()
    points, brightness = axons.points.astype(np.float32), axons.brightness.astype(np.float32)
    return [
        Centreline(
            image=indices[b],
            axon=axon_label[b][a],
            branch=branch_label[b][a][j],
            parent=branch_label[b][a][parent[b][a][j]] if j else 0,
            # copies, so that who keeps a line does not keep those of all images
            points=points[b, a, j, : count[b][a][j]].copy(),
            brightness=brightness[b, a, j, : count[b][a][j]].copy(),
        )
        for b, a, j in np.argwhere(axons.count > 0).tolist()
    ]


def _boutons(batch: Batch, indices: range) -> NDArray[Any]:
    boutons = batch.boutons
    image, slot = np.nonzero(boutons.there)
    axon_label, branch_label = _labels(batch.axons)
    axon, branch = boutons.axon[image, slot], boutons.branch[image, slot]
    shown = batch.shown[image, :, slot] > 0
    table = np.zeros(len(image), BOUTON)
    table["image"] = indices.start + image
    table["bouton"] = boutons.there.cumsum(1)[image, slot]
    table["axon"] = axon_label[image, axon]
    table["branch"] = branch_label[image, axon, branch]
    table["terminal"] = boutons.terminal[image, slot]
    table["row"], table["column"] = boutons.centre[image, slot].T
    table["radius"] = boutons.radius[image, slot]
    table["amplitude"] = boutons.brightness[image, slot]
    table["first_frame"] = shown.argmax(1)
    table["last_frame"] = shown.shape[1] - 1 - shown[:, ::-1].argmax(1)
    return table


def _tracks(batch: Batch, indices: range) -> NDArray[Any]:
    image, frame, slot = np.nonzero(batch.shown > 0)
    table = np.zeros(len(image), TRACK)
    moved = transform(batch.matrices[image, frame], batch.boutons.centre[image, slot])
    table["image"], table["frame"] = indices.start + image, frame
    table["bouton"] = batch.boutons.there.cumsum(1)[image, slot]
    table["row"], table["column"] = moved.T
    table["amplitude"] = batch.shown[image, frame, slot]
    return table


def _joined(parts: list[Surrogates]) -> Surrogates:
    if len(parts) == 1:
        return parts[0]
    one = parts[0]

    def together(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Surrogates(
        images=together("images"),
        clean_images=together("clean_images"),
        axon_masks=together("axon_masks"),
        bouton_masks=together("bouton_masks"),
        axon_labels=together("axon_labels"),
        branch_labels=together("branch_labels"),
        centrelines=[line for part in parts for line in part.centrelines],
        boutons=together("boutons"),
        tracks=together("tracks"),
        transforms=None if one.transforms is None else together("transforms"),
        parameters=one.parameters,
        seed=one.seed,
        first=one.first,
    )


# ------------------------------------------------------------ streams


class SurrogateStream(IterableDataset[dict[str, torch.Tensor]]):
    """Endless batches for training, made on the device as they are asked for.

    Hand it to a `torch.utils.data.DataLoader` with ``batch_size=None``; each worker then makes
    images of its own.

    Parameters
    ----------
    parameters, seed, series
        As of `generate_steps`.
    batch
        Images at once.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Yields
    ------
    ``images``, ``clean_images`` float32 in 0 to 1 and ``axon_masks``, ``bouton_masks`` bool, all
    (B, H, W) or (B, T, H, W), on the device.
    """

    def __init__(
        self,
        parameters: SurrogateParameters,
        seed: int = 0,
        batch: int = 16,
        device: str = "auto",
        series: bool = False,
    ) -> None:
        super().__init__()
        self.parameters, self.seed, self.batch, self.series = parameters, seed, batch, series
        self.device = choose_device(device).torch

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            indices = range(number * self.batch, (number + 1) * self.batch)
            made = render_batch(self.parameters, self.seed, indices, self.device, self.series)
            values = {
                "images": made.images.float() / self.parameters.max_intensity,
                "clean_images": made.clean_images.float() / self.parameters.max_intensity,
                "axon_masks": made.axon_masks > 0,
                "bouton_masks": made.bouton_masks > 0,
            }
            yield values if self.series else {k: value[:, 0] for k, value in values.items()}
            number += workers
