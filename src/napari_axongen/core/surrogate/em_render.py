"""Grey values of an electron micrograph, from the fibres that lie in it.

Grey levels and textures follow real micrographs of white matter: transmission (mouse corpus
callosum, 4.93 nm a pixel) and scanning (rat spinal cord, 0.1 um a pixel). Lengths are given in um
and drawn at any pixel size.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_axongen.core.files import AXON, BACKGROUND, MYELIN
from napari_axongen.core.regions import find_runs, moments, strips

from .em_layout import outline_pixels, random_outline

Grey: TypeAlias = NDArray[np.float32]


def noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Grey:
    """Gaussian noise of mean 0 and standard deviation 1, smooth over ``sigma`` pixels."""
    # Smooth noise is drawn on a coarser grid: it is as smooth, at a fraction of the work.
    step = max(1, int(sigma / 3))
    coarse = (shape[0] // step + 2, shape[1] // step + 2)
    field = rng.standard_normal(coarse, np.float32)
    if sigma > 0.3:
        field = ndimage.gaussian_filter(field, sigma / step, mode="wrap")
    if step > 1:
        field = ndimage.zoom(field, step, order=1)
    field = field[: shape[0], : shape[1]]
    field = field - field.mean()
    spread = float(field.std())
    return np.asarray(field / spread if spread > 0 else field, np.float32)


def render_tem(
    rng: np.random.Generator,
    classes: NDArray[np.uint8],
    labels: NDArray[np.int32],
    pixel_size: float,
) -> NDArray[np.uint8]:
    """Render transmission contrast: dark myelin, light axons, profiles parted by membranes.

    Parameters
    ----------
    rng
        All randomness comes from it.
    classes, labels
        (Y, X), as of `em_layout.em_fibres`.
    pixel_size
        um.

    Returns
    -------
    (Y, X) uint8
    """
    shape = (classes.shape[0], classes.shape[1])
    nm = 1e-3 / pixel_size  # pixels in a nanometre
    # Light cytoplasm with filaments: strands darker than what lies between them.
    strands = np.clip(noise(rng, shape, 6 * nm) + 0.4 * noise(rng, shape, 40 * nm), 0, 3)
    cytoplasm = 226 - 52 * strands
    profiles, membrane = _profiles(rng, classes, diameter=0.24, pixel_size=pixel_size)
    grey = np.where(classes == BACKGROUND, cytoplasm + profiles - 10, cytoplasm)
    grey += _per_fibre(rng, labels, 8.0)
    _draw_mitochondria(rng, grey, classes, labels, pixel_size)
    grey -= membrane
    myelin = classes == MYELIN
    depth = ndimage.distance_transform_edt(myelin).astype(np.float32)
    lamellae = np.sin(2 * np.pi * depth / max(12 * nm, 2.2))
    sheath = 62 + 7 * lamellae + 9 * noise(rng, shape, 12 * nm) + 10 * noise(rng, shape, 90 * nm)
    grey[myelin] = (sheath + _per_fibre(rng, labels, 8.0))[myelin]
    grey += 7 * noise(rng, shape, max(shape) / 5)
    grey = ndimage.gaussian_filter(grey, min(max(4.5 * nm, 0.6), 1.5))
    grey += 8 * noise(rng, shape, 0.5)
    return _as_uint8(grey)


def render_sem(
    rng: np.random.Generator,
    classes: NDArray[np.uint8],
    labels: NDArray[np.int32],
    pixel_size: float,
) -> NDArray[np.uint8]:
    """Render scanning (back-scatter) contrast: bright myelin, dark axons, grey neuropil.

    Parameters and result as of `render_tem`.
    """
    shape = (classes.shape[0], classes.shape[1])
    um = 1 / pixel_size  # pixels in a micrometre
    neuropil = 100 + 26 * noise(rng, shape, 0.15 * um) + 12 * noise(rng, shape, 0.8 * um)
    axon = 66 + 8 * noise(rng, shape, 0.3 * um) + _per_fibre(rng, labels, 9.0)
    sheath = 186 + 13 * noise(rng, shape, 0.13 * um) + _per_fibre(rng, labels, 9.0)
    grey = np.select([classes == AXON, classes == MYELIN], [axon, sheath], neuropil)
    grey = ndimage.gaussian_filter(grey.astype(np.float32), min(max(0.08 * um, 0.6), 1.5))
    grey += 6 * noise(rng, shape, max(shape) / 4)
    grey += 11 * noise(rng, shape, 0.5)
    return _as_uint8(grey)


def _as_uint8(grey: Grey) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _per_fibre(rng: np.random.Generator, labels: NDArray[np.int32], spread: float) -> Grey:
    """One random offset a fibre, 0 between them."""
    offsets = rng.normal(0, spread, int(labels.max(initial=0)) + 1).astype(np.float32)
    offsets[0] = 0
    return np.asarray(offsets[labels])


def _profiles(
    rng: np.random.Generator, classes: NDArray[np.uint8], diameter: float, pixel_size: float
) -> tuple[Grey, Grey]:
    """Fill the space between fibres with unmyelinated profiles.

    They are the Voronoi cells of random points, in coordinates bent by smooth noise.

    Returns
    -------
    offset
        Grey level of each profile, less the mean one.
    membrane
        How much darker the membranes between the profiles are.
    """
    shape = (classes.shape[0], classes.shape[1])
    cell = diameter / pixel_size
    width = max(0.011 / pixel_size, 0.8)
    outer = np.array(shape) + 2 * cell
    seeds = rng.uniform(0, 1, (max(8, int(1.4 * outer.prod() / cell**2)), 2)) * outer - cell
    levels = rng.normal(0, 11, len(seeds)).astype(np.float32)
    dark = (rng.random(len(seeds)) < 0.06).astype(np.float32)
    tree = cKDTree(seeds)
    bend = [0.12 * cell * noise(rng, shape, cell / 2) for _ in "yx"]
    offset, membrane = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for rows in strips(shape):
        y, x = np.nonzero(classes[rows] == BACKGROUND)
        y += rows.start
        distance, nearest = tree.query(np.stack([y + bend[0][y, x], x + bend[1][y, x]], 1), k=2)
        apart = np.linalg.norm(seeds[nearest[:, 0]] - seeds[nearest[:, 1]], axis=1)
        to_wall = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * np.maximum(apart, 1e-6))
        offset[y, x] = levels[nearest[:, 0]] - 75 * dark[nearest[:, 0]]
        membrane[y, x] = 120 * np.exp(-((to_wall / width) ** 2))
    return offset, membrane


def _draw_mitochondria(
    rng: np.random.Generator,
    grey: Grey,
    classes: NDArray[np.uint8],
    labels: NDArray[np.int32],
    pixel_size: float,
) -> None:
    """Draw mitochondria into some axons, in place: grey, with a dark membrane and cristae."""
    axons = find_runs(labels, classes, AXON)
    centre = moments(axons)
    shape = (classes.shape[0], classes.shape[1])
    for index in np.flatnonzero(rng.random(len(axons.ids)) < 0.4):
        room = centre.minor[index] / 2
        radius = min(float(rng.uniform(0.05, 0.1)) / pixel_size, 0.4 * room)
        if radius < 2:
            continue
        turn, off = rng.uniform(0, 2 * np.pi, 2)
        y = centre.y[index] + (room - 1.6 * radius) * np.sin(off) * 0.8
        x = centre.x[index] + (room - 1.6 * radius) * np.cos(off) * 0.8
        outline = random_outline(rng, radius, 0.12)
        wall = 0.012 / pixel_size
        for border, level in ((wall / 2, 78.0), (-wall / 2, 128.0)):
            rows, columns = outline_pixels(y, x, np.maximum(outline + border, 0.5), shape)
            inside = (labels[rows, columns] == axons.ids[index]) & (classes[rows, columns] == AXON)
            rows, columns = rows[inside], columns[inside]
            along = (rows - y) * np.sin(turn) + (columns - x) * np.cos(turn)
            across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
            cristae = np.sin(4 * np.pi * (along / radius + 0.25 * np.sin(3 * across / radius)))
            grey[rows, columns] = level + (26 * cristae if border < 0 else 0)
