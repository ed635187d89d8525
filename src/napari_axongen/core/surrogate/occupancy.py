"""Which parts of a field are taken, on a coarse grid: enough to keep things apart."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .random import Floats

CELL = 4
"""px; side of a cell of the grid."""


class Occupancy:
    """Taken cells of each image of a batch.

    Parameters
    ----------
    images, shape
        Number of images, rows and columns of the field.
    clearance
        px kept free around what is there, rounded to cells.
    """

    def __init__(self, images: int, shape: tuple[int, int], clearance: float) -> None:
        # a margin as wide as the clearance, so that nothing has to be cut at the border
        self.margin = max(1, round(clearance / CELL - 0.5))
        self.columns = math.ceil(shape[1] / CELL) + 2 * self.margin
        self.cells = (math.ceil(shape[0] / CELL) + 2 * self.margin) * self.columns
        self.taken = np.zeros((images, self.cells + 1), dtype=bool)
        reach = np.arange(-self.margin, self.margin + 1)
        self.around = (reach[:, None] * self.columns + reach).ravel()

    def add(self, image: NDArray[np.int64], points: Floats, valid: NDArray[np.bool_]) -> None:
        """Take the cells along some paths, and those around them.

        Parameters
        ----------
        image
            (n,).
        points, valid
            (n, P, 2) in px, (n, P).
        """
        cells = self._cells(points)[..., None] + self.around
        cells = np.where(valid[..., None], cells, self.cells)  # the last cell stands for nowhere
        self.taken[image[:, None, None], cells] = True

    def meets(self, image: NDArray[np.int64], points: Floats) -> NDArray[np.bool_]:
        """Whether points lie in taken cells: (n,) and (n, C, P, 2) to (n, C, P)."""
        found: NDArray[np.bool_] = self.taken[image[:, None, None], self._cells(points)]
        return found

    def _cells(self, points: Floats) -> NDArray[np.int64]:
        cell = (points * (1 / CELL)).astype(np.int64) + self.margin
        found: NDArray[np.int64] = cell[..., 0] * self.columns + cell[..., 1]
        return found
