"""What the writers of all formats share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_axongen.core.surrogate.parameters import SurrogateParameters

Format: TypeAlias = Literal["tiff", "mat", "zarr"]
Write: TypeAlias = Callable[[int, Mapping[str, NDArray[Any]]], None]
"""Writes images from an index on: each array by its name, (N, H, W) or (N, T, H, W)."""

_STEP_BYTES = 64 << 20
_STEP_IMAGES = 64
_PIXEL_BYTES = 16  # of all arrays of `Surrogates` together, 16-bit images
_UNFINISHED = ".partial"


@dataclass(frozen=True)
class Layout:
    """Folder, number and form of the images to write.

    Attributes
    ----------
    count
        N.
    shape
        Of one image: (H, W), of one series (T, H, W).
    dtypes
        Of the arrays, by name. Labels never exceed 500 axons of 21 branches: uint16 holds them.
    pixel_size
        um, or None.
    """

    folder: Path
    count: int
    shape: tuple[int, ...]
    dtypes: Mapping[str, np.dtype[Any]]
    pixel_size: float | None

    @classmethod
    def of(cls, parameters: SurrogateParameters, folder: Path, count: int, series: bool) -> Layout:
        """Layout of images, or of series, of these parameters."""
        grey = np.dtype(np.uint8 if parameters.max_intensity <= 255 else np.uint16)
        dtypes = dict.fromkeys(("images", "clean_images"), grey)
        dtypes |= dict.fromkeys(("axon_masks", "bouton_masks"), np.dtype(np.uint8))
        dtypes |= dict.fromkeys(("axon_labels", "branch_labels"), np.dtype(np.uint16))
        frames = (parameters.series.frames,) if series else ()
        shape = (*frames, parameters.height, parameters.width)
        return cls(folder, count, shape, dtypes, parameters.pixel_size)

    @property
    def step(self) -> int:
        """Images to make at once, a power of two: what memory they take is bounded."""
        fitting = _STEP_BYTES // (_PIXEL_BYTES * int(np.prod(self.shape)))
        return min(_STEP_IMAGES, 1 << max(fitting, 1).bit_length() - 1)


class Writer(Protocol):
    """Writes the arrays of an export, a block of images after the other.

    Attributes
    ----------
    block
        Images after which all is on the disk: where an export that was stopped goes on.
    """

    block: int

    def create(self) -> None:
        """Make what must be there before the first block, in the place of any older such."""

    def open(self, start: int, stop: int) -> AbstractContextManager[Write]:
        """Write a block: images `start` to `stop` - 1; those of a failed try are replaced."""

    def adopt(self, start: int, stop: int, folder: Path) -> None:
        """Take a block over from a folder, where it was written as an export of its own."""


def unfinished(folder: Path, name: str) -> Path:
    """Where a file of an export lies until all are finished: no reader looks for that ending."""
    return folder / f"{name}{_UNFINISHED}"


def finish(folder: Path, last: str) -> None:
    """Give the files their names, `last` at the end; what was stopped half-way is completed."""
    paths = sorted(folder.glob(f"[!.]*{_UNFINISHED}"), key=lambda path: path.stem == last)
    for path in paths:
        for stray in path.rglob(f"*{_UNFINISHED}"):  # of a chunk that was being written
            stray.unlink()
        os.replace(path, path.with_suffix(""))
