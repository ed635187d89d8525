"""A training while it runs: how far it is, its curves, and what it finds on held-out tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_axongen.bridge.curves import History
from napari_axongen.bridge.jobs import Job
from napari_axongen.core.events import Metrics, Samples, Validation

from .parts import Hint, Notices, duration
from .still import StillBar, StillLine
from .train_curves import Curves
from .train_strip import Strip

if TYPE_CHECKING:
    import napari

REFRESH = 1000
"""Milliseconds between two drawings: each of them makes Qt compose the whole window anew."""


class Monitor(QWidget):
    """Shows what a training says of itself; pauses it and cancels it.

    What comes is gathered and shown once a second, all at once.
    """

    def __init__(self, viewer: napari.viewer.Viewer, job: Job) -> None:
        super().__init__()
        self._viewer, self._job = viewer, job
        self._line = ""
        self._done = (0, 1)
        self._steps = 0
        self._stale = False
        self.title = QLabel()
        self.title.setStyleSheet("QLabel { font-weight: bold; }")
        self.bar = StillBar()
        self.state = StillLine()
        self.ended = Hint()
        self.pause = QPushButton("Pause")
        self.pause.setToolTip("Hold it up; the window and the machine are free meanwhile.")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop after this step. A checkpoint is kept: it can be resumed.")
        self.curves = Curves()
        self.strip = Strip()
        self.notices = Notices()
        buttons = QHBoxLayout()
        buttons.addWidget(self.pause, 1)
        buttons.addWidget(self.cancel, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.title, self.bar, self.state, self.ended):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        for widget in (self.curves, self.strip, self.notices):
            layout.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH)
        self._timer.timeout.connect(self._refresh)
        self.pause.clicked.connect(self._on_pause)
        self.cancel.clicked.connect(self._on_cancel)
        job.progress.connect(self._on_progress)
        job.yielded.connect(self._on_yielded)
        job.notice.connect(self.notices.add)
        job.running_changed.connect(self._show_running)
        viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self._show_running(False)

    def begin(self, name: str, steps: int, history: History) -> None:
        """Show another run: its name, its steps in all, and the curves of its past."""
        self.title.setText(name)
        self._steps, self._line, self._done = steps, "Starting ...", (0, 1)
        self.notices.start_anew()
        self.ended.say("")
        self.strip.show_samples(None)
        self.curves.start_anew(history, steps)
        self._stale = True
        self._refresh()

    def end(self, how: str) -> None:
        """Say how it ended."""
        self._line, self._stale = "", True
        self._refresh()
        self.ended.say(how)

    def close_down(self) -> None:
        """Listen no more."""
        self._timer.stop()
        self._viewer.events.theme.disconnect(self._on_theme)

    # ------------------------------------------------------------ what it hears

    def _on_progress(self, done: int, total: int, eta: float | None, message: str) -> None:
        parts = [message] if message else []
        if total == self._steps:
            parts.insert(0, f"Step {done:,} of {total:,}")
        if eta is not None and done < total:
            parts.append(f"{duration(eta)} left")
        self._line, self._done, self._stale = " · ".join(parts), (done, total), True

    def _on_yielded(self, event: Any) -> None:
        history = self.curves.history
        if isinstance(event, Metrics):
            history.add_losses(event.step, event.values)
        elif isinstance(event, Validation):
            history.add_scores(event.step, event.values, event.best)
        elif isinstance(event, Samples):
            self.strip.show_samples(event)
        self._stale = True

    def _on_theme(self, event: Any = None) -> None:
        self.curves.set_theme(self._viewer.theme)

    # ------------------------------------------------------------ what it shows

    def _refresh(self) -> None:
        if not self._stale:
            return
        self._stale = False
        self.bar.show_done(*self._done)
        self.state.say(self._line)
        self.curves.refresh()

    def _on_pause(self) -> None:
        if self._job.paused:
            self._job.resume()
        else:
            self._job.pause()
        self.pause.setText("Resume" if self._job.paused else "Pause")

    def _on_cancel(self) -> None:
        self.cancel.setText("Stopping ...")
        self.cancel.setEnabled(False)
        self._job.cancel()

    def _show_running(self, running: bool) -> None:
        self.pause.setText("Pause")
        self.cancel.setText("Cancel")
        self.cancel.setEnabled(running)
        for widget in (self.bar, self.state, self.pause, self.cancel):
            widget.setVisible(running)
        if running:
            self._timer.start()
        else:
            self._timer.stop()
            self._refresh()
