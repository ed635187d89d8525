"""Sliders that speak once they rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget
from superqt import QLabeledDoubleSlider

from napari_axongen.core.parameters import SegmentParameters

from .rest import Rest

REST = 60
"""Milliseconds that a slider rests before its value is taken."""

FIBRE = "fibre"
_FIELDS = {FIBRE: "threshold", "axon": "axon_threshold", "bouton": "bouton_threshold"}


class ThresholdSlider(QLabeledDoubleSlider):
    """Choose a probability.

    Parameters
    ----------
    name
        Of the field of `core.parameters.SegmentParameters`.

    Signals
    -------
    settled(float)
        The slider has come to rest.
    """

    settled = Signal(float)

    def __init__(self, name: str = "threshold") -> None:
        super().__init__()
        field = SegmentParameters.model_fields[name]
        self.setRange(0.01, 0.99)
        self.setDecimals(2)
        self.setValue(field.default or 0.5)
        self.setToolTip(f"{field.description} Acts at once on what was segmented.")
        self._rest = Rest(self, REST, lambda: self.settled.emit(self.probability()))
        self.valueChanged.connect(lambda _: self._rest.start())

    def probability(self) -> float:
        """The value as it is shown."""
        return round(float(self.value()), 2)

    def show_value(self, value: float) -> None:
        """Show a value that is in force already."""
        self.setValue(value)
        self._rest.stop()


class Thresholds(QWidget):
    """The sliders of what an image can hold: fibres, or axons and boutons.

    Signals
    -------
    settled(str, float)
        One of them has come to rest; see `sliders`.
    """

    settled = Signal(str, float)

    def __init__(self) -> None:
        super().__init__()
        self.sliders = {name: ThresholdSlider(field) for name, field in _FIELDS.items()}
        self._own: set[str] = set()  # those that a person has moved
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        for name, slider in self.sliders.items():
            self._form.addRow(SegmentParameters.model_fields[_FIELDS[name]].title, slider)
            slider.settled.connect(lambda value, name=name: self._on_settled(name, value))
        self.show_for({FIBRE: self.sliders[FIBRE].probability()})

    def show_for(self, thresholds: Mapping[str, float]) -> None:
        """Show the sliders of some thresholds, with their values."""
        for name, slider in self.sliders.items():
            shown = name in thresholds
            slider.setVisible(shown)
            self._form.labelForField(slider).setVisible(shown)
            if shown:
                slider.show_value(thresholds[name])

    def forget(self) -> None:
        """Another model is chosen: what it finds from which probability, its card says."""
        self._own.clear()

    def parameters(self) -> dict[str, Any]:
        """Fields of `core.parameters.SegmentParameters`; what nobody chose is left out."""
        chosen = {FIBRE} | self._own
        return {_FIELDS[name]: self.sliders[name].probability() for name in chosen}

    def _on_settled(self, name: str, value: float) -> None:
        self._own.add(name)
        self.settled.emit(name, value)
