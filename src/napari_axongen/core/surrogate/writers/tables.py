"""Tables of an export: boutons, centrelines, and in a series tracks and transforms."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_axongen.core.centrelines import COLUMNS, Centreline, centreline_rows
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import csv_text
from napari_axongen.core.surrogate.truth import BOUTON, TRACK, Surrogates

from .base import unfinished

_HEADERS: Mapping[str, tuple[str, ...]] = {
    "boutons.csv": BOUTON.names or (),
    "centrelines.csv": COLUMNS,
}
_SERIES_HEADERS: Mapping[str, tuple[str, ...]] = {
    "tracks.csv": TRACK.names or (),
    "transforms.csv": ("image", "frame", *(f"a{i}{j}" for i in range(2) for j in range(3))),
}


class Tables:
    """Appends the truth of images to the CSV files.

    ``transforms.csv`` holds the first two rows of the matrix that takes (row, column, 1) of
    centrelines and boutons to the frame.
    """

    def __init__(self, folder: Path, series: bool) -> None:
        headers = {**_HEADERS, **(_SERIES_HEADERS if series else {})}
        self._headers = {name: csv_text(header, ()) for name, header in headers.items()}
        self._paths = {name: unfinished(folder, name) for name in headers}

    def create(self) -> None:
        """Make tables of no rows."""
        for name, path in self._paths.items():
            path.write_bytes(self._headers[name].encode())

    def sizes(self) -> dict[str, int]:
        """Bytes of each table that are on the disk."""
        return {name: path.stat().st_size for name, path in self._paths.items()}

    def cut(self, sizes: Mapping[str, int]) -> None:
        """Take off what was written since the tables had these sizes.

        Raises
        ------
        InputError
            A table is shorter than that.
        """
        for name, path in self._paths.items():
            if path.stat().st_size < sizes[name]:
                raise InputError(f"{path} lost its end; remove {path.parent} and start anew.")
            os.truncate(path, sizes[name])

    def adopt(self, folder: Path) -> None:
        """Append the rows of tables in another folder."""
        for path in self._paths.values():
            _append(path, (folder / path.name).read_bytes().partition(b"\n")[2])

    def append(self, surrogates: Surrogates) -> None:
        """Write the rows of these images."""
        lines = (
            Centreline(line.points.astype(np.float64), line.axon, line.branch, line.image)
            for line in surrogates.centrelines
        )
        rows: Mapping[str, Iterable[Iterable[Any]]] = {
            "boutons.csv": (_cells(record) for record in surrogates.boutons),
            "centrelines.csv": centreline_rows(lines),
            "tracks.csv": (_cells(record) for record in surrogates.tracks),
            "transforms.csv": _transforms(surrogates),
        }
        for name, path in self._paths.items():
            text = csv_text((), rows[name]).partition("\n")[2]
            _append(path, text.encode())


def _append(path: Path, rows: bytes) -> None:
    with path.open("ab") as file:
        file.write(rows)
        file.flush()
        os.fsync(file.fileno())


def _cells(record: Any) -> Iterable[Any]:
    return (int(cell) if isinstance(cell, bool) else cell for cell in record.item())


def _transforms(surrogates: Surrogates) -> Iterator[tuple[Any, ...]]:
    assert surrogates.transforms is not None
    for image, frame in np.ndindex(*surrogates.transforms.shape[:2]):
        # As they are: seven digits would move a far corner.
        matrix = map(repr, surrogates.transforms[image, frame, :2].ravel().tolist())
        yield surrogates.first + image, frame, *matrix
