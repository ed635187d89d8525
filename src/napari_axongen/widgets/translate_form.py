"""What a person says of a translation before it is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_axongen.bridge.layers import pixel_size, spatial_shape, why_not
from napari_axongen.bridge.settings import preferred
from napari_axongen.bridge.translating import (
    CGAN,
    CONDITIONS,
    GENERATE,
    METHODS,
    heeded,
    samplers,
    unheeded,
)
from napari_axongen.core.models.card import Card
from napari_axongen.core.parameters import TranslateParameters

from .direction import DirectionPicker
from .fold import Fold
from .form import OptionalNumber, ParameterForm
from .mask_picker import MaskPicker
from .parts import Hint
from .picker import LayerPicker
from .seed import SeedRow

if TYPE_CHECKING:
    import napari

_SHOWN_ELSEWHERE = ("model", "method", "target", "condition", "seed", "pixel_size")
_IN_FRONT = ("steps", "strength", "samples")


class TranslateForm(QWidget):
    """Image, method, direction and all that the method asks for; what it does not is hidden.

    Signals
    -------
    changed()
        Another image layer is chosen or it is another now, or something that matters for how long
        it takes.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.picker = LayerPicker(viewer, lambda layer: isinstance(layer, ImageLayer), why_not)
        self.method = _choices(METHODS)
        self.method.setToolTip(TranslateParameters.model_fields["method"].description)
        self.method_meaning = Hint()
        self.direction = DirectionPicker()
        self._denoisers: dict[str, Card] = {}
        self.denoiser = QComboBox()
        self._offer_denoisers()
        self.mask = MaskPicker(viewer)
        self.condition = _choices(CONDITIONS)
        self.condition.setToolTip(TranslateParameters.model_fields["condition"].description)
        self.meaning = Hint()
        self.seed = SeedRow()
        self.pixel_size = OptionalNumber("unknown")
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setToolTip("Side of a pixel; where unknown, the scale is found.")
        self.fields = ParameterForm(preferred(TranslateParameters), skip=_SHOWN_ELSEWHERE)
        self._rows: dict[str, tuple[QWidget, ...]] = {}
        self._build()
        self.picker.changed.connect(self._on_layer)
        self.method.currentIndexChanged.connect(lambda _: self._on_method())
        self.denoiser.currentIndexChanged.connect(lambda _: self._on_method())
        self.condition.currentIndexChanged.connect(lambda _: self._on_condition())
        for signal in (
            self.direction.currentIndexChanged,
            self.mask.changed,
            self.pixel_size.valueChanged,
            self.fields.changed,
        ):
            signal.connect(lambda *_: self.changed.emit())
        self._on_layer()
        self._on_method()
        self._on_condition()

    def _build(self) -> None:
        front = _form()
        front.addRow("Image", self.picker)
        front.addRow("Method", self.method)
        front.addRow(self.method_meaning)
        front.addRow("Direction", self.direction)
        front.addRow("Labels", self.mask)
        front.addRow("Guided by", self.condition)
        front.addRow(self.meaning)
        for name in _IN_FRONT:
            self._rows[name] = self.fields.take(name)
            front.addRow(*self._rows[name])
        front.insertRow(front.rowCount() - 1, "Seed", self.seed)
        self._rows["condition"] = (front.labelForField(self.condition), self.condition)
        self._rows["seed"] = (front.labelForField(self.seed), self.seed)
        behind = _form()
        behind.addRow("Model", self.denoiser)
        behind.addRow("Pixel size", self.pixel_size)
        self._rows["denoiser"] = (behind.labelForField(self.denoiser), self.denoiser)
        for name in ("variety", "guidance", "sampler", "shared_noise"):
            self._rows[name] = (self.fields.label(name), self.fields.editors[name])
        self.advanced = Fold("Advanced")
        self.advanced.content().layout().addLayout(behind)
        self.advanced.addWidget(self.fields)
        self._direction_label = front.labelForField(self.direction)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(front)
        layout.addWidget(self.advanced)

    # ------------------------------------------------------------ what it says

    @property
    def chosen_method(self) -> str:
        """The method."""
        return str(self.method.currentData())

    @property
    def heeds(self) -> set[str]:
        """Parameters, of those that only some methods heed, that this one does."""
        return heeded(self.chosen_method, self._is_stack())

    def parameters(self) -> TranslateParameters:
        """What is asked for; what the method does not heed is as by default.

        Raises
        ------
        InputError
            A value is out of bounds.
        """
        direction, model = self.direction.choice, self.denoiser.currentText()
        said: dict[str, Any] = {
            "method": self.chosen_method,
            "model": model if self._may_choose_denoiser() else direction.model,
            "target": direction.target,
            "condition": self.condition.currentData(),
            "seed": self.seed.value(),
            "pixel_size": self.pixel_size.optional_value(),
        }
        unsaid = unheeded(self.chosen_method, self._is_stack())
        parameters: Any = self.fields.parameters(**said)
        return parameters.model_copy(update=unsaid)

    def offer_models(self, event: Any = None) -> None:
        """Offer what the models that there are now can do, and keep the choices."""
        self.direction.refresh()
        self._offer_denoisers()
        self._on_method()

    def close_down(self) -> None:
        """Listen no more."""
        self.picker.close_down()
        self.mask.close_down()

    # ------------------------------------------------------------ what is shown

    def _is_stack(self) -> bool:
        layer = self.picker.accepted
        return layer is not None and len(spatial_shape(layer)) > 2

    def _may_choose_denoiser(self) -> bool:
        return self.chosen_method != CGAN and len(self._denoisers) > 1

    def _on_layer(self) -> None:
        layer = self.picker.accepted
        self.mask.set_source(layer)
        self.direction.set_layer(layer, self._viewer.layers)
        if layer is not None:
            self.pixel_size.set_optional_value(pixel_size(layer).um)
        self._show_rows()
        self.changed.emit()

    def _on_method(self) -> None:
        method = self.chosen_method
        self.method_meaning.say(METHODS[method][1])
        self.direction.set_method(
            method, self.denoiser.currentText() if self._may_choose_denoiser() else None
        )
        self._direction_label.setText("Make" if method == GENERATE else "Direction")
        self.mask.set_none("None" if method == GENERATE else "Found by the segmenter")
        self._offer_samplers()
        self._show_rows()
        self.changed.emit()

    def _on_condition(self) -> None:
        self.meaning.say(CONDITIONS[self.condition.currentData()][1])
        self._show_rows()
        self.changed.emit()

    def _offer_denoisers(self) -> None:
        before = self.denoiser.currentText()
        self._denoisers = {card.name: card for card in self.direction.denoisers}
        self.denoiser.blockSignals(True)
        self.denoiser.clear()
        self.denoiser.addItems(list(self._denoisers))
        self.denoiser.setCurrentIndex(max(0, self.denoiser.findText(before)))
        self.denoiser.blockSignals(False)

    def _offer_samplers(self) -> None:
        """Those that suit the denoiser."""
        box = self.fields.editors["sampler"]
        card = self._denoisers.get(self.denoiser.currentText())
        if card is None or not isinstance(box, QComboBox):
            return
        before = box.currentData()
        box.blockSignals(True)
        box.clear()
        for name in samplers(card):
            box.addItem(name, name)
        box.setCurrentIndex(max(0, box.findData(before)))
        box.blockSignals(False)

    def _show_rows(self) -> None:
        shown = self.heeds | ({"denoiser"} if self._may_choose_denoiser() else set())
        for name, row in self._rows.items():
            for widget in row:
                widget.setVisible(name in shown)
        self.meaning.setVisible("condition" in shown)


def _form() -> QFormLayout:
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def _choices(texts: Any) -> QComboBox:
    """A box of names with what a person calls them."""
    box = QComboBox()
    for name, (title, meaning) in texts.items():
        box.addItem(title, name)
        box.setItemData(box.count() - 1, f"{name}: {meaning}", Qt.ItemDataRole.ToolTipRole)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    return box
