"""Write images with their labels into a folder, with one click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMessageBox, QPushButton

from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.pairs import export_pairs, files_there, labelled_pairs

if TYPE_CHECKING:
    import napari


class ExportPairs(QPushButton):
    """Ask for a folder, and write every whole image of the viewer that came with labels.

    Signals
    -------
    said(str)
        What became of it.
    """

    said = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, job: Job) -> None:
        super().__init__("Export pairs ...")
        self._viewer, self._job = viewer, job
        self.setToolTip(
            "Write each image that was made here with its labels: NAME.tif, its mask "
            "NAME_seg-axonmyelin.png and its recipe. 'axongen prepare' makes a training set of "
            "such a folder."
        )
        self.clicked.connect(self._ask)
        job.finished.connect(self._on_finished)
        job.failed.connect(self.said)
        job.stopped.connect(lambda: self.said.emit("The export was cancelled."))
        job.running_changed.connect(lambda running: self.setEnabled(not running))

    def start(self, folder: Path) -> None:
        """Write the pairs; ask before files are replaced."""
        pairs = labelled_pairs(self._viewer.layers)
        if not pairs:
            self.said.emit(
                "There is no whole image with its labels to export; translate one first."
            )
            return
        there = files_there(pairs, folder)
        if there and not self._may_replace(there):
            return
        self._job.start(lambda: export_pairs(pairs, folder))

    def _ask(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the pairs")
        if folder:
            self.start(Path(folder))

    def _may_replace(self, there: list[Path]) -> bool:
        names = "\n".join(path.name for path in there[:5]) + ("\n..." if len(there) > 5 else "")
        answer = QMessageBox.question(
            self, "Replace files?", f"{len(there)} files are in {there[0].parent} already:\n{names}"
        )
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _on_finished(self, images: list[Path]) -> None:
        count = f"{len(images)} pair" + ("" if len(images) == 1 else "s")
        text = f"{count} written to {images[0].parent}."
        self.said.emit(text)
        show_info(text)
