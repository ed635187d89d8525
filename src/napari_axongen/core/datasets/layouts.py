"""Where the images and masks of a data set lie: BIDS-microscopy, or plain folders of pairs."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from napari_axongen.core.classes import FIBRE_CLASSES
from napari_axongen.core.errors import InputError

from .labelled import LabelledImage, read_files

ANIMALS = "animals.csv"
SAMPLES = "samples.tsv"

UNKNOWN = "_seg-unknown"
"""Ends the name of a mask that is not 0 where nobody knows what an image shows."""

Stems: TypeAlias = dict[str, list[Path]]
"""The image files of a folder by stem."""

_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
_MASK = re.compile(r"_seg-[^_]+$|_mask$|^mask_|_instances$|_unmyelinated$")
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")


@dataclass(frozen=True)
class Pair:
    """An image with its mask that can be read.

    Attributes
    ----------
    name
        Unique in its data set: what files made from it are called.
    source
        Path of the image below the data set.
    animal
        Subject, or the image itself where no subject is known.
    read
        Reads both; raises `InputError` when they are unusable.
    """

    name: str
    source: str
    animal: str
    read: Callable[[], LabelledImage]


@dataclass
class Layout:
    """What was found in a folder.

    Attributes
    ----------
    kind
        Name of the layout.
    pairs
        In the order of their names.
    refused
        One sentence for each image or mask that is no pair.
    notes
        What is to be known besides.
    """

    kind: str
    pairs: list[Pair] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_pairs(root: Path, classes: Sequence[str] = FIBRE_CLASSES) -> Layout:
    """Find the images of a data set with their masks, by the layout of its folder.

    - BIDS-microscopy (Bourget et al. 2022): `find_bids`.
    - ``images/`` and ``masks/`` with files of equal stems.
    - One folder with ``image_N`` and ``mask_N``, or ``NAME`` and ``NAME_seg-axonmyelin``,
      ``NAME_seg-axonmyelin-manual`` or ``NAME_mask``, or both ``NAME_seg-axon`` and
      ``NAME_seg-myelin`` (with or without ``-manual``).

    In the last two the animal is ``sub-NAME`` in the file's name, or what ``animals.csv`` (columns
    ``image`` and ``animal``) says, else each image counts as a field of its own.

    Of two classes the mask has the name of the second: ``NAME_seg-axon``, ``NAME_seg-bouton``. In
    all of them a mask ``NAME_seg-unknown`` beside the others says where the truth is unknown.

    Raises
    ------
    InputError
        None of these, or the folder holds no pair at all.
    """
    if any(root.glob("sub-*/**/micr")):
        return find_bids(root, classes)
    if (root / "images").is_dir() and (root / "masks").is_dir():
        inside = _stems(root / "images"), _stems(root / "masks")
        return _plain(root, "images and masks", *inside, classes)
    files = _stems(root)
    masks = {stem: paths for stem, paths in files.items() if _MASK.search(stem)}
    images = {stem: paths for stem, paths in files.items() if stem not in masks}
    if not masks:
        raise InputError(
            f"{root} is no data set: neither BIDS-microscopy (sub-*/micr, derivatives/labels) nor "
            "images/ with masks/ nor image_N with mask_N nor NAME with NAME_seg-axonmyelin."
        )
    return _plain(root, "pairs in one folder", images, masks, classes)


def find_bids(root: Path, classes: Sequence[str] = FIBRE_CLASSES) -> Layout:
    """Find the pairs of a BIDS-microscopy data set (Bourget et al. 2022).

    Images are ``sub-*/micr/*`` (also below sessions), masks lie under the same path below
    ``derivatives/labels`` and are called ``*_seg-axonmyelin-manual``, or are both
    ``*_seg-axon-manual`` and ``*_seg-myelin-manual``. Where there is a ``samples.tsv``, a sample
    that it lists and that has no image is named.

    Raises
    ------
    InputError
        No image with a mask, or a ``samples.tsv`` that cannot be read.
    """
    layout = Layout("BIDS-microscopy")
    images: list[str] = []
    for folder in sorted(path for path in root.glob("sub-*/**/micr") if path.is_dir()):
        below = folder.relative_to(root)
        found = _stems(folder)
        images += [f"{below.parts[0]}_{stem}" for stem in found]
        masks = _stems(root / "derivatives" / "labels" / below)

        def name(stem: str, subject: str = below.parts[0]) -> tuple[str, str]:
            return stem if subject in stem.split("_") else f"{subject}_{stem}", subject

        _join(layout, root, found, masks, name, classes)
    for subject, sample in _samples(root / SAMPLES):
        if not any({subject, sample} <= set(image.split("_")) for image in images):
            layout.refused.append(
                f"{SAMPLES} of {root} lists {sample} of {subject}, but there is no such image; add "
                "it or remove the line."
            )
    return check_names(layout, root)


