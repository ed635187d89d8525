"""The images of an experiment: real ones with all that is known of them, and their parts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from zlib import crc32

import numpy as np
from skimage.morphology import skeletonize

from napari_axongen.core.centrelines import read_centrelines
from napari_axongen.core.classes import IGNORED
from napari_axongen.core.datasets.labelled import LabelledImage
from napari_axongen.core.datasets.pair_folder import write_pairs
from napari_axongen.core.datasets.sources import data_folder, load_labelled
from napari_axongen.core.detection import Boxes, boxes_of, read_boxes
from napari_axongen.core.errors import InputError
from napari_axongen.core.evaluation import Mask, draw_centrelines
from napari_axongen.core.image import Image

from .plan import CLASSES, DataSet, Experiment, Fold, MeasureName

BOX_MARGIN = 2
"""px around the mask of a surrogate's bouton within which a detection hits it."""


@dataclass(frozen=True)
class Case:
    """An image, and the truth that it is judged by.

    Attributes
    ----------
    labelled
        Image and classes of its pixels.
    boxes
        Of its boutons; none where axons are sought.
    centrelines
        Of its axons; empty where boutons are sought.
    """

    labelled: LabelledImage
    boxes: Boxes
    centrelines: Mask

    @property
    def name(self) -> str:
        """Of the image."""
        return self.labelled.image.name

    @property
    def truth(self) -> Mask:
        """Pixels of the class that is sought."""
        return np.equal(self.labelled.classes, 1)

    @property
    def valid(self) -> Mask:
        """Pixels whose truth is known."""
        return np.not_equal(self.labelled.classes, IGNORED)


def case_of(image: LabelledImage, measure: MeasureName, root: Path | None = None) -> Case:
    """A labelled image with the truth that it is judged by.

    Boxes and centrelines are those that a person drew, where ``root`` has ``boutons/NAME.csv`` or
    ``centrelines/NAME.csv``; else they follow from the mask.
    """
    mask = image.classes == 1
    boxes, lines = np.empty((0, 4)), np.zeros(mask.shape, bool)
    folder = "boutons" if measure == "bouton" else "centrelines"
    path = None if root is None else root / folder / f"{image.image.name}.csv"
    drawn = path if path is not None and path.exists() else None
    if measure == "bouton":
        boxes = boxes_of(mask, BOX_MARGIN) if drawn is None else read_boxes(drawn)
    elif drawn is None:
        lines = skeletonize(mask)
    else:
        lines = draw_centrelines(read_centrelines(drawn), image.image.plane_shape)
    return Case(image, boxes, lines)


