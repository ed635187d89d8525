"""Image files in and out; every file of this package is written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageSequence
import tifffile

from . import pixel_size as sizes
from .errors import InputError
from .image import Image, check_pixel_size, to_grey
from .tiff import is_whole

BACKGROUND, MYELIN, AXON = 0, 127, 255
"""Grey values of the classes in a mask file, as AxonDeepSeg writes them."""

CLASS_VALUES = (BACKGROUND, MYELIN, AXON)
"""They in the order of class indices: 0 background, 1 myelin, 2 axon."""

APART = ".cluster-"
"""Begins the name of a folder for what the tasks of a cluster write, see `cluster`."""

PNG_SUFFIXES = (".png",)
TIFF_SUFFIXES = (".tif", ".tiff")

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_FORMATS = ("PNG", "JPEG", "BMP")
_PILLOW_LOCK = threading.Lock()
_MASK_TOLERANCE = 24  # grey levels that lossy compression moves a mask's values
_MASK_STRAYS = 0.05  # part of a mask that smoothed edges may take
_FINEST_PNG = 1e6 / (2**32 - 1)  # um: PNG counts whole pixels per metre in 32 bits


# ---------------------------------------------------------------- writing


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file whole or not at all.

    Yields the path of a temporary file in the same folder (which is made if it is missing). When
    the block ends the temporary file is flushed to the disk and takes the place of `path`; when it
    raises, it is removed and an older file at `path` stays as it was.

    Raises
    ------
    InputError
        The operating system refused: no permission, no space, no such place.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise InputError(
                f"{target} cannot be written: {_reason(error)}; choose another place or make room."
            ) from error
        raise


def numbered(name: str, taken: Callable[[str], bool]) -> str:
    """The name if it is not taken, else with the first number from 2 that makes it free."""
    number, tried = 2, name
    while taken(tried):
        tried, number = f"{name}-{number}", number + 1
    return tried


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write bytes to a file, whole or not at all (see `atomic_path`)."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write UTF-8 text to a file, whole or not at all (see `atomic_path`)."""
    write_bytes(path, content.encode())


