"""The size and shape of every fibre, and of an image's fibres together."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .files import AXON, MYELIN, csv_text, to_classes, write_text
from .image import Image
from .instances import label_fibres
from .parameters import MeasureParameters
from .regions import find_runs, hull_areas, moments, perimeters, strips

Unit: TypeAlias = Literal["um", "px"]


@dataclass(frozen=True)
class Column:
    """What a column of the table, or a figure of the image, means.

    Attributes
    ----------
    name
        Without its unit.
    power
        The unit is this power of the length unit; None: always pixels; 0: no unit.
    description
        One line: the table's tooltip.
    """

    name: str
    power: int | None
    description: str

    def key(self, unit: Unit) -> str:
        """Name with the unit in brackets: ``axon_area (um^2)``."""
        if self.power == 0:
            return self.name
        if self.power is None:
            return f"{self.name} (px)"
        if self.name == "axon_density" and unit == "um":
            return f"{self.name} (mm^{self.power})"
        return f"{self.name} ({unit}{'' if self.power == 1 else f'^{self.power}'})"


# Names, and their meanings, of AxonDeepSeg's morphometrics file, save `label` and
# `axonmyelin_diam`, which it lacks.
FIBRE_COLUMNS = (
    Column("label", 0, "Number of the fibre in the fibre labels."),
    Column("x0", None, "Column of the axon's centroid; 0 is the centre of the first pixel."),
    Column("y0", None, "Row of the axon's centroid; 0 is the centre of the first pixel."),
    Column("gratio", 0, "Axon diameter / fibre diameter; empty for an axon without myelin."),
    Column("axon_area", 2, "Area of the axon."),
    Column("axon_perimeter", 1, "Perimeter of the axon (Crofton's formula, four directions)."),
    Column("myelin_area", 2, "Area of the myelin that belongs to the axon."),
    Column("axon_diam", 1, "Diameter of the axon: of the circle of equal area, or minor axis."),
    Column("myelin_thickness", 1, "(Fibre diameter - axon diameter) / 2."),
    Column("axonmyelin_area", 2, "Area of the fibre: axon and myelin."),
    Column("axonmyelin_perimeter", 1, "Perimeter of the fibre (Crofton's formula)."),
    Column("axonmyelin_diam", 1, "Diameter of the fibre, defined as the axon's."),
    Column("solidity", 0, "Axon pixels / pixels in the convex hull of the axon's pixel centres."),
    Column("eccentricity", 0, "Of the ellipse of equal second moments: 0 is a circle."),
    Column(
        "orientation",
        0,
        "Angle (radians, counter-clockwise) from downwards to the axon's major axis.",
    ),
    Column("image_border_touching", 0, "1 if the fibre touches the edge of the image."),
    Column("bbox_min_y", 0, "First row of the fibre (px)."),
    Column("bbox_min_x", 0, "First column of the fibre (px)."),
    Column("bbox_max_y", 0, "Row after the last of the fibre (px)."),
    Column("bbox_max_x", 0, "Column after the last of the fibre (px)."),
)
IMAGE_COLUMNS = (
    Column("fibres", 0, "Fibres in the table."),
    Column("myelinated_fibres", 0, "Fibres in the table that have myelin."),
    Column("avf", 0, "Axon area fraction: axon pixels / all pixels of the mask."),
    Column("mvf", 0, "Myelin area fraction: myelin pixels / all pixels of the mask."),
    Column("gratio_aggr", 0, "Aggregate g-ratio: sqrt(AVF / (AVF + MVF))."),
    Column("mean_gratio", 0, "Mean g-ratio of the myelinated fibres in the table."),
    Column("mean_axon_diam", 1, "Mean axon diameter of the fibres in the table."),
    Column("mean_axonmyelin_diam", 1, "Mean fibre diameter of the fibres in the table."),
    Column("mean_myelin_thickness", 1, "Mean over the myelinated fibres in the table."),
    Column("axon_density", -2, "All fibres of the image / area of the image."),
)


@dataclass(frozen=True)
class Morphometry:
    """The measurements of one image.

    Attributes
    ----------
    fibres
        Column key (`Column.key` of `FIBRE_COLUMNS`) to values, all of one length, one a fibre.
    image
        Key (of `IMAGE_COLUMNS`) to value; NaN where there is nothing to average.
    unit
        ``um``, or ``px`` when the pixel size is unknown.
    parameters
        As measured with.
    """

    fibres: Mapping[str, NDArray[Any]]
    image: Mapping[str, float]
    unit: Unit
    parameters: MeasureParameters

    def descriptions(self) -> dict[str, str]:
        """Meaning of every column and figure, by key."""
        return {c.key(self.unit): c.description for c in (*FIBRE_COLUMNS, *IMAGE_COLUMNS)}

    def recipe(self) -> dict[str, Any]:
        """All that is needed to measure again, as JSON."""
        return {
            "verb": "measure",
            "parameters": self.parameters.model_dump(mode="json"),
            "version": version("napari-axongen"),
        }

    def write_csv(self, path: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Write the table, and beside it the figures of the image.

        Parameters
        ----------
        path
            ``TABLE.csv``: one row a fibre. ``TABLE_image.json`` gets the image's figures (null
            where there are none) and the recipe.

        Returns
        -------
        The two paths.

        Raises
        ------
        InputError
            The files cannot be written.
        """
        table = Path(path)
        summary = table.with_name(f"{table.stem}_image.json")
        rows = zip(*(values.tolist() for values in self.fibres.values()), strict=True)
        write_text(table, csv_text(self.fibres, rows))
        figures = {
            key: value if math.isfinite(value) else None for key, value in self.image.items()
        }
        write_text(
            summary, json.dumps({"image": figures, "recipe": self.recipe()}, indent=2) + "\n"
        )
        return table, summary


