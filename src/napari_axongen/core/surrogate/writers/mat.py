"""MATLAB files of version 7.3, as the original's: HDF5 with a header."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .base import Layout, Write, unfinished

IMAGES_PER_FILE = 200
_USER_BLOCK = 512
_HEADER = (
    b"MATLAB 7.3 MAT-file, Platform: napari-axongen, HDF5 schema 1.00 .".ljust(116)
    + bytes(8)  # no subsystem data
    + b"\x00\x02IM"  # version 2.0, little-endian
)
_CHUNK_BYTES = 1 << 20


class MatWriter:
    """Writes ``surrogates_1.mat`` and so on, of 200 images each, all arrays in each.

    In MATLAB the arrays are H x W x N, of series H x W x T x N; the last file may have fewer
    images. Images and masks are double with the grey values 0 to 255, as the original's (Billot
    2017, ImageProducer) are; labels are uint16. HDF5 counts the axes the other way round: in h5py
    the shape is (N, W, H) or (N, T, W, H). The data are compressed (deflate), an image apart from
    the others. File numbers have zeros in front where it takes them to sort by name.
    """

    block = IMAGES_PER_FILE

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._digits = len(str(-(-layout.count // IMAGES_PER_FILE)))

    def create(self) -> None:
        """Nothing to make: every block has a file of its own."""

    @contextlib.contextmanager
    def open(self, start: int, stop: int) -> Iterator[Write]:
        """Write a block (see `Writer`)."""
        with _Disk(self._path(start), "w+") as disk:
            with h5py.File(disk, "w", userblock_size=_USER_BLOCK) as file:
                variables = {
                    name: self._variable(file, name, stop - start) for name in self._layout.dtypes
                }

                def write(first: int, arrays: Mapping[str, NDArray[Any]]) -> None:
                    at = first - start
                    for name, array in arrays.items():
                        variables[name][at : at + len(array)] = array.swapaxes(-1, -2)
                        disk.check()

                yield write
            disk.seek(0)
            disk.write(_HEADER)
            disk.check()
            os.fsync(disk.fileno())

    def adopt(self, start: int, stop: int, folder: Path) -> None:
        """Take a block over (see `Writer`)."""
        block = MatWriter(replace(self._layout, folder=folder, count=stop - start))
        os.replace(block._path(0), self._path(start))

    def _path(self, start: int) -> Path:
        """File of the block that begins with an image."""
        number = f"{start // IMAGES_PER_FILE + 1:0{self._digits}d}"
        return unfinished(self._layout.folder, f"surrogates_{number}.mat")

    def _variable(self, file: Any, name: str, count: int) -> Any:
        """Empty variable for `count` images."""
        labels = name.endswith("labels")
        dtype = self._layout.dtypes[name] if labels else np.dtype(np.float64)
        *frames, height, width = self._layout.shape
        columns = min(width, max(1, _CHUNK_BYTES // (height * dtype.itemsize)))
        variable = file.create_dataset(
            name,
            shape=(count, *frames, width, height),
            dtype=dtype,
            chunks=(1, *(1 for _ in frames), columns, height),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        variable.attrs["MATLAB_class"] = np.bytes_("uint16" if labels else "double")
        return variable


class _Disk(io.FileIO):
    """A file that refuses nothing: HDF5 crashes on closing a file that it could not write."""

    _error: OSError | None = None

    def write(self, content: Any) -> int:
        """Write all, or keep the error for `check`."""
        rest = memoryview(content).cast("B")
        size = len(rest)
        try:
            while rest and self._error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or keep the error for `check`."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._error = error
            return size or 0

    def check(self) -> None:
        """Raise the error of an earlier `write`."""
        if self._error is not None:
            raise self._error
