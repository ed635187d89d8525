"""A number that may be a distribution: scales, kinds, and the editor."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_axongen.core.surrogate.distributions import (
    Choice,
    Group,
    LogNormal,
    LogUniform,
    Normal,
    Uniform,
    bounds,
)
from napari_axongen.core.surrogate.parameters import AcquisitionParameters, SurrogateParameters
from napari_axongen.widgets.number import NumberEditor
from napari_axongen.widgets.scales import KINDS, POSITIONS, Scale, as_kind, kind_of, middle

NUMBERS = [
    (type(group), name)
    for _, group in SurrogateParameters()
    if isinstance(group, Group)
    for name, field in type(group).model_fields.items()
    if "low" in (field.json_schema_extra or {})
]


def scale_of(model, name):
    low, high, integer = bounds(model, name)
    return Scale(low, high, middle(model.model_fields[name].default), integer)


@pytest.mark.parametrize(("model", "name"), NUMBERS)
def test_every_parameter_has_a_useful_slider(model, name):
    scale, usual = scale_of(model, name), middle(model.model_fields[name].default)
    values = [scale.value(position) for position in range(POSITIONS + 1)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (scale.low, scale.high)
    if scale.integer:
        assert all(value == int(value) for value in values)
        assert set(np.arange(scale.low, min(scale.low + 20, scale.high) + 1)) <= set(values)
    # the usual value is neither jammed into a corner nor out of reach
    if scale.low < usual < scale.high:
        assert 0.09 * POSITIONS < scale.position(usual) < 0.91 * POSITIONS
        near = scale.value(scale.position(usual))
        assert near == pytest.approx(usual, abs=0.02 * max(usual - scale.low, 0.5))


def test_positions_are_where_their_values_are():
    scale = Scale(0, 65535, 350)
    for position in range(0, POSITIONS + 1, 50):
        assert abs(scale.position(scale.value(position)) - position) <= 1


@pytest.mark.parametrize(("model", "name"), NUMBERS)
def test_every_parameter_can_be_of_every_kind(model, name):
    scale, value = scale_of(model, name), model.model_fields[name].default
    for first in KINDS:
        for second in KINDS:
            made = as_kind(as_kind(value, first, scale), second, scale)
            assert kind_of(made) == second
            model(**{name: made})  # within its bounds


def test_kinds_keep_what_the_number_says():
    scale = Scale(0.5, 40, 2.25)
    assert as_kind(2.0, "uniform", scale) == Uniform(uniform=(1.5, 2.5))
    assert as_kind(Uniform(uniform=(1, 3)), "fixed", scale) == 2
    assert as_kind(Uniform(uniform=(1, 3)), "normal", scale) == Normal(normal=(2, 0.5))
    assert as_kind(Normal(normal=(2, 0.5)), "uniform", scale) == Uniform(uniform=(1, 3))
    assert as_kind(Choice(choice=(4, 2)), "log-uniform", scale) == LogUniform(log_uniform=(2, 4))
    same = LogNormal(log_normal=(2, 0.3))
    assert as_kind(same, "log-normal", scale) is same


@pytest.fixture
def edit(qtbot):
    def make(value, low=0.0, high=65535.0, usual=350.0, integer=False):
        editor = NumberEditor(Scale(low, high, usual, integer), value)
        qtbot.addWidget(editor)
        editor.heard = []
        editor.changed.connect(lambda: editor.heard.append(editor.value()))
        return editor

    return make


def test_a_slider_and_a_box_say_the_same(edit):
    editor = edit(350.0)
    (spin,) = editor.spins
    assert spin.value() == 350
    editor.slider.setValue(500)
    assert editor.value() == spin.value() == editor._scale.value(500)
    spin.setValue(60_000)  # beyond what is usual, but allowed
    assert editor.value() == 60_000
    assert editor.slider.value() == editor._scale.position(60_000)
    assert editor.heard == [editor._scale.value(500), 60_000]


def test_what_is_not_touched_keeps_every_digit(edit):
    third = 1 / 3
    editor = edit(Uniform(uniform=(third, 100.0)))
    assert editor.value().uniform[0] == third
    low, high = editor.slider.value()
    editor.slider.setValue((low, high + 40))
    assert editor.value().uniform[0] == third
    assert editor.value().uniform[1] > 100
    choice = edit(Choice(choice=(1 / 2, third)), high=1.0, usual=0.4)
    choice.line.editingFinished.emit()
    assert choice.value().choice == (1 / 2, third)
    assert not choice.heard


def test_a_box_has_room_for_four_digits_and_loses_none(edit, qtbot):
    for value, text in (
        (0.0599931, "0.06"),
        (0.12345, "0.1235"),
        (0.995891, "0.9959"),
        (39.93064, "39.93"),
        (12345.678, "12346"),
        (65535.0, "65535"),
        (0.0, "0"),
        (-0.5, "-0.5"),
    ):
        editor = edit(value, low=-1000.0)
        (spin,) = editor.spins
        assert spin.text() == text
        spin.interpretText()  # as when it is left
        spin.editingFinished.emit()
        assert editor.value() == value
        assert not editor.heard


def test_the_ends_of_a_range_do_not_cross(edit):
    editor = edit(Uniform(uniform=(10, 20)))
    editor.spins[0].setValue(30)
    assert editor.value() == Uniform(uniform=(30, 30))
    editor.spins[1].setValue(5)
    assert editor.value() == Uniform(uniform=(5, 5))


def test_a_log_range_stays_above_nought(edit):
    editor = edit(LogUniform(log_uniform=(10, 20)))
    editor.slider.setValue((0, editor.slider.value()[1]))
    assert 0 < editor.value().log_uniform[0] < 10


def test_whole_numbers_stay_whole(edit):
    editor = edit(7.0, 0, 500, 13, integer=True)
    editor.slider.setValue(333)
    assert editor.value() == int(editor.value())
    assert editor.spins[0].decimals() == 0
    editor.set_kind("uniform")
    assert all(end == int(end) for end in editor.value().uniform)


@pytest.mark.parametrize(
    ("typed", "choice"),
    [("1, 2.5 4", (1, 2.5, 4)), ("", (2, 3)), ("two", (2, 3)), ("1, 99", (1, 30)), ("nan", (2, 3))],
)
def test_choices_are_typed(edit, typed, choice):
    editor = edit(Choice(choice=(2, 3)), 0.5, 30, 2.6)
    editor.line.setText(typed)
    editor.line.editingFinished.emit()
    assert editor.value() == Choice(choice=choice)
    assert editor.line.text() == ", ".join(f"{number:g}" for number in choice)


def test_the_menu_changes_the_kind(edit):
    editor = edit(350.0)
    editor._offer_kinds()
    actions = {action.text(): action for action in editor.kind.menu().actions()}
    assert list(actions) == list(KINDS.values())
    actions["Log-normal"].trigger()
    assert isinstance(editor.value(), LogNormal)
    assert editor.spins[0].value() == pytest.approx(350)
    editor.spins[1].setValue(0.5)
    assert editor.value() == LogNormal(log_normal=(350, 0.5))
    actions["Fixed"].trigger()
    assert editor.value() == 350
    assert len(editor.heard) == 3


def test_showing_a_value_is_no_change(edit):
    editor = edit(350.0)
    for value in (
        3.0,
        Uniform(uniform=(1, 2)),
        Uniform(uniform=(3, 4)),
        Normal(normal=(5, 1)),
        Choice(choice=(1, 2)),
    ):
        editor.set_value(value)
        assert editor.value() == value
    assert not editor.heard


def test_the_wheel_scrolls_the_form_and_not_the_numbers(edit):
    editor = edit(350.0)
    for part in (editor.slider, editor.spins[0]):
        wheel = QWheelEvent(
            QPointF(5, 5),
            QPointF(5, 5),
            QPoint(0, 120),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(part, wheel)
        assert not wheel.isAccepted()
    assert editor.value() == 350


def test_a_typed_number_is_taken_when_it_is_finished(edit, qtbot):
    editor = edit(AcquisitionParameters().background)
    editor.show()
    (spin,) = editor.spins
    spin.selectAll()
    qtbot.keyClicks(spin, "1234.5")
    assert not editor.heard
    qtbot.keyClick(spin, Qt.Key.Key_Return)
    assert editor.heard == [1234.5]
