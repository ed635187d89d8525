"""The translate dock: the open micrograph in another microscope's contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QVBoxLayout

from napari_axongen.bridge.layers import image_of, pixel_size, recipe_of, why_not
from napari_axongen.bridge.segmenting import Output
from napari_axongen.bridge.settings import preferred
from napari_axongen.bridge.translating import CONDITIONS, Written, looked_at, translate
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Partial
from napari_axongen.core.parameters import TranslateParameters

from .compare import Compare
from .copying import CopyRecipe
from .direction import DirectionPicker
from .fold import Fold
from .form import OptionalNumber, ParameterForm
from .mask_picker import MaskPicker
from .pair_export import ExportPairs
from .parts import DeviceChip, Dock, Hint, Notices, RunRow
from .picker import LayerPicker
from .rendition import Rendition
from .seed import SeedRow

if TYPE_CHECKING:
    import napari

_SHOWN_ELSEWHERE = ("model", "method", "condition", "seed", "pixel_size")


class TranslateDock(Dock):
    """Translate the chosen image layer between TEM and SEM.

    Parameters
    ----------
    napari_viewer
        The viewer; napari hands it over.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._source: Any = None  # the layer that is, or was last, translated
        self._rendition: Rendition | None = None
        self._done = 0.0
        self._ended = ""  # why a run was stopped
        self.translating = self.job("Translating")
        self.exporting = self.job("Exporting pairs")
        self._build()
        self._connect()
        self._on_layer()

    # ------------------------------------------------------------ the form

    def _build(self) -> None:
        self.picker = LayerPicker(self.viewer, lambda layer: isinstance(layer, ImageLayer), why_not)
        self.model = DirectionPicker()
        self.mask = MaskPicker(self.viewer)
        self.condition = QComboBox()
        for name, (title, _) in CONDITIONS.items():
            self.condition.addItem(title, name)
        self.condition.setToolTip(TranslateParameters.model_fields["condition"].description)
        self.meaning = Hint()
        self.seed = SeedRow()
        self.pixel_size = OptionalNumber("unknown")
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setToolTip("Side of a pixel; where unknown, the scale is found.")
        self.form = ParameterForm(preferred(TranslateParameters), skip=_SHOWN_ELSEWHERE)
        self.run = RunRow("Translate", self.translating)
        self.compare = Compare(self.viewer)
        self.device = DeviceChip()
        self.notices = Notices(self.device)
        self.export = ExportPairs(self.viewer, self.exporting)
        self.copy = CopyRecipe(self._made)

        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.picker)
        form.addRow("Direction", self.model)
        form.addRow("Seed", self.seed)
        form.addRow("Labels", self.mask)
        form.addRow("Guided by", self.condition)
        advanced = Fold("Advanced")
        size = QFormLayout()
        size.addRow("Pixel size", self.pixel_size)
        advanced.content().layout().addLayout(size)
        advanced.addWidget(self.form)
        after = QFormLayout()
        after.addRow("Compare", self.compare)
        ends = QHBoxLayout()
        ends.addWidget(self.export, 1)
        ends.addWidget(self.copy)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.meaning)
        layout.addWidget(advanced)
        layout.addWidget(self.run)
        layout.addLayout(after)
        layout.addLayout(ends)
        layout.addWidget(self.notices)
        layout.addWidget(self.device)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.picker.changed.connect(self._on_layer)
        self.condition.currentIndexChanged.connect(lambda _: self._on_condition())
        self.run.clicked.connect(self.start)
        self.export.said.connect(self.notices.say)
        self.translating.running_changed.connect(lambda _: self._show_state())
        self.translating.notice.connect(self.notices.add)
        self.translating.progress.connect(self._on_progress)
        self.translating.yielded.connect(self._on_yielded)
        self.translating.finished.connect(self._on_finished)
        self.translating.stopped.connect(lambda: self._on_stopped(self._ended))
        self.translating.failed.connect(self._on_stopped)
        for part in (self.picker, self.mask, self.compare):
            self.on_close(part.close_down)
        self.listen(self.viewer.layers.events.removed, self._on_removed)
        self.listen(self.viewer.layers.selection.events.active, self._on_selected)
        self._on_condition()

    def _on_selected(self, event: Any = None) -> None:
        """Follow the layer list while nothing runs."""
        if not self.translating.running:
            self.picker.choose(self.viewer.layers.selection.active)

    def _on_layer(self) -> None:
        layer = self.picker.accepted
        self.mask.set_source(layer)
        self.model.set_layer(layer, self.viewer.layers)
        if layer is not None:
            self.pixel_size.set_optional_value(pixel_size(layer).um)
        self._show_state()

    def _on_condition(self) -> None:
        _, meaning = CONDITIONS[self.condition.currentData()]
        self.meaning.say(meaning)

    def _show_state(self) -> None:
        running = self.translating.running
        ready = self.picker.accepted is not None and not self.model.complaint
        self.run.button.setEnabled(running or ready)
        for widget in (self.picker, self.model, self.mask, self.condition, self.seed, self.form):
            widget.setEnabled(not running)
        self.pixel_size.setEnabled(not running)
        made = None if running or self._rendition is None else self._rendition.layer
        self.compare.set_layers(self._source, made)
        self.copy.setEnabled(made is not None)
        if self.model.complaint:
            self.notices.say(self.model.complaint)

    # ------------------------------------------------------------ the run

    def start(self) -> None:
        """Translate the chosen layer, as the button does."""
        layer = self.picker.accepted
        if layer is None or self.translating.running:
            return
        try:
            size = self.pixel_size.optional_value()
            parameters: Any = self.form.parameters(
                model=self.model.currentData(),
                condition=self.condition.currentData(),
                seed=self.seed.value(),
                pixel_size=size,
            )
            image = image_of(layer, size)
        except InputError as error:
            self.notices.say(str(error))
            return
        parameters = parameters.model_copy(update={"seed": self.seed.use()})
        self.compare.reset()
        self.notices.start_anew()
        self._source, self._done, self._ended = layer, 0.0, "Cancelled."
        self._rendition = rendition = Rendition(self.viewer, layer, self.model.target)
        mask = None if self.mask.mask is None else self.mask.mask.reader()
        first = looked_at(layer, self.viewer.dims.point)
        self.translating.start(lambda: translate(image, parameters, mask, rendition.out, first))

    def _on_progress(self, done: int, total: int, eta: float | None, message: str) -> None:
        self._done = done / total

    def _on_yielded(self, event: Any) -> None:
        if self._rendition is None or not isinstance(event, Partial):
            return
        if isinstance(event.value, Written):
            self._rendition.touch()
        elif isinstance(event.value, Output):
            self._rendition.label(event)
        else:
            self._rendition.finish(event.value.target, _recipe(event.value))

    def _on_finished(self, result: Any) -> None:
        if self._rendition is not None:
            self._rendition.sign_labels(_recipe(result))
        self._show_state()

    def _on_stopped(self, why: str) -> None:
        self.notices.say(why)
        if self._rendition is not None:
            self._rendition.stop(self._done)
        self._show_state()

    def _on_removed(self, event: Any) -> None:
        made = None if self._rendition is None else self._rendition.layer
        if event.value not in (self._source, made) or event.value is None:
            return
        self._ended = f"'{event.value.name}' was removed: stopped."
        self.translating.cancel()
        self._source = self._rendition = None
        self._show_state()

    # ------------------------------------------------------------ afterwards

    def _made(self) -> tuple[Any, Any] | None:
        """Recipe of the last translation, and its source's file."""
        if self._rendition is None or self._rendition.layer is None:
            return None
        return recipe_of(self._rendition.layer), self._source.source.path


def _recipe(result: Any) -> dict[str, Any]:
    """A translation's recipe; a layer's recipe says of ``source`` which layer that is."""
    recipe = result.recipe()
    return {**recipe, "contrasts": [recipe["source"], recipe["target"]]}
