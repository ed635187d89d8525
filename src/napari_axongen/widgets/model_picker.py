"""Choose what finds axons in an image."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_axongen.bridge.segmenting import chosen, segmentation_models


class ModelPicker(QComboBox):
    """Choose a segmenter, or leave it to the image."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("What kind of image it is, and by which model; 'found' looks at it first.")
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.refresh()

    def choose(self, name: str | None) -> None:
        """Choose a model by its name, as if it had been picked."""
        self.setCurrentIndex(max(0, self.findData(name)))

    def refresh(self, event: Any = None) -> None:
        """Offer the models that there are now, and keep the choice."""
        before = self.currentData()
        self.clear()
        for title, name in segmentation_models():
            self.addItem(title, name)
        self.choose(before)

    def parameters(self) -> dict[str, str]:
        """Fields of `core.parameters.SegmentParameters`."""
        return chosen(self.currentData())
