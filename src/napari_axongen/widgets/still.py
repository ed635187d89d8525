"""What changes often while something runs, without the window being laid out or drawn anew."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QPainter, QStaticText, QTextOption
from qtpy.QtWidgets import QProgressBar, QSizePolicy, QWidget

_FONT, _INDENT = 11, 3  # px
_BAR = 8  # px


class StillBar(QProgressBar):
    """A thin bar that is drawn with everything else.

    A QProgressBar draws itself on the spot with each value, and Qt composes the whole window for
    it, canvas included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setTextVisible(False)
        self.setFixedHeight(_BAR)

    def show_done(self, done: int, total: int) -> None:
        """Show how much of the work is done."""
        self.setUpdatesEnabled(False)
        self.setRange(0, max(1, total))
        self.setValue(done)
        self.setUpdatesEnabled(True)


class StillLine(QWidget):
    """Rich text in a line of fixed height.

    A QLabel asks for a new layout with each text, and Qt then composes the whole window, canvas
    included, two or three times instead of once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said = ""
        self._text = QStaticText()
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._text.setTextOption(_in_one_line())
        font = self.font()
        font.setPixelSize(_FONT)
        self.setFont(font)
        self.setFixedHeight(self.fontMetrics().height() + 2)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """What is shown."""
        return self._said

    def say(self, text: str) -> None:
        """Show a text."""
        if text != self._said:
            self._said = text
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
        painter.drawStaticText(QPointF(_INDENT, 1), self._text)
        painter.end()


def _in_one_line() -> QTextOption:
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.NoWrap)
    return option