def measure(
    labels: NDArray[Any], classes: NDArray[np.uint8], parameters: MeasureParameters | None = None
) -> Morphometry:
    """Measure the fibres of an image.

    Equals ``skimage.measure.regionprops`` of each axon and fibre (areas, centroids, axes,
    eccentricity, orientation, ``perimeter_crofton``); solidity counts a hull's pixels by their
    centres, so it is 1 for a digitally convex axon, where scikit-image says somewhat less.

    Parameters
    ----------
    labels
        (Y, X) integers as of `label_fibres`, or edited by hand: any labels, in any order. One that
        has no axon pixel is no fibre and is left out.
    classes
        (Y, X) uint8: 0 background, 127 myelin, 255 axon.
    parameters
        Defaults when omitted: lengths in pixels.

    Raises
    ------
    InputError
        The two images do not fit together, or the pixel size cannot be.
    """
    parameters = parameters or MeasureParameters()
    pixel = parameters.pixel_size
    if labels.ndim != 2 or labels.shape != classes.shape or labels.dtype.kind not in "iu":
        raise InputError(
            f"Fibre labels ({labels.dtype}, shape {labels.shape}) and class image (shape "
            f"{classes.shape}) do not belong together; pass a 2-D integer image of the same shape."
        )
    unit: Unit = "px" if pixel is None else "um"
    columns = _columns(labels, classes, parameters.axon_shape)
    count = len(columns["label"])
    if parameters.exclude_border:
        inside = columns["image_border_touching"] == 0
        columns = {name: values[inside] for name, values in columns.items()}
    figures = _figures(columns, classes, count)
    scale = pixel or 1.0

    def scaled(column: Column, value: Any) -> Any:
        if not column.power:
            return value
        per_mm = 1e6 if unit == "um" and column.power == -2 else 1.0
        return value * scale**column.power * per_mm

    return Morphometry(
        {c.key(unit): scaled(c, columns[c.name]) for c in FIBRE_COLUMNS},
        {c.key(unit): float(scaled(c, figures[c.name])) for c in IMAGE_COLUMNS},
        unit,
        parameters,
    )


