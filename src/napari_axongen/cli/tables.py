"""Measurements of several masks in one table."""

from __future__ import annotations

import json
import re
from pathlib import Path

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import csv_text, read_image, to_classes, write_text
from napari_axongen.core.instances import label_fibres
from napari_axongen.core.morphometry import Morphometry, measure
from napari_axongen.core.parameters import MeasureParameters

from .console import say

_ONE_CLASS = re.compile(r"_seg-(axon|myelin)(?=$|-manual$)")


class Tables:
    """A table with a row for each fibre, and one with a row for each image.

    Parameters
    ----------
    parameters
        Of every measurement; a mask's own pixel size is used where these have none.
    """

    def __init__(self, parameters: MeasureParameters) -> None:
        self.parameters = parameters
        self.names: list[str] = []
        self._measured: list[Morphometry] = []
        self._files: set[str] = set()

    def add(self, path: Path) -> None:
        """Measure a mask file; a stack plane by plane, each named ``FILE[plane]``.

        Raises
        ------
        InputError
            The file is no mask of both classes, or its lengths have another unit than those before.
        """
        if alone := _ONE_CLASS.search(path.stem):
            raise InputError(
                f"{path} holds the {alone[1]} alone; measure the mask of both, "
                f"{_ONE_CLASS.sub('_seg-axonmyelin', path.stem)}{path.suffix}."
            )
        image = read_image(path, self.parameters.pixel_size)
        if image.pixel_size is None:
            say(f"{path.name}: its pixel size is unknown (--pixel-size), so lengths are in pixels.")
        parameters = self.parameters.model_copy(update={"pixel_size": image.pixel_size})
        classes = to_classes(image)
        planes = list(image.plane_indices())
        found = []
        for plane in planes:
            labels = label_fibres(classes[plane], parameters.min_diameter)
            found.append(measure(labels, classes[plane], parameters))
        if self._measured and found[0].unit != self._measured[0].unit:
            raise InputError(
                f"{path} would be measured in {found[0].unit}, those before it in "
                f"{self._measured[0].unit}; give --pixel-size, or measure it by itself."
            )
        name = path.name if path.name not in self._files else str(path)
        self._files.add(name)
        self.names += [name + (str(list(plane)) if plane else "") for plane in planes]
        self._measured += found

    def write(self, out: Path) -> tuple[Path, Path, Path]:
        """Write the two tables and the recipe; return their paths.

        Raises
        ------
        InputError
            They cannot be written.
        """
        first = self._measured[0]
        fibres = (
            [name, *row]
            for name, one in zip(self.names, self._measured, strict=True)
            for row in zip(*(values.tolist() for values in one.fibres.values()), strict=True)
        )
        images = (
            [name, *one.image.values()]
            for name, one in zip(self.names, self._measured, strict=True)
        )
        summary = out.with_name(f"{out.stem}_summary.csv")
        recipe = out.with_suffix(".json")
        write_text(out, csv_text(["image", *first.fibres], fibres))
        write_text(summary, csv_text(["image", *first.image], images))
        sizes = {
            name: one.parameters.pixel_size
            for name, one in zip(self.names, self._measured, strict=True)
        }
        content = first.recipe() | {
            "parameters": self.parameters.model_dump(mode="json"),
            "pixel_sizes": sizes,
        }
        write_text(recipe, json.dumps(content, indent=2) + "\n")
        return out, summary, recipe
