"""A form made from a parameter model: no parameter is described twice."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Collection, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from napari_axongen.core.checking import checked

from .number import NumberEditor
from .scales import Scale, middle
from .spin import FineNumber, OptionalNumber, ignore_wheel

_LARGEST_INT = 2**31 - 1


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
            self.editors[name] = editor
            layout.addRow(_label(name, field), editor)
            for widget in (editor, layout.labelForField(editor)):
                widget.setToolTip(_help(field))
            ignore_wheel(editor)
            _changed_signal(editor).connect(self._on_change)

    def take(self, name: str) -> tuple[QWidget, QWidget]:
        """Label and editor of a field, to stand in another form; they are this one's all the same.

        The label is no longer found by `label`.
        """
        row = self.layout().takeRow(self.editors[name])
        return row.labelItem.widget(), row.fieldItem.widget()

    def label(self, name: str) -> QLabel:
        """What stands before a field."""
        return self.layout().labelForField(self.editors[name])  # type: ignore[no-any-return]

    def values(self) -> dict[str, Any]:
        """What the form says, by field name."""
        return {name: _value(editor) for name, editor in self.editors.items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show other values, without a signal."""
        for name, editor in self.editors.items():
            if name in values:
                editor.blockSignals(True)
                _set_value(editor, values[name])
                editor.blockSignals(False)

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
    extra = _extra(field)
    if "low" in extra:
        usual = middle(field.default)
        return NumberEditor(Scale(extra["low"], extra["high"], usual, extra["integer"]), value)
    options = get_args(kind) if get_origin(kind) is Literal else _alternatives(field)
    if options:
        choices = QComboBox()
        for choice in options:
            choices.addItem(str(choice), choice)
        _set_value(choices, value)
        return choices
    if kind is bool:
        box = QCheckBox()
        _set_value(box, value)
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
        if optional:
            number = OptionalNumber("automatic", decimals=4)
        else:
            fine = (low is not None and 0 < low < 0.01) or round(value, 2) != value
            number = FineNumber() if fine else QDoubleSpinBox()
            number.setDecimals(6 if fine else 2)
        number.setSuffix(_unit(field))
        number.setRange(
            0.0 if optional else (-1e9 if low is None else low), 1e9 if high is None else high
        )
        number.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        _set_value(number, value)
        return number
    line = QLineEdit()
    _set_value(line, value)
    return line


def _set_value(editor: QWidget, value: Any) -> None:
    if isinstance(editor, QComboBox):
        editor.setCurrentIndex(max(0, editor.findData(value)))
    elif isinstance(editor, QCheckBox):
        editor.setChecked(bool(value))
    elif isinstance(editor, OptionalNumber):
        editor.set_optional_value(value)
    elif isinstance(editor, QLineEdit):
        editor.setText("" if value is None else str(value))
    elif isinstance(editor, NumberEditor):
        editor.set_value(value)
    else:
        editor.setValue(value)  # type: ignore[attr-defined]


def _value(editor: QWidget) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentData()
    if isinstance(editor, QCheckBox):
        return editor.isChecked()
    if isinstance(editor, OptionalNumber):
        return editor.optional_value()
    if isinstance(editor, QSpinBox | QDoubleSpinBox | NumberEditor):
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
    if isinstance(editor, NumberEditor):
        return editor.changed
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


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _unit(field: FieldInfo) -> str:
    unit = _extra(field).get("unit")
    return f" {str(unit).replace('um', 'µm').replace('deg', '°')}" if unit else ""


def _label(name: str, field: FieldInfo) -> str:
    """Title, and the unit of a number that has no place for it in its boxes."""
    title = field.title or name.replace("_", " ").capitalize()
    unit = _unit(field).strip() if "low" in _extra(field) else ""
    return f"{title} ({unit})" if unit else title


def _help(field: FieldInfo) -> str:
    """What a field is; of a number also what it may be, and how often it is drawn."""
    extra = _extra(field)
    if "low" not in extra:
        return field.description or ""
    return (
        f"{field.description}\n{extra['low']:g} to {extra['high']:g}{_unit(field)}; "
        f"a distribution is drawn from for each {extra['per']}."
    )


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    low: float | None = None
    high: float | None = None
    for limit in field.metadata:
        low = getattr(limit, "ge", getattr(limit, "gt", low))
        high = getattr(limit, "le", getattr(limit, "lt", high))
    return low, high
