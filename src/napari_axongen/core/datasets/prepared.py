"""A folder of prepared tiles: its index, what may be written into it, and its tiles read back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import read_image, to_classes, write_text
from napari_axongen.core.image import Image

from .labelled import LabelledImage, labelled
from .prepare_parameters import PrepareParameters

INDEX = "index.json"
STATE = "unfinished.json"

Part: TypeAlias = Literal["train", "val", "test"]
TileFile: TypeAlias = Annotated[
    str, Field(pattern=r"^(train|val|test)/((images|masks)/)?[^/\\]+\.(tif|png)$")
]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceImage(_Entry):
    """An image that tiles were cut from.

    Attributes
    ----------
    source
        Its file, below the data set.
    name
        What its tiles are called.
    animal, part
        Where it belongs.
    shape
        Rows and columns, as they are in the file.
    scale
        Pixels of the tiles per pixel of the file.
    pixel_size
        um, of the tiles; None when unknown.
    grey_limits
        Grey values of the file that are 0 and 255 in the tiles; None: 8 bits, taken as they are.
    """

    source: str
    name: str
    animal: str
    part: Part
    shape: tuple[int, int]
    scale: float
    pixel_size: float | None
    grey_limits: tuple[float, float] | None


class Tile(_Entry):
    """A tile.

    Attributes
    ----------
    files
        Mask and image, below the folder; or the one file that holds both, mask left.
    part, animal, source, scale
        As those of the image.
    row, column
        Its first pixel, in the image at `scale`.
    """

    files: tuple[TileFile, ...] = Field(min_length=1, max_length=2)
    part: Part
    animal: str
    source: str
    row: int
    column: int
    scale: float


class Index(_Entry):
    """What is in a prepared folder, and how it came to be.

    Attributes
    ----------
    dataset, layout
        What it was made from.
    parameters
        How.
    split
        Animals of each part.
    images, tiles
        What there is.
    left_out
        A sentence for each image that is not in it.
    """

    verb: Literal["prepare"] = "prepare"
    version: str
    dataset: str
    layout: str
    parameters: PrepareParameters
    split: dict[Part, list[str]]
    images: list[SourceImage]
    left_out: list[str]
    tiles: list[Tile]

    def files(self) -> set[str]:
        """All files of its tiles."""
        return {file for tile in self.tiles for file in tile.files}


def read_index(path: Path) -> Index:
    """Read an index.

    Raises
    ------
    InputError
        It cannot be read, or is none.
    """
    try:
        return Index.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is not the index of a prepared folder ({where}: {first['msg']}); prepare the "
            "data set again."
        ) from error


def write_index(path: Path, index: Index) -> None:
    """Write an index."""
    write_text(path, index.model_dump_json(indent=1) + "\n")


def previous(out: Path, dataset: str, parameters: PrepareParameters) -> Index | None:
    """What an earlier run with the same arguments left in a folder; None in a new one.

    Raises
    ------
    InputError
        The folder holds something else.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the tiles.")
    try:
        names = [path.name for path in out.iterdir()] if out.exists() else []
    except OSError as error:
        raise InputError(f"{out} cannot be read: {error.strerror}.") from error
    if all(name.startswith(".") for name in names):
        return None
    own = [name for name in (STATE, INDEX) if name in names]
    if not own:
        raise InputError(f"{out} holds other files; choose an empty or a new folder.")
    found = read_index(out / own[0])
    there = {"dataset": found.dataset, **found.parameters.model_dump()}
    asked = {"dataset": dataset, **parameters.model_dump()}
    other = [f"{key} ({there[key]}, not {asked[key]})" for key in asked if there[key] != asked[key]]
    if other:
        raise InputError(
            f"{out} holds tiles of other {', '.join(other)}; choose another folder, or remove it."
        )
    return found


def remove(out: Path, files: Iterable[str]) -> None:
    """Remove files of tiles, those that are there."""
    for file in files:
        try:
            (out / file).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{out / file} cannot be removed: {error.strerror}; choose another folder."
            ) from error


def load_prepared(folder: Path | str, part: Part | None = None) -> list[LabelledImage]:
    """Read the tiles of a prepared folder.

    Parameters
    ----------
    folder
        It holds ``index.json``.
    part
        ``train``, ``val`` or ``test``; omitted, all.

    Raises
    ------
    InputError
        The folder was not prepared, or not to the end, or a tile cannot be read.
    """
    folder = Path(folder)
    if (folder / STATE).exists():
        raise InputError(f"{folder} is unfinished; run 'axongen prepare' again.")
    index = read_index(folder / INDEX)
    sizes = {image.source: image.pixel_size for image in index.images}
    return [
        _read(folder, tile, sizes.get(tile.source))
        for tile in index.tiles
        if part in (None, tile.part)
    ]


def _read(folder: Path, tile: Tile, pixel_size: float | None) -> LabelledImage:
    # A size is given to each file, so that none is looked for beside thousands of others.
    images = [read_image(folder / file, pixel_size or 1.0) for file in tile.files]
    name, arrays = images[-1].name, [np.asarray(image.data) for image in images]
    if len(arrays) == 1:
        arrays = np.hsplit(arrays[0], 2)
    mask, grey = arrays
    return labelled(
        Image.from_array(grey, "YX", pixel_size, name),
        to_classes(Image.from_array(mask, "YX", None, f"the mask of {name}")),
        tile.animal,
    )
