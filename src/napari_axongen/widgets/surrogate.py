"""The surrogate dock: two-photon images of axons that are made while the sliders move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
)

from napari_axongen.bridge.settings import preference
from napari_axongen.bridge.surrogates import Made, generate_layers
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Partial
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import PRESETS

from .adding import LayerQueue
from .copying import CopyRecipe
from .exporting import ExportDialog
from .fold import Fold
from .match_panel import MatchPanel
from .micrograph import open_micrograph_dock
from .parameter_file import ParameterFile
from .parts import Dock, Notices, RunRow
from .preview import Preview
from .seed import SeedRow
from .surrogate_form import SurrogateForm

if TYPE_CHECKING:
    import napari

_MOST = 1000  # images in layers: an export takes more


class SurrogateDock(Dock):
    """Make surrogate two-photon images of axons, with all that is known of them.

    Parameters
    ----------
    napari_viewer
        The viewer; napari hands it over.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.previewing = self.job(None)
        self.matching = self.job("Matching")
        self.generating = self.job("Generating")
        self.exporting = self.job("Exporting")
        self._build()
        self._connect()

    # ------------------------------------------------------------ the form

    def _build(self) -> None:
        self.preset = QComboBox()
        for name, preset in PRESETS.items():
            self.preset.addItem(name, name)
            self.preset.setItemData(
                self.preset.count() - 1, preset.description, Qt.ItemDataRole.ToolTipRole
            )
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("Set everything back to the preset.")
        self.file = ParameterFile(self.parameters)
        self.copy = CopyRecipe(self._recipe)
        self.form = SurrogateForm(next(iter(PRESETS.values())).parameters)
        self.preview = Preview(self.viewer, self.previewing, self._wanted)
        self.seed = SeedRow()
        self.match = MatchPanel(self.viewer, self.matching, self._wanted)
        self.count = QSpinBox()
        self.count.setRange(1, _MOST)
        self.series = QCheckBox("Series")
        self.series.setToolTip("Series of frames, with boutons that come and go, and their tracks.")
        self.run = RunRow("Generate", self.generating)
        self.export = RunRow("Export dataset ...", self.exporting, primary=False)
        self.micrographs = QPushButton("Electron micrographs ...")
        self.micrographs.setToolTip("Make TEM and SEM images of myelinated fibres, labelled.")
        self.notices = Notices()
        self.queue = LayerQueue(self.viewer, self)

        top = QHBoxLayout()
        top.addWidget(self.preset, 1)
        for button in (self.reset, self.file, self.copy):
            top.addWidget(button)
        matching = Fold("Match an image")
        matching.addWidget(self.match)
        number = QHBoxLayout()
        number.addWidget(self.count, 1)
        number.addWidget(self.series)
        below = QFormLayout()
        below.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        below.addRow("Seed", self.seed)
        below.addRow("Images", number)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(self.form, 1)
        layout.addWidget(matching)
        layout.addWidget(self.preview)
        layout.addLayout(below)
        layout.addWidget(self.run)
        layout.addWidget(self.export)
        layout.addWidget(self.micrographs)
        layout.addWidget(self.notices)

    def _connect(self) -> None:
        self.preset.activated.connect(lambda _: self._on_preset())
        self.reset.clicked.connect(lambda: self.form.reset())
        self.form.changed.connect(self._on_form)
        self.seed.changed.connect(self.preview.poke)
        self.series.toggled.connect(lambda _: self.preview.poke())
        self.file.loaded.connect(self._on_loaded)
        self.match.matched.connect(self._on_matched)
        self.run.clicked.connect(self.start)
        self.export.clicked.connect(self._ask_export)
        self.micrographs.clicked.connect(lambda: open_micrograph_dock(self.viewer))
        for job in (self.generating, self.exporting):
            job.notice.connect(self.notices.add)
            job.failed.connect(self.notices.say)
            job.stopped.connect(lambda: self.notices.say("Cancelled."))
            job.running_changed.connect(lambda _: self._show_state())
        self.generating.yielded.connect(self._on_yielded)
        self.generating.stopped.connect(self.queue.clear)
        self.exporting.finished.connect(lambda out: self.notices.say(f"Exported to {out}."))
        for part in (self.preview, self.match, self.queue):
            self.on_close(part.close_down)
        self._show_state()

    def _show_state(self) -> None:
        self.reset.setEnabled(self.form.differs)
        self.run.button.setEnabled(not self.exporting.running)
        self.export.button.setEnabled(not self.generating.running)

    # ------------------------------------------------------------ the parameters

    def parameters(self) -> SurrogateParameters:
        """What the form says.

        Raises
        ------
        InputError
            A value is out of bounds.
        """
        return self.form.parameters()

    def _wanted(self) -> tuple[SurrogateParameters, int, bool]:
        return self.parameters(), self.seed.value(), self.series.isChecked()

    def _recipe(self) -> tuple[dict[str, Any], None] | None:
        try:
            parameters, seed, series = self._wanted()
        except InputError as error:
            self.notices.say(str(error))
            return None
        return {
            "verb": "generate_series" if series else "generate",
            "parameters": parameters.model_dump(mode="json", by_alias=True),
            "seed": seed,
            "first": 0,
            "count": self.count.value(),
        }, None

    def _on_preset(self) -> None:
        self._take(PRESETS[self.preset.currentData()].parameters)

    def _on_loaded(self, parameters: SurrogateParameters) -> None:
        self.preset.setCurrentIndex(-1)
        self._take(parameters)

    def _take(self, parameters: SurrogateParameters) -> None:
        """Show parameters that a reset comes back to."""
        self.form.set_parameters(parameters, reference=True)
        self._show_state()
        self.preview.poke(fresh=True)

    def _on_matched(self, parameters: SurrogateParameters) -> None:
        self.form.set_parameters(parameters)
        self._show_state()
        self.preview.poke(fresh=True)

    def _on_form(self) -> None:
        self._show_state()
        self.preview.poke()

    # ------------------------------------------------------------ images

    def start(self) -> None:
        """Make images into layers, as the button does."""
        try:
            parameters = self.parameters()
        except InputError as error:
            self.notices.say(str(error))
            return
        seed, count, series = self.seed.use(), self.count.value(), self.series.isChecked()
        self.preview.stop()
        device = preference("device", "auto")
        self.notices.start_anew()
        self.generating.start(lambda: generate_layers(parameters, count, seed, series, device))

    def _on_yielded(self, event: Any) -> None:
        if isinstance(event, Partial) and isinstance(event.value, Made):
            if self.queue.empty:
                self.preview.cover()
            self.queue.put(event.value.layer)

    def _ask_export(self) -> None:
        try:
            parameters = self.parameters()
        except InputError as error:
            self.notices.say(str(error))
            return
        dialog = ExportDialog(parameters, self.seed.value(), self.series.isChecked(), self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.start_export(**dialog.values())

    def start_export(self, **values: Any) -> None:
        """Write a data set, as the dialog says."""
        from napari_axongen.core.surrogate.export import export_steps

        device = preference("device", "auto")
        self.notices.start_anew()
        self.exporting.start(lambda: export_steps(device=device, **values))
