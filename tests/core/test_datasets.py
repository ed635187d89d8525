"""Data sets of images and masks: every layout is read, what is no pair is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_axongen.core.datasets import (
    find_pairs,
    from_arrays,
    load_bids,
    load_dataset,
    make_fields,
)
from napari_axongen.core.datasets.labelled import class_indices, mask_values
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import write_image

CLASSES = np.array([[0, 127, 255, 255, 127], [0, 127, 127, 127, 0], [0, 0, 255, 127, 0]], np.uint8)
GREY = np.arange(15, dtype=np.uint8).reshape(3, 5) * 17


def bids(root: Path, subject: str, sample: str, ending: str = "png", mask: bool = True) -> Path:
    """Add an image, and its mask, to a BIDS-microscopy data set; returns the image."""
    stem = f"sub-{subject}_sample-{sample}_SEM"
    path = root / f"sub-{subject}" / "micr" / f"{stem}.{ending}"
    write_image(path, GREY)
    path.with_suffix(".json").write_text('{"PixelSize": [0.1, 0.1], "PixelSizeUnits": "um"}')
    if mask:
        write_image(labels(path, "_seg-axonmyelin-manual.png"), CLASSES)
    return path


def labels(image: Path, ending: str) -> Path:
    root, subject = image.parents[2], image.parts[-3]
    return root / "derivatives" / "labels" / subject / "micr" / f"{image.stem}{ending}"


def test_bids_of_any_image_type(tmp_path: Path) -> None:
    bids(tmp_path, "b", "1")
    bids(tmp_path, "a", "2", "tif")
    first, second = load_bids(tmp_path)
    assert (first.animal, second.animal) == ("sub-a", "sub-b")
    assert first.image.name == "sub-a_sample-2_SEM.tif"
    assert first.image.pixel_size == 0.1
    assert first.image.data.dtype == np.uint8
    np.testing.assert_array_equal(first.image.data, GREY)
    np.testing.assert_array_equal(first.classes, class_indices(CLASSES))
    assert find_pairs(tmp_path).kind == "BIDS-microscopy"


def test_bids_sessions(tmp_path: Path) -> None:
    folder = Path("sub-a") / "ses-1" / "micr"
    write_image(tmp_path / folder / "x.png", GREY)
    write_image(
        tmp_path / "derivatives" / "labels" / folder / "x_seg-axonmyelin-manual.png", CLASSES
    )
    (pair,) = find_pairs(tmp_path).pairs
    assert (pair.name, pair.animal, pair.source) == ("sub-a_x", "sub-a", "sub-a/ses-1/micr/x.png")


def test_axon_and_myelin_masks_are_joined_where_there_is_none_of_both(tmp_path: Path) -> None:
    path = bids(tmp_path, "a", "1", mask=False)
    axon = np.uint8(CLASSES == 255) * np.uint8(255)
    write_image(labels(path, "_seg-axon-manual.png"), axon)
    write_image(labels(path, "_seg-myelin-manual.png"), np.uint8(CLASSES > 0) * np.uint8(255))
    (image,) = load_bids(tmp_path)
    np.testing.assert_array_equal(mask_values(image.classes), CLASSES)

    write_image(labels(path, "_seg-myelin-manual.png"), axon[:2])
    with pytest.raises(InputError, match=r"axon-manual.png has 3 x 5 pixels and .*myelin.* 2 x 5"):
        load_bids(tmp_path)


def test_an_image_without_a_mask_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = bids(tmp_path, "a", "1", mask=False)
    write_image(labels(path, "_seg-axon-manual.png"), CLASSES)
    bids(tmp_path, "b", "2")
    layout = find_pairs(tmp_path)
    assert [pair.animal for pair in layout.pairs] == ["sub-b"]
    (refused,) = layout.refused
    assert "sub-a_sample-1_SEM.png has no mask of axons and myelin" in refused
    assert [image.animal for image in load_bids(tmp_path)] == ["sub-b"]


def test_a_mask_without_an_image_is_named(tmp_path: Path) -> None:
    bids(tmp_path, "b", "2")
    bids(tmp_path, "b", "1").unlink()
    (refused,) = find_pairs(tmp_path).refused
    assert "sub-b_sample-1_SEM_seg-axonmyelin-manual.png is a mask without an image" in refused


def test_samples_without_an_image_are_named(tmp_path: Path) -> None:
    bids(tmp_path, "a", "1")
    bids(tmp_path, "b", "2")
    table = tmp_path / "samples.tsv"
    rows = ["sample_id\tparticipant_id\tsample_type", "sample-1\tsub-a\ttissue", "2\tb\ttissue"]
    table.write_text("\n".join(rows))
    assert find_pairs(tmp_path).refused == []
    table.write_text("\n".join([*rows, "sample-1\tsub-b\ttissue"]))
    (refused,) = find_pairs(tmp_path).refused
    assert f"samples.tsv of {tmp_path} lists sample-1 of sub-b, but there is no such" in refused
    table.write_text("sample\tparticipant_id\n1\ta\n")
    with pytest.raises(InputError, match=r"samples.tsv has no sample_id in line 2"):
        find_pairs(tmp_path)
    table.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"samples.tsv cannot be read"):
        find_pairs(tmp_path)


def test_images_and_masks(tmp_path: Path) -> None:
    for name in ("one.png", "two.tif"):
        write_image(tmp_path / "images" / name, GREY)
    write_image(tmp_path / "masks" / "one.tif", CLASSES)
    write_image(tmp_path / "masks" / "two_mask.png", CLASSES)
    layout = find_pairs(tmp_path)
    assert [(pair.name, pair.source) for pair in layout.pairs] == [
        ("one", "images/one.png"),
        ("two", "images/two.tif"),
    ]
    assert layout.refused == []
    for image in load_dataset(tmp_path):
        np.testing.assert_array_equal(mask_values(image.classes), CLASSES)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("image_7.png", "mask_7.png"),
        ("a.b.tif", "a.b_seg-axonmyelin.png"),
        ("a.ome.tif", "a_seg-axonmyelin-manual.png"),
        ("a.PNG", "a_mask.tif"),
    ],
)
def test_pairs_in_one_folder(tmp_path: Path, image: str, mask: str) -> None:
    write_image(tmp_path / image, GREY)
    write_image(tmp_path / mask, CLASSES)
    layout = find_pairs(tmp_path)
    assert layout.kind == "pairs in one folder"
    assert layout.refused == []
    (pair,) = layout.pairs
    np.testing.assert_array_equal(mask_values(pair.read().classes), CLASSES)
    assert pair.animal == pair.name
    assert "1 of 1 images name no animal" in layout.notes[0]


def test_what_else_is_known_of_an_image_is_no_image(tmp_path: Path) -> None:
    for name in ("0.tif", "0_seg-axonmyelin.png", "0_seg-axon.png", "0_instances.tif",
                 "0_unmyelinated.png"):  # fmt: skip
        write_image(tmp_path / name, CLASSES)
    layout = find_pairs(tmp_path)
    assert [pair.name for pair in layout.pairs] == ["0"]
    assert layout.refused == []


def test_manual_masks_come_first(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", GREY)
    write_image(tmp_path / "a_seg-axonmyelin.png", 0 * CLASSES)
    write_image(tmp_path / "a_seg-axonmyelin-manual.png", CLASSES)
    write_image(tmp_path / "a_seg-uaxon-manual.png", CLASSES)
    layout = find_pairs(tmp_path)
    assert layout.refused == []
    np.testing.assert_array_equal(mask_values(layout.pairs[0].read().classes), CLASSES)


def test_animals_of_plain_folders(tmp_path: Path) -> None:
    for name in ("sub-x_1", "cut_sub-x_2", "three"):
        write_image(tmp_path / f"{name}.png", GREY)
        write_image(tmp_path / f"{name}_mask.png", CLASSES)
    layout = find_pairs(tmp_path)
    found = {pair.name: pair.animal for pair in layout.pairs}
    assert found == {"sub-x_1": "sub-x", "cut_sub-x_2": "sub-x", "three": "three"}
    assert "1 of 3 images name no animal" in layout.notes[0]

    table = tmp_path / "animals.csv"
    table.write_text("image,animal,age\nsub-x_1.png,m1,3\ncut_sub-x_2,m1,3\nthree.png,m2,4\n")
    layout = find_pairs(tmp_path)
    assert [pair.animal for pair in layout.pairs] == ["m1", "m1", "m2"]
    assert [image.animal for image in load_dataset(tmp_path)] == ["m1", "m1", "m2"]
    assert layout.notes == []

    table.write_text("image,animal\nsub-x_1.png,m1\nthree.png,m2\n")
    layout = find_pairs(tmp_path)
    assert [pair.name for pair in layout.pairs] == ["sub-x_1", "three"]
    assert "animals.csv" in layout.refused[0]
    assert "no line for cut_sub-x_2" in layout.refused[0]
    table.write_text("image,animal\nthree.png,\n")
    with pytest.raises(InputError, match=r"animals.csv has no animal in line 2"):
        find_pairs(tmp_path)


def test_equal_names_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "b.png", "c.png"):
        write_image(tmp_path / "images" / name, GREY)
    for name in ("a.png", "b.png", "c.png", "c.tif"):
        write_image(tmp_path / "masks" / name, CLASSES)
    layout = find_pairs(tmp_path)
    assert [pair.name for pair in layout.pairs] == ["b"]
    first, second = layout.refused
    assert "images/a.png and a.tif have the same name" in Path(first).as_posix()
    assert "masks/c.png and c.tif have the same name" in Path(second).as_posix()


def test_what_is_no_data_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no data set: neither BIDS-microscopy"):
        find_pairs(tmp_path)
    write_image(tmp_path / "images" / "a.png", GREY)
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match=r"holds no image with a mask: .*a.png has no mask"):
        find_pairs(tmp_path)
    with pytest.raises(InputError, match="was not found"):
        load_dataset("no-such-data-set")


# ---------------------------------------------------------------- one image and its mask


def read(folder: Path, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey values and mask of a pair of files."""
    write_image(folder / "a.tif", image)
    write_image(folder / "a_mask.tif", mask)
    (found,) = load_dataset(folder)
    return found.image.data, mask_values(found.classes)


