"""Source and translation against each other: a curtain between them, or side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.transforms import Affine
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSlider, QWidget

from napari_axongen.bridge.layers import CURTAIN, RECIPE, level_0, placement, recipe_of

from .rendition import LEVEL
from .rest import Rest

if TYPE_CHECKING:
    import napari

_POSITIONS = 200
_REST = 15  # ms that the slider's positions are gathered: a change of data takes napari about ten
GAP = 0.02
"""Of the width, between two images side by side."""


class Compare(QWidget):
    """A slider that shows the source left and the translation right of it; and side by side.

    napari cannot cut a layer at a line in two dimensions (its clipping planes are for three), so
    the right part of the translation is a layer of its own, a view of the same memory, and the
    translation itself is hidden meanwhile. Moving it copies no image data in memory.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._source: Any = None
        self._made: Any = None
        self._curtain: Any = None
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _POSITIONS)
        self.slider.setToolTip("Left of it the source, right of it the translation.")
        self.beside = QPushButton("Side by side")
        self.beside.setCheckable(True)
        self.beside.setToolTip("Move the translation, with its labels, to the source's right.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.beside)
        self._rest = Rest(self, _REST, self._wipe)
        self.slider.valueChanged.connect(lambda _: self._rest.start())
        self.beside.toggled.connect(self._put_beside)
        viewer.layers.events.removed.connect(self._on_removed)
        self.set_layers(None, None)

    def set_layers(self, source: Any, made: Any) -> None:
        """Compare other layers; None: there is nothing to compare."""
        if (source, made) != (self._source, self._made):
            self.reset()
        self._source, self._made = source, made
        self.setEnabled(made is not None)

    @property
    def layers(self) -> tuple[Any, Any]:
        """Source and translation, or None and None."""
        return self._source, self._made

    def reset(self) -> None:
        """Show the translation where it belongs, and all of it."""
        self.beside.setChecked(False)
        self.slider.setValue(0)
        self._rest.stop()
        self._open()

    def close_down(self) -> None:
        """Leave the layers as they were found."""
        self.reset()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_removed(self, event: Any) -> None:
        if event.value == self._curtain:
            self._curtain = None
            self.slider.setValue(0)
            if self._made is not None and self._made in self._viewer.layers:
                self._made.visible = True
        elif event.value in (self._source, self._made):
            self.set_layers(None, None)

    # ------------------------------------------------------------ the curtain

    def _wipe(self) -> None:
        part = self.slider.value() / _POSITIONS
        if self._made is None or part == 0:
            self._open()
            return
        self.beside.setChecked(False)
        left, right = (int(n) for n in self._visible_columns())
        column = round(left + part * (right - left))
        levels = self._made.data if self._made.multiscale else [self._made.data]
        coarsest = LEVEL ** (len(levels) - 1)
        column = min(column, levels[0].shape[-1] - 2) // coarsest * coarsest
        cut = [level[..., column // LEVEL**k :] for k, level in enumerate(levels)]
        data = cut if self._made.multiscale else cut[0]
        if self._curtain is None:
            self._draw_curtain(data)
        else:
            self._curtain.data = data
        self._curtain.translate = moved(self._made, column)
        self._made.visible = False

    def _visible_columns(self) -> tuple[float, float]:
        """First and last column that the canvas shows of the translation."""
        layer = self._source
        factor = layer.downsample_factors[layer.data_level][-1] if layer.multiscale else 1
        first, last = layer.corner_pixels[:, layer.ndim - 1] * factor
        return float(first), float(last) + factor

    def _draw_curtain(self, data: Any) -> None:
        layers = self._viewer.layers
        active = layers.selection.active
        self._curtain = Image(
            data,
            name=f"{self._made.name} (wipe)",
            multiscale=self._made.multiscale,
            contrast_limits=self._made.contrast_limits,
            colormap=self._made.colormap,
            metadata={RECIPE: {"verb": CURTAIN}},
            **placement(self._made),
        )
        layers.insert(layers.index(self._made) + 1, self._curtain)
        layers.selection.active = active

    def _open(self) -> None:
        """Take the curtain away."""
        curtain, self._curtain = self._curtain, None
        if curtain is not None and curtain in self._viewer.layers:
            self._viewer.layers.remove(curtain)
        if curtain is not None and self._made is not None:
            self._made.visible = True

    # ------------------------------------------------------------ side by side

    def _put_beside(self, on: bool) -> None:
        if self._made is None:
            return
        if on:
            self.slider.setValue(0)
            self._open()
        width = level_0(self._made).shape[-1] * (1 + GAP)
        for layer in (self._made, *self._labels()):
            place = moved(self._source, width if on else 0)
            layer.translate = (*layer.translate[: layer.ndim - len(place)], *place)
        self._viewer.reset_view()

    def _labels(self) -> list[Any]:
        """Layers that were made from the translation, or with it."""
        return [
            layer
            for layer in self._viewer.layers
            if (recipe_of(layer) or {}).get("source") == self._made.name
        ]


def moved(layer: Any, columns: float) -> Any:
    """Where a layer lies when it is moved by some columns of its own."""
    offset = np.zeros(layer.ndim)
    offset[-1] = columns
    linear = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear)
    return np.asarray(layer.translate) + np.asarray(linear(offset))
