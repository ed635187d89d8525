"""Pictures of held-out tiles while a network learns: image, truth, and what it finds now."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QImage, QPainter, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_axongen.core.events import Samples

_GAP = 3  # px between two pictures
_CAPTION = 15  # px above them


class Strip(QWidget):
    """The pictures of one tile in a row; arrows lead to the other tiles."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: Samples | None = None
        self.tile = 0
        self.about = QLabel()
        self.about.setStyleSheet("QLabel { font-size: 11px; }")
        self.back, self.on = QToolButton(), QToolButton()
        self.pictures = _Pictures()
        row = QHBoxLayout()
        row.addWidget(self.about, 1)
        for button, text, help_, way in (
            (self.back, "‹", "The tile before.", -1),
            (self.on, "›", "The next tile.", 1),
        ):
            button.setText(text)
            button.setToolTip(help_)
            button.clicked.connect(lambda *_, way=way: self._turn(way))
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.pictures)
        self.show_samples(None)

    def show_samples(self, samples: Samples | None) -> None:
        """Show what the network finds now; None: nothing yet."""
        self.samples = samples
        count = 0 if samples is None else len(samples.tiles)
        self.setVisible(count > 0)
        for button in (self.back, self.on):
            button.setVisible(count > 1)
        self._turn(0)

    def _turn(self, way: int) -> None:
        if self.samples is None or not len(self.samples.tiles):
            return
        count = len(self.samples.tiles)
        self.tile = (self.tile + way) % count
        which = f", {self.tile + 1} of {count}" if count > 1 else ""
        self.about.setText(f"Held-out tile{which}, at step {self.samples.step:,}")
        self.pictures.show_row(self.samples.titles, self.samples.tiles[self.tile])


class _Pictures(QWidget):
    """Pictures side by side, as wide as there is room, each under its title."""

    def __init__(self) -> None:
        super().__init__()
        self._titles: tuple[str, ...] = ()
        self.pixmaps: list[QPixmap] = []
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def show_row(self, titles: tuple[str, ...], pictures: Any) -> None:
        """Pictures uint8 (n, H, W, 3)."""
        self._titles, self.pixmaps = titles, [_pixmap(picture) for picture in pictures]
        self.updateGeometry()
        self.update()

    def heightForWidth(self, width: int) -> int:
        """Square pictures, as they are."""
        if not self.pixmaps:
            return 0
        first = self.pixmaps[0]
        return _CAPTION + round(self._side(width) * first.height() / max(1, first.width()))

    def sizeHint(self) -> QSize:
        """Of a usual dock."""
        return QSize(300, self.heightForWidth(max(self.width(), 200)))

    def minimumSizeHint(self) -> QSize:
        """Pictures of which something can be seen."""
        return QSize(120, self.heightForWidth(max(self.width(), 120)))

    def paintEvent(self, event: Any) -> None:
        """Draw the pictures, unsmoothed where they are larger than they are."""
        painter = QPainter(self)
        side = self._side(self.width())
        font = painter.font()
        font.setPointSizeF(8)
        painter.setFont(font)
        painter.setPen(self.palette().windowText().color())
        for place, (title, pixmap) in enumerate(zip(self._titles, self.pixmaps, strict=True)):
            left = round(place * (side + _GAP))
            height = round(side * pixmap.height() / max(1, pixmap.width()))
            small = pixmap.width() > side
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, small)
            painter.drawText(
                QRect(left, 0, round(side), _CAPTION), Qt.AlignmentFlag.AlignLeft, title
            )
            painter.drawPixmap(QRect(left, _CAPTION, round(side), height), pixmap)
        painter.end()

    def _side(self, width: int) -> float:
        count = max(1, len(self.pixmaps))
        return (width - _GAP * (count - 1)) / count


def _pixmap(picture: Any) -> QPixmap:
    array = np.ascontiguousarray(picture, dtype=np.uint8)
    height, width, _ = array.shape
    image = QImage(array.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)  # a copy: the array may go
