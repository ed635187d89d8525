"""Nothing is lost when a dock or a window is closed while a network is trained in it."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QEventLoop, QObject, Qt
from qtpy.QtWidgets import QApplication, QMainWindow, QMessageBox, QWidget

from napari_axongen.bridge.jobs import Job


class ClosingGuard(QObject):
    """Asks before a window is closed in which a job runs, and closes it when the job has ended.

    Parameters
    ----------
    dock
        Stands in the window.
    job
        What runs.
    """

    def __init__(self, dock: QWidget, job: Job) -> None:
        super().__init__(dock)
        self._dock, self._job = dock, job
        self._window: QWidget | None = None
        job.running_changed.connect(self._on_running)

    def may_stop(self) -> bool:
        """Ask whether to stop the job."""
        answer = QMessageBox.question(
            self._window or self._dock,
            "Stop training?",
            "A network is being trained. Stop it? Its state is kept, so that it can be resumed.",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def let_go(self) -> None:
        """Watch the window no more."""
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None

    def _on_running(self, running: bool) -> None:
        self.let_go()
        if running:
            self._window = _main_window(self._dock)
            if self._window is not None:
                self._window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hold back the closing of the window; nobody is asked by one that is not shown."""
        if event.type() != QEvent.Type.Close or not self._job.running:
            return False
        if self._window is not None and self._window.isVisible() and not self.may_stop():
            event.ignore()
            return True
        self._stop()
        return False

    def _stop(self) -> None:
        """Stop the job, and wait until its checkpoint is written."""
        self._job.cancel()
        loop = QEventLoop()
        self._job.running_changed.connect(loop.quit)
        QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
        while self._job.running:
            loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        QApplication.restoreOverrideCursor()


def _main_window(widget: QWidget) -> QWidget | None:
    """The main window that a widget, or its floating dock, belongs to."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parentWidget()
    return parent
