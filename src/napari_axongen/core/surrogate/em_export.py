"""Data sets of fibre layouts on disk, in bounded memory; what was stopped goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Progress, Steps, quiet
from napari_axongen.core.files import APART, atomic_path, csv_text, write_image, write_text

from .em_layout import EmLayout, check, em_fibres, shortfall
from .em_parameters import EmFibreParameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_axongen.core.cluster import Cluster

    from .em_images import EmRenderer

PARAMETERS = "parameters.json"
STATE = "unfinished.json"
TABLE = "fibres.csv"
_MOST_IMAGES = 100_000  # names have five digits


def em_fibres_steps(
    parameters: EmFibreParameters,
    count: int,
    seed: int,
    out: Path | str,
    resume: bool = False,
    renderer: EmRenderer | None = None,
    cluster: Cluster | None = None,
) -> Steps[Path]:
    """Lay out images 0 to `count` - 1 of a seed and write them, step by step.

    Until all are done, ``unfinished.json`` lies in the folder and neither ``fibres.csv`` nor
    ``parameters.json``. Stopped at any moment, killed even, the export goes on with `resume` and
    ends with the same files, to the byte, as if it had not been stopped. The memory does not depend
    on `count`.

    Parameters
    ----------
    parameters
        What to draw from.
    count
        Images, at most 100,000.
    seed
        Of all chance.
    out
        A folder that is empty or not there. Image NNNNN gets ``NNNNN_seg-axonmyelin.png`` (0
        background, 127 myelin, 255 axon), ``NNNNN_instances.tif`` (numbers of the fibres, uint16;
        int32 where there are too many) and, where there are axons without myelin,
        ``NNNNN_unmyelinated.png`` (0 and 255), all with their pixel size. All together get
        ``fibres.csv``, one row a fibre (columns: image, and those of `em_layout.EmLayout.fibres`),
        and ``parameters.json``, the recipe.
    resume
        Go on with the export that was stopped in this folder; where there is none, start. One that
        is finished is left alone.
    renderer
        Renders each layout as an image, too: ``NNNNN.tif``, with its pixel size. Omitted, there
        are masks alone.
    cluster
        Whose workers make the images, one a task, if not this process. The files are the same.

    Yields
    ------
    Progress (images done, of all), and a `Notice` where fibres fill less than was asked for.

    Returns
    -------
    `out`

    Raises
    ------
    InputError
        The parameters cannot be drawn (see `em_layout.em_fibres`), the folder holds something else,
        or the disk refused. After a full disk, make room and resume.
    """
    if not 1 <= count <= _MOST_IMAGES:
        raise InputError(f"An export of {count} images is not made; ask for 1 to {_MOST_IMAGES}.")
    check(parameters, seed)
    out = Path(out)
    if renderer is not None:
        yield Notice(renderer.said())
    recipe = _recipe(parameters, count, seed, renderer)
    try:
        finished = _open(out, recipe, resume)
        if finished:
            yield Notice(f"{out} already holds this export, finished.")
            return out
        if not (out / TABLE).exists():
            yield from _fill(parameters, count, seed, out, renderer, cluster)
            _join(out, count)
        write_text(out / PARAMETERS, _json(recipe))
        for index in range(count):
            _part(out, index).unlink(missing_ok=True)
        (out / STATE).unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).rstrip(".").lower()
        raise InputError(
            f"{out} cannot be written: {reason}; choose another place, or make room and go on with "
            "--resume."
        ) from error
    return out


def _fill(
    parameters: EmFibreParameters,
    count: int,
    seed: int,
    out: Path,
    renderer: EmRenderer | None,
    cluster: Cluster | None,
) -> Steps[None]:
    """Make and write the images that are not there."""
    missing = [index for index in range(count) if not _part(out, index).exists()]
    sparse, first = list[int](), count - len(missing) + 1
    if cluster is None:
        for done, index in enumerate(missing, first):
            image = _image_steps(parameters, seed, renderer, out, index)
            _, short = yield from quiet(image)
            yield from _told(index, short, sparse)
            yield Progress(done, count)
    else:
        if renderer is not None:
            renderer.model.network.cpu()
        task = partial(_image_apart, parameters, seed, renderer, cluster.where)
        with cluster.tasks(task, ((index,) for index in missing), out) as outcomes:
            for done, outcome in enumerate(outcomes, first):
                names, short = outcome.result()
                outcome.move(names, out)
                yield from outcome.notices
                yield from _told(missing[outcome.index], short, sparse)
                yield Progress(done, count)
    if len(sparse) > 1:
        yield Notice(
            f"Fibres fill less than was asked for in {len(sparse)} of {len(missing)} images.",
            "warning",
        )


def _told(index: int, short: str | None, sparse: list[int]) -> Iterator[Notice]:
    """Note that fibres fill less than was asked for; tell it of the first image."""
    if short is not None:
        if not sparse:
            yield Notice(f"Image {index}: {short}", "warning")
        sparse.append(index)


def _image_steps(
    parameters: EmFibreParameters, seed: int, renderer: EmRenderer | None, folder: Path, index: int
) -> Steps[tuple[list[str], str | None]]:
    """Make and write an image; returns the names of its files, and how its fibres fall short."""
    layout, image = em_fibres(parameters, seed, index), None
    if renderer is not None:
        image = yield from renderer.render(layout, parameters, seed, index)
    return _write(layout, image, folder, index), shortfall(layout, parameters)


def _image_apart(
    parameters: EmFibreParameters,
    seed: int,
    renderer: EmRenderer | None,
    device: str,
    folder: Path,
    index: int,
) -> Steps[tuple[list[str], str | None]]:
    """Likewise on a worker, which has a device of its own."""
    from napari_axongen.core.device import choose_device  # loads torch

    if renderer is not None:
        renderer = replace(renderer, device=choose_device(device))
    return (yield from _image_steps(parameters, seed, renderer, folder, index))


def _write(layout: EmLayout, image: NDArray[np.uint8] | None, out: Path, index: int) -> list[str]:
    """Write the files of an image; its part of the table, the last, says that all are there.

    Returns their names in this order.
    """
    stem, labels = f"{index:05d}", layout.labels
    small = labels.max(initial=0) <= np.iinfo(np.uint16).max
    arrays = {
        f"{stem}_seg-axonmyelin.png": layout.classes,
        f"{stem}_instances.tif": labels.astype(np.uint16) if small else labels,
    }
    if image is not None:
        arrays[f"{stem}.tif"] = image
    if layout.unmyelinated.any():
        bare = (layout.unmyelinated > 0).view(np.uint8) * np.uint8(255)
        arrays[f"{stem}_unmyelinated.png"] = bare
    for name, array in arrays.items():
        write_image(out / name, array, layout.pixel_size)
    rows = zip(*(values.tolist() for values in layout.fibres.values()), strict=True)
    table = csv_text(["image", *layout.fibres], ((stem, *row) for row in rows))
    write_text(_part(out, index), table)
    return [*arrays, _part(out, index).name]


def _part(out: Path, index: int) -> Path:
    """An image's part of the table, until all are joined."""
    return out / f"{index:05d}_fibres.csv"


