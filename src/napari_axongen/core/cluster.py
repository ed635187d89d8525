"""Work handed to the workers of a dask.distributed cluster, with the result of a single process.

A task is one of our generators (`events.Steps`) with its arguments. It depends on nothing else, so
one whose worker died is done anew by another. What a try writes goes into a folder of its own, and
whoever asked moves the files of one finished try to where they belong: nothing is there twice or
half, whatever became of the other tries.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from .cluster_worker import Sender, Task, as_it_is, staging_folder, tile_steps, work
from .device import Device, choose_device
from .errors import InputError
from .events import Notice, Progress, Steps
from .files import atomic_path
from .models.card import package_version
from .models.store import user_folder
from .networks import TileExactNetwork
from .tiling import Read, Span, Write, taps

_PATIENCE = 10  # seconds, until a scheduler that does not answer is not there


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes
    ----------
    index
        Which it was.
    value
        What it returned.
    notices
        What it said.
    folder
        What it wrote lies here.
    error
        Why it failed, or None.
    """

    index: int
    value: Any = None
    notices: Sequence[Notice] = ()
    folder: Path | None = None
    error: BaseException | None = None

    def result(self) -> Any:
        """What it returned.

        Raises
        ------
        Exception
            Its error.
        """
        if self.error is not None:
            raise self.error
        return self.value

    def move(self, names: Iterable[str], out: Path) -> None:
        """Take over files that it wrote, in this order, each whole or not at all."""
        assert self.folder is not None
        for name in names:
            with atomic_path(out / name) as partial:
                os.replace(self.folder / name, partial)


