"""Run a core generator off the GUI thread: progress, notices, cancel, and the latest one wins."""

from __future__ import annotations

import io
import logging
import threading
import time
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from napari.qt.threading import create_worker
from napari.utils import progress
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal
from superqt.utils import GeneratorWorker

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Metrics, Notice, Progress, Steps

logger = logging.getLogger(__name__)

EVENT_INTERVAL = 0.1
"""Seconds between two events of one kind that reach the window: 20,000 a run would stall it."""

OpenSteps: TypeAlias = Callable[[], Steps[Any]]
"""Makes the generator. Called in the worker thread, so that torch is imported there."""


@dataclass(frozen=True)
class _Failure:
    message: str


class Job(QObject):
    """One place of work: at most one generator runs, and the last one asked for wins.

    Parameters
    ----------
    title
        Of its bar in the activity dock. None for work that comes many times a second: it has no
        bar, and a failure is told by the signal alone.

    Signals
    -------
    finished(result)
        The generator came to its end and returned ``result``.
    failed(message)
        It could not, or could not be stopped as it should; the sentence has been shown as a
        notification already, unless the job is without a title.
    stopped()
        It was cancelled.
    notice(text, level), progress(done, total, eta, message), yielded(anything else)
        What the generator yields. ``eta`` is seconds or None; progress comes at most ten times a
        second, everything else always.
    running_changed(bool), paused_changed(bool)
        For buttons.
    """

    finished = Signal(object)
    failed = Signal(str)
    stopped = Signal()
    notice = Signal(str, str)
    progress = Signal(int, int, object, str)
    yielded = Signal(object)
    running_changed = Signal(bool)
    paused_changed = Signal(bool)

    def __init__(self, title: str | None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._run: _Run | None = None
        self._guard: weakref.finalize[[], Job] | None = None
        self._next: OpenSteps | None = None

    @property
    def running(self) -> bool:
        """Whether a generator runs, is paused or waits to run."""
        return self._run is not None

    @property
    def paused(self) -> bool:
        """Whether a generator is held up."""
        return self._run is not None and self._run.switch.paused

    def start(self, open_steps: OpenSteps) -> None:
        """Run a generator; a running one is stopped first and its result dropped."""
        if self._run is not None:
            self._next = open_steps
            self._run.switch.stop()
            return
        self._run = run = _Run(open_steps, self._title)
        run.progress.connect(self.progress)
        run.notice.connect(self.notice)
        run.yielded.connect(self.yielded)
        run.ended.connect(self._on_ended)
        # a job that is deleted with its dock cannot stop its thread itself
        self._guard = weakref.finalize(self, run.switch.stop)
        run.start()
        self.running_changed.emit(True)

    def cancel(self) -> None:
        """Stop at the next event, that is within one tile."""
        self._next = None
        if self._run is not None:
            self._run.switch.stop()

    def pause(self) -> None:
        """Hold up the generator at its next event, until it is resumed or cancelled."""
        if self._run is not None:
            self._run.switch.pause()
            self.paused_changed.emit(True)

    def resume(self) -> None:
        """Let a generator that is held up go on."""
        if self._run is not None:
            self._run.go_on()
            self.paused_changed.emit(False)

    def _on_ended(self, outcome: Any, was_stopped: bool) -> None:
        self._run = None
        if self._guard is not None:
            self._guard.detach()  # it would keep every run, and its result, as long as the job
        if self._next is not None:
            following, self._next = self._next, None
            self.start(following)
            return
        self.running_changed.emit(False)
        if isinstance(outcome, _Failure):  # of what was stopped: it could not be closed cleanly
            if self._title is not None:
                show_error(outcome.message)
            self.failed.emit(outcome.message)
        elif was_stopped:
            self.stopped.emit()
        else:
            self.finished.emit(outcome)


class _Switch:
    """What the worker heeds between two events; may be thrown in any thread."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._going = threading.Event()
        self._going.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def paused(self) -> bool:
        return not self._going.is_set()

    def pause(self) -> None:
        if not self.stopping:
            self._going.clear()

    def go_on(self) -> None:
        self._going.set()

    def stop(self) -> None:
        self._stopping.set()
        self._going.set()

    def wait(self) -> bool:
        """Return, when nothing is to wait for, whether to go on."""
        self._going.wait()
        return not self.stopping


class _Worker(GeneratorWorker[Any, None, Any]):
    """Whoever quits it, such as a viewer that closes, has its generator closed in its thread.

    superqt's own way would leave the generator open where it is: a training run would not write
    its checkpoint.
    """

    switch: _Switch

    def quit(self) -> None:
        self.switch.stop()


class _Run(QObject):
    """One generator in one thread; its slots run on the GUI thread.

    It lives until its thread has ended, whatever becomes of the job: somebody has to take the bar
    out of the activity dock.
    """

    progress = Signal(int, int, object, str)
    notice = Signal(str, str)
    yielded = Signal(object)
    ended = Signal(object, bool)

    _alive: ClassVar[set[_Run]] = set()

    def __init__(self, open_steps: OpenSteps, title: str | None) -> None:
        super().__init__()
        self.switch = _Switch()
        self._outcome: Any = None
        self._began: tuple[float, int, int] | None = None  # when, done then, of how many
        # tqdm would write to the terminal as well: the window is enough
        self._bar = None if title is None else progress(total=0, desc=title, file=io.StringIO())
        # superqt's worker, not napari's: that one reports errors and warnings by itself
        self._worker: _Worker = create_worker(
            _relay,
            open_steps,
            self.switch,
            _start_thread=False,
            _worker_class=_Worker,
            _ignore_errors=True,
        )
        self._worker.switch = self.switch
        self._worker.yielded.connect(self._on_event)
        self._worker.returned.connect(self._on_returned)
        self._worker.warned.connect(self._on_warning)
        self._worker.errored.connect(self._on_error)
        self._worker.finished.connect(self._on_finished)

    def start(self) -> None:
        self._alive.add(self)
        self._worker.start()

    def go_on(self) -> None:
        self._began = None  # the pause says nothing of how long it takes
        self.switch.go_on()

    def _on_event(self, event: Any) -> None:
        if self.switch.stopping:
            return
        if isinstance(event, Progress):
            self._show_progress(event)
        elif isinstance(event, Notice):
            self.notice.emit(event.message, event.level)
        else:
            self.yielded.emit(event)

    def _show_progress(self, event: Progress) -> None:
        now = time.monotonic()
        if self._began is None or self._began[2] != event.total:  # another kind of work
            self._began = (now, event.done, event.total)
        since, first, _ = self._began
        done = event.done - first
        eta = (now - since) / done * (event.total - event.done) if done > 0 else None
        if self._bar is not None:
            if self._bar.total != event.total:
                self._bar.total = event.total
            self._bar.update(event.done - self._bar.n)
        self.progress.emit(event.done, event.total, eta, event.message)

    def _on_returned(self, outcome: Any) -> None:
        self._outcome = outcome

    def _on_warning(self, shown: tuple[Any, ...]) -> None:
        logger.warning("%s", shown[0])

    def _on_error(self, error: Exception) -> None:
        self._outcome = _describe(error)

    def _on_finished(self) -> None:
        self._alive.discard(self)
        if self._bar is not None:
            self._bar.close()
        self.ended.emit(self._outcome, self.switch.stopping)


def _relay(open_steps: OpenSteps, switch: _Switch) -> Generator[Any, None, Any]:
    """Iterate the steps in the worker: thin out the events, stop when told, catch what is raised.

    Errors are returned, not raised: superqt takes a RuntimeError, which torch raises for all
    kinds of things, for a deleted worker and would never say that the job ended.
    """
    held: dict[type, Event] = {}
    sent: dict[type, float] = {}
    try:
        steps = open_steps()
        while switch.wait():
            try:
                event = next(steps)
            except StopIteration as end:
                yield from held.values()
                return end.value
            kind, now = type(event), time.monotonic()
            thinned = isinstance(event, Progress | Metrics)
            if thinned and now - sent.get(kind, -EVENT_INTERVAL) < EVENT_INTERVAL:
                held[kind] = event
            else:
                held.pop(kind, None)
                sent[kind] = now
                yield event
            if switch.paused:
                yield from held.values()
                held.clear()
        steps.close()
        return None
    except Exception as error:
        return _describe(error)


def _describe(error: Exception) -> _Failure:
    """One sentence for the user; the traceback of what nobody foresaw goes to the log."""
    if isinstance(error, InputError):
        return _Failure(str(error))
    logger.error("A job failed", exc_info=error)
    if isinstance(error, MemoryError):
        return _Failure("There is not enough memory for this; try a smaller image or crop.")
    return _Failure(
        f"Something went wrong that should not have ({type(error).__name__}: {error}); "
        "the log holds the details."
    )
