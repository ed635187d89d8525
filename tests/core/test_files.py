from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import (
    atomic_path,
    read_image,
    read_mask,
    write_bytes,
    write_image,
)
from napari_axongen.core.image import Image


def picture(shape: tuple[int, ...] = (24, 31), dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    values = np.random.default_rng(seed).random(shape) * top
    return values.astype(dtype)


def no_partial_left(folder: Path) -> bool:
    return not list(folder.rglob("*.partial"))


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "axes"),
    [
        ("a.png", (24, 31), "uint8", "YX"),
        ("a.png", (24, 31), "uint16", "YX"),
        ("a.png", (24, 31, 3), "uint8", "YXC"),
        ("a.png", (24, 31, 4), "uint8", "YXC"),
        ("a.bmp", (24, 31), "uint8", "YX"),
        ("a.tif", (24, 31), "uint8", "YX"),
        ("a.tif", (24, 31), "uint16", "YX"),
        ("a.tif", (24, 31), "float32", "YX"),
        ("a.tif", (24, 31, 3), "uint8", "YXC"),
        ("a.tif", (5, 24, 31), "uint8", "ZYX"),
        ("a.tif", (2, 5, 24, 31), "uint16", "TZYX"),
        ("a.png", (1, 1), "uint8", "YX"),
        ("a.png", (1, 100_000), "uint8", "YX"),
        ("a.tif", (1, 100_000), "uint8", "YX"),
    ],
)
def test_lossless_formats_come_back_as_they_were(
    tmp_path: Path, name: str, shape: tuple[int, ...], dtype: str, axes: str
) -> None:
    array = picture(shape, dtype)
    path = tmp_path / name
    if name.endswith("bmp"):
        PIL.Image.fromarray(array).save(path)
    else:
        write_image(path, array)
    image = read_image(path)
    assert image.axes == axes
    assert image.pixel_size is None
    assert image.name == name
    assert np.asarray(image.data).dtype == array.dtype
    np.testing.assert_array_equal(image.data, array)


def test_jpeg(tmp_path: Path) -> None:
    array = np.full((16, 16), 90, np.uint8)
    PIL.Image.fromarray(array).save(tmp_path / "a.jpg", dpi=(300, 300))
    image = read_image(tmp_path / "a.jpg")
    assert np.abs(image.data.astype(int) - 90).max() <= 2
    assert image.pixel_size is None, "300 dpi is a printing size"


