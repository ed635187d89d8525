"""A row of the table and a fibre in the image: choose one, and the other is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QTableView

from napari_axongen.bridge.layers import level_0
from napari_axongen.bridge.measuring import PLANE

from .rest import Rest
from .table import FibreTable

if TYPE_CHECKING:
    import napari

BLINK = 350
"""Milliseconds during which a chosen fibre is shown alone."""

_STILL = 4  # pixels of the screen that a click may wander


class FibreLink(QObject):
    """Ties a table to the Labels layer that it is of (`layer`, None while there is none)."""

    def __init__(self, viewer: napari.viewer.Viewer, table: QTableView, model: FibreTable) -> None:
        super().__init__(table)
        self._viewer, self._table, self._model = viewer, table, model
        self._selecting = False
        self.layer: Any = None
        self._blink = Rest(self, BLINK, self._end_blink)
        table.selectionModel().currentRowChanged.connect(self._on_row)
        viewer.mouse_drag_callbacks.append(self._on_press)

    def close_down(self) -> None:
        """Take the click off the canvas."""
        self._end_blink()
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def shown_layer(self) -> Any | None:
        """The layer, if it is still in the viewer."""
        return self.layer if self.layer is not None and self.layer in self._viewer.layers else None

    def go_to(self, row: int) -> None:
        """Select the fibre of a row in its layer, centre it, and show it alone for a moment."""
        layer = self.shown_layer()
        if layer is None:
            return
        point = [float(n) for n in layer.world_to_data(self._viewer.dims.point)]
        point[-2:] = (float(self._model.column(key)[row]) for key in ("y0 (px)", "x0 (px)"))
        if PLANE in self._model.names:
            plane = int(self._model.column(PLANE)[row])
            point[:-2] = (float(n) for n in np.unravel_index(plane, level_0(layer).shape[:-2]))
        world = layer.data_to_world(point)
        dims = self._viewer.dims
        offset = dims.ndim - len(world)  # another layer may have more axes than this one
        dims.set_point(range(offset, dims.ndim), world)
        self._viewer.scene.camera.center = tuple(dims.point[axis] for axis in dims.displayed)
        self._end_blink()
        layer.selected_label = int(self._model.column("label")[row])
        layer.show_selected_label = True
        self._blink.start()

    def select(self, label: int) -> None:
        """Select the row of a fibre and scroll to it."""
        row = self._model.row_of(label)
        if row is None:
            return
        self._selecting = True
        self._table.selectRow(row)
        self._table.scrollTo(self._model.index(row, 0))
        self._selecting = False

    def _on_row(self, current: Any, previous: Any = None) -> None:
        if current.isValid() and not self._selecting:
            self.go_to(current.row())

    def _end_blink(self) -> None:
        layer = self.shown_layer()
        if layer is not None:
            layer.show_selected_label = False

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """A click on a fibre, not a drag, selects its row."""
        pressed = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        layer = self.shown_layer()
        wandered = np.abs(np.asarray(event.pos) - pressed).max() > _STILL
        if layer is None or not layer.visible or wandered:
            return
        label = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        if isinstance(label, tuple):  # of a multiscale layer: level and value
            label = label[1]
        if label:
            self.select(int(label))
