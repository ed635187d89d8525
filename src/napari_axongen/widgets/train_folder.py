"""A folder of images with masks to train on: its animals, and what each is used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.training import animals_steps

from .parts import Hint
from .rest import Rest
from .train_table import ShortTable

USES = {"train": "Train", "validation": "Validate", "test": "Test", "": "Leave out"}
"""What an animal is used for, and what a person calls it."""

_REST = 300  # ms that typing is gathered
_LAYOUTS = (
    "A BIDS-microscopy data set; or pairs of images and masks: images/ with masks/, or "
    "NAME with NAME_seg-axonmyelin (NAME_seg-axon, NAME_seg-bouton of fluorescence). "
    "Of NAME_sub-3 the animal is sub-3."
)


class FolderPanel(QWidget):
    """Choose a folder; its animals are listed, and the last one is held out.

    Parameters
    ----------
    job
        Looks into the folder; one without a title.

    Signals
    -------
    changed()
        Another folder was looked into, or an animal is used otherwise.
    """

    changed = Signal()

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._classes: Sequence[str] = ()
        self._boxes: dict[str, QComboBox] = {}
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("Folder of images and masks")
        self.folder.setToolTip(_LAYOUTS)
        self.browse = QPushButton("Browse ...")
        self.browse.clicked.connect(self._browse)
        self.table = ShortTable([("Animal", ""), ("Images", ""), ("Use", "")], {})
        self.hint = Hint(warning=True)
        row = QHBoxLayout()
        row.addWidget(self.folder, 1)
        row.addWidget(self.browse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.hint)
        layout.addWidget(self.table)
        self._rest = Rest(self, _REST, self._look)
        self.folder.textChanged.connect(lambda _: self._rest.start())
        job.finished.connect(self._show)
        job.failed.connect(self._refuse)
        self._show({})

    @property
    def root(self) -> str:
        """The folder."""
        return str(self.folder.text().strip())

    def split(self) -> dict[str, list[str]]:
        """Animals by what they are used for."""
        split: dict[str, list[str]] = {use: [] for use in USES if use}
        for animal, box in self._boxes.items():
            use = list(USES)[box.currentIndex()]
            if use:
                split[use].append(animal)
        return split

    def set_classes(self, classes: Sequence[str]) -> None:
        """Look for masks of other classes."""
        if tuple(classes) != tuple(self._classes):
            self._classes = tuple(classes)
            self._look()

    def close_down(self) -> None:
        """Look no more."""
        self._rest.stop()
        self._job.cancel()

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of images and masks", self.root)
        if folder:
            self.folder.setText(folder)

    def _look(self) -> None:
        root, classes = self.root, self._classes
        self._show({})
        if root:
            self._job.start(lambda: animals_steps(root, classes))

    def _refuse(self, why: str) -> None:
        self._show({})
        self.hint.say(why)

    def _show(self, animals: Mapping[str, int]) -> None:
        self.hint.say("")
        self._boxes = {}
        self.table.set_rows(len(animals))
        for row, (animal, count) in enumerate(animals.items()):
            self.table.write(row, 0, animal)
            self.table.write(row, 1, str(count))
            held_out = row == len(animals) - 1 and row > 0
            part = list(USES).index("validation" if held_out else "train")
            box = self._boxes[animal] = self.table.offer(row, 2, list(USES.values()), part)
            box.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.changed.emit()