class Cluster:
    """The workers of a scheduler; to be used in a ``with`` statement.

    A task computes with one thread, and so does this process meanwhile, as last digits depend on
    their number. The results are those of a single process with one (``OMP_NUM_THREADS=1``).

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://host:8786``.
    where
        Where the workers compute: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    InputError
        The package distributed is not installed, or no scheduler answers there.
    """

    def __init__(self, address: str, where: str = "auto") -> None:
        try:
            from distributed import Client
        except ModuleNotFoundError as error:
            raise InputError(
                f"A cluster needs the package {error.name}, which is not installed; run "
                "pip install 'napari-axongen[distributed]'."
            ) from error
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # errors are ours to say
        self.address, self.where = address, where
        self._sender = Sender(package_version(), str(user_folder().absolute()))
        self._client: Any = object.__new__(Client)
        try:
            Client.__init__(self._client, address, timeout=_PATIENCE, set_as_default=False)
        except Exception as error:  # of many kinds, as the address may be anything
            # Else it would be closed as garbage, for ever if another one is just starting.
            with contextlib.suppress(Exception):
                self._client.close()
            raise InputError(
                f"No scheduler answers at '{address}'; start one with 'dask scheduler', and name "
                "the address that it says."
            ) from error
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
        torch.set_num_threads(self._threads)

    @property
    def threads(self) -> int:
        """How many tasks can be done at once."""
        return int(sum(self._client.nthreads().values()))

    def said(self) -> Notice:
        """How many workers there are."""
        count = len(self._client.nthreads())
        if not count:
            return Notice(f"No worker is at {self.address} yet; waiting for one.", "warning")
        return Notice(f"{count} worker(s) at {self.address}, {self.threads} task(s) at once.")

    @property
    def device(self) -> Device:
        """That of this process; `tiling.predict` on it sends tiles to the workers."""
        return replace(choose_device(self.where), cluster=self)

    # ------------------------------------------------------------ tasks

    @contextlib.contextmanager
    def tasks(
        self, task: Task, calls: Iterable[tuple[Any, ...]], out: Path | None = None
    ) -> Iterator[Iterator[Outcome]]:
        """Do a task for each tuple of arguments; to leave the context is to cancel.

        Only some more than can be done at once are on their way, so neither arguments nor results
        pile up.

        Parameters
        ----------
        task
            A generator function, or a `functools.partial` of one. It is sent once, and with it what
            is bound to it.
        calls
            Arguments, taken as the work goes on.
        out
            Where files that the tasks write will belong, a folder that all workers see. The first
            argument of a task is then the folder to write into, of its own and within this one;
            `Outcome.move` takes the files from there. In the end it is removed.

        Yields
        ------
        An iterator over the `Outcome` of each, in the order in which they are done.

        Raises
        ------
        InputError
            The scheduler went away, or there is no room to write.
        """
        with (
            contextlib.nullcontext() if out is None else staging_folder(out) as folder,
            contextlib.closing(self._done(task, calls, folder)) as outcomes,
        ):
            yield outcomes

    def _done(
        self, task: Task, calls: Iterable[tuple[Any, ...]], staging: Path | None
    ) -> Generator[Outcome, None, None]:
        from distributed import CancelledError, as_completed
        from distributed.comm.core import CommClosedError

        numbered, waiting = enumerate(calls), dict[Any, int]()
        bound = self._submit("task", as_it_is, task)
        done = as_completed(loop=self._client.loop)

        def send() -> None:
            threads = self.threads
            room = threads + threads // 2 + 2 - len(waiting)
            for index, arguments in islice(numbered, max(0, room)):
                future = self._submit("axongen", work, self._sender, staging, bound, *arguments)
                waiting[future] = index
                done.add(future)

        try:
            send()
            for future in done:
                yield self._outcome(waiting.pop(future), future)
                del future  # the worker may forget it
                send()
        except (CancelledError, CommClosedError) as error:
            said = "went away; what was finished is kept."
            if self._client.status == "running":
                said = "cannot read the work; install there what is installed here."
            raise InputError(f"The scheduler at {self.address} {said}") from error
        finally:
            if self._client.status == "running":
                self._client.cancel([bound, *waiting], force=True)

    def _submit(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        with warnings.catch_warnings():  # tiles are large, and meant to be
            warnings.filterwarnings("ignore", "Sending large graph")
            key = f"{name}-{uuid.uuid4().hex}"
            return self._client.submit(function, *arguments, key=key, pure=False)

    def _outcome(self, index: int, future: Any) -> Outcome:
        from distributed import CancelledError, KilledWorker

        try:
            return Outcome(index, *future.result())
        except CancelledError:
            raise
        except KilledWorker as error:
            tries = error.allowed_failures + 1
            said = f"Its worker died, {tries} time(s); give the workers more memory."
            return Outcome(index, error=InputError(said))
        except ModuleNotFoundError as error:
            said = f"The workers at {self.address} lack {error.name}; install there what is here."
            return Outcome(index, error=InputError(said))
        except Exception as error:  # the task's own
            return Outcome(index, error=error)

    # ------------------------------------------------------------ tiles

    def predict(
        self,
        network: TileExactNetwork,
        read: Read,
        write: Write,
        shape: tuple[int, int],
        tiles: Sequence[tuple[Span, Span]],
        **options: Any,
    ) -> Steps[None]:
        """Send an image through a network, a tile a task.

        Parameters
        ----------
        network, read, write, shape
            As of `tiling.predict`.
        tiles
            Those that a single process would take: others would differ in the last digits.
        options
            The others of `tiling.predict`.

        Yields
        ------
        Progress by tile.
        """
        scale: float = options["scale"]

        def window_of(spans: tuple[Span, Span]) -> tuple[Any, ...]:
            rows, columns = (
                taps(span.window.start, span.window.stop, scale, length)
                for span, length in zip(spans, shape, strict=True)
            )
            part = spans[0].core, spans[1].core
            return read(rows, columns), (rows.start, columns.start), part

        task = partial(tile_steps, network.cpu(), shape, self.where, options)
        with self.tasks(task, map(window_of, tiles)) as outcomes:
            for count, outcome in enumerate(outcomes):
                row, column = tiles[outcome.index]
                write(row.core, column.core, outcome.result())
                yield Progress(count + 1, len(tiles), "tiles")


def in_order(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Outcomes in the order of the calls; those that come too early wait."""
    early, index = dict[int, Outcome](), 0
    for outcome in outcomes:
        early[outcome.index] = outcome
        while index in early:
            yield early.pop(index)
            index += 1
