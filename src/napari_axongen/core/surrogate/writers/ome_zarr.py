"""An OME-Zarr image for each array."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from .base import Layout, Write, unfinished

_CHUNK_IMAGES = 16
_CHUNK_SIDE = 1024
_COMPRESSOR: dict[str, Any] = {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1}


class ZarrWriter:
    """Writes ``images.zarr`` and so on: axes n (image), y and x; in a series t, n, y and x.

    OME-Zarr 0.4 (Zarr 2): what every reader in use knows (napari, ome-zarr, Fiji, QuPath,
    Bio-Formats); not all know 0.5. Its specification wants time before all other axes. Each array
    is a store of its own, as napari opens only the first group of a store.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._paths = {name: unfinished(layout.folder, f"{name}.zarr") for name in layout.dtypes}
        self.block = layout.step
        self._images = min(_CHUNK_IMAGES, layout.step)  # of a chunk

    def create(self) -> None:
        """Make arrays without chunks."""
        layout = self._layout
        *frames, height, width = layout.shape
        chunk = (self._images, min(_CHUNK_SIDE, height), min(_CHUNK_SIDE, width))
        for name, path in self._paths.items():
            group = zarr.open_group(path, mode="w", zarr_format=2)
            group.attrs["multiscales"] = [_multiscale(name, bool(frames), layout.pixel_size)]
            group.create_array(
                "0",
                shape=(*frames, layout.count, height, width),
                dtype=layout.dtypes[name],
                chunks=(*(1 for _ in frames), *chunk),
                compressors=_COMPRESSOR,
                chunk_key_encoding={"name": "v2", "separator": "/"},
                fill_value=0,
            )

    @contextlib.contextmanager
    def open(self, start: int, stop: int) -> Iterator[Write]:
        """Write a block (see `Writer`)."""
        targets = {
            name: zarr.open_array(path / "0", mode="r+") for name, path in self._paths.items()
        }

        def write(first: int, arrays: Mapping[str, NDArray[Any]]) -> None:
            for name, array in arrays.items():
                pixels = array.astype(self._layout.dtypes[name], copy=False)
                targets[name][..., first : first + len(array), :, :] = np.moveaxis(pixels, 0, -3)

        yield write

    def adopt(self, start: int, stop: int, folder: Path) -> None:
        """Take a block over (see `Writer`): its chunks, whose names say where they belong."""
        for path in self._paths.values():
            block = folder / path.name
            chunks = [found for found in block.rglob("[0-9]*") if found.is_file()]
            for chunk in chunks:
                *place, image, row, column = chunk.relative_to(block).parts
                image = str(int(image) + start // self._images)
                target = path.joinpath(*place, image, row, column)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(chunk, target)


def _multiscale(name: str, series: bool, pixel_size: float | None) -> dict[str, Any]:
    """Metadata of OME-Zarr 0.4 (https://ngff.openmicroscopy.org/0.4) for one resolution."""
    axes: list[dict[str, str]] = [{"name": "t", "type": "time"}] if series else []
    unit = {} if pixel_size is None else {"unit": "micrometer"}
    axes += [{"name": "n"}, *({"name": axis, "type": "space"} | unit for axis in "yx")]
    scale = [1.0] * (len(axes) - 2) + [pixel_size or 1.0] * 2
    transformations = [{"type": "scale", "scale": scale}]
    return {
        "version": "0.4",
        "name": name,
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": transformations}],
    }
