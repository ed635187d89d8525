"""Centrelines of axons, and the CSV files that hold them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .files import atomic_path

Points: TypeAlias = npt.NDArray[np.float64]
AxonKey: TypeAlias = tuple[int, int]
"""Number of the image, and number of the axon in it."""

COLUMNS = ("image", "axon", "branch", "point", "row", "column")
"""Of a file of centrelines."""


@dataclass(frozen=True)
class Centreline:
    """One path of an axon.

    Attributes
    ----------
    points
        (K, 2) float64, row and column in pixels; the centre of the first pixel is (0, 0).
    axon, branch, image
        Numbers; branches of the same axon in the same image belong together.
    faint
        Ambiguous: what lies near it is neither rewarded nor punished.
    """

    points: Points
    axon: int = 0
    branch: int = 0
    image: int = 0
    faint: bool = False

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise InputError(
                f"A centreline of shape {points.shape} was given; pass finite (row, column) "
                "pairs, an array (K, 2)."
            )
        object.__setattr__(self, "points", points)

    @property
    def key(self) -> AxonKey:
        """Number of the image and of the axon."""
        return self.image, self.axon


def as_centrelines(paths: Iterable[Centreline | npt.ArrayLike]) -> list[Centreline]:
    """Take (K, 2) arrays as centrelines, each an axon of image 0 by itself.

    Raises
    ------
    InputError
        One is no such array.
    """
    return [
        path if isinstance(path, Centreline) else Centreline(np.asarray(path), axon=number)
        for number, path in enumerate(paths)
    ]


# ---------------------------------------------------------------- files


def centreline_rows(lines: Iterable[Centreline]) -> Iterator[tuple[str, ...]]:
    """Rows of a file of centrelines, under `COLUMNS`; coordinates with three decimals."""
    for line in lines:
        head = str(line.image), str(line.axon), str(line.branch)
        for point, (row, column) in enumerate(line.points.tolist()):
            yield *head, str(point), f"{row:.3f}", f"{column:.3f}"


def write_centrelines(path: str | os.PathLike[str], lines: Iterable[Centreline]) -> None:
    """Write centrelines to a CSV file, whole or not at all, however many there are.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(centreline_rows(lines))


def read_centrelines(path: str | os.PathLike[str]) -> list[Centreline]:
    """Read a CSV file of centrelines.

    Parameters
    ----------
    path
        With the columns image, axon, branch, point, row, column, as `write_centrelines` writes
        them; or kind, path, x, y, where a path is an axon and its kind ``axon`` or ``faint``.
        Further columns are passed over.

    Raises
    ------
    InputError
        No such file, other columns, or a cell that cannot be understood; its line is named.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip().lower() for name in reader.fieldnames or []]
            reader.fieldnames = names
            if set(COLUMNS) <= set(names):
                return _gather(_Row(path, reader.line_num, row) for row in reader)
            if {"kind", "path", "x", "y"} <= set(names):
                return _gather(_Kinds(path, reader.line_num, row) for row in reader)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV file: {error}.") from error
    raise InputError(
        f"{path} has the columns {', '.join(names) or '(none)'}; centrelines have "
        f"{', '.join(COLUMNS)}, or kind, path, x, y."
    )


def _gather(rows: Iterable[_Row]) -> list[Centreline]:
    """Rows to paths; their points are put in order."""
    paths: dict[tuple[bool, int, int, int], dict[int, tuple[float, float]]] = {}
    for row in rows:
        points = paths.setdefault(row.owner(), {})
        place = row.place(len(points))
        if place in points:
            row.refuse(f"point {place} of its branch stands there a second time")
        points[place] = row.point()
    return [
        Centreline(np.array([points[i] for i in sorted(points)]), axon, branch, image, faint)
        for (faint, image, axon, branch), points in paths.items()
    ]


@dataclass(frozen=True)
class _Row:
    """A row of our own files."""

    path: Path
    line: int
    cells: dict[str, str | None]

    def owner(self) -> tuple[bool, int, int, int]:
        """Whether the path is faint; its image, axon and branch."""
        return False, self.integer("image"), self.integer("axon"), self.integer("branch")

    def place(self, _count: int) -> int:
        """Number of the point in its path."""
        return self.integer("point")

    def point(self) -> tuple[float, float]:
        return self.number("row"), self.number("column")

    def integer(self, name: str) -> int:
        value = self.number(name)
        if value != int(value):
            self.refuse(f"{name} is {value:g}, where a whole number is expected")
        return int(value)

    def number(self, name: str) -> float:
        text = self.cells[name] or ""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.refuse(f"{name} is '{text}', where a number is expected")
        return value

    def refuse(self, what: str) -> NoReturn:
        raise InputError(f"{self.path}, line {self.line}: {what}; correct or remove the line.")


class _Kinds(_Row):
    """A row of the form kind, path, x, y."""

    def owner(self) -> tuple[bool, int, int, int]:
        kind = (self.cells["kind"] or "").strip().lower()
        if kind not in ("axon", "faint"):
            self.refuse(f"the kind is '{kind}', where axon or faint is expected")
        return kind == "faint", 0, self.integer("path"), 0

    def place(self, count: int) -> int:
        return count

    def point(self) -> tuple[float, float]:
        return self.number("y"), self.number("x")