def measure_mask(
    mask: NDArray[Any], parameters: MeasureParameters | None = None, name: str = "mask"
) -> Morphometry:
    """Find the fibres of a mask and measure them.

    Parameters
    ----------
    mask
        (Y, X), or the same in grey (Y, X, C): 0 background, 127 or 128 myelin, 255 axon. A few
        values between are taken for the nearest class (limits 64 and 192).
    parameters
        Defaults when omitted.
    name
        How messages call the mask.

    Raises
    ------
    InputError
        It is no mask: a micrograph, class numbers 0 and 1, a stack.
    """
    parameters = parameters or MeasureParameters()
    image = Image.from_array(mask, name=name)
    if len(image.spatial_shape) != 2:
        raise InputError(f"{name} has the axes {image.axes}; pass one plane of it.")
    classes = to_classes(image)
    return measure(label_fibres(classes, parameters.min_diameter), classes, parameters)


def _columns(
    labels: NDArray[Any], classes: NDArray[np.uint8], shape: Literal["circle", "ellipse"]
) -> dict[str, NDArray[Any]]:
    """All columns of the table by name, in pixels."""
    axons, fibres = find_runs(labels, classes, AXON), find_runs(labels, classes, MYELIN)
    axon, fibre = moments(axons), moments(fibres)
    at = np.searchsorted(fibres.ids, axons.ids)  # a fibre without an axon is none
    axon_area, fibre_area = axons.areas(), fibres.areas()[at]
    if shape == "circle":
        axon_diam, fibre_diam = (2 * np.sqrt(area / np.pi) for area in (axon_area, fibre_area))
    else:
        axon_diam, fibre_diam = axon.minor, fibre.minor[at]
    myelinated = fibre_area > axon_area
    box = fibres.boxes()[at]
    height, width = labels.shape
    border = (box[:, :2] == 0).any(axis=1) | (box[:, 2:] == (height, width)).any(axis=1)
    return {
        "label": axons.ids,
        "x0": axon.x,
        "y0": axon.y,
        "gratio": np.divide(
            axon_diam, fibre_diam, out=np.full_like(axon_diam, np.nan), where=myelinated
        ),
        "axon_area": axon_area,
        "axon_perimeter": perimeters(labels, axons, classes, AXON),
        "myelin_area": fibre_area - axon_area,
        "axon_diam": axon_diam,
        "myelin_thickness": (fibre_diam - axon_diam) / 2,
        "axonmyelin_area": fibre_area,
        "axonmyelin_perimeter": perimeters(labels, fibres, classes, MYELIN)[at],
        "axonmyelin_diam": fibre_diam,
        "solidity": axon_area / hull_areas(axons),
        "eccentricity": axon.eccentricity,
        "orientation": axon.orientation,
        "image_border_touching": border.astype(np.int64),
        "bbox_min_y": box[:, 0],
        "bbox_min_x": box[:, 1],
        "bbox_max_y": box[:, 2],
        "bbox_max_x": box[:, 3],
    }


def _figures(
    columns: Mapping[str, NDArray[Any]], classes: NDArray[np.uint8], count: int
) -> dict[str, float]:
    """All figures of the image by name, in pixels; `count` fibres, those at the border included."""
    size = classes.size
    axon = sum(np.count_nonzero(classes[rows] == AXON) for rows in strips(classes.shape))
    foreground = sum(np.count_nonzero(classes[rows]) for rows in strips(classes.shape))
    myelinated = columns["myelin_area"] > 0

    def mean(values: NDArray[Any]) -> float:
        return float(values.mean()) if values.size else math.nan

    return {
        "fibres": len(columns["label"]),
        "myelinated_fibres": int(np.count_nonzero(myelinated)),
        "avf": axon / size if size else math.nan,
        "mvf": (foreground - axon) / size if size else math.nan,
        "gratio_aggr": math.sqrt(axon / foreground) if foreground else math.nan,
        "mean_gratio": mean(columns["gratio"][myelinated]),
        "mean_axon_diam": mean(columns["axon_diam"]),
        "mean_axonmyelin_diam": mean(columns["axonmyelin_diam"]),
        "mean_myelin_thickness": mean(columns["myelin_thickness"][myelinated]),
        "axon_density": count / size if size else math.nan,
    }
