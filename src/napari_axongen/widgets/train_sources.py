"""What to learn from: open layers, a folder, or images that the plugin makes itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.plans import Images
from napari_axongen.core.errors import InputError

from .spin import choice_box
from .train_folder import FolderPanel
from .train_made import SurrogatePanel
from .train_pairs import PairTable

if TYPE_CHECKING:
    import napari

LAYERS, FOLDER, SURROGATES, NONE = "layers", "folder", "surrogates", "none"
_KINDS = {
    LAYERS: "Open layers",
    FOLDER: "A folder",
    SURROGATES: "Surrogate images",
    NONE: "None",
}


class ImagePicker(QWidget):
    """Choose labelled images of one kind; the box of kinds stands in the form around it.

    Signals
    -------
    changed()
        Other images, or another use of them.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, job: Job) -> None:
        super().__init__()
        self.kind = choice_box("Where the labelled images are.")
        self.pairs = PairTable(viewer)
        self.folder = FolderPanel(job)
        self.surrogates = SurrogatePanel(viewer, held_out=True)
        self._panels: dict[str, QWidget] = {
            LAYERS: self.pairs,
            FOLDER: self.folder,
            SURROGATES: self.surrogates,
        }
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for panel in self._panels.values():
            layout.addWidget(panel)
            panel.changed.connect(self.changed)
        self.kind.currentIndexChanged.connect(lambda _: self._on_kind())

    def offer(self, kinds: Sequence[str], classes: Sequence[str], contrast: str | None) -> None:
        """Offer some kinds of images, with a truth of some classes; keep the choice."""
        before = self.kind.currentData()
        self.kind.blockSignals(True)
        self.kind.clear()
        for kind in kinds:
            self.kind.addItem(_KINDS[kind], kind)
        self.kind.setCurrentIndex(max(0, self.kind.findData(before)))
        self.kind.blockSignals(False)
        self.pairs.set_classes(classes, contrast)
        self.folder.set_classes(classes)
        self._on_kind()

    @property
    def chosen(self) -> str:
        """Which kind of images."""
        return str(self.kind.currentData())

    def images(self) -> Images | None:
        """What is chosen; None: no images.

        Raises
        ------
        InputError
            Nothing is chosen yet.
        """
        if self.chosen == NONE:
            return None
        if self.chosen == SURROGATES:
            return Images(surrogates=self.surrogates.words())
        if self.chosen == LAYERS:
            if not self.pairs.pairs:
                raise InputError("Open an image and its labels, or choose another entry.")
            return Images(pairs=tuple(self.pairs.pairs))
        if not self.folder.root:
            raise InputError("Choose a folder of images and masks.")
        return Images(folder=self.folder.root, split=self.folder.split())

    def close_down(self) -> None:
        """Listen no more."""
        self.pairs.close_down()
        self.folder.close_down()

    def _on_kind(self) -> None:
        for kind, panel in self._panels.items():
            panel.setVisible(kind == self.chosen)
        self.changed.emit()
