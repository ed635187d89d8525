"""A table of a few rows with boxes in its cells, as high as its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from .spin import choice_box

_HEAD, _ROW, _MOST_ROWS = 24, 26, 6


class ShortTable(QTableWidget):
    """Columns share the width, but for those that have one of their own.

    Parameters
    ----------
    columns
        Title and help of each.
    widths
        Pixels, by column.
    """

    def __init__(self, columns: Sequence[tuple[str, str]], widths: Mapping[int, int]) -> None:
        super().__init__(0, len(columns))
        self.setHorizontalHeaderLabels([title for title, _ in columns])
        for column, (_, help_) in enumerate(columns):
            self.horizontalHeaderItem(column).setToolTip(help_)
        self.verticalHeader().setVisible(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setFixedHeight(_HEAD)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column, width in widths.items():
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        self.set_rows(0)

    def set_rows(self, count: int) -> None:
        """Have so many rows; without any, the table is hidden."""
        self.setRowCount(count)
        for row in range(count):
            self.setRowHeight(row, _ROW)
        self.setFixedHeight(_HEAD + _ROW * min(count, _MOST_ROWS) + 4)
        self.setVisible(count > 0)

    def write(self, row: int, column: int, text: str, help_: str = "", edit: bool = False) -> None:
        """Put a text into a cell."""
        item = QTableWidgetItem(text)
        item.setToolTip(help_ or text)
        if not edit:
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
        self.setItem(row, column, item)

    def offer(self, row: int, column: int, texts: Sequence[str], chosen: int) -> QComboBox:
        """Put a box of choices into a cell."""
        box = choice_box("")
        box.addItems(list(texts))
        box.setCurrentIndex(chosen)
        before = self.cellWidget(row, column)
        if before is not None:
            before.hide()  # Qt deletes it later, and would show it until then
        self.setCellWidget(row, column, box)
        return box
