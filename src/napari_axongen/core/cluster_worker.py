"""What a worker of a cluster does with a task, and where it writes; see `cluster`."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from .device import choose_device
from .errors import InputError
from .events import Event, Notice, Steps, run
from .files import APART, write_bytes
from .models.card import package_version
from .networks import TileExactNetwork
from .tiling import Window, predict

T = TypeVar("T")
Task = Callable[..., Steps[Any]]

OPEN = ".open"
"""A file in the folder of a call for as long as somebody waits for the results."""


@dataclass(frozen=True)
class Sender:
    """Who asks: the version and the models that a worker must have, too."""

    version: str
    models: str


def as_it_is(value: T) -> T:
    """Let the scheduler keep something that many tasks need."""
    return value


def work(
    sender: Sender, staging: Path | None, task: Task, *arguments: Any
) -> tuple[Any, list[Notice], Path | None]:
    """Do one task; return its result, its notices and the folder that it wrote into."""
    if (here := package_version()) != sender.version:
        raise InputError(
            f"A worker has napari-axongen {here}, and this is {sender.version}; install the same."
        )
    os.environ["AXONGEN_MODELS"] = sender.models
    torch.set_num_threads(1)
    notices: list[Notice] = []

    def heed(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event)
        if staging is not None and not (staging / OPEN).exists():
            raise InputError("Nobody waits for it any more.")

    if staging is None:
        return run(task(*arguments), heed), notices, None
    try:
        folder = Path(tempfile.mkdtemp(dir=staging))
    except FileNotFoundError as error:
        raise InputError(
            f"A worker does not see {staging.parent}; all of them need the folders of this machine."
        ) from error
    try:
        return run(task(folder, *arguments), heed), notices, folder
    finally:
        if not (staging / OPEN).exists():  # so whoever waited has removed it all
            shutil.rmtree(staging, ignore_errors=True)


def tile_steps(
    network: TileExactNetwork,
    shape: tuple[int, int],
    device: str,
    options: dict[str, Any],
    window: npt.NDArray[np.float32],
    first: tuple[int, int],
    part: Window,
) -> Steps[npt.NDArray[np.float32]]:
    """One tile of an image of which no more is there than its window."""
    made: list[npt.NDArray[np.float32]] = []

    def within(area: Window, start: Sequence[int]) -> tuple[Any, ...]:
        return ..., *(slice(s.start - a, s.stop - a) for s, a in zip(area, start, strict=True))

    def read(rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        inside: npt.NDArray[np.float32] = window[within((rows, columns), first)]
        return inside

    def write(rows: slice, columns: slice, values: npt.NDArray[np.float32]) -> None:
        if not made:
            size = (span.stop - span.start for span in part)
            made.append(np.empty((len(values), *size), np.float32))
        made[0][within((rows, columns), [span.start for span in part])] = values

    yield from predict(
        network, read, write, shape, device=choose_device(device), part=part, **options
    )
    return made[0]


@contextlib.contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A folder in another for what tasks write; removed in the end, whatever is in it."""
    folder = out.absolute() / f"{APART}{uuid.uuid4().hex}"
    write_bytes(folder / OPEN, b"")  # makes the folders, too, or says why it cannot
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            (folder / OPEN).unlink()
        shutil.rmtree(folder, ignore_errors=True)
