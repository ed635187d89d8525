"""Make surrogate images: parameters and a seed to images and their truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Progress, Steps

from .acquisition import expose
from .axons import Axons, draw_axons
from .boutons import Boutons, draw_boutons
from .cells import draw_cells
from .distributions import Group
from .parameters import SurrogateParameters
from .random import Draws, image_keys
from .raster import Canvas
from .render import Renderer
from .scene import Composer
from .series import at_rest, bouton_courses, draw_motion, transform
from .truth import BOUTON, TRACK, Centreline, Surrogates

_BATCH_PIXELS = 1 << 19  # what a CPU draws at once
_BATCH_PIXELS_GPU = 1 << 24
_TEXTURE = 1 / (2 * math.sqrt(math.pi))  # of white noise behind a Gaussian of sigma 1


@dataclass
class Batch:
    """Images as they come off the device, all (B, H, W), of series (B, T, H, W).

    Attributes
    ----------
    images, clean_images
        uint8, or int32 where the greatest grey value is above 255.
    axon_labels, branch_labels
        int32; above 0 in the axon mask.
    bouton_masks
        bool.
    axons, boutons
        The scene.
    matrices
        float64 (B, T, 3, 3): scene to frame.
    shown
        float64 (B, T, N): brightness of each bouton in each frame, 0 where it is not there.
    missing
        Axons and branches, boutons and cells for which no room was found, int64 (B, 3).
    """

    images: torch.Tensor
    clean_images: torch.Tensor
    axon_labels: torch.Tensor
    branch_labels: torch.Tensor
    bouton_masks: torch.Tensor
    axons: Axons
    boutons: Boutons
    matrices: torch.Tensor
    shown: torch.Tensor
    missing: torch.Tensor


@torch.no_grad()
def render_batch(
    parameters: SurrogateParameters,
    seed: int,
    indices: range,
    device: torch.device,
    series: bool = False,
) -> Batch:
    """Make some images at once.

    Parameters
    ----------
    parameters
        Of the images.
    seed, indices
        Which images: each depends on the seed and its own index alone.
    device
        Where; the scene is drawn on the CPU where the device has no float64.
    series
        Whether each image is a series of frames.
    """
    home = torch.device("cpu") if device.type == "mps" else device
    draws = Draws(image_keys(seed, indices, home))
    p, shape = parameters, (parameters.height, parameters.width)
    motion = draw_motion(draws, p.series, shape) if series else at_rest(draws, shape)
    axons = draw_axons(draws, p.axons, motion.field)
    boutons = draw_boutons(draws, p.boutons, axons, lambda at: motion.visible(at, shape))
    cells = draw_cells(draws, p.cells, axons, boutons, motion.field)
    if series:
        shown = bouton_courses(draws, p.series, p.boutons, boutons)
    else:
        shown = torch.where(boutons.there, boutons.brightness, 0.0)[:, None]

    images, frames = shown.shape[:2]
    canvas = Canvas(images * frames, *shape, device)
    psf = draws.parameter(p.acquisition, "psf_sigma")
    blurred = (_TEXTURE / psf.clamp(min=1e-6)).clamp(max=1)

    def of_frames(group: Group, name: str) -> torch.Tensor:
        return (draws.parameter(group, name) * blurred).repeat_interleave(frames).float().to(device)

    frame_draws = draws.children("frame", frames).to(device)
    renderer = Renderer(
        canvas,
        p,
        frame_draws,
        of_frames(p.axons, "noise"),
        of_frames(p.boutons, "noise"),
        of_frames(p.cells, "noise"),
    )
    composer = Composer(p, motion.matrices, psf, canvas)
    renderer.draw_branches(composer.branches(axons))
    renderer.draw_branches(composer.stalks(axons, boutons, shown), labelled=False)
    renderer.draw_boutons(composer.spots(boutons, shown))
    renderer.draw_cells(composer.bodies(cells))
    drawn = renderer.finished()

    size = (images, frames, *shape)
    grey = expose(
        drawn.light.view(size), drawn.clean_light.view(size), p, draws, frame_draws, motion.left
    )
    kind = torch.uint8 if p.max_intensity <= 255 else torch.int32
    final = size if series else (images, *shape)
    return Batch(
        grey.image.to(kind).view(final),
        grey.clean.to(kind).view(final),
        drawn.axon_labels.view(final),
        drawn.branch_labels.view(final),
        drawn.boutons.view(final),
        axons,
        boutons,
        motion.matrices,
        shown,
        torch.stack((axons.missing, boutons.missing, cells.missing), dim=1),
    )


def batch_size(parameters: SurrogateParameters, device: torch.device, series: bool) -> int:
    """Images to make at once."""
    pixels = _BATCH_PIXELS if device.type == "cpu" else _BATCH_PIXELS_GPU
    frames = parameters.series.frames if series else 1
    return max(1, min(256, pixels // (parameters.width * parameters.height * frames)))


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
    missing = torch.zeros(3, dtype=torch.int64)
    for begin in range(first, first + count, size):
        indices = range(begin, min(begin + size, first + count))
        batch = render_batch(parameters, seed, indices, chosen, series)
        parts.append(_to_surrogates(batch, parameters, seed, indices, series))
        missing += batch.missing.sum(0).cpu()
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
    axon_labels = batch.axon_labels.cpu().numpy()
    kind = np.uint8 if parameters.max_intensity <= 255 else np.uint16
    return Surrogates(
        images=batch.images.cpu().numpy().astype(kind, copy=False),
        clean_images=batch.clean_images.cpu().numpy().astype(kind, copy=False),
        axon_masks=(axon_labels > 0).view(np.uint8) * np.uint8(255),
        bouton_masks=batch.bouton_masks.cpu().numpy().view(np.uint8) * np.uint8(255),
        axon_labels=axon_labels,
        branch_labels=batch.branch_labels.cpu().numpy(),
        centrelines=_centrelines(batch.axons, indices),
        boutons=_boutons(batch, indices),
        tracks=_tracks(batch, indices) if series else np.zeros(0, TRACK),
        transforms=batch.matrices.cpu().numpy() if series else None,
        parameters=parameters,
        seed=seed,
        first=indices.start,
    )


def _labels(axons: Axons) -> tuple[np.ndarray, np.ndarray]:
    """Labels of axons (B, A) and branches (B, A, J)."""
    exists = (axons.count > 0).cpu().numpy()
    branches = exists.reshape(len(exists), -1).cumsum(1).reshape(exists.shape)
    return exists.any(2).cumsum(1), branches


def _centrelines(axons: Axons, indices: range) -> list[Centreline]:
    axon_label, branch_label = _labels(axons)
    count, parent = axons.count.cpu().numpy(), axons.parent.cpu().numpy()
    points = axons.points.float().cpu().numpy()
    brightness = axons.brightness.float().cpu().numpy()
    return [
        Centreline(
            image=indices[b],
            axon=int(axon_label[b, a]),
            branch=int(branch_label[b, a, j]),
            parent=int(branch_label[b, a, parent[b, a, j]]) if j else 0,
            points=points[b, a, j, : count[b, a, j]].copy(),
            brightness=brightness[b, a, j, : count[b, a, j]].copy(),
        )
        for b, a, j in np.argwhere(count > 0).tolist()
    ]


def _boutons(batch: Batch, indices: range) -> np.ndarray:
    boutons = batch.boutons
    there = boutons.there.cpu().numpy()
    image, slot = np.nonzero(there)
    axon_label, branch_label = _labels(batch.axons)
    axon, branch = (value.cpu().numpy()[image, slot] for value in (boutons.axon, boutons.branch))
    shown = (batch.shown > 0).cpu().numpy()[image, :, slot]
    table = np.zeros(len(image), BOUTON)
    table["image"] = indices.start + image
    table["bouton"] = there.cumsum(1)[image, slot]
    table["axon"] = axon_label[image, axon]
    table["branch"] = branch_label[image, axon, branch]
    table["terminal"] = boutons.terminal.cpu().numpy()[image, slot]
    table["row"], table["column"] = boutons.centre.cpu().numpy()[image, slot].T
    table["radius"] = boutons.radius.cpu().numpy()[image, slot]
    table["amplitude"] = boutons.brightness.cpu().numpy()[image, slot]
    if len(image):
        table["first_frame"] = shown.argmax(1)
        table["last_frame"] = shown.shape[1] - 1 - shown[:, ::-1].argmax(1)
    return table


def _tracks(batch: Batch, indices: range) -> np.ndarray:
    image, frame, slot = np.nonzero((batch.shown > 0).cpu().numpy())
    table = np.zeros(len(image), TRACK)
    moved = transform(batch.matrices[image, frame], batch.boutons.centre[image, slot])
    table["image"], table["frame"] = indices.start + image, frame
    table["bouton"] = batch.boutons.there.cumsum(1).cpu().numpy()[image, slot]
    table["row"], table["column"] = moved.cpu().numpy().T
    table["amplitude"] = batch.shown.cpu().numpy()[image, frame, slot]
    return table


def _joined(parts: list[Surrogates]) -> Surrogates:
    if len(parts) == 1:
        return parts[0]
    one = parts[0]

    def together(name: str) -> np.ndarray:
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
            yield {
                "images": made.images.float() / self.parameters.max_intensity,
                "clean_images": made.clean_images.float() / self.parameters.max_intensity,
                "axon_masks": made.axon_labels > 0,
                "bouton_masks": made.bouton_masks,
            }
            number += workers