def test_alpha_and_colour(tmp_path: Path) -> None:
    rgba = np.stack([GREY, GREY, GREY, np.full_like(GREY, 9)], -1)
    grey, _ = read(tmp_path, rgba, CLASSES)
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, GREY)
    (found,) = from_arrays([np.stack([GREY, 0 * GREY], -1)], [CLASSES])
    np.testing.assert_array_equal(found.image.data, GREY)


def test_grey_values_keep_their_type(tmp_path: Path) -> None:
    grey, _ = read(tmp_path, GREY.astype(np.uint16) * 300, CLASSES)
    assert grey.dtype == np.uint16
    np.testing.assert_array_equal(grey, GREY.astype(np.uint16) * 300)


def test_stray_mask_values(tmp_path: Path) -> None:
    big = np.kron(CLASSES, np.ones((10, 10), np.uint8))
    stray = big.copy()
    stray[0, :4], stray[0, 10:14] = (63, 64, 191, 192), (128, 130, 233, 240)
    _, mask = read(tmp_path, np.kron(GREY, np.ones((10, 10), np.uint8)), stray)
    np.testing.assert_array_equal(mask[0, :4], (0, 127, 127, 255))
    np.testing.assert_array_equal(mask[0, 10:14], (127, 127, 255, 255))
    np.testing.assert_array_equal(mask[1:], big[1:])


