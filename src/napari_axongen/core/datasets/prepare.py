"""Data sets as tiles on disk: read, split by animal, brought to one scale, cut."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Progress, Steps
from napari_axongen.core.files import write_image

from .labelled import LabelledImage, mask_values
from .layouts import Layout, Pair, check_names, find_pairs
from .prepare_parameters import PrepareParameters
from .prepared import INDEX, STATE, Index, SourceImage, Tile, previous, remove, write_index
from .scaling import NoAxonError, grey_limits, rescale, scale_to, to_bytes
from .sources import data_folder
from .splitting import Split, split_animals, split_by_name


@dataclass(frozen=True)
class Prepared:
    """What `prepare_steps` made.

    Attributes
    ----------
    folder
        Where the tiles are.
    index
        What ``index.json`` in it holds.
    refused
        A sentence for each image or mask that could not be used.
    """

    folder: Path
    index: Index
    refused: tuple[str, ...]


@dataclass(frozen=True)
class _Fit:
    """A pair that can be used, and what its tiles will be."""

    pair: Pair
    shape: tuple[int, int]
    scale: float
    pixel_size: float | None
    grey_limits: tuple[float, float] | None

    @property
    def scaled(self) -> tuple[int, int]:
        rows, columns = (max(1, round(length * self.scale)) for length in self.shape)
        return rows, columns


def prepare_steps(
    dataset: str | Path | Sequence[LabelledImage], parameters: PrepareParameters, out: Path | str
) -> Steps[Prepared]:
    """Cut a data set into tiles, train, val and test apart by animal, and write them.

    Two passes, one image in memory at a time: the first checks them all and finds their scales, the
    second cuts. Until the second is through, ``unfinished.json`` lies in the folder and no
    ``index.json``. A run that was stopped is begun again with the same arguments.

    Parameters
    ----------
    dataset
        A folder in any layout that `layouts.find_pairs` knows (by path or by name, see
        `sources.data_folder`), or open images.
    parameters
        How.
    out
        A new or empty folder, or one that was prepared from this data set with these parameters:
        its tiles are made anew. PART is train, val or test. The tile at row R and column C of
        image NAME is ``PART/masks/NAME_rR_cC.tif`` (0 background, 127 myelin, 255 axon) and
        ``PART/images/NAME_rR_cC.tif`` (uint8), with their pixel size; or side by side
        ``PART/NAME_rR_cC.png``, mask left. What would stick out at the far edges is shifted inwards
        and so overlaps its neighbour. Grey values of 8 bits stay; others are scaled by the 1st and
        99.9th percentile of their whole image. ``index.json`` says all of it (`prepared.Index`).

    Yields
    ------
    Progress by image, then by tile; Notices of what is left out and why, and of the parts.

    Raises
    ------
    InputError
        No such data set or no pair in it that can be used, too few animals for the split, or a
        folder that holds something else.
    """
    out = Path(out)
    title, layout = _find(dataset)
    earlier = previous(out, title, parameters)
    for note in layout.notes:
        yield Notice(note)
    for sentence in layout.refused:
        yield Notice(sentence, "warning")
    fits, refused, left_out = yield from _survey(layout, parameters)
    if not fits:
        raise InputError(f"No image of {title} can be used: {(*refused, *left_out)[0]}")
    split = _split(layout, fits, parameters)
    index = _plan(title, layout.kind, fits, split, parameters, [*refused, *left_out])
    if earlier is not None:
        remove(out, earlier.files() - index.files())
        remove(out, (path.relative_to(out).as_posix() for path in out.rglob(".*.partial")))
    write_index(out / STATE, index)
    remove(out, [INDEX])
    tiles = yield from _cut(fits, index, out)
    remove(out, index.files() - {file for tile in tiles for file in tile.files})
    index = index.model_copy(update={"tiles": tiles})
    write_index(out / INDEX, index)
    remove(out, [STATE])
    yield from _summary(index, {fit.pair.animal for fit in fits})
    return Prepared(out, index, tuple(refused))


def _find(dataset: str | Path | Sequence[LabelledImage]) -> tuple[str, Layout]:
    """What messages and the index call the data set, and its pairs."""
    if isinstance(dataset, str | Path):
        return Path(dataset).as_posix(), find_pairs(data_folder(dataset))
    if not dataset:
        raise InputError("There is no image to prepare; open some, with their masks.")
    names = [image.image.name for image in dataset]
    pairs = [
        Pair(re.sub(r"[^\w.-]+", "_", name), name, image.animal, partial(_itself, image))
        for name, image in zip(names, dataset, strict=True)
    ]
    title = f"open images ({', '.join(names)})"
    return title, check_names(Layout("open images", pairs), title)


def _itself(image: LabelledImage) -> LabelledImage:
    return image


# ---------------------------------------------------------------- which images, and where to


def _survey(
    layout: Layout, parameters: PrepareParameters
) -> Steps[tuple[list[_Fit], list[str], list[str]]]:
    """Pairs that can be used; sentences about those that cannot, and those without an axon."""
    fits, refused, left_out = [], [*layout.refused], []
    for count, pair in enumerate(layout.pairs):
        yield Progress(count, len(layout.pairs), "images checked")
        try:
            fits.append(_fit(pair, parameters))
        except NoAxonError as error:
            left_out.append(f"{str(error).rstrip('.')}; it is left out.")
            yield Notice(left_out[-1])
        except InputError as error:
            refused.append(str(error))
            yield Notice(str(error), "warning")
    return fits, refused, left_out


def _fit(pair: Pair, parameters: PrepareParameters) -> _Fit:
    image = pair.read()
    scale = scale_to(image, parameters.pixel_size, parameters.axon_diameter)
    size = image.image.pixel_size
    fit = _Fit(
        pair,
        image.image.plane_shape,
        scale,
        None if size is None else size / scale,
        grey_limits(image),
    )
    if min(fit.scaled) < parameters.tile:
        rows, columns = fit.scaled
        raise InputError(
            f"{image.image.name} has {rows} x {columns} pixels at {scale:.3g} of its size, less "
            f"than a tile of {parameters.tile}; choose smaller tiles or a larger scale."
        )
    return fit


def _split(layout: Layout, fits: Sequence[_Fit], parameters: PrepareParameters) -> Split:
    if any(parameters.named.values()):
        return split_by_name({pair.animal for pair in layout.pairs}, parameters.named)
    pixels: Counter[str] = Counter()
    for fit in fits:
        pixels[fit.pair.animal] += fit.scaled[0] * fit.scaled[1]
    return split_animals(pixels, parameters.shares, parameters.seed)


def _plan(
    dataset: str,
    layout: str,
    fits: Sequence[_Fit],
    split: Split,
    parameters: PrepareParameters,
    left_out: list[str],
) -> Index:
    """The index of all tiles, whatever is on them."""
    from napari_axongen import __version__

    images, tiles = [], []
    for part, animals in split.items():
        for fit in fits:
            if fit.pair.animal not in animals:
                continue
            belongs = {"part": part, "animal": fit.pair.animal, "source": fit.pair.source}
            images.append(
                SourceImage(
                    name=fit.pair.name,
                    shape=fit.shape,
                    scale=fit.scale,
                    pixel_size=fit.pixel_size,
                    grey_limits=fit.grey_limits,
                    **belongs,
                )
            )
            for row, column in _grid(fit.scaled, parameters):
                stem = f"{fit.pair.name}_r{row:05d}_c{column:05d}"
                files: tuple[str, ...] = (f"{part}/masks/{stem}.tif", f"{part}/images/{stem}.tif")
                if parameters.side_by_side:
                    files = (f"{part}/{stem}.png",)
                tiles.append(Tile(files=files, row=row, column=column, scale=fit.scale, **belongs))
    return Index(
        version=__version__,
        dataset=dataset,
        layout=layout,
        parameters=parameters,
        split=split,
        images=images,
        left_out=left_out,
        tiles=tiles,
    )


def _grid(shape: tuple[int, int], parameters: PrepareParameters) -> Iterator[tuple[int, int]]:
    """First pixels of the tiles of an image; those that would stick out are shifted inwards."""
    tile, stride = parameters.tile, parameters.stride or parameters.tile
    rows, columns = (
        sorted({*range(0, length - tile + 1, stride), length - tile}) for length in shape
    )
    return ((row, column) for row in rows for column in columns)


# ---------------------------------------------------------------- tiles


def _cut(fits: Sequence[_Fit], index: Index, out: Path) -> Steps[list[Tile]]:
    """Write the tiles of an index; those with too little foreground are left out."""
    parameters, done, kept = index.parameters, 0, []
    by_source: dict[str, list[Tile]] = {}
    for tile in index.tiles:
        by_source.setdefault(tile.source, []).append(tile)
    for fit in fits:
        tiles = by_source.get(fit.pair.source, [])
        if not tiles:  # its animal is in no part
            continue
        image = rescale(fit.pair.read(), fit.scale)
        grey, mask = to_bytes(image, fit.grey_limits), mask_values(image.classes)
        for tile in tiles:
            yield Progress(done, len(index.tiles), "tiles")
            done += 1
            window = tuple(
                slice(first, first + parameters.tile) for first in (tile.row, tile.column)
            )
            if np.mean(mask[window] > 0) >= parameters.min_foreground:
                _write(out, tile, mask[window], grey[window], fit.pixel_size)
                kept.append(tile)
    yield Progress(done, len(index.tiles), "tiles")
    return kept


def _write(
    out: Path,
    tile: Tile,
    mask: npt.NDArray[np.uint8],
    grey: npt.NDArray[np.uint8],
    pixel_size: float | None,
) -> None:
    if len(tile.files) == 1:
        write_image(out / tile.files[0], np.hstack([mask, grey]), pixel_size)
        return
    for file, array in zip(tile.files, (mask, grey), strict=True):
        write_image(out / file, array, pixel_size)


def _summary(index: Index, animals: set[str]) -> Iterator[Notice]:
    tiles = Counter(tile.part for tile in index.tiles)
    for part, names in index.split.items():
        images = sum(image.part == part for image in index.images)
        yield Notice(
            f"{part}: {tiles[part]} tiles (images: {images}, animals: {len(names)}).",
            "info" if tiles[part] else "warning",
        )
    unused = animals.difference(*index.split.values())
    if unused:
        yield Notice(f"In no part: {', '.join(sorted(unused))}.")
