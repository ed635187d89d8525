"""Axons and boutons of fluorescence images as the window needs them: labels, paths and points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_axongen.core.events import Notice, Partial, Progress, Steps

from .outputs import Output, Paths, Spots
from .surrogates import MOST_VERTICES, thinned

if TYPE_CHECKING:
    from napari_axongen.core.centrelines import Centreline
    from napari_axongen.core.fluorescence import FluorescenceSegmentation

Plane = tuple[int, ...]

_TOLERANCE = 0.25  # px that a thinned centreline may lie off


class ObjectsShown:
    """What has been shown of a segmentation so far: its planes come one by one, and in order.

    Parameters
    ----------
    result
        The segmentation; its planes may still be filled in.
    """

    def __init__(self, result: FluorescenceSegmentation) -> None:
        self._result = result
        self._axons = self._boutons = 0
        self._lines: list[Centreline] = []
        self._places: list[npt.NDArray[np.float64]] = []

    def plane(self, plane: Plane) -> Steps[None]:
        """Yield the labels of a plane."""
        found = self._result.plane_objects(plane, self._axons, self._boutons)
        if "axon" in self._result.thresholds:
            self._axons = max(self._axons, int(found.axons.max(initial=0)))
            self._lines += found.centrelines
            yield Partial(plane, Output("axons", found.axons))
        if "bouton" in self._result.thresholds:
            self._boutons += len(found.boutons)
            self._places.append(found.boutons)
            yield Partial(plane, Output("boutons", found.bouton_labels))

    def rest(self) -> Steps[None]:
        """Yield the centrelines and boutons of all planes, and how many there are."""
        counts = []
        if "axon" in self._result.thresholds:
            paths, left_out = self._paths()
            yield Partial((), Output("centrelines", paths))
            if left_out:
                yield Notice(
                    f"The {len(paths.data):,} longest centrelines are shown, {left_out:,} are not: "
                    "napari draws more of them slowly. 'axongen segment' writes all."
                )
            counts.append(_counted(self._axons, "axon"))
        if "bouton" in self._result.thresholds:
            yield Partial((), Output("bouton centres", self._spots()))
            counts.append(_counted(self._boutons, "bouton"))
        yield Notice(f"Found: {' and '.join(counts)}.")

    def _paths(self) -> tuple[Paths, int]:
        """The centrelines, and how many are too many."""
        thin = [thinned(line.points, _TOLERANCE) for line in self._lines]
        order = sorted(range(len(thin)), key=lambda index: -len(self._lines[index].points))
        vertices = np.cumsum([len(thin[index]) for index in order])
        shown = sorted(order[: int(np.searchsorted(vertices, MOST_VERTICES, side="right"))])
        lines = [self._lines[index] for index in shown]
        data = [self._at(lines[k].image, thin[index]) for k, index in enumerate(shown)]
        features = {name: [getattr(line, name) for line in lines] for name in ("axon", "branch")}
        return Paths(data, features), len(thin) - len(shown)

    def _spots(self) -> Spots:
        planes, *rest = np.concatenate(self._places).T
        row, column, radius, score = rest
        data = self._at(planes.astype(int), np.column_stack([row, column]))
        return Spots(data, 2 * radius, {"radius": radius, "score": score})

    def _at(
        self, number: int | npt.NDArray[np.int_], points: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Coordinates in the image of points (K, 2) in a plane, or each in one."""
        stack = self._result.probabilities.shape[1:-2]
        index = np.unravel_index(number, stack) if stack else ()
        leading = [np.broadcast_to(axis, len(points)) for axis in index]
        return np.column_stack([*leading, points]).astype(np.float64)


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def objects_again(result: FluorescenceSegmentation) -> Steps[None]:
    """Axons and boutons at the thresholds of a result, plane by plane."""
    shown = ObjectsShown(result)
    planes = list(np.ndindex(*result.probabilities.shape[1:-2]))
    for count, plane in enumerate(planes):
        yield Progress(count, len(planes), "finding axons and boutons")
        yield from shown.plane(plane)
    yield from shown.rest()
