"""The seed: which of all possible images it is."""

from __future__ import annotations

import secrets

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QSpinBox, QToolButton, QWidget

from .icons import dice_icon, lock_icon

LARGEST = 2**31 - 1
_DRAWN_BELOW = 1_000_000  # to be read and remembered


class SeedRow(QWidget):
    """A number, a lock and a die.

    Signals
    -------
    changed()
        Another seed.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._used: int | None = None
        self.box = QSpinBox()
        self.box.setRange(0, LARGEST)
        self.box.setKeyboardTracking(False)
        self.box.setToolTip("Same parameters and seed, same images: on every machine.")
        self.lock = QToolButton()
        self.lock.setCheckable(True)
        self.lock.setToolTip("Locked: each run makes the same images. Open: each run makes others.")
        self.dice = QToolButton()
        self.dice.setIcon(dice_icon())
        self.dice.setToolTip("Another seed.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.lock)
        row.addWidget(self.dice)
        self.box.valueChanged.connect(lambda _: self.changed.emit())
        self.dice.clicked.connect(self.draw)
        self.lock.toggled.connect(lambda on: self.lock.setIcon(lock_icon(on)))
        self.lock.setIcon(lock_icon(False))

    def value(self) -> int:
        """The seed."""
        return int(self.box.value())

    def draw(self) -> None:
        """Take another seed."""
        self.box.setValue(secrets.randbelow(_DRAWN_BELOW))

    def use(self) -> int:
        """The seed of a run: the one that is shown and previewed; unlocked, never twice."""
        if not self.lock.isChecked() and self._used == self.value():
            self.draw()
        self._used = self.value()
        return self._used
