"""Runs that were stopped before their end, to go on with."""

from __future__ import annotations

from typing import Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QMessageBox, QPushButton, QWidget

from napari_axongen.bridge.training import discard, stopped_runs
from napari_axongen.core.errors import InputError
from napari_axongen.core.training.runs import StoredRun

from .spin import choice_box


class StoppedRuns(QWidget):
    """Choose a run that was stopped; hidden where there is none.

    Signals
    -------
    chosen(StoredRun)
        It shall go on.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[StoredRun] = []
        self.box = choice_box("Runs that were stopped before their end.")
        self.go_on = QPushButton("Resume")
        self.go_on.setToolTip("Go on from the checkpoint of this run, as if it had never stopped.")
        self.drop = QPushButton("Discard ...")
        self.drop.setToolTip("Delete this run; it cannot be resumed then.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.go_on)
        row.addWidget(self.drop)
        self.go_on.clicked.connect(self._on_go_on)
        self.drop.clicked.connect(self._on_drop)
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Look for runs again."""
        self.runs = stopped_runs()
        self.box.clear()
        for run in self.runs:
            self.box.addItem(f"{_name(run)}: stopped at step {_step(run)}")
            place = self.box.count() - 1
            self.box.setItemData(place, str(run.folder), Qt.ItemDataRole.ToolTipRole)
        self.setVisible(bool(self.runs))

    def _on_go_on(self) -> None:
        if self.runs:
            self.chosen.emit(self.runs[self.box.currentIndex()])

    def _on_drop(self) -> None:
        if not self.runs:
            return
        run = self.runs[self.box.currentIndex()]
        answer = QMessageBox.question(
            self,
            "Discard this run?",
            f"'{_name(run)}' (step {_step(run)}) will be deleted, with its checkpoint and its "
            f"copies of the layers that it learnt from: {run.folder}",
        )
        if answer == QMessageBox.StandardButton.Yes:
            try:
                discard(run)
            except InputError as error:
                show_error(str(error))
            self.refresh()


def _name(run: StoredRun) -> str:
    return str(run.recipe.name)


def _step(run: StoredRun) -> str:
    return f"{run.step:,} of {run.recipe.optimisation.steps:,}"
