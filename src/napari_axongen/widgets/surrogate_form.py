"""The parameters of the surrogate images: groups to open, a line to find one, a way back."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QScrollArea, QToolButton, QVBoxLayout, QWidget

from napari_axongen.core.checking import checked
from napari_axongen.core.surrogate.distributions import Group
from napari_axongen.core.surrogate.parameters import SurrogateParameters

from .fold import Fold
from .form import ParameterForm
from .parts import Hint

_LABEL_WIDTH = 134
_OPEN = "axons"
_IMAGE = ""  # the fields that are in no group


class SurrogateForm(QWidget):
    """Edit surrogate parameters.

    Signals
    -------
    changed()
        A value was changed by hand, or set back.
    """

    changed = Signal()

    def __init__(self, parameters: SurrogateParameters) -> None:
        super().__init__()
        self._reference = parameters
        groups = [name for name, value in parameters if isinstance(value, Group)]
        self.sections = {_IMAGE: Section("Image", parameters, groups)}
        for name in groups:
            title = type(parameters).model_fields[name].title or name
            self.sections[name] = Section(title, getattr(parameters, name))
        self.find = QLineEdit()
        self.find.setPlaceholderText("Find a parameter ...")
        self.find.setClearButtonEnabled(True)
        self.find.textChanged.connect(self._on_find)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(0)
        for name, section in self.sections.items():
            column.addWidget(section)
            section.form.changed.connect(self._on_change)
            section.reset.clicked.connect(lambda *_, name=name: self.reset(name))
        column.addStretch(1)
        area = QScrollArea()
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumHeight(160)
        bar = area.verticalScrollBar().sizeHint().width()
        area.setMinimumWidth(inside.minimumSizeHint().width() + bar)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.find)
        layout.addWidget(area, 1)
        self.sections[_OPEN].set_open(True)

    def editor(self, path: str) -> Any:
        """Editor of a parameter, such as ``axons.count``."""
        group, _, name = path.rpartition(".")
        return self.sections[group].form.editors[name]

    def parameters(self) -> SurrogateParameters:
        """What the form says.

        Raises
        ------
        InputError
            A value is out of bounds.
        """
        values: dict[str, Any] = {}
        for name, section in self.sections.items():
            said = section.form.values()
            values.update(said if name == _IMAGE else {name: said})
        return checked(SurrogateParameters, values)

    def set_parameters(self, parameters: SurrogateParameters, reference: bool = False) -> None:
        """Show other parameters, without a signal.

        Parameters
        ----------
        reference
            Whether it is these that a reset comes back to from now on.
        """
        self._reference = parameters if reference else self._reference
        for name, section in self.sections.items():
            section.form.set_values(dict(self._group(parameters, name)))
        self._mark()

    def reset(self, group: str | None = None) -> None:
        """Set a group back to the preset, or all of them."""
        for name, section in self.sections.items():
            if group in (None, name):
                section.form.set_values(dict(self._group(self._reference, name)))
        self._on_change()

    @property
    def differs(self) -> bool:
        """Whether anything is not as in the preset."""
        return any(section.differs for section in self.sections.values())

    def _group(self, parameters: SurrogateParameters, name: str) -> BaseModel:
        return parameters if name == _IMAGE else getattr(parameters, name)

    def _on_change(self) -> None:
        self._mark()
        self.changed.emit()

    def _mark(self) -> None:
        for name, section in self.sections.items():
            section.compare(dict(self._group(self._reference, name)))

    def _on_find(self, text: str) -> None:
        words = text.lower().split()
        for section in self.sections.values():
            section.filter(words)


class Section(Fold):
    """A group of parameters under its title."""

    def __init__(self, title: str, parameters: BaseModel, skip: Any = ()) -> None:
        super().__init__(title)
        self.differs = False
        self._was_open: bool | None = None  # before the search; None: there is none
        self.form = ParameterForm(parameters, skip)
        for name in self.form.editors:
            label = self.form.label(name)
            label.setFixedWidth(_LABEL_WIDTH)
            label.setWordWrap(True)
        self.reset = QToolButton()
        self.reset.setText("Reset")
        self.reset.setToolTip(f"Set '{title}' back to the preset.")
        self.about = Hint()
        self.about.say((type(parameters).__doc__ or "").strip() if not skip else "")
        top = QWidget()
        row = QHBoxLayout(top)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.about, 1)
        row.addWidget(self.reset)
        self.addWidget(top)
        self.addWidget(self.form)
        self.compare(dict(parameters))

    def compare(self, reference: dict[str, Any]) -> None:
        """Make bold what is not as in the preset."""
        changed = {
            name for name, value in self.form.values().items() if value != reference.get(name)
        }
        for name in self.form.editors:
            label = self.form.label(name)
            font = label.font()
            if font.bold() != (name in changed):
                font.setBold(name in changed)
                label.setFont(font)
        self.differs = bool(changed)
        self.reset.setVisible(self.differs)
        self.mark = "  •" if changed else ""
        self.show_title()

    def filter(self, words: list[str]) -> None:
        """Show the parameters whose title, name or help has all of the words."""
        found = False
        for name, editor in self.form.editors.items():
            label = self.form.label(name)
            text = f"{self.title} {label.text()} {name} {editor.toolTip()}".lower()
            fits = all(word in text for word in words)
            found = found or fits
            editor.setVisible(fits)
            label.setVisible(fits)
        self.setVisible(found)
        self.about.setVisible(not words and bool(self.about.text()))
        if words:
            self._was_open = self.isExpanded() if self._was_open is None else self._was_open
            self.set_open(True)
        elif self._was_open is not None:
            self.set_open(self._was_open)
            self._was_open = None
