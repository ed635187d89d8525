"""A part of a dock that is opened by its title."""

from __future__ import annotations

from qtpy.QtGui import QIcon
from superqt import QCollapsible

_HEADER = """
QPushButton { text-align: left; border: none; outline: none; background: transparent;
              font-weight: bold; padding: 4px 2px; }
QPushButton:hover { background-color: rgba(128, 128, 128, 40); }
"""


class Fold(QCollapsible):
    """A title, and what is under it.

    superqt's own arrows are drawn before the theme is known, in black; letters take its colour.
    """

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.title = title
        self.mark = ""
        self.setDuration(0)
        self.setExpandedIcon(QIcon())
        self.setCollapsedIcon(QIcon())
        self.toggleButton().setStyleSheet(_HEADER)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(2)
        self.toggled.connect(self.show_title)
        self.show_title()

    def show_title(self) -> None:
        """Write the title, with an arrow before and a mark behind it."""
        arrow = "▾" if self.isExpanded() else "▸"
        self.setText(f"{arrow}  {self.title}{self.mark}")

    def set_open(self, is_open: bool) -> None:
        """Show or hide what is under the title."""
        if is_open != self.isExpanded():
            (self.expand if is_open else self.collapse)(animate=False)
