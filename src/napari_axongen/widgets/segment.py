"""The segment dock: choose an image, press one button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
)
from superqt import QCollapsible

from napari_axongen.bridge.fluorescence import objects_again
from napari_axongen.bridge.layers import image_of, pixel_size, recipe_of, why_not
from napari_axongen.bridge.outputs import FIBRES, OBJECTS
from napari_axongen.bridge.segmenting import (
    fibres_again,
    is_fluorescence,
    masks_again,
    segment,
)
from napari_axongen.bridge.settings import preference, preferred
from napari_axongen.bridge.shelf import models_changed
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Partial
from napari_axongen.core.parameters import SegmentParameters

from .copying import CopyRecipe
from .form import OptionalNumber, ParameterForm
from .model_picker import ModelPicker
from .outputs import SegmentationLayers, find_output
from .parts import DeviceChip, Dock, Hint, Notices, RunRow
from .picker import LayerPicker
from .threshold import FIBRE, Thresholds

if TYPE_CHECKING:
    import napari

_SHOWN_ELSEWHERE = (
    *("model", "contrast", "pixel_size"),
    *("threshold", "axon_threshold", "bouton_threshold"),
)


class SegmentDock(Dock):
    """Segment the chosen image layer: axons and myelin, or of fluorescence axons and boutons.

    Parameters
    ----------
    napari_viewer
        The viewer; napari hands it over.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._result: Any = None  # the last segmentation: its probabilities feed the sliders
        self._source: Any = None  # the layer it is of
        self._layers: SegmentationLayers | None = None
        self._ended = ""  # why a run was stopped
        self.segmenting = self.job("Segmenting")
        self.masking = self.job("Threshold")
        self.labelling = self.job("Separating fibres")
        self._build()
        self._connect()
        self._on_layer()

    # ------------------------------------------------------------ the form

    def _build(self) -> None:
        self.picker = LayerPicker(self.viewer, lambda layer: isinstance(layer, ImageLayer), why_not)
        self.model = ModelPicker()
        self.pixel_size = OptionalNumber("unknown")
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setToolTip(
            "Side of a pixel, from the layer's scale and units. When it is unknown the scale is "
            "found from the image, and sizes are measured in pixels."
        )
        self.pixel_note = Hint()
        self.form = ParameterForm(preferred(SegmentParameters), skip=_SHOWN_ELSEWHERE)
        advanced = QCollapsible("Advanced")
        advanced.addWidget(self.form)
        self.run = RunRow("Segment", self.segmenting)
        self.thresholds = Thresholds()
        self.threshold = self.thresholds.sliders[FIBRE]
        self.device = DeviceChip()
        self.notices = Notices(self.device)
        self.measure = QPushButton("Measure ...")
        self.measure.setToolTip("Open the table of fibres; there are none in fluorescence images.")
        self.copy = CopyRecipe(self._made)

        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.picker)
        form.addRow("Contrast", self.model)
        form.addRow("Pixel size", self.pixel_size)
        ends = QHBoxLayout()
        ends.addWidget(self.measure, 1)
        ends.addWidget(self.copy)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.pixel_note)
        layout.addWidget(advanced)
        layout.addWidget(self.run)
        layout.addWidget(self.thresholds)
        layout.addWidget(self.notices)
        layout.addLayout(ends)
        layout.addWidget(self.device)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.thresholds.settled.connect(self._apply_threshold)
        self.model.activated.connect(self.thresholds.forget)
        self.picker.changed.connect(self._on_layer)
        self.run.clicked.connect(self.start)
        self.measure.clicked.connect(self.open_table)
        self.segmenting.running_changed.connect(self._show_state)
        self.segmenting.notice.connect(self.notices.add)
        self.segmenting.yielded.connect(self._on_event)
        self.segmenting.finished.connect(self._on_finished)
        self.segmenting.stopped.connect(lambda: self.notices.say(self._ended))
        self.segmenting.failed.connect(self.notices.say)
        self.masking.yielded.connect(self._on_event)
        self.labelling.yielded.connect(self._on_event)
        self.on_close(self.picker.close_down)
        self.listen(self.viewer.layers.events.removed, self._on_removed)
        self.listen(self.viewer.layers.selection.events.active, self._on_selected)
        self.listen(models_changed, self.model.refresh)

    def choose_model(self, name: str) -> None:
        """Choose a model by its name, as if it had been picked."""
        self.model.choose(name)
        self.thresholds.forget()

    def _on_selected(self, event: Any = None) -> None:
        """Follow the layer list while nothing runs."""
        if not self.segmenting.running:
            self.picker.choose(self.viewer.layers.selection.active)

    def _on_layer(self) -> None:
        layer = self.picker.accepted
        size = None if layer is None else pixel_size(layer)
        if size is not None:
            self.pixel_size.set_optional_value(size.um)
        self.pixel_note.say("" if size is None else size.note)
        self._show_state()

    def _show_state(self, running: bool = False) -> None:
        running = self.segmenting.running
        self.run.button.setEnabled(running or self.picker.accepted is not None)
        for widget in (self.picker, self.model, self.pixel_size, self.form):
            widget.setEnabled(not running)
        current = self._result is not None and self.picker.layer == self._source
        self.thresholds.setEnabled(current and not running)
        self.copy.setEnabled(current)
        self.measure.setEnabled(not running and not (current and is_fluorescence(self._result)))

    # ------------------------------------------------------------ the run

    def start(self) -> None:
        """Segment the chosen layer, as the button does."""
        layer = self.picker.accepted
        if layer is None:
            return
        try:
            size = self.pixel_size.optional_value()
            parameters: Any = self.form.parameters(
                pixel_size=size, **self.model.parameters(), **self.thresholds.parameters()
            )
            image = image_of(layer, size)
        except InputError as error:
            self.notices.say(str(error))
            return
        self.masking.cancel()
        self.labelling.cancel()
        self.notices.start_anew()
        self._result, self._source, self._ended = None, layer, "Cancelled."
        self._layers = SegmentationLayers(self.viewer, layer)
        instances = bool(preference("instances", True))
        self.segmenting.start(lambda: segment(image, parameters, instances))

    def _on_event(self, event: Any) -> None:
        if isinstance(event, Partial) and self._layers is not None:
            self._layers.show(event)

    def _on_finished(self, result: Any) -> None:
        self._result = result
        glows = is_fluorescence(result)
        if self._layers is not None:
            self._layers.sign(result.recipe(), OBJECTS if glows else FIBRES)
        self.thresholds.show_for(
            result.thresholds if glows else {FIBRE: result.parameters.threshold}
        )
        self._show_state()

    def _on_removed(self, event: Any) -> None:
        if event.value != self._source:
            return
        self._ended = f"'{event.value.name}' was removed: stopped."
        for job in (self.segmenting, self.masking, self.labelling):
            job.cancel()
        self._result = self._source = self._layers = None
        self._show_state()

    # ------------------------------------------------------------ afterwards

    def _apply_threshold(self, name: str, threshold: float) -> None:
        result, source = self._result, self._source
        if result is None or self.segmenting.running:
            return
        self._layers = SegmentationLayers(self.viewer, source, create=False)
        if is_fluorescence(result):
            self._result = result = result.at({name: threshold})
            self._layers.sign(result.recipe(), OBJECTS)
            job = self.masking if name == "axon" else self.labelling  # one does not stop the other
            job.start(lambda: objects_again(result.only(name)))
            return
        recipe = result.recipe()
        recipe["parameters"] = {**recipe["parameters"], "threshold": threshold}
        self._layers.sign(recipe)
        values, least = result.probabilities, result.parameters.min_diameter
        looked_at = tuple(self.viewer.dims.current_step)[: values.ndim - 3]
        self.masking.start(lambda: masks_again(values, threshold, looked_at))
        if find_output(self.viewer, source, "fibres") is not None:
            self.labelling.start(lambda: fibres_again(values, threshold, least))

    def _made(self) -> tuple[Any, Any] | None:
        """Recipe of the shown result, and the image's file."""
        if self._source is not None:
            for output in reversed(OBJECTS if is_fluorescence(self._result) else FIBRES):
                layer = find_output(self.viewer, self._source, output)
                if layer is not None:
                    return recipe_of(layer), self._source.source.path
        return None

    def open_table(self) -> Any:
        """Open the measure dock, or show the open one, and fill its table."""
        from .measure import open_measure_dock

        dock = open_measure_dock(self.viewer)
        fibres = (
            find_output(self.viewer, self.picker.layer, "fibres") if self.picker.layer else None
        )
        if fibres is not None:
            dock.fibres.choose(fibres)
            dock.start()
        return dock