def _join(out: Path, count: int) -> None:
    """Write the tables of all images into one, under a single header."""
    with atomic_path(out / TABLE) as unnamed, unnamed.open("wb") as whole:
        for index in range(count):
            with _part(out, index).open("rb") as part:
                header = part.readline()
                if index == 0:
                    whole.write(header)
                shutil.copyfileobj(part, whole)


# ---------------------------------------------------------------- folder


def _open(out: Path, recipe: dict[str, Any], resume: bool) -> bool:
    """Prepare the folder; whether the export in it is finished."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the export.")
    if (out / STATE).exists():
        if not resume:
            raise InputError(
                f"{out} holds an unfinished export; go on with --resume, or choose another folder."
            )
        _check_same(out / STATE, recipe)
        for stray in out.glob(".*.partial"):  # what a kill left of a file
            stray.unlink()
        for folder in out.glob(f"{APART}*"):
            shutil.rmtree(folder, ignore_errors=True)
        return False
    if (out / PARAMETERS).exists():
        if not resume:
            raise InputError(f"{out} already holds a data set; choose another folder.")
        _check_same(out / PARAMETERS, recipe)
        return True
    if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise InputError(f"{out} holds other files; choose an empty or a new folder.")
    write_text(out / STATE, _json(recipe))
    return False


def _check_same(path: Path, asked: dict[str, Any]) -> None:
    """Refuse to go on with anything else than the export was begun with."""
    try:
        there = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); choose another folder.") from error
    values = _flat(there)
    other = [
        f"{key} ({values.get(key)}, not {value})"
        for key, value in _flat(asked).items()
        if values.get(key) != value
    ]
    if other:
        raise InputError(
            f"{path.parent} holds an export of other {', '.join(other)}; resume with what it was "
            "begun with, or choose another folder."
        )


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    parameters = recipe.get("parameters")
    return {**recipe, "parameters": None, **(parameters if isinstance(parameters, dict) else {})}


def _recipe(
    parameters: EmFibreParameters, count: int, seed: int, renderer: EmRenderer | None
) -> dict[str, Any]:
    from napari_axongen import __version__

    model = renderer and renderer.model
    return {
        "verb": "generate em-fibres",
        "parameters": parameters.model_dump(mode="json"),
        "seed": seed,
        "count": count,
        "model": model and {"name": model.card.name, "sha256": model.sha256},
        "version": __version__,
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