def csv_text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV: floats with seven digits, nothing for one that is not finite."""

    def cell(value: Any) -> str:
        if not isinstance(value, float):
            return str(value)
        return f"{value:.7g}" if math.isfinite(value) else ""

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(cell, row) for row in rows)
    return text.getvalue()


def write_image(
    path: str | os.PathLike[str],
    array: npt.NDArray[Any],
    pixel_size: float | None = None,
    axes: str | None = None,
) -> None:
    """Write an image, whole or not at all, with its pixel size in the file.

    Parameters
    ----------
    path
        ``.png`` or ``.tif``/``.tiff``.
    array
        PNG: (Y, X) boolean, uint8 or uint16, or (Y, X, 3 or 4) uint8. TIFF: any real type, stacks
        (Z, Y, X) and (T, Z, Y, X) too.
    pixel_size
        um.
    axes
        One letter an axis, as TIFF names them: ``I`` is a sequence of images of one thing. Omitted,
        a last axis of 3 or 4 of three is colour, and stacks are as above.

    Raises
    ------
    InputError
        The format cannot hold such an array, or the file cannot be written.
    """
    target = Path(path)
    check_pixel_size(pixel_size, target.name)
    suffix = target.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        options: dict[str, Any] = {}
        if pixel_size is not None:
            options = {"resolution": (1e4 / pixel_size,) * 2, "resolutionunit": "CENTIMETER"}
        if axes is None:
            colour = array.ndim == 3 and array.shape[-1] in (3, 4)
            axes = "YXS" if colour else "TZYX"[-array.ndim :]
        if array.dtype == np.bool_:
            array = array.view(np.uint8) * np.uint8(255)
        with atomic_path(target) as partial:
            tifffile.imwrite(
                partial,
                np.ascontiguousarray(array),
                photometric="rgb" if axes.endswith("S") else "minisblack",
                compression="zlib",
                metadata={"axes": axes},
                **options,
            )
    elif suffix in PNG_SUFFIXES:
        if array.ndim not in (2, 3) or array.dtype not in (np.bool_, np.uint8, np.uint16):
            raise InputError(
                f"{target} cannot hold an array of shape {array.shape} and type {array.dtype}; "
                "name it .tif."
            )
        options = {}
        if pixel_size is not None and pixel_size > _FINEST_PNG:
            options = {"dpi": (25400.0 / pixel_size,) * 2}
        with atomic_path(target) as partial:
            # Level 3 packs masks and micrographs all but as small as 6, in half the time.
            PIL.Image.fromarray(array).save(partial, format="PNG", compress_level=3, **options)
    else:
        raise InputError(f"{target} has an ending that is not written; name it .png or .tif.")


# ---------------------------------------------------------------- reading


def read_image(path: str | os.PathLike[str], pixel_size: float | None = None) -> Image:
    """Read a PNG, JPEG, BMP, TIFF or OME-TIFF file.

    What it is is told from its content, not from its name.

    Parameters
    ----------
    path
        The file.
    pixel_size
        um; omitted, the BIDS side-car's (``PixelSize``, ``PixelSizeUnits``), else the file's own
        (OME, ImageJ, FEI and Zeiss notes, resolution tags), else unknown.

    Raises
    ------
    InputError
        No such file, not an image, truncated, of a kind that is not read, or of impossible pixel
        size.
    """
    path = Path(path)
    start = _first_bytes(path)
    own: float | None
    if pixel_size is None:
        pixel_size = sizes.from_sidecar(path)
    wanted = pixel_size is None
    try:
        if start[:4] in _TIFF_STARTS:
            array, axes, own = _read_tiff(path, wanted)
        else:
            array, axes, own = _read_pillow(path, wanted)
    except InputError:
        raise
    except PIL.UnidentifiedImageError:
        raise InputError(
            f"{path} is not a PNG, JPEG, BMP or TIFF image, whatever its name says; open the file "
            "in the program that made it and save it as one of these."
        ) from None
    except MemoryError:
        raise InputError(f"{path} does not fit into memory; cut it into smaller images.") from None
    except Exception as error:  # decoders raise whatever they meet
        raise InputError(
            f"{path} is damaged or cut short ({_one_line(error)}); copy it again from its source."
        ) from error
    return Image.from_array(array, axes, own if wanted else pixel_size, path.name)


def read_mask(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read a mask of axons and myelin: uint8 array of 0 background, 127 myelin, 255 axon.

    Raises
    ------
    InputError
        As `read_image`, or the picture is not such a mask.
    """
    return to_classes(read_image(path))


def to_classes(image: Image) -> npt.NDArray[np.uint8]:
    """Take an image as a mask: each pixel becomes the nearest of 0, 127 and 255.

    Parameters
    ----------
    image
        Grey or colourless image, boolean (axons alone) or 8-bit. A few values between the classes
        are let pass: smoothed edges, lossy compression.

    Returns
    -------
    uint8 array of ``image.spatial_shape``

    Raises
    ------
    InputError
        The values are not those of a mask.
    """
    array = np.asarray(image.data)
    if image.is_colour:
        if array.shape[-1] >= 3 and not (array[..., 1:3] == array[..., :1]).all():
            raise InputError(
                f"{image.name} has colours; a mask is grey: 0 background, 127 myelin, 255 axon."
            )
        array = np.rint(to_grey(array)) if array.shape[-1] < 3 else array[..., 0]
    if array.dtype == np.bool_:
        return np.where(array, np.uint8(AXON), np.uint8(BACKGROUND))
    top = array.max()
    stray = np.ones(array.shape, dtype=bool)
    for value in (BACKGROUND, MYELIN, AXON):
        stray &= ~((array >= value - _MASK_TOLERANCE) & (array <= value + _MASK_TOLERANCE))
    if 0 < top <= _MASK_TOLERANCE or stray.mean() > _MASK_STRAYS:
        raise InputError(
            f"{image.name} is not a mask: its values run from {array.min()} to {top}, where "
            "0 background, 127 myelin and 255 axon are expected."
        )
    classes = np.full(array.shape, MYELIN, dtype=np.uint8)
    classes[array < 64] = BACKGROUND
    classes[array >= 192] = AXON
    return classes


