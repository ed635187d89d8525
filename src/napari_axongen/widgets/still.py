"""A line of text that changes often without the window being laid out anew."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QPainter, QStaticText
from qtpy.QtWidgets import QSizePolicy, QWidget

_FONT = 11  # px


class StillLine(QWidget):
    """Rich text in a line of fixed height.

    A QLabel asks for a new layout with each text, and Qt then composes the whole window, canvas
    included, two or three times instead of once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._text = QStaticText()
        self._text.setTextFormat(Qt.TextFormat.RichText)
        font = self.font()
        font.setPixelSize(_FONT)
        self.setFont(font)
        self.setFixedHeight(self.fontMetrics().height() + 2)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """What is shown."""
        return str(self._text.text())

    def say(self, text: str) -> None:
        """Show a text."""
        if text != self.text():
            self._text.setText(text)
            self.update()

    def sizeHint(self) -> QSize:
        """No width of its own."""
        return QSize(0, self.height())

    def paintEvent(self, event: Any) -> None:
        """Draw the text."""
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(self.palette().windowText().color())
        painter.drawStaticText(QPointF(0, 1), self._text)
        painter.end()
