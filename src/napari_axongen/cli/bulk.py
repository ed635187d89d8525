"""Many files, or many images: by this process, or by the workers of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import typer

from napari_axongen.core.events import Progress, Steps
from napari_axongen.core.parameters import SegmentParameters, TranslateParameters

from .console import attempt, each, follow, summed_up, tell

if TYPE_CHECKING:
    from napari_axongen.core.cluster import Cluster, Outcome

T = TypeVar("T", SegmentParameters, TranslateParameters)

Work: TypeAlias = Callable[..., Steps[list[str]]]
"""``work(folder, path)`` makes something of an image, writes into a folder, and returns the names
of the files, the recipe last; ``device`` is where to compute, if not as the parameters say."""


@contextlib.contextmanager
def workers(scheduler: str | None, device: str) -> Iterator[Cluster | None]:
    """The cluster of a scheduler, if one is named."""
    if scheduler is None:
        yield None
        return
    from napari_axongen.core.cluster import Cluster

    with Cluster(scheduler, device) as cluster:
        tell("cluster", cluster.said())
        yield cluster


def files(
    paths: Sequence[Path],
    work: Work,
    out: Path,
    scheduler: str | None,
    device: str,
    tiled: bool = True,
    refuse: Callable[[Path], None] = lambda target: None,
) -> int:
    """Do the work for each file; say what was written. Returns how many failed.

    Parameters
    ----------
    paths
        The images.
    work
        What to do.
    out
        Folder of the results.
    scheduler
        Of a cluster: each file is a task of it, but of a single one each tile.
    device
        Where its workers compute.
    tiled
        Whether the work is done tile by tile, each for itself.
    refuse
        Raises for a file that must not be written.
    """
    with workers(scheduler, device) as cluster:
        if cluster is not None and (len(paths) > 1 or not tiled):
            return summed_up(follow(_by_tasks(cluster, paths, work, out, refuse), "cluster"))
        if cluster is not None:
            work = partial(work, device=cluster.device)
        return each(paths, lambda path: _say(out, follow(work(out, path), path.name)))


def _by_tasks(
    cluster: Cluster,
    paths: Sequence[Path],
    work: Work,
    out: Path,
    refuse: Callable[[Path], None],
) -> Steps[list[bool]]:
    """A file a task. What they have written is moved, and said in the end, in order."""
    written: dict[int, list[str]] = {}

    def take(path: Path, outcome: Outcome) -> None:
        names = outcome.result()
        for notice in outcome.notices:
            tell(path.name, notice)
        for name in names:
            refuse(out / name)
        outcome.move(names, out)
        written[outcome.index] = names

    done = []
    try:
        calls = ((path.absolute(),) for path in paths)
        with cluster.tasks(work, calls, out) as outcomes:
            for outcome in outcomes:
                done.append(attempt(paths[outcome.index], partial(take, outcome=outcome)))
                yield Progress(len(done), len(paths), "files")
    finally:
        for index in sorted(written):
            _say(out, written[index])
    return done


def _say(out: Path, names: Sequence[str]) -> None:
    """Name the files that were written, all but the recipe."""
    for name in names[:-1]:
        typer.echo(out / name)


def settled(parameters: T) -> T:
    """Parameters that name the model by its place, as workers are in another folder."""
    from napari_axongen.core.models import find_model
    from napari_axongen.core.translators import model_file

    if parameters.model == "auto":
        return parameters
    file = find_model(model_file(parameters.model)).absolute()
    return parameters.model_copy(update={"model": str(file)})
