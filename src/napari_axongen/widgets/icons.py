"""Small line drawings: what fonts have of them differs from machine to machine."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF

_SIDE = 18
_INK = QColor("#9aa3ad")  # to be seen on a dark theme and on a light one
_CURVES = {  # densities, from the left below to the right below
    "fixed": [(0, 0), (0.5, 0), (0.5, 1), (0.5, 0), (1, 0)],
    "uniform": [(0, 0), (0.2, 0), (0.2, 0.8), (0.8, 0.8), (0.8, 0), (1, 0)],
    "log-uniform": [(0, 0), (0.15, 0), (0.15, 1), (0.3, 0.5), (0.5, 0.3), (0.9, 0.15), (0.9, 0)],
    "normal": [(0, 0), (0.2, 0.08), (0.38, 0.7), (0.5, 1), (0.62, 0.7), (0.8, 0.08), (1, 0)],
    "log-normal": [(0, 0), (0.1, 0.1), (0.22, 0.9), (0.32, 0.9), (0.5, 0.4), (0.75, 0.1), (1, 0)],
    "choice": [
        (0.2, 0),
        (0.2, 0.8),
        (0.2, 0),
        (0.5, 0),
        (0.5, 0.8),
        (0.5, 0),
        (0.8, 0),
        (0.8, 0.8),
    ],
}
_PIPS = ((0.28, 0.28), (0.72, 0.28), (0.5, 0.5), (0.28, 0.72), (0.72, 0.72))


def kind_icon(kind: str) -> QIcon:
    """The shape of a distribution, by the name of its kind."""
    points = QPolygonF([_at(x, 1 - y) for x, y in _CURVES[kind]])
    return _drawn(lambda painter: painter.drawPolyline(points))


def dice_icon() -> QIcon:
    """A die that shows five."""

    def draw(painter: QPainter) -> None:
        painter.drawRoundedRect(_box(0.05, 0.05, 0.95, 0.95), 3, 3)
        painter.setBrush(_INK)
        for x, y in _PIPS:
            painter.drawEllipse(_at(x, y), 0.8, 0.8)

    return _drawn(draw)


def lock_icon(closed: bool) -> QIcon:
    """A padlock."""

    def draw(painter: QPainter) -> None:
        shift = 0.0 if closed else 0.3
        painter.drawArc(_box(0.28 + shift, 0.02, 0.72 + shift, 0.7), 0, 180 * 16)
        painter.setBrush(_INK)
        painter.drawRoundedRect(_box(0.15, 0.42, 0.85, 0.95), 1.5, 1.5)

    return _drawn(draw)


def _at(x: float, y: float) -> QPointF:
    return QPointF(2 + x * (_SIDE - 4), 2 + y * (_SIDE - 4))


def _box(left: float, top: float, right: float, bottom: float) -> QRectF:
    return QRectF(_at(left, top), _at(right, bottom))


def _drawn(draw: Callable[[QPainter], None]) -> QIcon:
    pixmap = QPixmap(_SIDE, _SIDE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(_INK, 1.4))
    draw(painter)
    painter.end()
    return QIcon(pixmap)
