"""What crops are drawn from: images that are there, and images that are made as they are needed."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_axongen.core.datasets.sources import LabelledImage, make_surrogates
from napari_axongen.core.image import SPARSE
from napari_axongen.core.surrogate.presets import load_parameters

from .planes import Plane, plane_at
from .recipe import SurrogateData

_KEPT = 1 << 29  # bytes of surrogates that are kept to be drawn from again

PIXEL_BYTES = 8
"""Kept of a pixel: its grey value and its class."""


def surrogates(data: SurrogateData, classes: Sequence[str], indices: range) -> list[LabelledImage]:
    """Some of the surrogates of a recipe."""
    return make_surrogates(
        data.parameters,
        len(indices),
        data.seed,
        classes,
        indices.start,
        data.visible,
        data.width,
    )


class SurrogatePool:
    """Surrogates by number, each made when it is first asked for.

    Parameters
    ----------
    data
        Which.
    classes
        Of their truth.
    """

    def __init__(self, data: SurrogateData, classes: Sequence[str]) -> None:
        self.data, self.classes = data, classes
        self.parameters = load_parameters(data.parameters)
        self.votes = np.full(data.count, math.sqrt(self.parameters.width * self.parameters.height))
        self._kept: OrderedDict[int, Plane] = OrderedDict()
        self.size = PIXEL_BYTES * self.parameters.width * self.parameters.height
        self._room = max(1, _KEPT // self.size)

    def __getitem__(self, index: int) -> Plane:
        plane = self._kept.pop(index, None)
        if plane is None:
            (image,) = surrogates(self.data, self.classes, range(index, index + 1))
            plane = plane_at(image, 1.0, SPARSE)
        self._kept[index] = plane
        if len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return plane

    def made(self, draws: float) -> float:
        """How many images so many draws make: one that is no longer kept is made again."""
        count, room = self.data.count, self._room
        full = math.inf if room >= count else -count * math.log1p(-room / count)
        early = min(draws, full)
        return -count * math.expm1(-early / count) + (draws - early) * (1 - room / count)

    def kept(self, draws: float) -> int:
        """Bytes of the images that are kept after so many draws."""
        return self.size * round(min(self.made(draws), self._room))


class Mixture:
    """Images, and perhaps surrogates, from which one is drawn at a time.

    An image is drawn by a chance between one vote an image and one vote a pixel.

    Parameters
    ----------
    planes
        Images that are there; those that were made come last.
    made
        How many of them were made.
    pool
        Surrogates besides, which are made as well.
    share
        Part of the draws that gives what was made; None: by the votes.
    """

    def __init__(
        self,
        planes: Sequence[Plane],
        made: int = 0,
        pool: SurrogatePool | None = None,
        share: float | None = None,
    ) -> None:
        self.planes, self.pool = planes, pool
        votes = np.sqrt([float(plane.classes.numel()) for plane in planes])
        if pool is not None:
            votes = np.concatenate([votes, pool.votes])
        real = len(planes) - made
        if share is not None and 0 < real < len(votes):
            votes[:real] *= (1 - share) / votes[:real].sum()
            votes[real:] *= share / votes[real:].sum()
        self._chances: npt.NDArray[np.float64] = votes / votes.sum()

    @property
    def pool_share(self) -> float:
        """Part of the draws that gives a surrogate."""
        return float(self._chances[len(self.planes) :].sum())

    def draw(self, rng: np.random.Generator) -> Plane:
        """One of them."""
        index = int(rng.choice(len(self._chances), p=self._chances))
        if index < len(self.planes):
            return self.planes[index]
        assert self.pool is not None
        return self.pool[index - len(self.planes)]
