"""Cells: lobed, speckled bodies that keep clear of the axons."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .axons import Axons
from .boutons import Boutons
from .parameters import CellParameters
from .random import Draws
from .walks import fine

LOBES = 5
_CANDIDATES = 8
_CLEARANCE = 4.0  # px between a cell and the centreline of an axon
EXTENT = 0.75
"""Radius of a lobe over its nominal radius: the original's smoothing wears the rest away."""


@dataclass
class Cells:
    """Cells of a batch in slots (B, N).

    Attributes
    ----------
    there
        bool (B, N).
    centres
        float64 (B, N, LOBES, 2): rows and columns in px; the first is that of the cell.
    radius, brightness, dark
        float64 (B, N).
    draws
        Random numbers of the cells, row ``image * N + cell``, for their speckle.
    missing
        int64 (B,): cells for which no room was found.
    """

    there: torch.Tensor
    centres: torch.Tensor
    radius: torch.Tensor
    brightness: torch.Tensor
    dark: torch.Tensor
    draws: Draws
    missing: torch.Tensor


def draw_cells(
    draws: Draws,
    parameters: CellParameters,
    axons: Axons,
    boutons: Boutons,
    shape: tuple[int, int],
) -> Cells:
    """Place cells where no axon or bouton is; at most eight places are tried for each."""
    wanted = draws.parameter(parameters, "count").long()
    images, most = len(draws), int(wanted.max())
    by_cell = draws.children("cell", most)

    def of(name: str) -> torch.Tensor:
        return fine(by_cell.parameter(parameters, name).view(images, most))

    radius = of("radius")
    offsets = by_cell.uniform("lobes", LOBES, 2).view(images, most, LOBES, 2)
    offsets = fine((offsets - 0.5) * radius[..., None, None])
    offsets[:, :, 0] = 0
    reach = offsets.square().sum(-1).amax(-1).sqrt() + EXTENT * radius + _CLEARANCE
    places = by_cell.uniform("place", _CANDIDATES, 2).view(images, most, _CANDIDATES, 2)
    size = torch.tensor(shape, dtype=torch.float64, device=draws.device)
    places = fine(places * (size + radius[..., None, None]) - radius[..., None, None] / 2)
    free = (
        _room(places.flatten(1, 2), axons, boutons).view(places.shape[:-1]) > reach[..., None] ** 2
    )
    exists = torch.arange(most, device=draws.device) < wanted[:, None]
    there = free.any(-1) & exists
    first = free.long().argmax(-1) if most else torch.zeros((images, 0), dtype=torch.int64)
    centre = places.gather(2, first[..., None, None].expand(-1, -1, 1, 2))
    return Cells(
        there,
        centre + offsets,
        radius,
        of("brightness"),
        by_cell.parameter(parameters, "dark").view(images, most),
        by_cell,
        wanted - there.sum(1),
    )


def _room(places: torch.Tensor, axons: Axons, boutons: Boutons) -> torch.Tensor:
    """Squared distance of each place (B, M, 2) from the nearest axon or bouton, (B, M)."""
    # every other point of an axon is near enough
    points = axons.points[..., ::2, :].flatten(1, 3)
    valid = axons.valid[..., ::2].flatten(1)
    points = torch.cat((points, boutons.centre), dim=1)
    valid = torch.cat((valid, boutons.there), dim=1)
    keep = valid.any(0)
    points, valid = points[:, keep].float(), valid[:, keep]
    points = torch.where(valid[..., None], points, 1e6)
    nearest = torch.full(places.shape[:2], torch.inf, device=places.device)
    for piece in torch.split(points, 256, dim=1):
        row = places[:, :, None, 0].float() - piece[:, None, :, 0]
        column = places[:, :, None, 1].float() - piece[:, None, :, 1]
        nearest = torch.minimum(nearest, row.square_().add_(column.square_()).amin(-1))
    return nearest
