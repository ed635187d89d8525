"""Two segmenters side by side on an open image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_axongen.bridge.comparing import Comparison, comparable, compare_steps
from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.layers import (
    CURTAIN,
    RECIPE,
    image_of,
    level_0,
    pixel_size,
    placement,
    recipe_of,
    spatial_shape,
    why_not,
)
from napari_axongen.bridge.open_pairs import OpenPair, label_choices
from napari_axongen.bridge.settings import preferred
from napari_axongen.core.parameters import SegmentParameters

from .compare import GAP, moved
from .outputs import MASK_COLOURS
from .parts import Hint, RunRow
from .picker import LayerPicker
from .spin import choice_box

if TYPE_CHECKING:
    import napari

    from napari_axongen.core.models.card import Card

_BOUTON = "#ffd23c"
_NO_LABELS = "None"


class ComparePanel(QWidget):
    """Choose two models and an image; see both results, and how far they agree."""

    def __init__(self, viewer: napari.viewer.Viewer, job: Job) -> None:
        super().__init__()
        self._viewer, self._job = viewer, job
        self._source: Any = None
        self.models = (choice_box("A segmenter."), choice_box("Another one."))
        self.picker = LayerPicker(viewer, lambda layer: isinstance(layer, ImageLayer), _why_not)
        self.labels = choice_box("Labels that say what is right, if there are any.")
        self.run = RunRow("Compare", job, primary=False)
        self.hint = Hint()
        self.table = QLabel()
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.table.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("First", self.models[0])
        form.addRow("Second", self.models[1])
        form.addRow("Image", self.picker)
        form.addRow("Labels", self.labels)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        for widget in (self.run, self.hint, self.table):
            layout.addWidget(widget)
        self.table.hide()
        for box in self.models:
            box.currentIndexChanged.connect(lambda _: self._show_state())
        self.picker.changed.connect(self._show_state)
        self.run.clicked.connect(self.start)
        job.running_changed.connect(lambda _: self._show_state())
        job.failed.connect(self.hint.say)
        job.stopped.connect(lambda: self.hint.say("Cancelled."))
        job.finished.connect(self._show)
        self.offer_models()

    def offer_models(self, event: Any = None) -> None:
        """Offer the segmenters that there are now, and keep the choices."""
        self._cards = {card.name: card for card in comparable()}
        for place, box in enumerate(self.models):
            before = box.currentData()
            box.blockSignals(True)
            box.clear()
            for name, card in self._cards.items():
                box.addItem(f"{name} ({card.contrast})", name)
            found = box.findData(before)
            box.setCurrentIndex(found if found >= 0 else min(place, box.count() - 1))
            box.blockSignals(False)
        self._show_state()

    def choose(self, name: str) -> None:
        """Compare a model with one that finds the same."""
        card = self._cards.get(name)
        if card is None:
            return
        same = [c for c in self._cards.values() if c.classes == card.classes and c != card]
        same.sort(key=lambda other: other.contrast != card.contrast)
        self.models[0].setCurrentIndex(self.models[0].findData(name))
        if same:
            self.models[1].setCurrentIndex(self.models[1].findData(same[0].name))

    def start(self) -> None:
        """Compare, as the button does."""
        layer, models = self.picker.accepted, self._chosen()
        if layer is None or models is None:
            return
        size = pixel_size(layer).um
        image = image_of(layer, size)
        parameters = preferred(SegmentParameters).model_copy(update={"pixel_size": size})
        mask = self.labels.currentData()
        truth = None if mask is None else OpenPair(layer, mask)
        self._source = layer
        self.hint.say("")
        self.table.hide()
        self._job.start(lambda: compare_steps(image, models, parameters, truth))

    def close_down(self) -> None:
        """Listen no more."""
        self.picker.close_down()

    def _chosen(self) -> tuple[Card, Card] | None:
        first, second = (self._cards.get(box.currentData()) for box in self.models)
        return None if first is None or second is None else (first, second)

    def _show_state(self) -> None:
        running, models, layer = self._job.running, self._chosen(), self.picker.accepted
        self.run.button.setEnabled(running or (models is not None and layer is not None))
        for widget in (*self.models, self.picker, self.labels):
            widget.setEnabled(not running)
        if models is None or layer is None or running:
            return
        before = self.labels.currentText()
        self.labels.clear()
        self.labels.addItem(_NO_LABELS, None)
        for mask in label_choices(layer, self._viewer.layers, models[0].classes):
            self.labels.addItem(mask.title, mask)
        self.labels.setCurrentIndex(max(0, self.labels.findText(before)))

    # ------------------------------------------------------------ what came out

    def _show(self, result: Comparison) -> None:
        source = self._source
        self.table.setText(_table(result))
        self.table.show()
        if source is None or source not in self._viewer.layers:
            return
        for layer in list(self._viewer.layers):
            if (recipe_of(layer) or {}).get("output") == "models":
                self._viewer.layers.remove(layer)
        aside = {**placement(source)}
        aside["translate"] = moved(source, spatial_shape(source)[-1] * (1 + GAP))
        metadata = {RECIPE: {"verb": CURTAIN, "output": "models", "source": source.name}}
        self._viewer.add_image(
            level_0(source),
            name=f"{source.name} (beside)",
            rgb=source.rgb,
            colormap=source.colormap,
            contrast_limits=source.contrast_limits,
            metadata=metadata,
            **aside,
        )
        colours: dict[Any, Any] = {None: "transparent", 0: "transparent"}
        colours |= {n: MASK_COLOURS.get(name, _BOUTON) for n, name in enumerate(result.names, 1)}
        for model, found, place in zip(
            result.models, result.found, (placement(source), aside), strict=True
        ):
            self._viewer.add_labels(
                found,
                name=f"{source.name} by {model}",
                colormap=DirectLabelColormap(color_dict=dict(colours)),
                opacity=0.45,
                metadata=metadata,
                **place,
            )
        self._viewer.reset_view()


def _why_not(layer: Any) -> str | None:
    if len(spatial_shape(layer)) > 2:
        return f"'{layer.name}' is a stack; choose an image of one plane."
    return why_not(layer)


def _table(result: Comparison) -> str:
    """Dice coefficients, a row a class."""
    labelled = not all(math.isnan(one.first) for one in result.agreements)
    heads = ["Dice", "first and second"]
    heads += ["first and labels", "second and labels"] if labelled else []
    rows = ["".join(f"<th align='left'>{head}&nbsp;&nbsp;</th>" for head in heads)]
    for one in result.agreements:
        values = [one.between, *((one.first, one.second) if labelled else ())]
        cells = "".join(f"<td>{value:.3f}</td>" for value in values)
        rows.append(f"<td>{one.name}&nbsp;&nbsp;</td>{cells}")
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
