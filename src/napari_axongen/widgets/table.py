"""The fibres as a Qt table: one row a fibre, sorted by any column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

_Role = Qt.ItemDataRole


class FibreTable(QAbstractTableModel):
    """Columns of equal length, by name; the column ``label`` names the fibre of a row."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.names: list[str] = []
        self._columns: list[npt.NDArray[Any]] = []
        self._descriptions: Mapping[str, str] = {}
        self._order: npt.NDArray[np.intp] = np.zeros(0, dtype=np.intp)

    def show(self, columns: Mapping[str, Any], descriptions: Mapping[str, str]) -> None:
        """Replace the content."""
        self.beginResetModel()
        self.names, self._columns = list(columns), list(columns.values())
        self._descriptions = descriptions
        self._order = np.arange(len(self._columns[0]) if self._columns else 0)
        self.endResetModel()

    def column(self, name: str) -> npt.NDArray[Any]:
        """Values of a column in the order of the rows."""
        return self._columns[self.names.index(name)][self._order]

    def row_of(self, label: int) -> int | None:
        """The row in which a fibre stands now."""
        rows = np.flatnonzero(self.column("label") == label) if self.names else []
        return int(rows[0]) if len(rows) else None

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Fibres."""
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Columns."""
        return 0 if parent is not None and parent.isValid() else len(self.names)

    def data(self, index: QModelIndex, role: int = _Role.DisplayRole) -> Any:
        """Text of a cell."""
        if role == _Role.DisplayRole:
            return _text(self._columns[index.column()][self._order[index.row()]])
        if role == _Role.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole
    ) -> Any:
        """Name of a column, with its meaning as tooltip."""
        if orientation != Qt.Orientation.Horizontal or section >= len(self.names):
            return None
        name = self.names[section]
        if role == _Role.DisplayRole:
            return name.replace("um", "µm").replace("^2", "²")
        return self._descriptions.get(name) if role == _Role.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; empty values stay last, and what is selected stays selected."""
        if not 0 <= column < len(self._columns):
            return
        self.layoutAboutToBeChanged.emit()
        before = self._order
        values = self._columns[column].astype(float)
        if order == Qt.SortOrder.DescendingOrder:
            values = -values
        self._order = np.argsort(values, kind="stable")  # NaN sorts last either way
        rows = np.empty_like(self._order)
        rows[self._order] = np.arange(len(rows))
        old = self.persistentIndexList()
        new = [self.index(int(rows[before[i.row()]]), i.column()) for i in old]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()


def _text(value: Any) -> str:
    if isinstance(value, np.floating):
        return "" if math.isnan(value) else f"{value:.4g}"
    return str(int(value))
