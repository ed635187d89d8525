"""Surrogate parameters from a file and into one, the original's files included."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QPushButton

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import write_text
from napari_axongen.core.surrogate.original_json import not_expressed, to_original
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import parameters_text, read_parameters

_JSON = "Parameters (*.json)"


class ParameterFile(QPushButton):
    """Load and save parameters.

    Parameters
    ----------
    current
        The parameters to save; raises `InputError`.

    Signals
    -------
    loaded(SurrogateParameters)
        A file was read.
    """

    loaded = Signal(object)

    def __init__(self, current: Callable[[], SurrogateParameters]) -> None:
        super().__init__("File")
        self._current = current
        self.setToolTip("Load or save these parameters.")
        menu = QMenu(self)
        menu.addAction("Load ...", self._ask_load)
        menu.addAction("Save ...", lambda: self._ask_save(self.save))
        menu.addAction("Save for the original ...", lambda: self._ask_save(self.save_original))
        self.setMenu(menu)

    def load(self, path: str | Path) -> None:
        """Read a file; of one of the original's, show what became of its keys."""
        try:
            read = read_parameters(Path(path))
        except InputError as error:
            show_error(str(error))
            return
        self.loaded.emit(read.parameters)
        name = Path(path).name
        if read.report:
            self._report(f"{name} is a file of the original; it was converted.", read.report)
        else:
            show_info(f"Parameters of {name}.")

    def save(self, path: str | Path) -> None:
        """Write a file that `load`, the command line and Python read."""
        self._write(path, parameters_text)

    def save_original(self, path: str | Path) -> None:
        """Write a file that the original reads, and show what is lost by that."""

        def text(parameters: SurrogateParameters) -> str:
            return json.dumps(to_original(parameters), indent=2) + "\n"

        parameters = self._write(path, text)
        lost = () if parameters is None else not_expressed(parameters)
        if lost:
            name = Path(path).name
            self._report(f"{name} is written; the original cannot express all of it.", lost)

    def _write(
        self, path: str | Path, text: Callable[[SurrogateParameters], str]
    ) -> SurrogateParameters | None:
        try:
            parameters = self._current()
            write_text(Path(path), text(parameters))
        except InputError as error:
            show_error(str(error))
            return None
        show_info(f"Written: {path}")
        return parameters

    def _report(self, title: str, entries: Sequence[Any]) -> None:
        """Show what became of each parameter, without holding up the window."""
        box = QMessageBox(QMessageBox.Icon.Information, "Parameters", title, parent=self)
        box.setInformativeText(_summary(entries))
        box.setDetailedText("\n".join(_line(entry) for entry in entries))
        box.setModal(False)
        box.show()
        self.report = box

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load parameters", "", _JSON)
        if path:
            self.load(path)

    def _ask_save(self, save: Callable[[str], None]) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save parameters", "parameters.json", _JSON)
        if path:
            save(path)


def _summary(entries: Sequence[Any]) -> str:
    """How many of each, such as "12 renamed, 3 ignored"."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.status] = counts.get(entry.status, 0) + 1
    return ", ".join(f"{count} {status}" for status, count in counts.items()) + "."


def _line(entry: Any) -> str:
    becomes = f" -> {entry.becomes}" if entry.becomes else ""
    return f"{entry.key} ({entry.status}){becomes}: {entry.meaning}"
