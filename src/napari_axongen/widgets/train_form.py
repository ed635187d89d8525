"""What a person says of a training before it starts."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.open_pairs import common_pixel_size
from napari_axongen.bridge.plans import (
    CONTRASTS,
    MEANINGS,
    Plan,
    classes_of_recipe,
    first_recipe,
    free_name,
    plan_of,
    slots,
    starts,
)
from napari_axongen.core.checking import checked
from napari_axongen.core.errors import InputError
from napari_axongen.core.training.presets import PRESETS, SIZES, begin_with
from napari_axongen.core.training.recipe import AnyRecipe, Recipe

from .parts import Hint
from .seed import SeedRow
from .spin import choice_box, ignore_wheel
from .train_details import Details
from .train_made import Mixing
from .train_sources import FOLDER, LAYERS, NONE, SURROGATES, ImagePicker

if TYPE_CHECKING:
    import napari

_SCRATCH = "From scratch"
_LONGEST = 1_000_000  # steps


class TrainForm(QWidget):
    """What to train, from which images, from which start, and how long.

    Signals
    -------
    changed()
        Anything.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, jobs: tuple[Job, Job]) -> None:
        super().__init__()
        self._viewer = viewer
        self._recipe: AnyRecipe | None = None
        self._named = False  # by a person
        self._settling = False  # parts are being set: what they say of it is not news
        self.what = choice_box("What the network shall learn.")
        for preset, one in PRESETS.items():
            self.what.addItem(one.title, preset)
        self.meaning = Hint()
        self.direction = choice_box("From which microscope to which.")
        for contrast, other in zip(CONTRASTS, reversed(CONTRASTS), strict=True):
            self.direction.addItem(f"{other} → {contrast}", contrast)
        self.pickers = [ImagePicker(viewer, job) for job in jobs]
        self.mixing = Mixing(viewer)
        self.start = choice_box(
            "Begin with random weights, or go on from a trained network: then far fewer images "
            "and steps are enough."
        )
        self.name = QLineEdit()
        self.name.setToolTip("What the model will be called in the other docks.")
        self.length = choice_box("How long it trains. Quick: is it worth it? Thorough: overnight.")
        for size in SIZES:
            self.length.addItem(size.capitalize(), size)
        self.length.setCurrentIndex(SIZES.index("normal"))
        self.steps = QSpinBox()
        self.steps.setRange(1, _LONGEST)
        self.steps.setSuffix(" steps")
        self.steps.setGroupSeparatorShown(True)
        ignore_wheel(self.steps)
        self.seed = SeedRow()
        self.details = Details()
        self._build()
        self._connect()
        self._on_what()

    def _build(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Train", self.what)
        form.addRow(self.meaning)
        form.addRow("Direction", self.direction)
        self._direction = form.labelForField(self.direction)
        self._titles = [QLabel(), QLabel()]
        for title, picker in zip(self._titles, self.pickers, strict=True):
            form.addRow(title, picker.kind)
            form.addRow(picker)
        form.addRow(self.mixing)
        form.addRow("Start", self.start)
        form.addRow("Name", self.name)
        length = QHBoxLayout()
        length.addWidget(self.length, 1)
        length.addWidget(self.steps, 1)
        form.addRow("Length", length)
        form.addRow("Seed", self.seed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.details)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.what.currentIndexChanged.connect(lambda _: self._on_what())
        self.direction.currentIndexChanged.connect(lambda _: self._on_what())
        self.start.currentIndexChanged.connect(lambda _: self._on_recipe())
        self.length.currentIndexChanged.connect(lambda _: self._on_length())
        self.steps.valueChanged.connect(self._on_steps)
        self.name.textEdited.connect(self._on_name)
        for picker in self.pickers:
            picker.changed.connect(self._on_images)
        for part in (self.mixing, self.seed, self.details):
            part.changed.connect(lambda *_: self.changed.emit())

    # ------------------------------------------------------------ what it says

    @property
    def preset(self) -> str:
        """Which preset."""
        return str(self.what.currentData())

    def plan(self) -> Plan:
        """What is asked for.

        Raises
        ------
        InputError
            Something is missing or out of bounds.
        """
        assert self._recipe is not None
        entries = {**self._recipe.model_dump(), **self.details.applied_to(self._recipe)}
        entries["optimisation"]["steps"] = self.steps.value()
        entries |= {"name": self.name.text().strip(), "seed": self.seed.value()}
        recipe = checked(type(self._recipe), entries)
        images = {}
        for slot, picker in zip(slots(recipe), self.pickers, strict=False):
            try:
                images[slot.name] = picker.images()
            except InputError as error:
                raise InputError(f"{slot.title}: {error}") from error
        return plan_of(recipe, images, self.mixing.entries() if self._may_mix() else {})

    def offer_models(self, event: Any = None) -> None:
        """Offer what can be begun with now, and a name that is free."""
        before = self.start.currentData()
        self.start.blockSignals(True)
        self.start.clear()
        self.start.addItem(_SCRATCH, None)
        for title, name in starts(self._recipe) if self._recipe is not None else ():
            self.start.addItem(title, name)
        self.start.setCurrentIndex(max(0, self.start.findData(before)))
        self.start.blockSignals(False)
        if not self._named:
            self.name.setText(free_name(f"my-{self.preset}"))

    def close_down(self) -> None:
        """Listen no more."""
        for picker in self.pickers:
            picker.close_down()

    # ------------------------------------------------------------ what is shown

    def _first(self) -> AnyRecipe:
        """Recipe of the preset, its data not chosen yet."""
        size, contrast = SIZES[self.length.currentIndex()], str(self.direction.currentData())
        return first_recipe(self.preset, size, contrast)

    def _may_mix(self) -> bool:
        return isinstance(self._recipe, Recipe) and self.pickers[0].chosen != SURROGATES

    def _on_what(self) -> None:
        """Show what belongs to what is to be trained."""
        self._settling = True
        self._recipe = self._first()
        self.meaning.say(MEANINGS[self.preset])
        kinds = [LAYERS, FOLDER]
        fluorescent = isinstance(self._recipe, Recipe) and self._recipe.contrast == "fluorescence"
        kinds += [SURROGATES] if fluorescent else []
        kinds += [NONE] if self._recipe.task == "diffusion" else []
        for widget in (self._direction, self.direction):
            widget.setVisible(self._recipe.task == "translation")
        sets = zip_longest(zip(self._titles, self.pickers, strict=True), slots(self._recipe))
        for (title, picker), slot in sets:
            for widget in (title, picker.kind, picker):
                widget.setVisible(slot is not None)
            if slot is not None:
                title.setText(slot.title)
                picker.offer(kinds, classes_of_recipe(self._recipe), slot.contrast)
        self.mixing.offer(fluorescent)
        self.offer_models()
        self._settling = False
        self._on_recipe()

    def _on_recipe(self) -> None:
        """Show the figures of the preset, or of the model that is begun with."""
        recipe = self._first()
        if self.start.currentData():
            try:
                recipe = begin_with(recipe, self.start.currentData())
            except InputError as error:
                self.meaning.say(str(error))
        self._recipe = recipe
        self.steps.blockSignals(True)
        self.steps.setValue(recipe.optimisation.steps)
        self.steps.blockSignals(False)
        self.details.show_recipe(recipe)
        self._on_images()

    def _on_length(self) -> None:
        self.steps.setValue(self._first().optimisation.steps)

    def _on_steps(self, steps: int) -> None:
        """Validate as often as before, whatever the length."""
        if self._recipe is not None:
            part = self._recipe.validate_every / self._recipe.optimisation.steps
            self.details.set_value("validate_every", max(1, round(part * steps)))
        self.changed.emit()

    def _on_images(self) -> None:
        if self._settling:
            return
        picker = self.pickers[0]
        self.mixing.setVisible(self._may_mix())
        if self._recipe is not None and self._recipe.start is None:
            pairs = picker.pairs.pairs if picker.chosen == LAYERS else []
            self.details.set_value("pixel_size", common_pixel_size(pairs))
        self.changed.emit()

    def _on_name(self, text: str) -> None:
        self._named = bool(text.strip())
        self.changed.emit()