def test_masks_of_16_bits(tmp_path: Path) -> None:
    _, mask = read(tmp_path, GREY, CLASSES.astype(np.uint16) * 257)
    np.testing.assert_array_equal(mask, CLASSES)
    _, mask = read(tmp_path, GREY, CLASSES.astype(np.uint16))
    np.testing.assert_array_equal(mask, CLASSES)


@pytest.mark.parametrize(
    ("image", "mask", "said"),
    [
        (GREY, CLASSES[:2], "a.tif has 3 x 5 pixels and its mask 2 x 5"),
        (GREY, CLASSES // 127, "a_mask.tif is not a mask: its values run from 0 to 2"),
        (np.stack([GREY] * 5), CLASSES, "a.tif is a stack"),
        (GREY, np.stack([CLASSES] * 5), "its mask 5 x 3 x 5"),
    ],
)
def test_unusable_pairs_are_refused_by_name(
    tmp_path: Path, image: np.ndarray, mask: np.ndarray, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path, image, mask)


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    write_image(tmp_path / "a_mask.png", CLASSES)
    (tmp_path / "a.png").write_bytes((tmp_path / "a_mask.png").read_bytes()[:48])
    with pytest.raises(InputError, match=r"a.png is damaged"):
        load_dataset(tmp_path)


def test_open_arrays() -> None:
    images = [GREY, GREY.astype(np.float32)]
    first, second = from_arrays(images, [CLASSES, CLASSES > 0], ["m", "n"], [0.1, None])
    assert (first.animal, first.image.pixel_size, first.image.name) == ("m", 0.1, "image-0")
    assert second.image.pixel_size is None
    np.testing.assert_array_equal(second.classes, np.where(CLASSES > 0, 2, 0))
    assert [image.animal for image in from_arrays(images, [CLASSES] * 2)] == ["image-0", "image-1"]
    assert from_arrays([GREY], [CLASSES], pixel_size=0.2)[0].image.pixel_size == 0.2
    with pytest.raises(InputError, match="2 images come with 1 masks"):
        from_arrays(images, [CLASSES])
    with pytest.raises(InputError, match="the mask of cell is not a mask"):
        from_arrays([GREY], [GREY], names=["cell"])


def test_fields_of_the_package() -> None:
    first, second = make_fields("SEM", 2, 64, seed=1)
    assert (first.animal, second.animal) == ("sub-0", "sub-1")
    assert set(np.unique(first.classes)) <= {0, 1, 2}
    assert not np.array_equal(first.classes, second.classes)


# ---------------------------------------------------------------- the real ones


def test_real_data_sets_are_read_whole(shared_data: Path) -> None:
    for name, images, animals, alpha in (
        ("data_axondeepseg_sem", 7, 5, "sub-rat5"),
        ("data_axondeepseg_srf_testing", 15, 7, None),
        ("tem_peripheral_nerve", 91, 91, None),
    ):
        layout = find_pairs(shared_data / name)
        assert layout.refused == []
        assert len(layout.pairs) == images
        assert len({pair.animal for pair in layout.pairs}) == animals
        for pair in layout.pairs:
            image = pair.read()
            assert image.image.data.shape == image.classes.shape
            assert image.image.data.dtype == np.uint8
            if pair.animal == alpha:
                assert image.image.data.std() > 10
    sizes = {
        json.loads(path.read_text())["PixelSize"][0]
        for path in (shared_data / "data_axondeepseg_sem").glob("sub-*/micr/*.json")
    }
    read_sizes = {
        image.image.pixel_size for image in load_dataset(shared_data / "data_axondeepseg_sem")
    }
    assert read_sizes == sizes
