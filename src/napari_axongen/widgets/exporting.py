"""Ask where, how many and in what format a data set is to be written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_axongen.core.surrogate.export import STATE
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.writers import Format

from .parts import Hint

_FORMATS = {"tiff": "TIFF and CSV", "mat": "MATLAB (7.3)", "zarr": "OME-Zarr"}
_BYTES = 14  # of a pixel, at most: four images and masks, two labels


class ExportDialog(QDialog):
    """Folder, number and format of a data set; sees an export that was stopped there.

    Parameters
    ----------
    parameters, seed, series
        What is to be made.
    """

    def __init__(
        self, parameters: SurrogateParameters, seed: int, series: bool, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export a dataset")
        self._parameters, self._seed, self._series = parameters, seed, series
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("An empty or a new folder")
        self.folder.setMinimumWidth(320)
        browse = QPushButton("Browse ...")
        browse.clicked.connect(self._browse)
        self.count = QSpinBox()
        self.count.setRange(1, 10_000_000)
        self.count.setValue(1000)
        self.format = QComboBox()
        for name in get_args(Format):
            self.format.addItem(_FORMATS.get(name, name), name)
        self.resume = QCheckBox("Go on with the export that was stopped there")
        self.note = Hint()
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setText("Export")
        where = QHBoxLayout()
        where.addWidget(self.folder, 1)
        where.addWidget(browse)
        form = QFormLayout(self)
        form.addRow("Folder", where)
        form.addRow("Series" if series else "Images", self.count)
        form.addRow("Format", self.format)
        form.addRow(self.resume)
        form.addRow(self.note)
        form.addRow(self.buttons)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.folder.textChanged.connect(lambda _: self._look())
        for changed in (self.count.valueChanged, self.resume.toggled):
            changed.connect(lambda _: self._say())
        self._there: dict[str, Any] | None = None
        self._look()

    def values(self) -> dict[str, Any]:
        """Arguments of `export_steps`."""
        return {
            "parameters": self._parameters,
            "count": self.count.value(),
            "seed": self._seed,
            "out": Path(self.folder.text()).expanduser(),
            "format": self.format.currentData(),
            "series": self._series,
            "resume": self.resume.isChecked(),
        }

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the dataset", self.folder.text())
        if folder:
            self.folder.setText(folder)

    def _look(self) -> None:
        """Whether an export of these parameters was stopped in the folder; take over its rest."""
        there = _stopped(Path(self.folder.text()).expanduser()) if self.folder.text() else None
        ours = self._parameters.model_dump(mode="json", by_alias=True)
        verb = "generate_series" if self._series else "generate"
        same = (
            there is not None
            and there["recipe"].get("parameters") == ours
            and there["recipe"].get("verb") == verb
        )
        self._there = there if same else None
        self.resume.setVisible(same)
        self.resume.setChecked(same)
        if same and there is not None:
            recipe = there["recipe"]
            self._seed = recipe["seed"]
            self.count.setValue(recipe["count"])
            self.format.setCurrentIndex(max(0, self.format.findData(recipe.get("format"))))
        self._say()

    def _say(self) -> None:
        going_on = self.resume.isChecked() and self._there is not None
        for widget in (self.count, self.format):
            widget.setEnabled(not going_on)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(
            bool(self.folder.text().strip())
        )
        if going_on and self._there is not None:
            done, count = self._there["done"], self._there["recipe"]["count"]
            self.note.say(f"{done:,} of {count:,} are done.")
            return
        p, frames = self._parameters, self._parameters.series.frames if self._series else 1
        size = self.count.value() * frames * p.width * p.height * _BYTES
        self.note.say(f"At most {_size(size)} on the disk, uncompressed.")


def _stopped(folder: Path) -> dict[str, Any] | None:
    """State of the export that was stopped in a folder."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(state, dict) and {"recipe", "done"} <= set(state)
    return state if known and isinstance(state["recipe"], dict) else None


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"
