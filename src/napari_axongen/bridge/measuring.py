"""Measure the fibres of Labels layers, plane by plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Progress, Steps

if TYPE_CHECKING:
    from napari_axongen.core.morphometry import Morphometry
    from napari_axongen.core.parameters import MeasureParameters

PLANE = "plane"
"""Column of a stack's table: number of the plane, counted through all axes before Y."""


def measure_layers(
    labels: Any, axon: Any, myelin: Any, parameters: MeasureParameters
) -> Steps[Morphometry]:
    """Measure what the layers hold now, corrections by hand included.

    Parameters
    ----------
    labels
        Integer array (..., Y, X): fibres.
    axon, myelin
        Arrays of the same shape; what is not 0 is axon, or myelin. Where both are, axon wins.
        ``axon`` None: the whole of a fibre is axon.
    parameters
        As of `core.morphometry.measure`.

    Returns
    -------
    Of a stack, one table with a column `PLANE`, and the means of the planes' figures.

    Raises
    ------
    InputError
        Shapes differ.
    """
    from napari_axongen.core.morphometry import measure

    for name, other in (("axon", axon), ("myelin", myelin)):
        if other is not None and tuple(other.shape) != tuple(labels.shape):
            raise InputError(
                f"The {name} layer has shape {tuple(other.shape)}, the fibres have "
                f"{tuple(labels.shape)}; choose layers that were made from one image."
            )
    planes = list(np.ndindex(*labels.shape[:-2]))
    parts: list[Morphometry] = []
    for plane in planes:
        yield Progress(len(parts), len(planes), "measuring")
        fibres = np.asarray(labels[plane])
        classes = _classes(fibres, *(None if x is None else x[plane] for x in (axon, myelin)))
        parts.append(measure(fibres, classes, parameters))
    yield Progress(len(planes), len(planes), "measuring")
    return parts[0] if labels.ndim == 2 else _together(parts)


def _classes(
    fibres: npt.NDArray[Any], axon: Any | None, myelin: Any | None
) -> npt.NDArray[np.uint8]:
    from napari_axongen.core.files import AXON, MYELIN

    classes = np.zeros(fibres.shape, dtype=np.uint8)
    if myelin is not None:
        classes[np.asarray(myelin) != 0] = MYELIN
    classes[(fibres if axon is None else np.asarray(axon)) != 0] = AXON
    return classes


def _together(parts: list[Morphometry]) -> Morphometry:
    """One table of all planes, and the planes' mean figures."""
    from napari_axongen.core.morphometry import Morphometry

    counts = [len(part.fibres["label"]) for part in parts]
    columns = {PLANE: np.repeat(np.arange(len(parts)), counts)}
    for key in parts[0].fibres:
        columns[key] = np.concatenate([part.fibres[key] for part in parts])
    figures: dict[str, float] = {}
    for key in parts[0].image:
        values = np.array([part.image[key] for part in parts])
        known = values[np.isfinite(values)]
        summed = key.endswith("fibres")  # counts add up, the rest are means
        figures[key] = float(known.sum() if summed else known.mean()) if known.size else np.nan
    return Morphometry(columns, figures, parts[0].unit, parts[0].parameters)
