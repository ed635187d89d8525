"""A form made from a parameter model: no parameter is described twice."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Collection
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from napari_axongen.core.checking import checked

_LARGEST_INT = 2**31 - 1


class OptionalNumber(QDoubleSpinBox):
    """A number that may be unknown: its lowest step shows a word and means None."""

    def __init__(self, unknown: str = "unknown", decimals: int = 6) -> None:
        super().__init__()
        self.setDecimals(decimals)
        self.setRange(0.0, 1e6)
        self.setSpecialValueText(unknown)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        """No zeros behind the last digit that says something."""
        return f"{value:.6g}"

    def optional_value(self) -> float | None:
        """The number, or None when unknown."""
        return None if self.value() <= self.minimum() else float(self.value())

    def set_optional_value(self, value: float | None) -> None:
        """Show a number, or the word for none."""
        self.setValue(self.minimum() if value is None else value)


class ParameterForm(QWidget):
    """Edit the fields of a pydantic model, with its titles, descriptions and bounds."""

    changed = Signal()

    def __init__(self, parameters: BaseModel, skip: Collection[str] = ()) -> None:
        super().__init__()
        self._parameters = parameters
        self.editors: dict[str, QWidget] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, field in type(parameters).model_fields.items():
            if name in skip:
                continue
            editor = _editor(field, getattr(parameters, name))
            editor.setToolTip(field.description or "")
            self.editors[name] = editor
            layout.addRow(field.title or name.replace("_", " ").capitalize(), editor)
            label = layout.labelForField(editor)
            if label is not None:
                label.setToolTip(field.description or "")
            _changed_signal(editor).connect(self._on_change)

    def values(self) -> dict[str, Any]:
        """What the form says, by field name."""
        return {name: _value(editor) for name, editor in self.editors.items()}

    def parameters(self, **others: Any) -> BaseModel:
        """A model of the form's values and of the fields that it does not show.

        Raises
        ------
        InputError
            A value is out of bounds.
        """
        kept = self._parameters.model_dump()
        return checked(type(self._parameters), {**kept, **self.values(), **others})

    def _on_change(self, *_: Any) -> None:
        self.changed.emit()


def _editor(field: FieldInfo, value: Any) -> QWidget:
    kind, optional = _unwrap(field.annotation)
    low, high = _bounds(field)
    options = get_args(kind) if get_origin(kind) is Literal else _alternatives(field)
    if options:
        choices = QComboBox()
        for choice in options:
            choices.addItem(str(choice), choice)
        choices.setCurrentIndex(max(0, choices.findData(value)))
        return choices
    if kind is bool:
        box = QCheckBox()
        box.setChecked(bool(value))
        return box
    if kind is int and not optional:
        whole = QSpinBox()
        whole.setRange(
            -_LARGEST_INT if low is None else math.ceil(low),
            _LARGEST_INT if high is None else min(math.floor(high), _LARGEST_INT),
        )
        whole.setValue(int(value))
        whole.setSuffix(_unit(field))
        return whole
    if kind in (int, float):
        number = OptionalNumber("automatic") if optional else QDoubleSpinBox()
        number.setDecimals(4 if optional else 2)
        number.setSuffix(_unit(field))
        number.setRange(
            0.0 if optional else (-1e9 if low is None else low), 1e9 if high is None else high
        )
        number.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        number.setValue(number.minimum() if value is None else float(value))
        return number
    line = QLineEdit("" if value is None else str(value))
    return line


def _value(editor: QWidget) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentData()
    if isinstance(editor, QCheckBox):
        return editor.isChecked()
    if isinstance(editor, OptionalNumber):
        return editor.optional_value()
    if isinstance(editor, QSpinBox | QDoubleSpinBox):
        return editor.value()
    if isinstance(editor, QLineEdit):
        return editor.text() or None
    raise TypeError(f"No value in a {type(editor).__name__}")


def _changed_signal(editor: QWidget) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentIndexChanged
    if isinstance(editor, QCheckBox):
        return editor.toggled
    if isinstance(editor, QLineEdit):
        return editor.textChanged
    return editor.valueChanged  # type: ignore[attr-defined]


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """Type of a field without ``| None``, and whether it had that."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return (kinds[0] if len(kinds) == 1 else str), len(kinds) < len(get_args(annotation))
    return annotation, False


def _alternatives(field: FieldInfo) -> list[str]:
    """Choices of a text field whose pattern is a plain list, ``^(auto|cpu)$``."""
    for limit in field.metadata:
        found = re.fullmatch(r"\^\(([\w|]+)\)\$", getattr(limit, "pattern", None) or "")
        if found:
            return found[1].split("|")
    return []


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return f" {str(unit).replace('um', 'µm')}" if unit else ""


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    low: float | None = None
    high: float | None = None
    for limit in field.metadata:
        low = getattr(limit, "ge", getattr(limit, "gt", low))
        high = getattr(limit, "le", getattr(limit, "lt", high))
    return low, high
