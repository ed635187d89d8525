"""Act when what changes has come to rest."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer


class Rest(QTimer):
    """Acts once, so long after it was last started.

    Parameters
    ----------
    parent
        Goes with it.
    milliseconds
        How long.
    act
        What it does.
    """

    def __init__(self, parent: QObject, milliseconds: int, act: Callable[[], None]) -> None:
        super().__init__(parent)
        self.setSingleShot(True)
        self.setInterval(milliseconds)
        self.timeout.connect(act)
