"""Colour fibres by what was measured of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap
from qtpy.QtCore import Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from .outputs import fibre_colormap, show_outlines

COLORMAP = "viridis"
_UNKNOWN = np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32)
_NONE = np.zeros(4, dtype=np.float32)
_TAILS = (2.0, 98.0)  # percentiles: one odd fibre must not grey out all others


def value_range(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Values that get the first and the last colour."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(known, _TAILS)
    return float(low), float(high)


def value_colormap(labels: npt.NDArray[Any], values: npt.NDArray[Any]) -> DirectLabelColormap:
    """Colour of each label by its value; grey where it has none."""
    values = values.astype(float)
    low, high = value_range(values)
    part = np.clip((values - low) / ((high - low) or 1.0), 0.0, 1.0)
    colours = np.asarray(ensure_colormap(COLORMAP).map(np.nan_to_num(part)), dtype=np.float32)
    colours[~np.isfinite(values)] = _UNKNOWN
    chosen: dict[int | None, Any] = {None: _NONE, 0: _NONE}
    chosen.update(zip(labels.tolist(), colours, strict=True))
    return DirectLabelColormap(color_dict=chosen)


class ColourBy(QWidget):
    """Choose the column that colours the fibres, with a legend of its values.

    Signals
    -------
    chosen(str)
        Name of the column; empty: by label again.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.box = QComboBox()
        self.low, self.ramp, self.high = QLabel(), QLabel(), QLabel()
        self.ramp.setPixmap(_ramp(96, 10))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (QLabel("Colour by"), self.box, self.low, self.ramp, self.high):
            layout.addWidget(widget)
        self.offer(())
        self.box.currentIndexChanged.connect(lambda _: self.chosen.emit(self.column))

    @property
    def column(self) -> str:
        """The chosen column, or nothing."""
        return str(self.box.currentData() or "")

    def offer(self, names: Iterable[str]) -> None:
        """Offer these columns, keeping the choice where that can be."""
        before = self.column
        self.box.blockSignals(True)
        self.box.clear()
        self.box.addItem("label (default)", "")
        for name in names:
            self.box.addItem(name.replace("um", "µm").replace("^2", "²"), name)
        self.box.setCurrentIndex(max(0, self.box.findData(before)))
        self.box.blockSignals(False)
        self._show_range(None)

    def apply(self, layer: Any, labels: npt.NDArray[Any], values: npt.NDArray[Any] | None) -> None:
        """Colour a Labels layer by the values of its labels; None: by label again."""
        self._show_range(values)
        if values is None:
            layer.colormap = fibre_colormap()
            show_outlines(layer)
            return
        layer.contour, layer.visible = 0, True
        layer.colormap = value_colormap(labels, values)

    def _show_range(self, values: npt.NDArray[Any] | None) -> None:
        for widget in (self.low, self.ramp, self.high):
            widget.setVisible(values is not None)
        if values is not None:
            low, high = value_range(values.astype(float))
            self.low.setText(f"{low:.3g}")
            self.high.setText(f"{high:.3g}")


def _ramp(width: int, height: int) -> QPixmap:
    """The colours from the least to the greatest value."""
    colours = np.asarray(ensure_colormap(COLORMAP).map(np.linspace(0, 1, width)))[:, :3]
    pixels = np.repeat((colours * 255).astype(np.uint8)[None], height, axis=0).tobytes()
    image = QImage(pixels, width, height, width * 3, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())