def test_boolean_grey_alpha_and_palettes(tmp_path: Path) -> None:
    mask = picture() > 127
    PIL.Image.fromarray(mask).save(tmp_path / "bool.png")
    assert read_image(tmp_path / "bool.png").data.dtype == np.bool_
    PIL.Image.fromarray(picture()).convert("LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "la.png").read(()), picture())
    PIL.Image.fromarray(picture()).convert("P").save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png").data, picture())
    PIL.Image.fromarray(picture((8, 8, 3))).quantize(5).save(tmp_path / "colours.png")
    assert read_image(tmp_path / "colours.png").data.shape == (8, 8, 3)


def test_tiff_axes_are_put_in_order(tmp_path: Path) -> None:
    stack = picture((3, 2, 24, 31))
    tifffile.imwrite(tmp_path / "zt.tif", stack, metadata={"axes": "ZTYX"})
    image = read_image(tmp_path / "zt.tif")
    assert image.axes == "TZYX"
    np.testing.assert_array_equal(image.data, stack.transpose(1, 0, 2, 3))
    tifffile.imwrite(tmp_path / "plain.tif", stack[:, 0], metadata=None, photometric="minisblack")
    assert read_image(tmp_path / "plain.tif").axes == "ZYX"
    tifffile.imwrite(tmp_path / "one.ome.tif", stack[:1, :1], metadata={"axes": "TZYX"})
    assert read_image(tmp_path / "one.ome.tif").axes == "YX"
    planar = picture((3, 24, 31))
    tifffile.imwrite(tmp_path / "planar.tif", planar, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(
        read_image(tmp_path / "planar.tif").data, planar.transpose(1, 2, 0)
    )


def test_channels_are_refused(tmp_path: Path) -> None:
    for channels in (2, 4, 7):
        path = tmp_path / f"{channels}.ome.tif"
        tifffile.imwrite(path, picture((channels, 24, 31)), metadata={"axes": "CYX"})
        with pytest.raises(InputError, match=f"{channels} channels"):
            read_image(path)


def test_white_is_zero_is_turned_over(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(), photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data, 255 - picture())


def test_lzw_needs_no_further_package(tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(picture(dtype="uint16", seed=seed)) for seed in range(3)]
    frames[0].save(
        tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=frames[1:]
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, np.stack([np.asarray(f) for f in frames]))


def test_more_pixels_than_pillow_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", picture((40, 40)))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(tmp_path / "a.png").plane_shape == (40, 40)
    assert PIL.Image.MAX_IMAGE_PIXELS == 100


def test_axes_are_named_as_told(tmp_path: Path) -> None:
    path, array = tmp_path / "a.tif", picture((5, 24, 3))
    for axes, read in (("IYX", "ZYX"), ("TYX", "TYX"), (None, "YXC")):
        write_image(path, array, axes=axes)
        with tifffile.TiffFile(path) as file:
            assert file.series[0].axes == (axes or "YXS")
        image = read_image(path)
        assert image.axes == read
        np.testing.assert_array_equal(image.data, array)


# ---------------------------------------------------------------- pixel size


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF"])
@pytest.mark.parametrize("pixel_size", [0.00493, 0.1, 1.0])
def test_pixel_size_is_kept(tmp_path: Path, name: str, pixel_size: float) -> None:
    write_image(tmp_path / name, picture(), pixel_size)
    assert read_image(tmp_path / name).pixel_size == pytest.approx(pixel_size, rel=1e-6)
    assert read_image(tmp_path / name, pixel_size=2.5).pixel_size == 2.5


@pytest.mark.parametrize(("size", "unit"), [(4.93, "nm"), (0.00493, "µm"), (4.93e-6, "mm")])
def test_pixel_size_of_ome(tmp_path: Path, size: float, unit: str) -> None:
    notes = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size}
    notes |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", picture(), metadata=notes)
    assert read_image(tmp_path / "a.ome.tif").pixel_size == pytest.approx(0.00493)


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_pixel_size_of_imagej(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), imagej=True, resolution=(20, 20), metadata={"unit": unit})
    assert read_image(path).pixel_size == pytest.approx(0.05)


def test_pixel_size_of_fei(tmp_path: Path) -> None:
    notes = b"[User]\r\nDate=1\r\n[Scan]\r\nPixelWidth=5e-009\r\nPixelHeight=5e-009\r\n\0"
    path = tmp_path / "a.tif"
    tags = [(34682, 2, len(notes), notes, True)]
    tifffile.imwrite(path, picture(), extratags=tags, metadata=None)
    assert read_image(path).pixel_size == pytest.approx(0.005)


def test_printing_resolutions_are_no_pixel_size(tmp_path: Path) -> None:
    for dpi in (72, 300):
        PIL.Image.fromarray(picture()).save(tmp_path / "a.png", dpi=(dpi, dpi))
        assert read_image(tmp_path / "a.png").pixel_size is None
        tifffile.imwrite(tmp_path / "a.tif", picture(), resolution=(dpi, dpi), resolutionunit=2)
        assert read_image(tmp_path / "a.tif").pixel_size is None


def test_pixels_that_are_not_square_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), resolution=(1e5, 2e5), resolutionunit="CENTIMETER")
    with pytest.raises(InputError, match="wide"):
        read_image(path)
    assert read_image(path, pixel_size=0.1).pixel_size == 0.1


def bids_image(tmp_path: Path, sidecars: dict[str, object]) -> Path:
    (tmp_path / "dataset_description.json").write_text("{}")
    folder = tmp_path / "sub-1" / "micr"
    folder.mkdir(parents=True)
    path = folder / "sub-1_sample-2_TEM.png"
    write_image(path, picture(), 0.7)
    for name, content in sidecars.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text)
    return path


def sidecar(size: object, unit: str = "um") -> dict[str, object]:
    return {"PixelSize": size, "PixelSizeUnits": unit}


