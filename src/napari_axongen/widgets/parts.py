"""The few parts that all docks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_axongen.bridge.jobs import Job

from .still import StillBar

if TYPE_CHECKING:
    import napari


_DEVICE_NOTICE = "Computing on "

PRIMARY = """
QPushButton { font-weight: bold; padding: 7px; background-color: #3f63d6; color: white; }
QPushButton:hover { background-color: #5578e8; }
QPushButton:disabled { background-color: rgba(128, 128, 128, 60); color: gray; }
"""
"""Style of the one button that a dock is for."""


class Dock(QWidget):
    """A dock that stops its jobs and lets go of the viewer when it is closed.

    napari closes a dock by taking its widget out of the window, without closing or deleting it:
    losing the parent is the one sign of it. Hiding is none, for a dock behind another tab is
    hidden as well.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self._jobs: list[Job] = []
        self._connections: list[tuple[Any, Callable[..., Any]]] = []
        self._closers: list[Callable[[], None]] = []

    def job(self, title: str | None) -> Job:
        """Make a job that ends with this dock."""
        job = Job(title, self)
        self._jobs.append(job)
        return job

    def listen(self, emitter: Any, slot: Callable[..., Any]) -> None:
        """Connect to a napari event until the dock is closed."""
        emitter.connect(slot)
        self._connections.append((emitter, slot))

    def on_close(self, close: Callable[[], None]) -> None:
        """Have something more done when the dock is closed."""
        self._closers.append(close)

    def close_down(self) -> None:
        """Stop what runs and listen no more."""
        for job in self._jobs:
            job.cancel()
        for emitter, slot in self._connections:
            emitter.disconnect(slot)
        self._connections.clear()
        while self._closers:
            self._closers.pop()()

    def event(self, event: QEvent) -> bool:
        """Notice the removal from the window."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.close_down()
        return bool(super().event(event))


D = TypeVar("D", bound=Dock)


def open_dock(viewer: napari.viewer.Viewer, kind: type[D], title: str, **place: Any) -> D:
    """The dock of a kind in a viewer, shown if it is open, else opened.

    Parameters
    ----------
    viewer, kind, title
        Where, what, and what stands above it.
    place
        As of napari's ``add_dock_widget``.
    """
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, kind):
            widget.parent().show()
            widget.parent().raise_()
            return widget
    dock = kind(viewer)
    viewer.window.add_dock_widget(dock, name=title, **place)
    return dock


class Hint(QLabel):
    """A small wrapped line, hidden while it has nothing to say."""

    def __init__(self, warning: bool = False) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        colour = "color: #e0a030;" if warning else ""
        self.setStyleSheet(f"QLabel {{ {colour} font-size: 11px; }}")
        self.say("")

    def say(self, text: str) -> None:
        """Show a text; an empty one hides the line."""
        self.setText(text)
        self.setVisible(bool(text))


class DeviceChip(QLabel):
    """The device on which a job said that it computes."""

    def __init__(self) -> None:
        super().__init__("Device: chosen at the first run")
        self.setStyleSheet("QLabel { color: gray; font-size: 11px; }")

    def hear(self, text: str) -> bool:
        """Show a notice if it is about the device; say whether it is."""
        if not text.startswith(_DEVICE_NOTICE):
            return False
        self.setText(f"Device: {text.removeprefix(_DEVICE_NOTICE).rstrip('.')}")
        return True


class Notices(Hint):
    """What a run says of itself, a line each.

    Parameters
    ----------
    device
        Shows what is said of the device instead.
    """

    def __init__(self, device: DeviceChip | None = None) -> None:
        super().__init__()
        self._texts: list[str] = []
        self._device = device

    def add(self, text: str, level: str = "info") -> None:
        """Take in a notice of the job."""
        if self._device is None or not self._device.hear(text):
            self._texts.append(text)
            self.say("\n".join(self._texts))

    def start_anew(self) -> None:
        """Forget what the last run said."""
        self._texts.clear()
        self.say("")


class RunRow(QWidget):
    """A button which cancels while its job runs, with progress and time left.

    Parameters
    ----------
    primary
        Whether it is the one button that the dock is for.
    """

    clicked = Signal()

    def __init__(self, title: str, job: Job, primary: bool = True) -> None:
        super().__init__()
        self._title, self._job = title, job
        self.button = QPushButton(title)
        if primary:
            self.button.setStyleSheet(PRIMARY)
        self.bar = StillBar()
        self.eta = QLabel()
        self.eta.setStyleSheet("QLabel { font-size: 11px; }")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.button, self.bar, self.eta):
            layout.addWidget(widget)
        self._show_running(False)
        self.button.clicked.connect(self._on_click)
        job.running_changed.connect(self._show_running)
        job.progress.connect(self._show_progress)

    def _on_click(self) -> None:
        if self._job.running:
            self.button.setText("Cancelling ...")
            self._job.cancel()
        else:
            self.clicked.emit()

    def _show_running(self, running: bool) -> None:
        self.button.setText("Cancel" if running else self._title)
        # no busy bar: each of its steps draws the whole window anew, the canvas included
        self.bar.show_done(0, 1)
        self.bar.setVisible(running)
        self.eta.setVisible(running)
        self.eta.setText("")

    def _show_progress(self, done: int, total: int, eta: float | None, message: str) -> None:
        self.bar.show_done(done, total)
        left = "" if eta is None else f"{duration(eta)} left"
        self.eta.setText(", ".join(part for part in (message, left) if part))


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def foretold(seconds: float) -> str:
    """A time that is foretold, not more exactly than it can be known."""
    for coarse, least in ((600, 6000), (60, 600), (5, 10)):
        if seconds >= least:
            return duration(coarse * round(seconds / coarse))
    return duration(seconds)
