"""A TIFF file for each array, its pixels in one piece."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from .base import Layout, Write, unfinished


class TiffWriter:
    """Writes ``images.tif`` and so on: axes I (image), T in a series, Y and X.

    The pixels are not compressed: image i lies at a place that is known beforehand, so that
    an export goes on after any stop with the same bytes, and ``tifffile.memmap`` opens a data set
    larger than the memory. Beyond 4 GB the file is a BigTIFF.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._paths = {name: unfinished(layout.folder, f"{name}.tif") for name in layout.dtypes}
        self.block = layout.step

    def create(self) -> None:
        """Make files of full length without pixels."""
        layout = self._layout
        options: dict[str, Any] = {}
        if layout.pixel_size is not None:
            options = {"resolution": (1e4 / layout.pixel_size,) * 2, "resolutionunit": "CENTIMETER"}
        for name, path in self._paths.items():
            tifffile.imwrite(
                path,
                shape=(layout.count, *layout.shape),
                dtype=layout.dtypes[name],
                photometric="minisblack",
                metadata={"axes": "ITYX" if len(layout.shape) == 3 else "IYX"},
                **options,
            )

    @contextlib.contextmanager
    def open(self, start: int, stop: int) -> Iterator[Write]:
        """Write a block (see `Writer`)."""
        with contextlib.ExitStack() as stack:
            files = {n: stack.enter_context(path.open("rb+")) for n, path in self._paths.items()}
            offsets = {name: _offset(path) for name, path in self._paths.items()}

            def write(first: int, arrays: Mapping[str, NDArray[Any]]) -> None:
                for name, array in arrays.items():
                    pixels = np.ascontiguousarray(array, self._layout.dtypes[name])
                    files[name].seek(offsets[name] + first * pixels[0].nbytes)
                    files[name].write(pixels.data)

            yield write
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())

    def adopt(self, start: int, stop: int, folder: Path) -> None:
        """Take a block over (see `Writer`)."""
        shape = (stop - start, *self._layout.shape)
        with self.open(start, stop) as write:
            for name, path in self._paths.items():
                block, dtype = folder / path.name, self._layout.dtypes[name]
                write(start, {name: np.memmap(block, dtype, "r", _offset(block), shape)})


def _offset(path: os.PathLike[str]) -> int:
    with tifffile.TiffFile(path) as tif:
        return int(tif.pages.first.dataoffsets[0])
