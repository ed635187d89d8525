"""Which files are meant: folders and patterns become the images in them."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from napari_axongen.core.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MASK = "_seg-axonmyelin"
"""What follows the image's name in that of its mask."""

_MASKS = "_seg-"


def expand(paths: Iterable[Path]) -> list[Path]:
    """Files that are named: those themselves, those of a pattern, the images of a folder.

    Masks (``..._seg-...``) in a folder are left out. What names nothing stays: it is reported when
    it is read.
    """
    found: list[Path] = []
    for path in paths:
        inside = _pattern(path)
        if path.is_dir():
            inside = [file for file in _images(path) if _MASKS not in file.stem]
        found += inside or [path]
    return list(dict.fromkeys(found))


def distinct(paths: Iterable[Path], ending: str) -> list[Path]:
    """Each file once; two whose results would have the same names are a wrong usage."""
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(path.stem.casefold(), path)
        if other.absolute() != path.absolute():
            raise typer.BadParameter(
                f"{other} and {path} would both be written to {path.stem}_{ending}; write them "
                "into different folders."
            )
    return list(found.values())


def expand_masks(paths: Iterable[Path]) -> list[Path]:
    """Likewise of masks: of a folder those of both classes, or else all its images."""

    def masks(folder: Path) -> list[Path]:
        files = _images(folder)
        return [file for file in files if MASK in file.stem] or files

    return _expand(paths, masks)


class Masks:
    """The masks of some images: one file for one image, or a folder or pattern for several.

    Parameters
    ----------
    where
        What was named on the command line.
    images
        How many images there are.
    """

    def __init__(self, where: Path, images: int) -> None:
        self.where = where
        self.files = _images(where) if where.is_dir() else _pattern(where)
        self.single = not self.files and not where.is_dir()
        if self.single and images > 1:
            raise typer.BadParameter(
                f"{where} is one mask for {images} images; name a folder or a pattern in quotes.",
                param_hint="--mask",
            )

    def of(self, image: Path) -> Path:
        """The mask of an image: named as it, or followed by ``_seg-axonmyelin...``.

        Raises
        ------
        InputError
            There is none, or more than one.
        """
        if self.single:
            return self.where
        found = [
            file
            for file in self.files
            if (file.stem == image.stem or file.stem.startswith(image.stem + MASK))
            and file.absolute() != image.absolute()
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            raise InputError(
                f"{self.where} holds no mask of {image.name}; it would be called "
                f"{image.stem}{MASK}.png or {image.stem}.png."
            )
        names = ", ".join(file.name for file in found[:3])
        raise InputError(f"{self.where} holds several masks of {image.name}: {names}; name one.")


def _expand(paths: Iterable[Path], inside: Callable[[Path], list[Path]]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += (inside(path) if path.is_dir() else _pattern(path)) or [path]
    return list(dict.fromkeys(found))


def _pattern(path: Path) -> list[Path]:
    """Files of a pattern that the shell left alone."""
    if path.exists() or not glob.has_magic(str(path)):
        return []
    return sorted(Path(name) for name in glob.glob(str(path), recursive=True))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
