"""The train dock: from labelled images to a model that the other docks offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFrame, QPushButton, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from napari_axongen.bridge.curves import History
from napari_axongen.bridge.settings import preference
from napari_axongen.bridge.shelf import models_changed
from napari_axongen.bridge.training import Trained, kept_of, resumed_steps, training_steps
from napari_axongen.core.errors import InputError
from napari_axongen.core.training.runs import StoredRun

from .fold import Fold
from .parts import PRIMARY, Dock
from .train_after import AfterTraining, ImportModel
from .train_closing import ClosingGuard
from .train_compare import ComparePanel
from .train_form import TrainForm
from .train_monitor import Monitor
from .train_outlook import OutlookPanel
from .train_runs import StoppedRuns

if TYPE_CHECKING:
    from pathlib import Path

    import napari

    from napari_axongen.core.training.recipe import AnyRecipe


class TrainDock(Dock):
    """Train a network, watch it learn, and use it.

    Parameters
    ----------
    napari_viewer
        The viewer; napari hands it over.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.folder: Path | None = None  # of the run that is shown
        self._plan: Any = None
        self._place: dict[str, Any] = {}
        # without a title: napari's spinner of what is busy would draw the window without end
        self.training = self.job(None)
        self.foretelling = self.job(None)
        self.comparing = self.job("Comparing")
        self.looking = (self.job(None), self.job(None))
        self._build()
        self._connect()
        self._ask()

    def _build(self) -> None:
        self.stopped = StoppedRuns()
        self.form = TrainForm(self.viewer, self.looking)
        self.outlook = OutlookPanel(self.foretelling)
        self.start_button = QPushButton("Train")
        self.start_button.setStyleSheet(PRIMARY)
        self.monitor = Monitor(self.viewer, self.training)
        self.after = AfterTraining(self.viewer)
        self.again = QPushButton("Train another ...")
        self.compare = ComparePanel(self.viewer, self.comparing)
        self.import_model = ImportModel()
        self.guard = ClosingGuard(self, self.training)
        comparing = Fold("Compare two models")
        comparing.addWidget(self.compare)

        inside = _column(self.stopped, self.form)
        self.setting_up = _column(_scrolled(inside), self.outlook, self.start_button, stretch=False)
        self.watching = _column(self.monitor, self.after, self.again)
        watched = _scrolled(self.watching)
        # one that comes with the first pictures would make the curves narrower: all drawn anew
        watched.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.pages = QStackedWidget()
        for page in (self.setting_up, watched):
            self.pages.addWidget(page)
        layout = QVBoxLayout(self)
        layout.addWidget(self.pages, 1)
        layout.addWidget(comparing)
        layout.addWidget(self.import_model)

    def _connect(self) -> None:
        self.form.changed.connect(self._ask)
        self.outlook.changed.connect(self._show_state)
        self.start_button.clicked.connect(self.start)
        self.stopped.chosen.connect(self.resume)
        self.again.clicked.connect(self.set_up)
        self.training.running_changed.connect(lambda _: self._show_state())
        self.training.finished.connect(self._on_finished)
        self.training.stopped.connect(lambda: self._on_ended("Stopped."))
        self.training.failed.connect(self._on_ended)
        self.training.failed.connect(show_error)  # a job without a title does not
        for part in (self.form, self.outlook, self.compare, self.monitor):
            self.on_close(part.close_down)
        self.on_close(self.guard.let_go)
        self.listen(models_changed, self.form.offer_models)
        self.listen(models_changed, self.compare.offer_models)

    # ------------------------------------------------------------ before

    def set_up(self) -> None:
        """Show what is asked before a training."""
        self.stopped.refresh()
        self.form.offer_models()
        self.pages.setCurrentIndex(0)
        self._ask()

    def _ask(self) -> None:
        """Have the plan checked that the form says now."""
        if self.training.running or self.pages.currentIndex() != 0:
            return
        try:
            self._plan, complaint = self.form.plan(), ""
        except InputError as error:
            self._plan, complaint = None, str(error)
        self.outlook.ask(self._plan, complaint)

    def _show_state(self) -> None:
        running = self.training.running
        self.start_button.setEnabled(self.outlook.may_start and not running)
        self.again.setVisible(not running)
        self.stopped.setEnabled(not running)

    # ------------------------------------------------------------ the run

    def start(self) -> None:
        """Train, as the button does."""
        if self.training.running or self._plan is None or not self.outlook.may_start:
            return
        device = preference("device", "auto")
        try:
            plan = self.form.plan()
        except InputError as error:
            self.outlook.ask(None, str(error))
            return
        self._begin(plan.folder, plan.recipe, History())
        self.training.start(lambda: training_steps(plan, device))

    def resume(self, run: StoredRun) -> None:
        """Go on with a run that was stopped."""
        if self.training.running:
            return
        device = preference("device", "auto")
        self._begin(run.folder, run.recipe, History(run.history))
        self.training.start(lambda: resumed_steps(run.folder, device))

    def _begin(self, folder: Path, recipe: AnyRecipe, history: History) -> None:
        self.outlook.close_down()
        self.folder = folder
        self._place = self._where()
        self.after.show_trained(None)
        self.monitor.begin(recipe.name, recipe.optimisation.steps, history)
        self.pages.setCurrentIndex(1)

    def _on_finished(self, trained: Trained) -> None:
        self.after.show_trained(trained)
        done = f"'{trained.card.name}' is trained; the other docks offer it now."
        self.monitor.end(done)
        show_info(done)
        models_changed()
        self.compare.choose(trained.card.name)
        self._show_state()

    def _on_ended(self, why: str) -> None:
        self.monitor.end(f"{why} {kept_of(self.folder)}" if self.folder is not None else why)
        self.stopped.refresh()
        self._show_state()

    # ------------------------------------------------------------ closing

    def event(self, event: QEvent) -> bool:
        """Taken out of the window while a network is trained: ask first.

        napari says nothing before it takes a dock out; whoever does not want that gets it back.
        """
        removed = event.type() == QEvent.Type.ParentChange and self.parent() is None
        if removed and self.training.running:
            QTimer.singleShot(0, self._ask_back)
            return bool(QWidget.event(self, event))
        return super().event(event)

    def _ask_back(self) -> None:
        if self.training.running and not self.guard.may_stop():
            self.viewer.window.add_dock_widget(self, **self._place)
        else:
            self.close_down()

    def _where(self) -> dict[str, Any]:
        """Where the dock stands, as napari's ``add_dock_widget`` takes it."""
        names = [name for name, it in self.viewer.window.dock_widgets.items() if it == self]
        return {"name": names[0]} if names else {}


def _column(*widgets: QWidget, stretch: bool = True) -> QWidget:
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    if stretch:
        layout.addStretch(1)
    return column


def _scrolled(widget: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidget(widget)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    return area