def _first_bytes(path: Path) -> bytes:
    """First bytes of a file; names what is wrong when there are none."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; name the image files in it.") from None
    except OSError as error:
        if path.is_dir():  # Windows answers "permission denied"
            raise InputError(f"{path} is a folder; name the image files in it.") from None
        raise InputError(f"{path} cannot be read: {_reason(error)}.") from error
    if not start:
        raise InputError(f"{path} is empty (0 bytes); copy it again from its source.")
    return start


def _read_pillow(path: Path, wanted: bool) -> tuple[npt.NDArray[Any], str, float | None]:
    """Array, axes and pixel size of a PNG, JPEG or BMP file."""
    with _PILLOW_LOCK:  # micrographs are larger than what Pillow takes for an attack
        limit, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
        try:
            picture = PIL.Image.open(path, formats=_PILLOW_FORMATS)
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = limit
    with picture:
        array = _pillow_array(picture)
        own = None
        if wanted and "dpi" in picture.info:
            x, y = picture.info["dpi"]
            own = sizes.from_resolution(float(x), float(y), "inch", str(path))
    return array, "YXC" if array.ndim == 3 else "YX", own


def _pillow_array(picture: PIL.Image.Image) -> npt.NDArray[Any]:
    """Pixels of a picture: (Y, X), or (Y, X, C) in colour; palettes and the like become RGB."""
    if picture.mode == "P":
        palette = np.reshape(picture.getpalette("RGB") or [0, 0, 0], (-1, 3))
        picture = picture.convert("L" if (palette == palette[:, :1]).all() else "RGB")
    elif picture.mode not in ("1", "L", "LA", "RGB", "RGBA", "F", "I") and not (
        picture.mode.startswith("I;16")
    ):
        picture = picture.convert("RGBA" if picture.mode == "PA" else "RGB")
    array = np.array(picture)
    if picture.mode == "I" and array.min() >= 0 and array.max() < 1 << 16:
        return array.astype(np.uint16)  # 16-bit PNG as older releases of Pillow open it
    return array


def _read_tiff(path: Path, wanted: bool) -> tuple[npt.NDArray[Any], str, float | None]:
    """Array, axes and pixel size of the first series of a TIFF file."""
    if not is_whole(path):
        raise ValueError("its end is missing")
    with tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise InputError(f"{path} is a TIFF file without an image in it.")
        series = tif.series[0]
        for page in series.pages:
            # tifffile fills what lies beyond the end of the file with zeros
            if page is None or any(
                offset + count > page.parent.filehandle.size
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
            ):
                raise ValueError("its end is missing")
        try:
            array = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            array = _decode_tiff(path, tuple(series.shape))
        if tif.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            array = ~array if array.dtype.kind in "bu" else array
        own = sizes.from_tiff(tif, str(path)) if wanted else None
        return *_arrange(array, series.axes, path), own


def _decode_tiff(path: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Pixels of a TIFF file by Pillow, which knows LZW and JPEG compression."""
    try:
        with PIL.Image.open(path, formats=["TIFF"]) as picture:
            frames = [_pillow_array(frame) for frame in PIL.ImageSequence.Iterator(picture)]
        return np.stack(frames).reshape(shape)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(
            f"{path} is compressed in a way that is not read ({_one_line(error)}); save it "
            "uncompressed, or install the package imagecodecs."
        ) from error


def _arrange(array: npt.NDArray[Any], axes: str, path: Path) -> tuple[npt.NDArray[Any], str]:
    """Bring tifffile's axes into the order of `Image`: T, Z, Y, X and colour last."""
    keep = tuple(i for i, axis in enumerate(axes) if axis in "YX" or array.shape[i] > 1)
    array = array.reshape([array.shape[i] for i in keep])
    axes = "".join(axes[i] for i in keep)
    if "C" in axes and ("S" in axes or array.shape[axes.index("C")] != 3):
        raise InputError(
            f"{path} has {array.shape[axes.index('C')]} channels; save the one to use by itself."
        )
    axes = axes.replace("S", "C")
    for axis in axes:  # unnamed axes (Q, I, R, ...) are depth first, then time
        if axis not in "TZYXC":
            axes = axes.replace(axis, next((a for a in "ZT" if a not in axes), "?"), 1)
    if "?" in axes or not {"Y", "X"} <= set(axes):
        raise InputError(
            f"{path} has the axes {axes} of shape {array.shape}; at most T, Z, Y, X and colour are "
            "read."
        )
    order = [axes.index(axis) for axis in "TZYXC" if axis in axes]
    return array.transpose(order), "".join(axes[i] for i in order)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).rstrip(".").lower()


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:120] or type(error).__name__
