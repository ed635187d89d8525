"""Match an image: parameters that make surrogates look like it, shown side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.layers import image_of, pixel_size, recipe_of, why_not
from napari_axongen.bridge.settings import preference
from napari_axongen.bridge.surrogates import match
from napari_axongen.core.errors import InputError
from napari_axongen.core.surrogate.parameters import SurrogateParameters

from .parts import Notices, RunRow
from .picker import LayerPicker

if TYPE_CHECKING:
    import napari

_COLUMNS = ("", "image", "surrogate", "before")
_ROW = 22  # px
_MOST_ROWS = 8


class MatchPanel(QWidget):
    """Choose an image and match the parameters to it.

    Signals
    -------
    matched(SurrogateParameters)
        Those of the image, or after an undo those from before.
    """

    matched = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        job: Job,
        wanted: Callable[[], tuple[SurrogateParameters, int, bool]],
    ) -> None:
        super().__init__()
        self._viewer, self._job, self._wanted = viewer, job, wanted
        self._asked: SurrogateParameters | None = None
        self._before: SurrogateParameters | None = None
        self.picker = LayerPicker(
            viewer,
            lambda layer: isinstance(layer, ImageLayer) and not _is_surrogate(layer),
            why_not,
            "Open a two-photon image first.",
        )
        self.run = RunRow("Match this image", job, primary=False)
        self.table = QTableWidget(0, len(_COLUMNS))
        self.table.setHorizontalHeaderLabels(_COLUMNS)
        self.table.verticalHeader().setVisible(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.undo = QPushButton("Undo match")
        self.undo.setToolTip("Back to the parameters from before.")
        self.hint = Notices()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.picker, self.run, self.hint, self.table, self.undo):
            layout.addWidget(widget)
        self._show_table(())
        self.picker.changed.connect(self._show_state)
        self.run.clicked.connect(self.start)
        self.undo.clicked.connect(self._on_undo)
        job.running_changed.connect(lambda _: self._show_state())
        job.notice.connect(self.hint.add)
        job.failed.connect(self.hint.say)
        job.stopped.connect(lambda: self.hint.say("Cancelled."))
        job.finished.connect(self._on_finished)
        self._show_state()

    def start(self) -> None:
        """Match the chosen image, as the button does."""
        layer = self.picker.accepted
        if layer is None:
            return
        try:
            parameters, seed, _ = self._wanted()
            image = image_of(layer, pixel_size(layer).um)
        except InputError as error:
            self.hint.say(str(error))
            return

        shown = tuple(self._viewer.dims.current_step)[-layer.ndim :]
        plane = tuple(
            min(max(step, 0), size - 1)
            for step, size in zip(shown, image.spatial_shape[:-2], strict=False)
        )
        device = preference("device", "auto")
        self.hint.start_anew()
        self._asked = parameters
        self._job.start(lambda: match(image, plane, parameters, seed, device))

    def close_down(self) -> None:
        """Listen no more."""
        self.picker.close_down()

    def _on_finished(self, result: Any) -> None:
        self._before = self._asked
        self._show_table(result.table)
        self.hint.add(
            f"The distance to {result.image} was {result.distance_before:.3g} and is "
            f"{result.distance_after:.3g}."
        )
        self.matched.emit(result.parameters)

    def _on_undo(self) -> None:
        before, self._before = self._before, None
        self._show_table(())
        self.hint.start_anew()
        self.matched.emit(before)

    def _show_state(self) -> None:
        running = self._job.running
        self.run.button.setEnabled(running or self.picker.accepted is not None)
        self.picker.setEnabled(not running)

    def _show_table(self, rows: Any) -> None:
        self.table.setRowCount(len(rows))
        for place, row in enumerate(rows):
            name = f"{row.name} ({row.unit})" if row.unit else row.name
            values = [_written(x) for x in (row.real, row.after, row.before)]
            for column, text in enumerate((name, *values)):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.table.setItem(place, column, item)
            self.table.setRowHeight(place, _ROW)
        self.table.setFixedHeight(_ROW * (min(len(rows), _MOST_ROWS) + 1) + 8)
        self.table.setVisible(bool(rows))
        self.undo.setVisible(self._before is not None)


def _written(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3g}" if abs(value) >= 1e-3 else "0"


def _is_surrogate(layer: Any) -> bool:
    recipe = recipe_of(layer)
    return recipe is not None and str(recipe.get("verb")).startswith("generate")
