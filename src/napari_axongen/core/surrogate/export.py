"""Data sets of surrogates of any size on disk, in bounded memory; what was stopped goes on."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Progress, Steps
from napari_axongen.core.files import APART, write_text

from .parameters import SurrogateParameters
from .truth import Surrogates
from .writers import Format, Layout, Tables, Writer, finish, make_writer, unfinished

if TYPE_CHECKING:
    from napari_axongen.core.cluster import Cluster

Make: TypeAlias = Callable[..., Steps[Surrogates]]
"""`generator.generate_steps` with all but ``count`` and ``first``."""

PARAMETERS = "parameters.json"
STATE = "unfinished.json"


@dataclass
class _State:
    """How far an export is; on the disk until it is finished."""

    recipe: dict[str, Any]
    done: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def save(self, out: Path) -> None:
        self.files = sorted(path.name for path in out.glob(unfinished(out, "[!.]*").name))
        write_text(out / STATE, _json(vars(self)))


def export_steps(
    parameters: SurrogateParameters,
    count: int,
    seed: int,
    out: Path,
    format: Format = "tiff",
    series: bool = False,
    device: str = "auto",
    resume: bool = False,
    cluster: Cluster | None = None,
) -> Steps[Path]:
    """Make images 0 to `count` - 1 of a seed and write them, step by step.

    Until all are done, the files end in ``.partial`` and ``unfinished.json`` lies beside them.
    Stopped at any moment, killed even, the export goes on with `resume` and ends with the same
    files, to the byte, as if it had not been stopped. The memory does not depend on `count`.

    Parameters
    ----------
    parameters
        What to make.
    count
        N, of images or series.
    seed
        Of all chance.
    out
        A folder that is empty or not there. It gets ``boutons.csv`` (columns: `truth.BOUTON`),
        ``centrelines.csv`` (image, axon, branch, point, row, column), ``parameters.json`` (the
        recipe), of series also ``tracks.csv`` (`truth.TRACK`) and ``transforms.csv`` (image,
        frame, the first two rows of the matrix), and the arrays of `truth.Surrogates`.
    format
        ``tiff``: a file for each array, (N, H, W) or (N, T, H, W), see `writers.tiff`. ``mat``:
        MATLAB 7.3, 200 images a file, see `writers.mat`. ``zarr``: an OME-Zarr for each array, see
        `writers.ome_zarr`. Labels are uint16.
    series
        Make series instead of images.
    device
        auto, cpu, cuda or mps.
    resume
        Go on with the export that was stopped in this folder; where there is none, start. One
        that is finished is left alone.
    cluster
        Whose workers make the images, a block a task, if not this process. The files are the same.

    Yields
    ------
    Progress (images done, of all) and each kind of notice of the generator once.

    Returns
    -------
    `out`

    Raises
    ------
    InputError
        The folder holds something else, a package for the format is missing, or the disk refused.
        After a full disk, make room and resume.
    """
    if count < 1:
        raise InputError(f"An export of {count} images holds nothing; ask for 1 or more.")
    out = Path(out)
    layout = Layout.of(parameters, out, count, series)
    writer, tables = make_writer(format, layout), Tables(out, series)
    recipe = _recipe(parameters, count, seed, series) | {"format": format}
    with _disk(out):
        state = _open(out, recipe, resume)
    if state is None:
        yield Notice(f"{out} already holds this export, finished.")
        return out
    if state.done < count:
        with _disk(out):
            _prepare(out, state, writer, tables)
        from .generator import generate_steps  # loads torch

        make = partial(generate_steps, parameters, seed=seed, device=device, series=series)
        fill = _fill(make, layout, state, writer, tables)
        if cluster is not None:
            fill = _fill_from(cluster, make, format, layout, state, writer, tables)
        yield from fill
    with _disk(out):
        _finish(out, recipe)
    return out


def _open(out: Path, recipe: dict[str, Any], resume: bool) -> _State | None:
    """State to go on from; None when the export is finished."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the export.")
    out.mkdir(parents=True, exist_ok=True)
    if (out / STATE).exists():
        state = _read_state(out / STATE)
        if not resume:
            raise InputError(
                f"{out} holds an unfinished export ({state.done} of {state.recipe['count']} "
                "images); go on with --resume, or choose another folder."
            )
        _check_same(out, state.recipe, recipe)
        return state
    if (out / PARAMETERS).exists():
        if not resume:
            raise InputError(f"{out} already holds a data set; choose another folder.")
        _check_same(out, _read(out / PARAMETERS), recipe)
        return None
    if any(not path.name.startswith(".") for path in out.iterdir()):
        raise InputError(f"{out} holds other files; choose an empty or a new folder.")
    return _State(recipe)


