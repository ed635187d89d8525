"""Pictures of held-out tiles: what a person looks at while a network learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_axongen.core.classes import IGNORED
from napari_axongen.core.datasets.labelled import LabelledImage
from napari_axongen.core.image import Greys, intensity_range

SIDE = 160
"""Rows and columns of a tile, in pixels of the image, at most."""

SHOWN = 4
"""Held-out images of which a tile is shown, at most."""

_COLOURS = {"axon": (63, 140, 255), "myelin": (255, 90, 77), "bouton": (255, 176, 0)}
_STRENGTH = 0.55  # of a colour over the grey values
_DIMMED = 0.4  # brightness of what is not known

Window = tuple[slice, slice]


def fullest_window(classes: npt.NDArray[np.uint8], side: int = SIDE) -> Window:
    """Of squares half a side apart, that in which most pixels are of some class."""
    there = ((classes != 0) & (classes != IGNORED)).astype(np.int64)
    total = np.pad(there.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    heights, widths = (min(side, length) for length in classes.shape)
    best, chosen = -1, (0, 0)
    for row in _starts(classes.shape[0], heights):
        for column in _starts(classes.shape[1], widths):
            count = int(
                total[row + heights, column + widths]
                - total[row, column + widths]
                - total[row + heights, column]
                + total[row, column]
            )
            if count > best:
                best, chosen = count, (row, column)
    return slice(chosen[0], chosen[0] + heights), slice(chosen[1], chosen[1] + widths)


def _starts(length: int, side: int) -> list[int]:
    return sorted({*range(0, length - side + 1, max(1, side // 2)), length - side})


@dataclass
class Tile:
    """A part of a held-out image, and what was last found in it."""

    image: LabelledImage
    window: Window
    greys: Greys
    found: npt.NDArray[np.uint8] | None = field(default=None)

    def see(self, classes: npt.NDArray[np.uint8]) -> None:
        """Take note of the classes (H, W) that were found in the whole image."""
        self.found = classes[self.window].copy()

    def pictures(self, classes: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Image, truth and what was found: uint8 (3, `SIDE`, `SIDE`, 3), filled up with black."""
        grey = intensity_range(self.image.image, (), self.greys).normalise(
            self.image.image.read((), *self.window)
        )
        plain = np.repeat(np.clip(grey, 0, 1)[..., None] * 255, 3, axis=-1)
        pictures = np.zeros((3, SIDE, SIDE, 3), dtype=np.uint8)
        height, width = grey.shape
        nothing = np.zeros_like(grey, dtype=np.uint8)
        truth = self.image.classes[self.window]
        for index, mask in enumerate((nothing, truth, self.found)):
            painted = _painted(plain, nothing if mask is None else mask, classes)
            pictures[index, :height, :width] = painted
        return pictures


def class_colours(mask: npt.NDArray[np.uint8], classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Classes (H, W) in their colours, on black: (H, W, 3), 0 to 1."""
    black = np.zeros((*mask.shape, 3), dtype=np.float32)
    return (_painted(black, mask, classes, 1.0) / 255).astype(np.float32)


def _painted(
    plain: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint8],
    classes: Sequence[str],
    strength: float = _STRENGTH,
) -> npt.NDArray[np.uint8]:
    """A picture with its classes in colour."""
    painted = plain.copy()
    painted[mask == IGNORED] *= _DIMMED
    for index, name in enumerate(classes):
        if name in _COLOURS:
            chosen = mask == index
            colour = np.array(_COLOURS[name], dtype=np.float32)
            painted[chosen] = (1 - strength) * painted[chosen] + strength * colour
    return np.rint(painted).astype(np.uint8)


def picture_tiles(
    rows: Sequence[Sequence[npt.NDArray[np.float32]]],
) -> npt.NDArray[np.uint8] | None:
    """Pictures of the middles of images that were made, beside those that they were made of.

    Parameters
    ----------
    rows
        For each tile its pictures: grey values (H, W) or colours (H, W, 3), 0 to 1, equally many
        everywhere.

    Returns
    -------
    uint8 (tiles, pictures, `SIDE`, `SIDE`, 3), filled up with black; None where there are none.
    """
    if not rows:
        return None
    tiles = np.zeros((len(rows), len(rows[0]), SIDE, SIDE, 3), dtype=np.uint8)
    for row, pictures in zip(tiles, rows, strict=True):
        for tile, picture in zip(row, pictures, strict=True):
            top, left = (max(0, length - SIDE) // 2 for length in picture.shape[:2])
            part = np.clip(picture[top : top + SIDE, left : left + SIDE], 0, 1)
            part = part if part.ndim == 3 else part[..., None]
            tile[: part.shape[0], : part.shape[1]] = np.rint(255 * part)
    return tiles