@pytest.mark.parametrize(
    ("sidecars", "expected"),
    [
        ({}, 0.7),
        ({"sub-1/micr/sub-1_sample-2_TEM.json": sidecar([4.93, 4.93], "nm")}, 0.00493),
        ({"sub-1/micr/sub-1_TEM.json": sidecar([0.2, 0.2])}, 0.2),
        ({"sub-1/sub-1_TEM.json": sidecar([0.2, 0.2, 0.05])}, 0.2),
        ({"TEM.json": sidecar(0.3)}, 0.3),
        ({"sub-1/micr/sub-1_TEM.json": sidecar([0.2, 0.2]), "TEM.json": sidecar([9, 9])}, 0.2),
        (
            {
                "sub-1/micr/sub-1_TEM.json": sidecar([0.2, 0.2]),
                "sub-1/micr/sub-1_sample-2_TEM.json": sidecar([0.4, 0.4]),
            },
            0.4,
        ),
        ({"sub-1/micr/sub-1_sample-3_TEM.json": sidecar([0.2, 0.2])}, 0.7),
        ({"sub-1/micr/sub-1_SEM.json": sidecar([0.2, 0.2])}, 0.7),
        ({"sub-1/micr/sub-1_TEM.json": {"BodyPart": "BRAIN"}}, 0.7),
    ],
)
def test_bids_sidecars(tmp_path: Path, sidecars: dict[str, object], expected: float) -> None:
    assert read_image(bids_image(tmp_path, sidecars)).pixel_size == pytest.approx(expected)


@pytest.mark.parametrize(
    "content", [sidecar([-1, -1]), sidecar("wide"), sidecar([]), sidecar([1, 1], "px"), "{not json"]
)
def test_bad_sidecars_are_named(tmp_path: Path, content: object) -> None:
    path = bids_image(tmp_path, {"sub-1/micr/sub-1_TEM.json": content})
    with pytest.raises(InputError, match=r"sub-1_TEM\.json"):
        read_image(path)
    assert read_image(path, pixel_size=0.1).pixel_size == 0.1


@pytest.mark.parametrize("pixel_size", [0.0, -0.1, float("nan"), float("inf"), 1e9])
def test_absurd_pixel_sizes(tmp_path: Path, pixel_size: float) -> None:
    write_image(tmp_path / "a.png", picture())
    with pytest.raises(InputError, match="pixel size"):
        read_image(tmp_path / "a.png", pixel_size)
    with pytest.raises(InputError, match="pixel size"):
        write_image(tmp_path / "b.png", picture(), pixel_size)
    assert not (tmp_path / "b.png").exists()


# ---------------------------------------------------------------- bad files


def one_sentence(error: pytest.ExceptionInfo[InputError], name: str) -> bool:
    text = str(error.value)
    return name in text and text.endswith(".") and "\n" not in text and "Traceback" not in text


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
def test_empty_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="0 bytes") as error:
        read_image(tmp_path / name)
    assert one_sentence(error, name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
@pytest.mark.parametrize("content", [b"hello, I am a text file\n" * 9, b"PK\x03\x04", b"\0" * 999])
def test_files_that_are_no_images(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="not a PNG, JPEG, BMP or TIFF") as error:
        read_image(tmp_path / name)
    assert one_sentence(error, name)


def truncated(tmp_path: Path, kind: str) -> bytes:
    path = tmp_path / f"whole.{kind.split('-')[0]}"
    if kind == "tif-stack":
        tifffile.imwrite(path, picture((4, 24, 31)), photometric="minisblack")
    elif kind == "tif-zlib":
        write_image(path, picture((4, 24, 31)))
    elif kind == "tif-lzw":
        PIL.Image.fromarray(picture()).save(path, compression="tiff_lzw")
    else:
        PIL.Image.fromarray(picture()).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "tif-stack", "tif-zlib", "tif-lzw"])
@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_truncated_files(tmp_path: Path, kind: str, part: float) -> None:
    content = truncated(tmp_path, kind)
    path = tmp_path / f"cut.{kind.split('-')[0]}"
    path.write_bytes(content[: max(10, int(part * len(content)))])
    with pytest.raises(InputError) as error:
        read_image(path)
    assert one_sentence(error, path.name)


OME = {"ome": True, "metadata": {"axes": "ZYX"}}


@pytest.mark.parametrize(
    "options",
    [{}, {"metadata": None}, {"bigtiff": True}, {"byteorder": ">"}, OME],
    ids=["shaped", "plain", "big", "big-endian", "ome"],
)
def test_a_stack_cut_anywhere_never_loses_planes_in_silence(
    tmp_path: Path, options: dict[str, object]
) -> None:
    """Cut within the chain of its directories, a decoder sees a shorter stack that is in order."""
    tifffile.imwrite(tmp_path / "a.tif", picture((4, 8, 9)), photometric="minisblack", **options)
    content = (tmp_path / "a.tif").read_bytes()
    assert read_image(tmp_path / "a.tif").axes == "ZYX"
    for length in range(16, len(content) - 16, 29):  # tifffile ends some files with padding
        (tmp_path / "cut.tif").write_bytes(content[:length])
        with pytest.raises(InputError, match="damaged or cut short"):
            read_image(tmp_path / "cut.tif")


