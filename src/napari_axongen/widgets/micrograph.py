"""The micrograph dock: electron micrographs out of nothing, with exact labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QSpinBox,
    QVBoxLayout,
)

from napari_axongen.bridge.layers import recipe_of
from napari_axongen.bridge.micrographs import Micrograph, micrograph
from napari_axongen.bridge.outputs import Output
from napari_axongen.bridge.recipes import EM_FIBRES
from napari_axongen.bridge.settings import preference
from napari_axongen.bridge.shelf import models_changed
from napari_axongen.bridge.translating import translators
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Partial
from napari_axongen.core.models.card import Card
from napari_axongen.core.surrogate.em_laws import suited
from napari_axongen.core.surrogate.em_parameters import PRESETS

from .copying import CopyRecipe
from .fold import Fold
from .form import ParameterForm
from .outputs import SegmentationLayers
from .pair_export import ExportPairs
from .parts import Dock, Notices, RunRow, open_dock
from .seed import SeedRow

if TYPE_CHECKING:
    import napari

TITLE = "Make labelled micrographs"
_SIDE = 768  # px: a field of some tens of fibres


def open_micrograph_dock(viewer: napari.viewer.Viewer) -> MicrographDock:
    """The micrograph dock of a viewer, opened if it is not open."""
    return open_dock(viewer, MicrographDock, TITLE, tabify=True)


class MicrographDock(Dock):
    """Make TEM or SEM micrographs of myelinated fibres of which everything is known.

    Parameters
    ----------
    napari_viewer
        The viewer; napari hands it over.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._cards: dict[str | None, Card] = {}
        self._image: Any = None  # the layer made last
        self._labels: SegmentationLayers | None = None
        self.making = self.job("Making a micrograph")
        self.exporting = self.job("Exporting pairs")
        self._build()
        self._connect()
        self._on_contrast()

    def _build(self) -> None:
        self.contrast = QComboBox()
        self._offer_contrasts()
        self.contrast.setToolTip("The microscope, and the tissue that is usually seen with it.")
        self.width, self.height = QSpinBox(), QSpinBox()
        size = QHBoxLayout()
        for box in (self.width, self.height):
            box.setRange(64, 8192)
            box.setValue(_SIDE)
            box.setSuffix(" px")
            size.addWidget(box)
        self.seed = SeedRow()
        self._fibres = Fold("Fibres and looks")
        self.form: ParameterForm | None = None
        self.run = RunRow("Make labelled micrograph", self.making)
        self.notices = Notices()
        self.export = ExportPairs(self.viewer, self.exporting)
        self.copy = CopyRecipe(self._made)

        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Contrast", self.contrast)
        form.addRow("Size", size)
        form.addRow("Seed", self.seed)
        ends = QHBoxLayout()
        ends.addWidget(self.export, 1)
        ends.addWidget(self.copy)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self._fibres)
        layout.addWidget(self.run)
        layout.addLayout(ends)
        layout.addWidget(self.notices)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.contrast.currentIndexChanged.connect(lambda _: self._on_contrast())
        self.run.clicked.connect(self.start)
        self.export.said.connect(self.notices.say)
        self.making.running_changed.connect(lambda _: self._show_state())
        self.making.notice.connect(self.notices.add)
        self.making.yielded.connect(self._on_yielded)
        self.making.stopped.connect(lambda: self.notices.say("Cancelled."))
        self.making.failed.connect(self.notices.say)
        self.listen(models_changed, self._offer_contrasts)

    def _offer_contrasts(self, event: Any = None) -> None:
        """Offer what the models that there are now can make."""
        self._cards = {card.contrast: card for card in reversed(translators()) if card.contrast}
        for contrast in sorted(self._cards, key=str, reverse=True):
            if self.contrast.findData(contrast) < 0:
                self.contrast.addItem(contrast, contrast)

    def _on_contrast(self) -> None:
        """Show the tissue that belongs to a contrast."""
        card = self._cards.get(self.contrast.currentData())
        if card is not None:
            parameters = suited(PRESETS[card.contrast.lower()], card.axon_diameter)
            if self.form is None:
                self.form = ParameterForm(parameters, skip=("width", "height"))
                self._fibres.addWidget(self.form)
            self.form.set_values(parameters.model_dump())
        self._show_state()

    def _show_state(self) -> None:
        running = self.making.running
        self.run.button.setEnabled(running or bool(self._cards))
        for widget in (self.contrast, self.width, self.height, self.seed, self._fibres):
            widget.setEnabled(not running)
        self.copy.setEnabled(self._image is not None)
        if not self._cards:
            self.notices.say(
                "No translation model is installed; import one with 'axongen models import'."
            )

    def start(self) -> None:
        """Make one, as the button does."""
        card = self._cards.get(self.contrast.currentData())
        if card is None or self.form is None or self.making.running:
            return
        try:
            size = {"width": self.width.value(), "height": self.height.value()}
            parameters: Any = self.form.parameters(**size)
        except InputError as error:
            self.notices.say(str(error))
            return
        self.notices.start_anew()
        seed, device = self.seed.use(), preference("device", "auto")
        self.making.start(lambda: micrograph(parameters, card, seed, device))

    def _on_yielded(self, event: Any) -> None:
        if not isinstance(event, Partial):
            return
        if isinstance(event.value, Micrograph):
            made = event.value
            name = f"{made.recipe['target']} made, seed {made.recipe['seed']}"
            self._image = self.viewer.add_image(made.image, **made.keywords(name))
            self._labels = SegmentationLayers(
                self.viewer, self._image, verb=EM_FIBRES, visible=False
            )
            self._recipe = made.recipe
        elif isinstance(event.value, Output) and self._labels is not None:
            self._labels.show(event)
            self._labels.sign(self._recipe)

    def _made(self) -> tuple[Any, None] | None:
        return None if self._image is None else (recipe_of(self._image), None)
