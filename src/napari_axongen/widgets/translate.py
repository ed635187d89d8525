"""The translate dock: the open micrograph in another microscope's contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QVBoxLayout

from napari_axongen.bridge.forecast import Question
from napari_axongen.bridge.layers import image_of, recipe_of, spatial_shape
from napari_axongen.bridge.outputs import Output
from napari_axongen.bridge.shelf import models_changed
from napari_axongen.bridge.translating import Spread, Written, contrast_of, looked_at, translate
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Partial

from .compare import Compare
from .copying import CopyRecipe
from .foretelling import ForecastLine
from .pair_export import ExportPairs
from .parts import DeviceChip, Dock, Notices, RunRow
from .rendition import Rendition
from .translate_form import TranslateForm

if TYPE_CHECKING:
    import napari


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
        self._diameter: tuple[Any, float] | None = None  # of a layer's axons, as a run found it
        self._done = 0.0
        self._ended = ""  # why a run was stopped
        self.translating = self.job("Translating")
        self.foretelling = self.job(None)
        self.exporting = self.job("Exporting pairs")
        self._build()
        self._connect()
        self._show_state()

    # ------------------------------------------------------------ the form

    def _build(self) -> None:
        self.form = TranslateForm(self.viewer)
        self.picker, self.pixel_size = self.form.picker, self.form.pixel_size
        self.run = RunRow("Translate", self.translating)
        self.compare = Compare(self.viewer)
        self.device = DeviceChip()
        self.forecast = ForecastLine(self.foretelling, self.device)
        self.notices = Notices(self.device)
        self.export = ExportPairs(self.viewer, self.exporting)
        self.copy = CopyRecipe(self._made)

        after = QFormLayout()
        after.addRow("Compare", self.compare)
        ends = QHBoxLayout()
        ends.addWidget(self.export, 1)
        ends.addWidget(self.copy)
        layout = QVBoxLayout(self)
        layout.addWidget(self.form)
        layout.addWidget(self.run)
        layout.addWidget(self.forecast)
        layout.addLayout(after)
        layout.addLayout(ends)
        layout.addWidget(self.notices)
        layout.addWidget(self.device)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.form.changed.connect(self._show_state)
        self.run.clicked.connect(self.start)
        self.export.said.connect(self.notices.say)
        self.translating.running_changed.connect(lambda _: self._show_state())
        self.translating.notice.connect(self.notices.add)
        self.translating.yielded.connect(self._on_yielded)
        self.translating.finished.connect(self._on_finished)
        self.translating.stopped.connect(lambda: self._on_stopped(self._ended))
        self.translating.failed.connect(self._on_stopped)
        for part in (self.form, self.compare, self.forecast):
            self.on_close(part.close_down)
        self.listen(self.viewer.layers.events.removed, self._on_removed)
        self.listen(self.viewer.layers.selection.events.active, self._on_selected)
        self.listen(models_changed, self.form.offer_models)

    def _on_selected(self, event: Any = None) -> None:
        """Follow the layer list while nothing runs."""
        if not self.translating.running:
            self.picker.choose(self.viewer.layers.selection.active)

    def _show_state(self) -> None:
        running, complaint = self.translating.running, self.form.direction.complaint
        ready = self.picker.accepted is not None and not complaint
        self.run.button.setEnabled(running or ready)
        self.form.setEnabled(not running)
        made = None if running or self._rendition is None else self._rendition.layer
        self.compare.set_layers(self._source, made)
        self.copy.setEnabled(made is not None)
        if complaint:
            self.notices.say(complaint)
        self.forecast.ask(self._question() if ready and not running else None)

    def _question(self) -> Question | None:
        """What would be started now, of which it is asked how long it takes."""
        layer = self.picker.accepted
        try:
            parameters = self.form.parameters()
        except InputError:
            return None
        known = self._diameter[1] if self._diameter and self._diameter[0] == layer else None
        source = self.form.direction.choice.source or contrast_of(layer, self.viewer.layers)
        return Question(parameters, spatial_shape(layer), source, self.form.mask.mask, known)

    # ------------------------------------------------------------ the run

    def start(self) -> None:
        """Translate the chosen layer, as the button does."""
        layer = self.picker.accepted
        if layer is None or self.translating.running:
            return
        try:
            parameters = self.form.parameters()
            image = image_of(layer, parameters.pixel_size)
        except InputError as error:
            self.notices.say(str(error))
            return
        if "seed" in self.form.heeds:
            parameters = parameters.model_copy(update={"seed": self.form.seed.use()})
        self.compare.reset()
        self.notices.start_anew()
        self._source, self._done, self._ended = layer, 0.0, "Cancelled."
        target = self.form.direction.choice.contrast
        self._rendition = rendition = Rendition(
            self.viewer, layer, target, parameters.method, parameters.samples
        )
        chosen = self.form.mask.mask
        mask = None if chosen is None else chosen.reader()
        first = looked_at(layer, self.viewer.dims.point)
        self.translating.start(lambda: translate(image, parameters, mask, rendition.out, first))

    def _on_yielded(self, event: Any) -> None:
        if self._rendition is None or not isinstance(event, Partial):
            return
        if isinstance(event.value, Written):
            self._done = event.value.done
            self._rendition.touch(event.value)
        elif isinstance(event.value, Spread):
            self._rendition.spread(event.value)
        elif isinstance(event.value, Output):
            self._rendition.label(event)
        else:
            self._rendition.finish(event.value.target, _recipe(event.value))

    def _on_finished(self, result: Any) -> None:
        if self._rendition is not None:
            self._rendition.sign_labels(_recipe(result))
            if result.card.axon_diameter:
                self._diameter = self._source, result.card.axon_diameter / result.scale
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
        self._source = self._rendition = self._diameter = None
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