def _check_same(out: Path, there: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse to go on with other parameters, another seed, number or version."""
    other = sorted(key for key in asked if there.get(key) != asked[key])
    if not other:
        return
    values = [
        key if key == "parameters" else f"{key} ({there.get(key)}, not {asked[key]})"
        for key in other
    ]
    raise InputError(
        f"{out} holds an export of other {', '.join(values)}; resume with those it was begun with, "
        "or choose another folder."
    )


def _prepare(out: Path, state: _State, writer: Writer, tables: Tables) -> None:
    """Make the files, or take off what was written after the state was."""
    if state.done == 0:
        state.save(out)  # first, so that the folder is known for what it is
        writer.create()
        tables.create()
        return
    for name in state.files:
        if not (out / name).exists():
            raise InputError(f"{out / name} is missing; remove {out} and start anew.")
    tables.cut(state.tables)


def _fill(make: Make, layout: Layout, state: _State, writer: Writer, tables: Tables) -> Steps[None]:
    """Make and write all images that are not done."""
    said = set[str]()
    yield Progress(state.done, layout.count)
    for start, stop in _spans(layout, state, writer):
        yield from _block(make, layout, writer, tables, start, stop, said)
        yield _done(layout, state, tables, stop)


def _fill_from(
    cluster: Cluster,
    make: Make,
    format: Format,
    layout: Layout,
    state: _State,
    writer: Writer,
    tables: Tables,
) -> Steps[None]:
    """Likewise, by a cluster: each block is made apart, and they are put together in order."""
    from napari_axongen.core.cluster import in_order

    said, spans = set[str](), _spans(layout, state, writer)
    yield Progress(state.done, layout.count)
    task = partial(_block_apart, make, format, layout)
    with cluster.tasks(task, spans, layout.folder) as blocks:
        for (start, stop), block in zip(spans, in_order(blocks), strict=True):
            block.result()
            assert block.folder is not None
            yield from (notice for notice in block.notices if _is_new(notice, said))
            with _disk(layout.folder):
                writer.adopt(start, stop, block.folder)
                tables.adopt(block.folder)
                shutil.rmtree(block.folder)
            yield _done(layout, state, tables, stop)


def _spans(layout: Layout, state: _State, writer: Writer) -> list[tuple[int, int]]:
    """First image and end of the blocks that are not done."""
    starts = range(state.done, layout.count, writer.block)
    return [(start, min(start + writer.block, layout.count)) for start in starts]


def _done(layout: Layout, state: _State, tables: Tables, stop: int) -> Progress:
    """Note that all images before one are on the disk."""
    with _disk(layout.folder):
        state.done, state.tables = stop, tables.sizes()
        state.save(layout.folder)
    return Progress(stop, layout.count)


def _block(
    make: Make,
    layout: Layout,
    writer: Writer,
    tables: Tables,
    start: int,
    stop: int,
    said: set[str],
    shift: int = 0,
) -> Steps[None]:
    """Make images `start` to `stop` - 1 and write them, `shift` places before their own."""
    with _disk(layout.folder), writer.open(start - shift, stop - shift) as write:
        for first in range(start, stop, layout.step):
            step = make(count=min(layout.step, stop - first), first=first)
            surrogates = yield from _passed_on(step, first, layout.count, said)
            write(first - shift, {name: getattr(surrogates, name) for name in layout.dtypes})
            tables.append(surrogates)
            del surrogates  # before the next are made


def _block_apart(
    make: Make, format: Format, whole: Layout, folder: Path, start: int, stop: int
) -> Steps[None]:
    """Write a block into a folder as an export of its own, for `Writer.adopt`."""
    layout = replace(whole, folder=folder, count=stop - start)
    writer, tables = make_writer(format, layout), Tables(folder, len(layout.shape) == 3)
    with _disk(folder):
        writer.create()
        tables.create()
    yield from _block(make, layout, writer, tables, start, stop, set(), start)


def _passed_on(
    step: Steps[Surrogates], first: int, count: int, said: set[str]
) -> Steps[Surrogates]:
    """Run a step; progress counts all images, and of each kind the first notice is handed on."""
    while True:
        try:
            event = next(step)
        except StopIteration as stop:
            return cast("Surrogates", stop.value)
        if isinstance(event, Progress):
            yield Progress(first + event.done, count, event.message)
        elif isinstance(event, Notice) and _is_new(event, said):
            yield Notice(f"From image {first} on: {event.message}", event.level)


def _is_new(notice: Notice, said: set[str]) -> bool:
    """Whether no notice of its kind was heard; now one is."""
    kind = re.sub(r"\d+", "", notice.message)  # each step counts for itself
    new = kind not in said
    said.add(kind)
    return new


def _finish(out: Path, recipe: dict[str, Any]) -> None:
    """Give everything its name; what was stopped here is completed by a resume."""
    if not (out / PARAMETERS).exists():
        unfinished(out, PARAMETERS).write_text(_json(recipe), encoding="utf-8")
    finish(out, last=PARAMETERS)
    for path in (out / STATE, *out.glob(f".{STATE}.*")):  # and what a kill left of one
        path.unlink()
    for path in out.glob(f"{APART}*"):
        shutil.rmtree(path, ignore_errors=True)


def _recipe(parameters: SurrogateParameters, count: int, seed: int, series: bool) -> dict[str, Any]:
    """The recipe of the whole, as `Surrogates.recipe`."""
    from napari_axongen import __version__

    return {
        "verb": "generate_series" if series else "generate",
        "parameters": parameters.model_dump(mode="json", by_alias=True),
        "seed": seed,
        "first": 0,
        "count": count,
        "version": __version__,
    }


@contextlib.contextmanager
def _disk(out: Path) -> Iterator[None]:
    """Say in one sentence what the operating system refused."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).rstrip(".").lower()
        raise InputError(
            f"{out} cannot be written: {reason}; choose another place, or make room and go on with "
            "--resume."
        ) from error


def _read_state(path: Path) -> _State:
    try:
        return _State(**_read(path))
    except TypeError as error:
        raise InputError(f"{path} is none of an export; choose another folder.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); choose another folder.") from error
    return content


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
