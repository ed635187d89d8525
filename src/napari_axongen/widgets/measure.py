"""The measure dock: a table of the fibres, linked with the fibres in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_axongen.bridge.layers import level_0, pixel_size
from napari_axongen.bridge.measuring import PLANE, measure_layers
from napari_axongen.core.errors import InputError
from napari_axongen.core.parameters import MeasureParameters

from .colouring import ColourBy
from .form import OptionalNumber, ParameterForm
from .links import FibreLink
from .parts import Dock, Hint, RunRow, open_dock
from .picker import LayerPicker
from .summary import summary
from .table import FibreTable

if TYPE_CHECKING:
    import napari

    from napari_axongen.core.morphometry import Morphometry

TITLE = "Measure fibres"


def open_measure_dock(viewer: napari.viewer.Viewer) -> MeasureDock:
    """The measure dock of a viewer, opened below the canvas if it is not open."""
    return open_dock(viewer, MeasureDock, TITLE, area="bottom")


class MeasureDock(Dock):
    """Measure the fibres of Labels layers.

    Parameters
    ----------
    napari_viewer
        The viewer; napari hands it over.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.result: Morphometry | None = None
        self.measuring = self.job("Measuring")
        self._build()
        self._connect()
        self._on_fibres()

    def _build(self) -> None:
        def is_labels(layer: Any) -> bool:
            return isinstance(layer, Labels)

        self.fibres = LayerPicker(
            self.viewer, is_labels, _why_not, "Segment an image first.", prefers=_is_fibres
        )
        self.axon = LayerPicker(self.viewer, is_labels, optional=True)
        self.myelin = LayerPicker(self.viewer, is_labels, optional=True)
        self.pixel_size = OptionalNumber("unknown")
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setToolTip("Side of a pixel; unknown: sizes are in pixels.")
        self.form = ParameterForm(MeasureParameters(), skip=("pixel_size", "min_diameter"))
        self.run = RunRow("Measure", self.measuring)
        self.note = Hint()
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        self.model = FibreTable(self)
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setSortingEnabled(True)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().setVisible(False)
        self.table.setMinimumHeight(180)
        self.link = FibreLink(self.viewer, self.table, self.model)
        self.colour = ColourBy()
        self.export = QPushButton("Export CSV ...")

        left = QVBoxLayout()
        choice = QFormLayout()
        choice.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, picker in (
            ("Fibres", self.fibres),
            ("Axon", self.axon),
            ("Myelin", self.myelin),
        ):
            choice.addRow(title, picker)
        choice.addRow("Pixel size", self.pixel_size)
        left.addLayout(choice)
        left.addWidget(self.form)
        left.addWidget(self.run)
        left.addWidget(self.note)
        left.addStretch(1)
        side = QWidget()
        side.setLayout(left)
        side.setMaximumWidth(300)
        below = QHBoxLayout()
        below.addWidget(self.colour)
        below.addStretch(1)
        below.addWidget(self.export)
        right = QVBoxLayout()
        right.addWidget(self.figures)
        right.addWidget(self.table, 1)
        right.addLayout(below)
        layout = QHBoxLayout(self)
        layout.addWidget(side)
        layout.addLayout(right, 1)
        self._show_result()

    def _connect(self) -> None:
        self.fibres.changed.connect(self._on_fibres)
        self.run.clicked.connect(self.start)
        self.measuring.finished.connect(self._on_finished)
        self.measuring.failed.connect(self.note.say)
        self.measuring.stopped.connect(lambda: self.note.say("Cancelled."))
        self.colour.chosen.connect(self._colour)
        self.export.clicked.connect(self._on_export)
        for part in (self.fibres, self.axon, self.myelin, self.link):
            self.on_close(part.close_down)
        self.listen(self.viewer.layers.events.removed, self._on_removed)

    def _on_fibres(self) -> None:
        """Take the axon and myelin layers that were made with the fibres."""
        layer = self.fibres.layer
        if layer is not None:
            stem = layer.name.removesuffix("fibres")
            for picker, kind in ((self.axon, "axon"), (self.myelin, "myelin")):
                if f"{stem}{kind}" in self.viewer.layers:
                    picker.choose(self.viewer.layers[f"{stem}{kind}"])
            size = pixel_size(layer)
            self.pixel_size.set_optional_value(size.um)
            self.note.say(size.note)
        self.run.button.setEnabled(self.fibres.accepted is not None)

    # ------------------------------------------------------------ the run

    def start(self) -> None:
        """Measure, as the button does."""
        layer = self.fibres.accepted
        if layer is None:
            return
        try:
            parameters: Any = self.form.parameters(pixel_size=self.pixel_size.optional_value())
        except InputError as error:
            self.note.say(str(error))
            return
        arrays = [
            None if chosen is None else level_0(chosen)
            for chosen in (layer, self.axon.layer, self.myelin.layer)
        ]
        self.note.say(
            "Without an axon layer the whole of a fibre counts as axon."
            if arrays[1] is None
            else ""
        )
        self.link.layer = layer
        self.measuring.start(lambda: measure_layers(*arrays, parameters))

    def _on_finished(self, result: Morphometry) -> None:
        self.result = result
        self._show_result()

    def _show_result(self) -> None:
        columns = {} if self.result is None else self.result.fibres
        self.model.show(columns, {} if self.result is None else self.result.descriptions())
        self.table.resizeColumnsToContents()
        self.colour.offer(name for name in columns if name not in ("label", PLANE))
        self._colour(self.colour.column)
        for widget in (self.colour, self.export):
            widget.setEnabled(self.result is not None)
        self.figures.setText(summary(self.result))

    def _on_removed(self, event: Any) -> None:
        if event.value == self.link.layer:
            self.measuring.cancel()
            self.link.layer, self.result = None, None
            self._show_result()

    def _on_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Export the table", "fibres.csv", "CSV (*.csv)")
        if path:
            self.write_csv(path)

    def write_csv(self, path: str) -> None:
        """Write the table and the image's figures; a refusal is shown."""
        if self.result is None:
            return
        try:
            written = self.result.write_csv(path)
        except InputError as error:
            show_error(str(error))
            return
        show_info(f"Written: {written[0]} and {written[1].name}")

    def _colour(self, name: str = "") -> None:
        """Colour the fibres by a column, or by label again."""
        layer = self.link.shown_layer()
        if layer is None or self.result is None:
            return
        values = self.model.column(name) if name else None
        self.colour.apply(layer, self.model.column("label"), values)
        for picker in (self.axon, self.myelin):  # their tints would falsify the colours
            if picker.layer is not None:
                picker.layer.visible = values is None


def _is_fibres(layer: Any) -> bool:
    return layer.name.endswith("fibres")


def _why_not(layer: Any) -> str | None:
    if layer.ndim < 2:
        return f"'{layer.name}' has {layer.ndim} axis; fibres are measured in planes."
    return None
