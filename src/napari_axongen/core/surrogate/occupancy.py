"""Which parts of a field are taken, on a coarse grid: enough to keep things apart."""

from __future__ import annotations

import math

import torch

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

    def __init__(
        self, images: int, shape: tuple[int, int], clearance: float, device: torch.device
    ) -> None:
        # a margin as wide as the clearance, so that nothing has to be cut at the border
        self.margin = max(1, round(clearance / CELL - 0.5))
        self.columns = math.ceil(shape[1] / CELL) + 2 * self.margin
        self.cells = (math.ceil(shape[0] / CELL) + 2 * self.margin) * self.columns
        self.taken = torch.zeros((images, self.cells + 1), dtype=torch.bool, device=device)
        reach = torch.arange(-self.margin, self.margin + 1, device=device)
        self.around = (reach[:, None] * self.columns + reach).flatten()

    def add(self, image: torch.Tensor, points: torch.Tensor, valid: torch.Tensor) -> None:
        """Take the cells along some paths, and those around them.

        Parameters
        ----------
        image
            int64 (n,).
        points, valid
            float64 (n, P, 2) in px, bool (n, P).
        """
        cells = self._cells(points)[..., None] + self.around
        cells = torch.where(valid[..., None], cells, self.cells)  # the last cell stands for nowhere
        self.taken[image[:, None], cells.flatten(1)] = True

    def meets(self, image: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Whether points lie in taken cells: (n,) and float64 (n, C, P, 2) to bool (n, C, P)."""
        return self.taken[image[:, None, None], self._cells(points)]

    def _cells(self, points: torch.Tensor) -> torch.Tensor:
        row, column = ((points / CELL).long() + self.margin).unbind(-1)
        return row * self.columns + column