class RealImages:
    """A data set on the disk, as the runs of an experiment read it.

    Parameters
    ----------
    data
        What it is.
    measure
        What is sought in it.
    folder
        Where `write` writes its images, or their parts.
    """

    def __init__(self, data: DataSet, measure: MeasureName, folder: Path) -> None:
        self.data, self.folder = data, folder
        self.classes = CLASSES[measure]
        root = data_folder(data.root)
        self.whole = [case_of(image, measure, root) for image in load_labelled(root, self.classes)]
        self.units = self.whole if data.cut is None else list(_parts(self.whole, data.cut))
        for name, fold in data.folds.items():
            self._check(name, fold)

    def _check(self, name: str, fold: Fold) -> None:
        """Nothing is named that is not there, and no image is on two sides."""
        test = {case.labelled.image.name for case in self.test(fold)}
        sides = {"validation": self._chosen(fold.validation), "train": self._chosen(fold.train)}
        for side, cases in sides.items():
            seen = sorted({_field(case) for case in cases} & test)
            if seen:
                raise InputError(
                    f"Fold {name}: {seen[0]} is to test and in {side}; an image is on one side."
                )
        both = {case.name for case in sides["train"]} & {case.name for case in sides["validation"]}
        if both:
            raise InputError(
                f"Fold {name}: {min(both)} is to train and to validate; an image is on one side."
            )

    def write(self) -> Path:
        """Write the images, or their parts, as pairs, unless they are there; return their folder.

        Each part is an animal of its own.
        """
        if self.folder.is_dir():
            return self.folder
        partial = self.folder.with_name(f".{self.folder.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            write_pairs(partial, [case.labelled for case in self.units], self.classes)
            os.replace(partial, self.folder)
        except OSError as error:
            if not self.folder.is_dir():  # else another process was faster
                raise InputError(f"{self.folder} cannot be written: {error.strerror}.") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return self.folder

    def train(self, fold: Fold, name: str, seed: int) -> list[str]:
        """Animals to train on, in the order in which they are taken: it depends on the seed."""
        animals = sorted({case.labelled.animal for case in self._chosen(fold.train)})
        rng = np.random.default_rng((seed, crc32(name.encode())))
        return [animals[index] for index in rng.permutation(len(animals))]

    def field(self, animal: str) -> Case:
        """The first image of an animal; of a part, the image that it is a part of."""
        case = next(case for case in self.units if case.labelled.animal == animal)
        return next(whole for whole in self.whole if whole.name == _field(case))

    def of(self, animals: Iterable[str]) -> list[Case]:
        """Images of some animals."""
        wanted = set(animals)
        return [case for case in self.units if case.labelled.animal in wanted]

    def validation(self, fold: Fold) -> list[Case]:
        """Images to choose by."""
        return self._chosen(fold.validation)

    def test(self, fold: Fold) -> list[Case]:
        """Whole images to be judged on."""
        return _named(self.whole, fold.test)

    def _chosen(self, patterns: Sequence[str]) -> list[Case]:
        return _named(self.units, patterns)


def load_images(experiment: Experiment, out: Path) -> dict[str, RealImages]:
    """The data sets of an experiment; what its runs read is in ``images/`` of its folder."""
    return {
        name: RealImages(data, experiment.measure, out / "images" / f"{name}-{data.cut or 'whole'}")
        for name, data in experiment.data.items()
    }


def _named(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """Those whose animal some pattern fits."""
    for pattern in patterns:
        if not any(fnmatchcase(case.labelled.animal, pattern) for case in cases):
            there = ", ".join(dict.fromkeys(case.labelled.animal for case in cases))
            raise InputError(f"There is no image '{pattern}'; there are {there}.")
    return [
        case
        for case in cases
        if any(fnmatchcase(case.labelled.animal, pattern) for pattern in patterns)
    ]


# ---------------------------------------------------------------- parts


@dataclass(frozen=True)
class _Part(Case):
    """An image of which a part is known, and the name of the whole."""

    field: str


def _field(case: Case) -> str:
    return case.field if isinstance(case, _Part) else case.name


def _parts(cases: Iterable[Case], side: int) -> Iterable[Case]:
    """Images of which the truth is known in one square alone; squares without any are left out.

    The whole image stays, so that a network sees each part on the same grey range as the whole.
    """
    for case in cases:
        image, classes = case.labelled.image, case.labelled.classes
        rows, columns = image.plane_shape
        for i, top in enumerate(range(0, rows - side + 1, side)):
            for j, left in enumerate(range(0, columns - side + 1, side)):
                window = slice(top, top + side), slice(left, left + side)
                if not (classes[window] == 1).any():
                    continue
                known = np.full_like(classes, IGNORED)
                known[window] = classes[window]
                offset = case.boxes[:, :2] + case.boxes[:, 2:] / 2 - (top, left)
                name, animal = (f"{one}-{i}-{j}" for one in (image.name, case.labelled.animal))
                plane = Image(image.data, image.axes, image.pixel_size, name)
                yield _Part(
                    replace(case.labelled, image=plane, classes=known, animal=animal),
                    case.boxes[((offset >= 0) & (offset < side)).all(1)],
                    case.centrelines,
                    image.name,
                )
