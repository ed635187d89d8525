"""A slider that speaks once it rests."""

from __future__ import annotations

from qtpy.QtCore import QTimer, Signal
from superqt import QLabeledDoubleSlider

from napari_axongen.core.parameters import SegmentParameters

REST = 60
"""Milliseconds that the slider rests before its value is taken."""


class ThresholdSlider(QLabeledDoubleSlider):
    """Choose a probability.

    Signals
    -------
    settled(float)
        The slider has come to rest.
    """

    settled = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        field = SegmentParameters.model_fields["threshold"]
        self.setRange(0.01, 0.99)
        self.setDecimals(2)
        self.setValue(field.default)
        self.setToolTip(f"{field.description} Acts at once on what was segmented.")
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(lambda: self.settled.emit(self.probability()))
        self.valueChanged.connect(lambda _: self._rest.start())

    def probability(self) -> float:
        """The value as it is shown."""
        return round(float(self.value()), 2)
