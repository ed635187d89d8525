"""Curves of a training run: losses above, what validation measured below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyqtgraph
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_axongen.bridge.curves import FEW, History, Trace, readable

from .rest import Rest
from .still import StillLine

_HUES = ("#3fb27f", "#b07be8", "#d8a520", "#e05a7a", "#4c8dff", "#ff8c3c")
"""Of the curves; they stand out from light and from dark."""

_OF_CLASSES = {"axon": "#4c8dff", "myelin": "#ff8c3c", "bouton": "#d8a520"}
"""Of what is measured of a class: about those of the pictures of held-out tiles."""

_HEIGHT = 120  # px of a plot
_AXIS = 40  # px for the numbers at its left
_FULL = 0.4  # of the height of a plot that its curves fill at least
_ROOM = 0.15  # of the curves' height that is left above and below them
_APART = 60  # ms between the two plots: both at once would hold up the window


class Curves(QWidget):
    """Losses and scores against the step, drawn when `refresh` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.log = QCheckBox("Log scale")
        self.log.setToolTip("Show losses on a logarithmic scale.")
        self.losses, self.scores = _Plot(), _Plot()
        self._measured = -1  # step of the last scores that are drawn
        self._rest = Rest(self, _APART, self._draw_scores)
        self._mark = pyqtgraph.InfiniteLine(angle=90, movable=False)
        self.scores.addItem(self._mark, ignoreBounds=True)
        self.lost, self.measured = _Legend(), _Legend()
        above = QHBoxLayout()
        above.addWidget(self.lost, 1)
        above.addWidget(self.log)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(above)
        for widget in (self.losses, self.measured, self.scores):
            layout.addWidget(widget)
        self.log.toggled.connect(self._on_log)
        self.set_theme("dark")
        self.start_anew(self.history, 1)

    def start_anew(self, history: History, steps: int) -> None:
        """Show the curves of another run, which has so many steps in all."""
        self.history, self._measured = history, -1
        for plot in (self.losses, self.scores):
            plot.clear_curves()
            plot.setXRange(0, steps, padding=0.02)
        self.refresh()

    def refresh(self) -> None:
        """Draw what has come since."""
        history = self.history
        self.losses.draw_traces(history.losses)
        self.lost.show_traces("Training", history.losses)
        if history.measured != self._measured:
            self._measured = history.measured
            self._rest.start()

    def _draw_scores(self) -> None:
        history = self.history
        self._mark.setVisible(history.best is not None)
        self.scores.draw_traces(history.scores)
        best = "" if history.best is None else f"best at step {history.best:,} (dashed)"
        self.measured.show_traces("Held-out images", history.scores, best)
        if history.best is not None:
            self._mark.setValue(history.best)

    def set_theme(self, name: str) -> None:
        """Take the colours of a theme of napari."""
        theme = get_theme(name)
        back, front = theme.background.as_hex(), theme.text.as_hex()
        for plot in (self.losses, self.scores):
            plot.set_colours(back, front)
        self._mark.setPen(pyqtgraph.mkPen(front, width=1, style=Qt.PenStyle.DashLine))

    def _on_log(self, on: bool) -> None:
        self.losses.setLogMode(y=on)
        self.losses.is_log = on
        self.refresh()


class _Legend(StillLine):
    """The names of curves in their colours, with their last values."""

    def show_traces(self, title: str, traces: Mapping[str, Trace], more: str = "") -> None:
        said = [
            f"<span style='color:{_hue(place, name)}'>●</span>&nbsp;{readable(name)} "
            f"<b>{trace.last:.3g}</b>"
            for place, (name, trace) in enumerate(traces.items())
        ]
        if said and more:
            said.append(more)
        self.say(f"{title}: " + ("&nbsp; ".join(said) or "not measured yet"))


class _Plot(pyqtgraph.PlotWidget):
    """A plot with nothing to click on: the wheel scrolls the dock.

    Its axes stay as they are while the curves fit: pyqtgraph draws an axis in Python, which takes
    longer than all the rest.
    """

    def __init__(self) -> None:
        super().__init__()
        self._curves: dict[str, Any] = {}
        self.is_log = False
        self.setFixedHeight(_HEIGHT)
        self.setMouseEnabled(x=False, y=False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.disableAutoRange()
        self.getPlotItem().showGrid(y=True, alpha=0.15)
        self.getAxis("left").setWidth(_AXIS)

    def wheelEvent(self, event: Any) -> None:
        """Let the dock scroll."""
        event.ignore()

    def clear_curves(self) -> None:
        for curve in self._curves.values():
            self.removeItem(curve)
        self._curves.clear()

    def draw_traces(self, traces: Mapping[str, Trace]) -> None:
        for place, (name, trace) in enumerate(traces.items()):
            if name not in self._curves:
                hue = _hue(place, name)
                pen = pyqtgraph.mkPen(hue, width=1.5)
                self._curves[name] = self.plot(
                    pen=pen, symbolSize=5, symbolPen=None, symbolBrush=hue
                )
            steps, values = trace.points()
            self._curves[name].setData(steps, values, symbol="o" if len(steps) <= FEW else None)
        self._fit([value for trace in traces.values() for value in trace.points()[1]])

    def _fit(self, values: list[float]) -> None:
        """Show other heights when a curve leaves the plot, or has come to fill little of it."""
        if self.is_log:
            values = [math.log10(value) for value in values if value > 0]
        values = [value for value in values if math.isfinite(value)]
        if not values:
            return
        low, high = min(values), max(values)
        bottom, top = self.getViewBox().viewRange()[1]
        inside = bottom <= low and high <= top
        if not inside or high - low < _FULL * (top - bottom):
            room = _ROOM * (high - low) or 0.1
            self.setYRange(low - room, high + room, padding=0)

    def set_colours(self, back: str, front: str) -> None:
        self.setBackground(back)
        for name in ("left", "bottom"):
            self.getAxis(name).setPen(front)
            self.getAxis(name).setTextPen(front)


def _hue(place: int, name: str) -> str:
    of_class = (hue for kind, hue in _OF_CLASSES.items() if kind in name.split("_"))
    return next(of_class, _HUES[place % len(_HUES)])
