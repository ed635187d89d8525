"""What few people change of a training: network, steps of the optimiser, augmentation."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_axongen.core.errors import InputError
from napari_axongen.core.training.recipe import AnyRecipe, Recipe

from .fold import Fold
from .form import ParameterForm

_RUN = ("pixel_size", "axon_diameter", "validate_every", "patience", "keep", "checkpoint_seconds")
_UNSAID = {"pixel_size": "as the images are", "patience": "never ends early"}


class Details(QWidget):
    """Forms made from a recipe, folded away.

    Signals
    -------
    changed()
        Something was changed by hand.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.folds = {
            "run": Fold("Network and run"),
            "optimisation": Fold("Learning"),
            "augmentation": Fold("Augmentation"),
        }
        self.network = QLineEdit()
        self.network.setToolTip(
            "Name and arguments of the network, as in recipe files. Larger channels learn more "
            "and take longer."
        )
        self.network.textEdited.connect(lambda _: self.changed.emit())
        self.forms: dict[str, ParameterForm] = {}
        self._kind: type[BaseModel] | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        row = QFormLayout()
        row.addRow(QLabel("Network"), self.network)
        self.folds["run"].content().layout().addLayout(row)
        for fold in self.folds.values():
            layout.addWidget(fold)

    def show_recipe(self, recipe: AnyRecipe) -> None:
        """Show the values of another recipe."""
        if type(recipe) is not self._kind:
            self._build(recipe)
        for name, form in self.forms.items():
            part = recipe if name == "run" else getattr(recipe, name)
            form.set_values(part.model_dump())
        self.network.setText(_text(recipe.network))

    def applied_to(self, recipe: AnyRecipe) -> dict[str, Any]:
        """Entries of a recipe as they are shown.

        Raises
        ------
        InputError
            The network cannot be read.
        """
        parts = {name: form.values() for name, form in self.forms.items()}
        optimisation = {**recipe.optimisation.model_dump(), **parts["optimisation"]}
        return {
            **parts["run"],
            "network": self._network(),
            "optimisation": optimisation,
            "augmentation": parts["augmentation"],
        }

    def set_value(self, name: str, value: Any) -> None:
        """Show another value of the run; nothing happens where its recipe has no such field."""
        self.forms["run"].set_values({name: value})

    def _network(self) -> dict[str, Any]:
        try:
            network = yaml.safe_load(self.network.text())
        except yaml.YAMLError:
            network = None
        if not isinstance(network, dict) or "name" not in network:
            raise InputError(
                "The network cannot be read; write it as {name: unet, channels: [16, 32, 64]}."
            )
        return network

    def _build(self, recipe: AnyRecipe) -> None:
        """Make the forms anew: recipes of another kind have other fields."""
        self._kind = type(recipe)
        shown = set(_RUN) if isinstance(recipe, Recipe) else set(_RUN) - {"pixel_size"}
        made = {
            "run": ParameterForm(recipe, skip=set(type(recipe).model_fields) - shown),
            "optimisation": ParameterForm(recipe.optimisation, skip=("steps",)),
            "augmentation": ParameterForm(recipe.augmentation),
        }
        for name, form in made.items():
            before = self.forms.get(name)
            if before is not None:
                self.folds[name].content().layout().removeWidget(before)
                before.deleteLater()
            self.folds[name].addWidget(form)
            form.changed.connect(self.changed)
        self.forms = made
        for name, text in _UNSAID.items():
            editor: Any = made["run"].editors.get(name)
            if editor is not None:
                editor.setSpecialValueText(text)
        patience: Any = made["run"].editors["patience"]
        patience.setDecimals(0)
        patience.setSuffix(" validations")


def _text(network: dict[str, Any]) -> str:
    return yaml.safe_dump(network, default_flow_style=True, width=1000, sort_keys=False).strip()