def _plain(root: Path, kind: str, images: Stems, masks: Stems, classes: Sequence[str]) -> Layout:
    layout = Layout(kind)
    animals = _animals(root / ANIMALS)

    def name(stem: str) -> tuple[str, str]:
        subject = _SUBJECT.search(stem)
        if animals is None:
            return stem, subject[0] if subject else stem
        if stem not in animals:
            raise InputError(f"{ANIMALS} of {root} has no line for {stem}; add one.")
        return stem, animals[stem]

    _join(layout, root, images, masks, name, classes)
    lone = sum(pair.animal == pair.name for pair in layout.pairs)
    if animals is None and lone:
        layout.notes.append(
            f"{lone} of {len(layout.pairs)} images name no animal and count as fields of their own;"
            f" {ANIMALS} or sub-NAME in their names would keep those of an animal together."
        )
    return check_names(layout, root)


def _join(
    layout: Layout,
    root: Path,
    images: Stems,
    masks: Stems,
    name: Callable[[str], tuple[str, str]],
    classes: Sequence[str],
) -> None:
    """Add the pairs of some images and masks to a layout."""
    used: set[str] = set()
    for stem, paths in images.items():
        wanted = _mask_stems(stem, masks, classes)
        used.update(wanted)
        try:
            files = [_one(masks[mask]) for mask in wanted]
            unknown = _one(masks[stem + UNKNOWN]) if stem + UNKNOWN in masks else None
            image = _one(paths)
            if not files:
                raise InputError(f"{image} has no mask of {_named(classes)}; add one.")
            unique, animal = name(stem)
        except InputError as error:
            layout.refused.append(str(error))
            continue
        read = partial(read_files, image, files, animal, classes, unknown)
        layout.pairs.append(Pair(unique, image.relative_to(root).as_posix(), animal, read))
    for stem, paths in masks.items():
        if stem not in used and not any(stem.startswith(f"{image}_") for image in images):
            layout.refused.append(f"{paths[0]} is a mask without an image; add the image.")


def _named(classes: Sequence[str]) -> str:
    return "axons and myelin" if len(classes) > 2 else f"{classes[-1]}s"


def _mask_stems(image: str, masks: Stems, classes: Sequence[str]) -> list[str]:
    """The mask that belongs to an image; of axons and myelin it may be one of each."""
    whole = "axonmyelin" if len(classes) > 2 else classes[-1]
    for stem in (
        f"{image}_seg-{whole}-manual",
        f"{image}_seg-{whole}",
        f"{image}_mask",
        re.sub(r"^image_", "mask_", image),
        image,
    ):
        if stem in masks:
            return [stem]
    if len(classes) == 2:
        return []
    for ending in ("-manual", ""):
        both = [f"{image}_seg-{part}{ending}" for part in ("axon", "myelin")]
        if all(stem in masks for stem in both):
            return both
    return []


def check_names(layout: Layout, root: Path | str) -> Layout:
    """The layout in order of names, without pairs of equal ones."""
    kept: dict[str, Pair] = {}
    for pair in layout.pairs:
        other = kept.setdefault(pair.name.casefold(), pair)
        if other is not pair:
            layout.refused.append(
                f"{pair.source} and {other.source} of {root} have the same name; rename one."
            )
    layout.pairs = [kept[name] for name in sorted(kept)]
    if not layout.pairs:
        why = f": {layout.refused[0]}" if layout.refused else "."
        raise InputError(f"{root} holds no image with a mask{why}")
    return layout


# ---------------------------------------------------------------- files


def _stems(folder: Path) -> Stems:
    found: Stems = {}
    try:
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}.") from error
    for path in paths:
        if path.suffix.lower() in _SUFFIXES and path.name[0] != "." and path.is_file():
            found.setdefault(_stem(path.name), []).append(path)
    return found


def _stem(name: str) -> str:
    return re.sub(r"\.ome$", "", Path(name).stem, flags=re.IGNORECASE)


def _one(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        raise InputError(
            f"{paths[0]} and {paths[1].name} have the same name; take one of them away."
        )
    return paths[0]


def _samples(path: Path) -> Iterator[tuple[str, str]]:
    """Subject and sample of each line of a ``samples.tsv``; nothing where there is none."""
    for row in _table(path, "\t", ("sample_id", "participant_id")):
        subject, sample = row["participant_id"], row["sample_id"]
        yield (
            subject if subject.startswith("sub-") else f"sub-{subject}",
            sample if sample.startswith("sample-") else f"sample-{sample}",
        )


def _animals(path: Path) -> dict[str, str] | None:
    """Animal by name of the image, with and without its ending; None where there is no file."""
    if not path.exists():
        return None
    rows = _table(path, ",", ("image", "animal"))
    return {name: row["animal"] for row in rows for name in (_stem(row["image"]), row["image"])}


def _table(path: Path, delimiter: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Lines of a table, those columns of them; a line without a value in one is refused."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}); mend it or remove it.") from error
    found = [{column: (row.get(column) or "").strip() for column in columns} for row in rows]
    for number, row in enumerate(found, 2):
        for column, value in row.items():
            if not value:
                raise InputError(
                    f"{path} has no {column} in line {number}; its columns are to be "
                    f"{' and '.join(columns)}."
                )
    return found
