"""The pixels of a batch by compiled loops: on the CPU, on as many threads as torch may use.

What is said once of an object or an image comes from the functions of the torch path;
`drawing_kernels` and `exposure_kernels` do what is done for each pixel, as it is done there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from . import drawing_kernels, exposure_kernels, line_kernels
from .acquisition import GRAINS, HALVED, Microscope, poisson_table, smoother, squared_radius
from .compiling import Kernels
from .kernels import LANES
from .pixels import normal_table
from .raster import LIGHT, Bodies, Listed, Segments, Spots, check_number, gaussian_table
from .render import bouton_looks, cell_looks
from .scene import Scene

if TYPE_CHECKING:
    from .developing import Pixels

Objects = TypeVar("Objects", bound=Listed)

_PARTS = 4  # of a batch for each thread: they do not all take as long
_AT_ONCE = 1 << 24  # pixels that all threads together work on
_SERIAL = 1 << 11  # logarithms and roots that torch takes on one thread
_CPU = torch.device("cpu")


class Film:
    """A batch as the loops see it.

    Parameters
    ----------
    scene, microscope
        What there is, and how it is taken.
    pixels
        To be filled.
    loops
        That fill them.
    """

    def __init__(
        self, scene: Scene, microscope: Microscope, pixels: Pixels, loops: Kernels
    ) -> None:
        self.loops, self.parameters = loops, microscope.parameters
        self.optics = self.parameters.acquisition.additive, self.parameters.acquisition.true_width
        self.pixels = [made.numpy() for made in vars(pixels).values()]
        self.size: tuple[int, ...] = pixels.images.shape
        images, frames, height, width = self.size
        lists = (scene.branches, scene.stalks, scene.spots, scene.bodies)
        border = np.arange(images * frames + 1)
        self.ends = np.stack([np.searchsorted(one.frame.numpy(), border) for one in lists])
        check_number(int(np.diff(self.ends[0, ::frames]).max(initial=0)))
        self.objects = (
            _segments(scene.branches),
            _segments(scene.stalks),
            _spots(scene.spots, self.optics[1]),
            _bodies(scene.bodies),
        )
        self.noises = scene.noises.numpy()
        self.keys = microscope.frame_keys.numpy().view(np.uint64).reshape(images, frames)
        self.correlation: list[float] = microscope.correlation.tolist()
        self.views = _views(microscope, self.correlation, (height, width))
        self.left = microscope.left.astype(np.float32)
        sides = list(enumerate((height, width)))
        whole = slice(0, images)
        haze = [microscope.haze_profiles(whole, side, axis).numpy() for axis, side in sides]
        self.haze = np.concatenate(haze, axis=1)
        self.shade = np.concatenate([squared_radius(side, _CPU).numpy() for _, side in sides])
        self.gaussians, self.normals, self.counts = (
            table(_CPU).numpy() for table in (gaussian_table, normal_table, poisson_table)
        )

    def develop(self) -> None:
        """Fill the pixels."""
        images = self.size[0]
        threads = max(1, min(torch.get_num_threads(), images, _AT_ONCE // math.prod(self.size[1:])))
        size = -(-images // (_PARTS * threads)) if threads > 1 else images
        parts = [range(i, min(i + size, images)) for i in range(0, images, size)]
        if threads == 1:
            for part in parts:
                self._develop(part)
            return
        with ThreadPoolExecutor(threads, "axongen pixels") as pool:
            for _ in pool.map(self._develop, parts):
                pass

    def _develop(self, part: range) -> None:
        """Some images, one after the other in the same memory."""
        frames, height, width = self.size[1:]
        light, clean = np.empty((2, frames, height, width), dtype=np.int32)
        noisy, plain = light.view(np.float32), clean.view(np.float32)
        nearest = np.empty((height, width + LANES), dtype=np.int32)
        touched = np.empty((height, width // LANES + 1), dtype=bool)
        top, negative = float(self.parameters.max_intensity), self.parameters.negative
        for i in part:
            images, clean_images, *truth = (made[i] for made in self.pixels)
            self.loops.draw(
                *self.objects,
                self.ends[:, i * frames : (i + 1) * frames + 1],
                self.keys[i],
                self.noises[i],
                *self.optics,
                self.gaussians,
                self.normals,
                nearest,
                touched,
                light,
                clean,
                *truth,
            )
            factor, more = self.loops.expose(
                light,
                clean,
                self.views,
                i,
                self.keys[i],
                self.left[i],
                self.haze[i],
                self.shade,
                *_taps(height, width, self.correlation[i]),
                self.normals,
                self.counts,
                noisy,
                plain,
            )
            for values, out in ((noisy, images), (plain, clean_images)):
                self.loops.digitise(values, factor, more, top, negative, out)


def _segments(lines: Segments) -> NDArray[Any]:
    return _records(
        line_kernels.SEGMENT,
        len(lines),
        start_row=lines.start[:, 0],
        start_column=lines.start[:, 1],
        end_row=lines.end[:, 0],
        end_column=lines.end[:, 1],
        brightness=lines.brightness,
        sigma=lines.sigma,
        half_width=lines.half_width,
        axon=lines.axon,
        branch=lines.branch,
    )


def _spots(spots: Spots, true_width: bool) -> NDArray[Any]:
    wide, long, peak, reach = _looks(lambda some: bouton_looks(some, true_width), spots)
    return _records(
        drawing_kernels.SPOT,
        len(spots),
        key=spots.keys,
        row=spots.centre[:, 0],
        column=spots.centre[:, 1],
        down=spots.along[:, 0],
        right=spots.along[:, 1],
        radius=spots.radius,
        elongation=spots.elongation,
        wide=wide,
        long=long,
        peak=peak,
        reach=reach,
    )


def _bodies(bodies: Bodies) -> NDArray[Any]:
    sigma, reach = _looks(cell_looks, bodies)
    return _records(
        drawing_kernels.BODY,
        len(bodies),
        key=bodies.keys,
        lobes=bodies.centres,
        radius=bodies.radius,
        sigma=sigma,
        brightness=bodies.brightness,
        dark=bodies.dark,
        reach=reach,
    )


def _looks(
    look: Callable[[Objects], tuple[torch.Tensor, ...]], objects: Objects
) -> list[torch.Tensor]:
    """What a function says of the objects, some at a time.

    Of many at once torch would share the work among threads of its own. Those wait busily for more
    of it, for longer than all this takes, on the cores that the loops are about to run on.
    """
    begins = range(0, max(len(objects), 1), _SERIAL)
    parts = [look(objects.select(slice(begin, begin + _SERIAL))) for begin in begins]
    columns = ([part.numpy() for part in column] for column in zip(*parts, strict=True))
    return [torch.from_numpy(np.concatenate(column)) for column in columns]


def _records(kind: np.dtype[Any], size: int, **columns: torch.Tensor) -> NDArray[Any]:
    made = np.empty(size, kind)
    for name, values in columns.items():
        made[name] = values.numpy().view(np.uint64) if name == "key" else values.numpy()
    return made


def _views(
    microscope: Microscope, correlation: list[float], shape: tuple[int, int]
) -> NDArray[Any]:
    p = microscope.parameters
    views = np.zeros(len(correlation), exposure_kernels.VIEW)
    for name in views.dtype.names or ():
        if name in microscope.values:
            views[name] = microscope.values[name]
    views["scale"] = microscope.values["signal"].astype(np.float32) / np.float32(LIGHT)
    for i, sigma in enumerate(correlation):
        down, across = (smoother(side, sigma, _CPU).spread for side in shape)
        views["unit"][i] = HALVED / (GRAINS * down * across)
    views["top"], views["normalise"] = p.max_intensity, p.acquisition.normalise
    return views


@functools.lru_cache(maxsize=64)
def _taps(
    height: int, width: int, sigma: float
) -> tuple[NDArray[np.float32], int, tuple[int, int]]:
    """Weights of the background for `exposure_kernels.expose`, their first, and the grid's size."""
    down, across = (smoother(side, sigma, _CPU) for side in (height, width))
    longest = max(down, across, key=lambda one: len(one.weights))
    weights = longest.weights[: longest.pitch].numpy()
    there = np.flatnonzero(weights.any(axis=0))
    first, number = int(there[0]), int(there[-1] - there[0] + 1)
    taps = np.zeros((-(-number // 4) * 4, longest.pitch), dtype=np.float32)
    taps[:number, : len(weights)] = weights[:, first : first + number].T
    return taps, first, (down.weights.shape[1], across.weights.shape[1])
