"""How large a pixel is, as the file beside an image or the image file itself says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

from .errors import InputError

UM_PER_UNIT: Mapping[str, float] = {
    "pm": 1e-6,
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek mu
    "\\u00b5m": 1.0,  # as ImageJ escapes it
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25400.0,
}
"""Micrometres in a unit of length, by its name in lower case."""

RESOLUTION_LIMIT = 10.0
"""Coarsest pixel (um) for which a bare resolution tag is believed.

Programs write 72, 96 or 300 dots per inch (85 to 353 um) into images whose scale they do not know.
"""

_SQUARE = 0.01  # relative difference of height and width that rounding explains


def in_um(value: object, unit: object) -> float | None:
    """Turn a length into um; None when it is no positive number or the unit is no length."""
    factor = UM_PER_UNIT.get(str(unit).strip().lower())
    try:
        length = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if factor is None or not (math.isfinite(length) and length > 0):
        return None
    return length * factor


def square(x: float | None, y: float | None, where: str) -> float | None:
    """Side of a pixel of width `x` and height `y`.

    Raises
    ------
    InputError
        The pixel is not square: diameters would depend on direction.
    """
    if x is None or y is None:
        return x if y is None else y
    if abs(x - y) > _SQUARE * max(x, y):
        raise InputError(
            f"{where} says that pixels are {x:g} um wide and {y:g} um high; resample the image to "
            "square pixels, or give the pixel size to use."
        )
    return (x + y) / 2


# ---------------------------------------------------------------- BIDS side-cars


def from_sidecar(image: Path) -> float | None:
    """Pixel size (um) in the BIDS-microscopy side-car of an image (Bourget et al. 2022).

    Looks for a JSON file of the same stem beside the image, then, by the inheritance principle of
    BIDS, for one of the same suffix whose entities are all the image's
    (``sub-1_sample-2_TEM.png`` inherits from ``sub-1_TEM.json``), in the image's folder and in
    those above it up to the data set's own.

    Raises
    ------
    InputError
        The side-car that applies is no JSON, or its ``PixelSize`` is no size.
    """
    for path in _sidecars(image):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"The side-car {path} of {image.name} cannot be read as JSON ({error}); mend it "
                "or remove it."
            ) from error
        if not isinstance(content, dict) or "PixelSize" not in content:
            continue
        sizes, unit = content["PixelSize"], content.get("PixelSizeUnits", "um")
        sizes = sizes if isinstance(sizes, list) else [sizes]
        lengths = [in_um(size, unit) for size in sizes[:2]]
        if not lengths or None in lengths:
            raise InputError(
                f"The side-car {path} has PixelSize {content['PixelSize']} {unit}, which is no "
                "size; write two positive numbers in nm, um or mm."
            )
        return square(lengths[0], lengths[-1], f"The side-car {path}")
    return None


def _sidecars(image: Path) -> Iterator[Path]:
    """Side-cars that apply to an image, the most specific first."""
    own = image.with_suffix(".json")
    if own.is_file():
        yield own
    *entities, suffix = image.stem.split("_")
    if not entities or "-" in suffix:
        return
    for folder in (image.parent, *image.absolute().parents[1:5]):
        fitting = [
            path
            for path in folder.glob(f"*{suffix}.json")
            if path.stem.split("_")[-1] == suffix
            and set(path.stem.split("_")[:-1]) <= set(entities)
            and path != own
        ]
        yield from sorted(fitting, key=lambda path: (-path.stem.count("_"), path.name))
        if (folder / "dataset_description.json").exists():
            return
        if folder == image.parent and not image.stem.startswith("sub-"):
            return  # not BIDS: a stray TEM.json far above says nothing about this image


# ---------------------------------------------------------------- the image file's own


def from_resolution(x: float, y: float, unit: str, where: str) -> float | None:
    """Pixel size from a resolution in pixels per `unit`; None when it is a mere printing size."""
    if not (x > 0 and y > 0):
        return None
    width, height = in_um(1 / x, unit), in_um(1 / y, unit)
    if width is None or height is None or max(width, height) > RESOLUTION_LIMIT:
        return None
    return square(width, height, where)


def from_tiff(tif: tifffile.TiffFile, where: str) -> float | None:
    """Pixel size (um) in OME-XML, ImageJ's, FEI's or Zeiss's notes, or the resolution tags."""
    if tif.ome_metadata:
        return _from_ome(tif.ome_metadata, where)
    if tif.fei_metadata:
        return _from_fei(tif.fei_metadata, where)
    if tif.sem_metadata and "ap_image_pixel_size" in tif.sem_metadata:
        _, value, *unit = tif.sem_metadata["ap_image_pixel_size"]
        return in_um(value, unit[0] if unit else "")
    tags = tif.pages.first.tags
    try:
        (nx, dx), (ny, dy) = tags.valueof("XResolution"), tags.valueof("YResolution")
        x, y = nx / dx, ny / dy
    except (TypeError, ValueError, ZeroDivisionError):  # no such tags, or meaningless ones
        return None
    if tif.imagej_metadata and "unit" in tif.imagej_metadata:
        unit = tif.imagej_metadata["unit"]
        return square(in_um(1 / x, unit), in_um(1 / y, unit), where) if x > 0 and y > 0 else None
    # 1: no unit, 2: inch, 3: cm; 4 and 5 are extensions
    units = {2: "inch", 3: "cm", 4: "mm", 5: "um"}
    return from_resolution(x, y, units.get(tags.valueof("ResolutionUnit", 2), ""), where)


def _from_ome(xml: str, where: str) -> float | None:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return None
    x, y = (
        in_um(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um"))
        for axis in "XY"
    )
    return square(x, y, where)


def _from_fei(notes: Mapping[str, Any], where: str) -> float | None:
    for section in ("Scan", "EScan"):
        values = notes.get(section, {})
        x, y = (in_um(values.get(key), "m") for key in ("PixelWidth", "PixelHeight"))
        if x is not None or y is not None:
            return square(x, y, where)
    return None