def test_png_with_a_damaged_byte(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture((60, 60)))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_image(tmp_path / "a.png")


def test_png_that_claims_no_pixels(tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 0, 0, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(InputError):
        read_image(tmp_path / "a.png")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", picture())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="permission denied"):
        read_image(tmp_path / "a.png")


def test_complex_values_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture().astype("complex64"))
    with pytest.raises(InputError, match="complex64"):
        read_image(tmp_path / "a.tif")


# ---------------------------------------------------------------- masks


def test_masks_are_snapped_to_their_classes(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).choice([0, 127, 128, 254, 255, 3], (50, 60)).astype(np.uint8)
    mask[0, :3] = (60, 100, 200)  # smoothed edges
    write_image(tmp_path / "m.png", mask)
    classes = read_mask(tmp_path / "m.png")
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, np.array([0, 127, 255])[np.digitize(mask, (64, 192))])
    assert read_mask(tmp_path / "m.png").shape == (50, 60)


def test_masks_in_other_clothes(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).choice([0, 127, 255], (20, 20)).astype(np.uint8)
    write_image(tmp_path / "rgb.png", np.stack([mask] * 3, -1))
    np.testing.assert_array_equal(read_mask(tmp_path / "rgb.png"), mask)
    PIL.Image.fromarray(mask).convert("LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "la.png"), mask)
    write_image(tmp_path / "bool.png", mask == 255)
    np.testing.assert_array_equal(read_mask(tmp_path / "bool.png"), (mask == 255) * 255)
    write_image(tmp_path / "none.png", np.zeros((5, 5), np.uint8))
    assert not read_mask(tmp_path / "none.png").any()


@pytest.mark.parametrize(
    "array",
    [
        picture((40, 40)),
        picture((40, 40, 3)),
        np.random.default_rng(0).integers(0, 3, (40, 40)).astype(np.uint8),
        picture((40, 40), "uint16"),
    ],
    ids=["micrograph", "colours", "class numbers", "uint16"],
)
def test_pictures_that_are_no_masks(tmp_path: Path, array: np.ndarray) -> None:
    write_image(tmp_path / "a.png", array)
    with pytest.raises(InputError, match=r"a\.png"):
        read_mask(tmp_path / "a.png")


# ---------------------------------------------------------------- writing


def write_half(path: Path, error: BaseException) -> None:
    with atomic_path(path) as partial:
        partial.write_text("half of the n")
        raise error


def test_a_failure_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(path, RuntimeError())
    assert path.read_text() == "old"
    assert no_partial_left(tmp_path)


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as partial:
        partial.write_text("new")
        assert not path.exists()
        assert partial.parent == path.parent
    assert path.read_text() == "new"
    assert no_partial_left(tmp_path)


def test_an_interruption_cleans_up(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    (tmp_path / "a.png").write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(InputError, match=r"a\.png cannot be written: no space left"):
        write_image(tmp_path / "a.png", picture())
    assert (tmp_path / "a.png").read_text() == "old"
    assert no_partial_left(tmp_path)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "a.png", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        write_bytes(tmp_path / "folder", b"x")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_no_permission(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    with pytest.raises(InputError, match="permission denied"):
        write_bytes(folder / "a.png", b"x")


def test_formats_that_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png or \.tif"):
        write_image(tmp_path / "a.jpg", picture())
    with pytest.raises(InputError, match=r"name it \.tif"):
        write_image(tmp_path / "a.png", picture((2, 2, 8, 8)))
    with pytest.raises(InputError, match=r"name it \.tif"):
        write_image(tmp_path / "a.png", picture(dtype="float32"))
    assert list(tmp_path.iterdir()) == []


def test_labels_round_trip(tmp_path: Path) -> None:
    labels = np.arange(600, dtype=np.int32).reshape(20, 30) * 1000
    write_image(tmp_path / "labels.tif", labels, 0.1)
    image = read_image(tmp_path / "labels.tif")
    assert isinstance(image, Image)
    assert image.data.dtype == np.int32
    np.testing.assert_array_equal(image.data, labels)
