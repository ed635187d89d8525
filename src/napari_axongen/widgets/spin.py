"""Boxes for numbers that stand in a form to be scrolled."""

from __future__ import annotations

import math

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QWidget

_SPIN_WIDTH = 54
_SPIN_STYLE = "QDoubleSpinBox { min-width: 44px; padding: 1px 4px; }"


class Spin(QDoubleSpinBox):
    """A narrow box for a number of any size, taken when Enter is pressed or it is left."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(6)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.setKeyboardTracking(False)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setStyleSheet(_SPIN_STYLE)
        self.setFixedWidth(_SPIN_WIDTH)
        self.installEventFilter(WHEEL)

    def textFromValue(self, value: float) -> str:
        """Four digits that say something, as many as there is room for."""
        before = math.floor(math.log10(abs(value))) + 1 if value else 1
        return f"{round(value, min(max(4 - before, 0), 4)):g}" if before < 6 else f"{value:.0f}"

    def shows(self, number: float) -> bool:
        """Whether this is the number in the box, but for digits that have no room in it."""
        return self.text() == self.textFromValue(number)


class FineNumber(QDoubleSpinBox):
    """A number of which it is not known beforehand how many decimals it needs."""

    def textFromValue(self, value: float) -> str:
        """No zeros behind the last digit that says something."""
        return f"{value:.6g}"


class OptionalNumber(FineNumber):
    """A number that may be unknown: its lowest step shows a word and means None."""

    def __init__(self, unknown: str = "unknown", decimals: int = 6) -> None:
        super().__init__()
        self.setDecimals(decimals)
        self.setRange(0.0, 1e6)
        self.setSpecialValueText(unknown)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def optional_value(self) -> float | None:
        """The number, or None when unknown."""
        return None if self.value() <= self.minimum() else float(self.value())

    def set_optional_value(self, value: float | None) -> None:
        """Show a number, or the word for none."""
        self.setValue(self.minimum() if value is None else value)


class _NoWheel(QObject):
    """Scroll the form, not what the pointer happens to pass over."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


WHEEL = _NoWheel()


def ignore_wheel(widget: QWidget) -> None:
    """Have a box let the wheel pass to the form around it until it is clicked."""
    if isinstance(widget, QComboBox | QDoubleSpinBox):
        widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(WHEEL)


def choice_box(help_: str) -> QComboBox:
    """A box of choices that does not ask for the width of the longest one."""
    box = QComboBox()
    box.setToolTip(help_)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(4)
    ignore_wheel(box)
    return box
