"""A finished training: the card of its model, and what to do with it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_axongen.bridge.curves import readable
from napari_axongen.bridge.shelf import models_changed
from napari_axongen.bridge.training import Trained
from napari_axongen.bridge.translating import CGAN
from napari_axongen.core.errors import InputError
from napari_axongen.core.models.store import SUFFIX, export_model, import_model

from .parts import open_dock

if TYPE_CHECKING:
    import napari

    from napari_axongen.core.models.card import Card

_FILTER = f"Models (*{SUFFIX})"


class AfterTraining(QWidget):
    """Card, use and export of a model."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.trained: Trained | None = None
        self.card = QLabel()
        self.card.setTextFormat(Qt.TextFormat.RichText)
        self.card.setWordWrap(True)
        self.card.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.use = QPushButton()
        self.export = QPushButton("Export ...")
        self.export.setToolTip("Copy model and card as one file that can be handed on.")
        row = QHBoxLayout()
        row.addWidget(self.use, 1)
        row.addWidget(self.export)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.card)
        layout.addLayout(row)
        self.use.clicked.connect(lambda: self.open_with())
        self.export.clicked.connect(self._ask_export)
        self.hide()

    def show_trained(self, trained: Trained | None) -> None:
        """Show a model; None: there is none yet."""
        self.trained = trained
        self.setVisible(trained is not None)
        if trained is not None:
            self.card.setText(_table(trained.card))
            segments = trained.card.task == "segmentation"
            self.use.setText("Segment with it" if segments else "Translate with it")

    def open_with(self) -> Any:
        """Open the dock that uses such a model, with this one chosen."""
        assert self.trained is not None
        card = self.trained.card
        if card.task == "segmentation":
            from .segment import SegmentDock

            segmenting = open_dock(self._viewer, SegmentDock, "Segment axons")
            segmenting.choose_model(card.name)
            return segmenting
        from .translate import TranslateDock

        translating = open_dock(self._viewer, TranslateDock, "Translate contrast")
        form, method = translating.form, "ddpm" if card.task == "diffusion" else CGAN
        form.method.setCurrentIndex(form.method.findData(method))
        form.denoiser.setCurrentText(card.name)
        form.direction.setCurrentIndex(max(0, form.direction.findData(card.name)))
        return translating

    def export_to(self, path: str) -> None:
        """Copy the model to a file."""
        assert self.trained is not None
        try:
            written = export_model(self.trained.card.name, path, replace=True)
        except InputError as error:
            show_error(str(error))
            return
        show_info(f"Written: {written}")

    def _ask_export(self) -> None:
        assert self.trained is not None
        name = f"{self.trained.card.name}{SUFFIX}"
        path, _ = QFileDialog.getSaveFileName(self, "Export the model", name, _FILTER)
        if path:
            self.export_to(path)


class ImportModel(QPushButton):
    """Take in a model that somebody else has trained."""

    def __init__(self) -> None:
        super().__init__("Import a model ...")
        self.setToolTip("Add a model from a file that 'Export' or 'axongen train' has written.")
        self.clicked.connect(self._ask)

    def import_from(self, path: str) -> None:
        """Check a file, and add it to the models of all docks."""
        try:
            card = import_model(path)
        except InputError as error:
            show_error(str(error))
            return
        models_changed()
        show_info(f"Imported as '{card.name}'.")

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import a model", "", _FILTER)
        if path:
            self.import_from(path)


def _table(card: Card) -> str:
    """What a card says, for a person."""
    recipe = card.training.get("recipe", {})
    rows = [("Model", f"<b>{html.escape(card.name)}</b>"), ("Finds", ", ".join(card.classes[1:]))]
    if card.task != "segmentation":
        rows[1] = ("Makes", card.contrast or ", ".join(card.looks))
    rows += [
        (where.capitalize(), ", ".join(f"{readable(n)} <b>{v:.3g}</b>" for n, v in values.items()))
        for where, values in card.metrics.items()
    ]
    rows += [
        (readable(name).capitalize(), html.escape(_said(value)))
        for name, value in card.training.items()
        if name != "recipe" and value not in ("", [], None)
    ]
    steps, seed = recipe.get("optimisation", {}).get("steps"), recipe.get("seed")
    if steps:
        rows.append(("Steps", f"{steps:,} of {recipe['optimisation']['batch']} crops, seed {seed}"))
    if card.pixel_size:
        rows.append(("Pixel size", f"{card.pixel_size:g} µm"))
    cells = (
        f"<tr><td style='padding-right:8px'>{name}</td><td>{value}</td></tr>"
        for name, value in rows
    )
    return f"<table>{''.join(cells)}</table>"


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_said(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
