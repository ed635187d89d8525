"""Layers that are added one by one, with turns of the event loop between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    import napari


class LayerQueue(QObject):
    """Adds layers as fast as the window stands it: making one takes napari up to half a second.

    Signals
    -------
    emptied()
        All that were put in are there.
    """

    emptied = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._waiting: list[Any] = []
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._add)

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def put(self, data: Any) -> None:
        """Have a layer (data, keywords, type) added."""
        self._waiting.append(data)
        self._timer.start()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._timer.stop()

    def close_down(self) -> None:
        """Add no more."""
        self.clear()

    def _add(self) -> None:
        self._viewer.add_layer(Layer.create(*self._waiting.pop(0)))
        if not self._waiting:
            self._timer.stop()
            self.emptied.emit()
