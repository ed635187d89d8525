"""Edit a number that may be a distribution: one slider, two, or a line."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QSlider,
    QToolButton,
    QWidget,
)
from superqt import QRangeSlider

from napari_axongen.core.surrogate.distributions import (
    Choice,
    LogNormal,
    LogUniform,
    Normal,
    Number,
    Uniform,
)

from .icons import kind_icon
from .scales import KINDS, POSITIONS, Scale, as_kind, kind_of
from .spin import WHEEL, Spin

_KIND_STYLE = """
QToolButton { border: none; padding: 1px; }
QToolButton::menu-indicator { image: none; }
"""


class NumberEditor(QWidget):
    """A number or a distribution within bounds.

    Signals
    -------
    changed()
        By hand; not by `set_value`.
    """

    changed = Signal()

    def __init__(self, scale: Scale, value: Number) -> None:
        super().__init__()
        self._scale, self._value = scale, value
        self._parts: list[QWidget] = []
        self.spins: list[Spin] = []
        self.slider: QSlider | QRangeSlider | None = None
        self.line: QLineEdit | None = None
        self.kind = QToolButton()
        self.kind.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.kind.setToolTip("Fixed, or drawn anew from a distribution.")
        self.kind.setStyleSheet(_KIND_STYLE)
        self.kind.pressed.connect(self._offer_kinds)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addWidget(self.kind)
        self._rebuild()

    def value(self) -> Number:
        """The number, to the last digit as it was given."""
        return self._value

    def set_value(self, value: Number) -> None:
        """Show another number."""
        same = kind_of(value) == kind_of(self._value)
        self._value = value
        if same:
            self._show()
        else:
            self._rebuild()

    def set_kind(self, kind: str) -> None:
        """Turn the number into another of `scales.KINDS`, as the menu does."""
        self._value = as_kind(self._value, kind, self._scale)
        self._rebuild()
        self.changed.emit()

    # ------------------------------------------------------------ what there is to see

    def _rebuild(self) -> None:
        for part in self._parts:
            self._layout.removeWidget(part)
            part.hide()
            part.deleteLater()
        self.spins, self.slider, self.line = [], None, None
        kind = kind_of(self._value)
        if kind == "fixed":
            self.slider = QSlider(Qt.Orientation.Horizontal)
            self.spins = [self._spin()]
            self._parts = [self.slider, *self.spins]
        elif kind in ("uniform", "log-uniform"):
            self.slider = QRangeSlider(Qt.Orientation.Horizontal)
            self.spins = [self._spin(), self._spin()]
            self._parts = [self.spins[0], self.slider, self.spins[1]]
        elif kind == "choice":
            self.line = QLineEdit()
            self.line.setToolTip("Numbers with commas between them; each as likely.")
            self.line.editingFinished.connect(self._on_line)
            self._parts = [self.line]
        else:
            between = QLabel("±" if kind == "normal" else "spread")
            between.setToolTip(
                "Standard deviation" + (" of the logarithm" if kind == "log-normal" else "")
            )
            self.spins = [self._spin(), self._spin(spread=True)]
            self._parts = [self.spins[0], between, self.spins[1]]
        if self.slider is not None:
            self.slider.setRange(0, POSITIONS)
            self.slider.setMinimumWidth(60)
            self.slider.valueChanged.connect(self._on_slider)
        for place, part in enumerate(self._parts):
            self._layout.insertWidget(place, part, 1 if part in (self.slider, self.line) else 0)
            part.installEventFilter(WHEEL)
        if kind in ("normal", "log-normal"):
            filler = QWidget()
            self._parts.append(filler)
            self._layout.insertWidget(3, filler, 1)
        self.kind.setIcon(kind_icon(kind))
        self.kind.setAccessibleName(KINDS[kind])
        self._show()

    def _spin(self, spread: bool = False) -> Spin:
        scale = self._scale
        spin = Spin()
        spin.setRange(1e-6, scale.high - scale.low) if spread else spin.setRange(
            scale.low, scale.high
        )
        if scale.integer and not spread:
            spin.setDecimals(0)
        spin.valueChanged.connect(self._on_spin)
        return spin

    def _offer_kinds(self) -> None:
        """The menus of all numbers would be most of the time that the dock takes to open."""
        if self.kind.menu() is not None:
            return
        menu = QMenu(self.kind)
        for kind, title in KINDS.items():
            icon = kind_icon(kind)
            menu.addAction(icon, title).triggered.connect(lambda *_, kind=kind: self.set_kind(kind))
        self.kind.setMenu(menu)

    def _show(self) -> None:
        """Let the parts say what the value is."""
        numbers = _numbers(self._value)
        for part in self._parts:
            part.blockSignals(True)
        for spin, number in zip(self.spins, numbers, strict=False):
            spin.setValue(number)
        if self.line is not None:
            self.line.setText(_written(numbers))
        self._move_slider(numbers)
        for part in self._parts:
            part.blockSignals(False)

    def _move_slider(self, numbers: tuple[float, ...]) -> None:
        if self.slider is not None:
            places = [self._scale.position(number) for number in numbers]
            self.slider.setValue(places[0] if len(places) == 1 else places)

    # ------------------------------------------------------------ what is done to it

    def _on_slider(self, position: Any) -> None:
        before = _numbers(self._value)
        places = position if isinstance(position, tuple) else (position,)
        # the handle that stays must not lose the digits that it was given
        numbers = tuple(
            old if self._scale.position(old) == place else self._scale.value(place)
            for old, place in zip(before, places, strict=True)
        )
        self._take(numbers)
        for spin, number in zip(self.spins, _numbers(self._value), strict=True):
            spin.blockSignals(True)
            spin.setValue(number)
            spin.blockSignals(False)

    def _on_spin(self) -> None:
        before = _numbers(self._value)
        numbers = tuple(
            old if spin.shows(old) else spin.value()
            for old, spin in zip(before, self.spins, strict=True)
        )
        if isinstance(self._value, Uniform | LogUniform) and numbers[0] > numbers[1]:
            moved = self.sender() is self.spins[1]
            numbers = (numbers[moved],) * 2  # the one that was moved takes the other along
        self._take(numbers)
        self._show()

    def _on_line(self) -> None:
        line = self.line
        assert line is not None
        if line.text() == _written(_numbers(self._value)):
            return
        try:
            numbers = tuple(float(word) for word in line.text().replace(",", " ").split())
        except ValueError:
            numbers = ()
        if numbers and all(map(math.isfinite, numbers)):
            self._take(tuple(map(self._scale.within, numbers)))
        self._show()

    def _take(self, numbers: tuple[float, ...]) -> None:
        if numbers == _numbers(self._value):
            return
        kind = kind_of(self._value)
        if kind == "log-uniform":
            least = self._scale.value(1) if self._scale.low <= 0 else self._scale.low
            numbers = (max(numbers[0], least), max(*numbers, least))
        made = {
            "fixed": lambda: numbers[0],
            "uniform": lambda: Uniform(uniform=numbers),
            "log-uniform": lambda: LogUniform(log_uniform=numbers),
            "normal": lambda: Normal(normal=numbers),
            "log-normal": lambda: LogNormal(log_normal=(max(numbers[0], 1e-6), numbers[1])),
            "choice": lambda: Choice(choice=numbers),
        }
        self._value = made[kind]()
        self.changed.emit()


def _written(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers)


def _numbers(value: Number) -> tuple[float, ...]:
    """All that a distribution has: its ends, its mean and spread, its choices."""
    if isinstance(value, int | float):
        return (float(value),)
    return tuple(next(iter(value.model_dump().values())))
