"""Data sets as tiles: whole animals on one side, one scale, every pixel where it was."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_axongen.core.datasets import LabelledImage, from_arrays, load_dataset
from napari_axongen.core.datasets.labelled import mask_values
from napari_axongen.core.datasets.prepare import Prepared, prepare_steps
from napari_axongen.core.datasets.prepare_parameters import PrepareParameters
from napari_axongen.core.datasets.prepared import load_prepared, read_index
from napari_axongen.core.datasets.scaling import grey_limits, rescale, scale_to, to_bytes
from napari_axongen.core.datasets.splitting import split_animals, split_by_name
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Progress, run
from napari_axongen.core.files import read_image, write_image
from napari_axongen.core.matching import median_axon_diameter
from napari_axongen.core.tiling import resample_image


def mask(shape: tuple[int, int] = (70, 90), radius: int = 8, pitch: int = 30) -> np.ndarray:
    """Fibres of an axon radius on a square grid, sheaths 4 px thick."""
    y, x = (axis % pitch - pitch // 2 for axis in np.indices(shape))
    distance = np.hypot(y, x)
    classes = np.zeros(shape, np.uint8)
    classes[distance <= radius + 4] = 127
    classes[distance <= radius] = 255
    return classes


def grey(shape: tuple[int, int] = (70, 90), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def images(count: int = 3, **keywords: Any) -> list[LabelledImage]:
    """One image an animal: sub-0 and so on, 0.1 um a pixel."""
    names = [f"sub-{index}" for index in range(count)]
    keywords = {"pixel_size": 0.1, "names": names, "animals": names} | keywords
    return from_arrays([grey(seed=i) for i in range(count)], [mask()] * count, **keywords)


def prepare(dataset: Any, out: Path, **parameters: Any) -> tuple[Prepared, list[Event]]:
    events: list[Event] = []
    return run(prepare_steps(dataset, PrepareParameters(**parameters), out), events.append), events


def said(events: Iterable[Event], level: str = "warning") -> list[str]:
    return [e.message for e in events if isinstance(e, Notice) and e.level == level]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# ---------------------------------------------------------------- split


SIZES = {"a": 118, "b": 122, "c": 178, "d": 63, "e": 342}
SHARES = (0.7, 0.15, 0.15)


def test_whole_animals_and_each_in_one_part() -> None:
    for seed in range(20):
        split = split_animals(SIZES, SHARES, seed)
        assert list(split) == ["train", "val", "test"]
        assert sorted(itertools.chain(*split.values())) == sorted(SIZES)
        assert all(split.values())


def test_a_split_is_as_even_as_whole_animals_allow() -> None:
    total = sum(SIZES.values())

    def deviation(parts: Iterable[Iterable[str]]) -> float:
        shares = [sum(SIZES[name] for name in part) / total for part in parts]
        return max(abs(a - b) for a, b in zip(shares, SHARES, strict=True))

    best = min(
        deviation([[n for n, p in zip(SIZES, parts, strict=True) if p == k] for k in range(3)])
        for parts in itertools.product(range(3), repeat=len(SIZES))
        if len(set(parts)) == 3
    )
    for seed in range(5):
        assert deviation(split_animals(SIZES, SHARES, seed).values()) <= best + 0.02
    many = {f"f{index}": 1 + index % 7 for index in range(91)}
    for part, share in zip(split_animals(many, SHARES, 0).values(), SHARES, strict=True):
        assert sum(many[name] for name in part) / sum(many.values()) == pytest.approx(
            share, abs=0.03
        )


def test_the_seed_chooses_the_split_and_nothing_else_does() -> None:
    equal = {f"m{index}": 100 for index in range(8)}
    shuffled = dict(reversed(equal.items()))
    splits = [split_animals(equal, SHARES, seed) for seed in range(6)]
    assert splits == [split_animals(shuffled, SHARES, seed) for seed in range(6)]
    assert len({json.dumps(split) for split in splits}) > 1


def test_parts_without_a_share_get_nothing() -> None:
    assert split_animals({"a": 5, "b": 1}, (0.8, 0.0, 0.2), 0) == {"train": ["a"], "test": ["b"]}
    assert split_animals({"a": 5, "b": 1}, (1.0, 0.0, 0.0), 0) == {"train": ["a", "b"]}


def test_too_few_animals() -> None:
    with pytest.raises(InputError, match=r"3 parts .* there are only 2 \(a, b\)"):
        split_animals({"a": 5, "b": 1}, SHARES, 0)
    three = split_animals({"a": 900, "b": 1, "c": 1}, SHARES, 0)
    assert three["train"] == ["a"]


def test_animals_by_name() -> None:
    animals = {"a", "b", "c", "d"}
    assert split_by_name(animals, {"val": ["b"], "test": ["c", "c"]}) == {
        "train": ["a", "d"],
        "val": ["b"],
        "test": ["c"],
    }
    assert split_by_name(animals, {"train": ["d"]}) == {"train": ["d"]}
    for named, reason in (
        ({"val": ["x"]}, "'x' is to be in val, but the animals are a, b, c, d"),
        ({"val": ["a"], "test": ["a"]}, "'a' is to be in val and in test"),
        ({"val": ["a", "b"], "test": ["c", "d"]}, "No animal is left to train on"),
    ):
        with pytest.raises(InputError, match=reason):
            split_by_name(animals, named)


# ---------------------------------------------------------------- scale


def test_scale_by_pixel_size_and_by_axon_diameter() -> None:
    (image,) = images(1)
    assert scale_to(image) == 1
    assert scale_to(image, pixel_size=0.2) == pytest.approx(0.5)
    assert scale_to(image, pixel_size=0.101) == 1
    half = rescale(image, 0.5)
    assert half.image.pixel_size == pytest.approx(0.2)
    assert half.image.data.shape == half.classes.shape == (35, 45)
    diameter = median_axon_diameter([image.classes == 2])
    assert scale_to(image, axon_diameter=24) == pytest.approx(24 / diameter)
    found = rescale(image, 24 / diameter)
    assert median_axon_diameter([found.classes == 2]) == pytest.approx(24, abs=0.7)
    assert rescale(image, 1.0) is image


@pytest.mark.parametrize("scale", [0.37, 1.9])
def test_blocks_make_no_seams(scale: float) -> None:
    shape = (600, 1500)
    (image,) = from_arrays([grey(shape)], [mask(shape)])
    found = rescale(image, scale)
    whole = resample_image(image.image.read(()), scale)
    np.testing.assert_allclose(found.image.data, whole, atol=1e-3)
    one_hot = np.stack([image.classes == k for k in range(3)]).astype(np.float32)
    np.testing.assert_array_equal(found.classes, resample_image(one_hot, scale).argmax(0))


def test_scales_that_cannot_be() -> None:
    (unknown,) = images(1, pixel_size=None)
    with pytest.raises(InputError, match="sub-0 has no pixel size"):
        scale_to(unknown, pixel_size=0.1)
    (empty,) = from_arrays([grey()], [0 * mask()])
    with pytest.raises(InputError, match="image-0 has no axon"):
        scale_to(empty, axon_diameter=20)
    (image,) = images(1)
    with pytest.raises(InputError, match="sub-0 would have 70000000 x 90000000 pixels"):
        scale_to(image, pixel_size=1e-7)


def test_more_than_8_bits_are_scaled_by_the_whole_image() -> None:
    (image,) = from_arrays([np.arange(6300, dtype=np.uint16).reshape(70, 90) * 7], [mask()])
    low, high = np.percentile(image.image.data, (1, 99.9))
    assert grey_limits(image) == (low, high)
    made = to_bytes(image, grey_limits(image))
    expected = np.clip((image.image.data - low) / (high - low) * 255, 0, 255)
    assert np.abs(made - expected).max() <= 0.51
    (flat,) = from_arrays([np.full((70, 90), 3.5)], [mask()])
    assert not to_bytes(flat, grey_limits(flat)).any()
    holes = np.where(grey() > 250, np.nan, grey())
    (holed,) = from_arrays([holes], [mask()])
    assert not to_bytes(holed, grey_limits(holed))[np.isnan(holes)].any()
    (nothing,) = from_arrays([np.full((70, 90), np.nan)], [mask()])
    with pytest.raises(InputError, match="image-0 holds no finite value"):
        grey_limits(nothing)


# ---------------------------------------------------------------- tiles


def test_tiles_are_pixels_of_their_source(tmp_path: Path) -> None:
    source = images()
    prepared, events = prepare(source, tmp_path / "out", tile=32)
    index = read_index(tmp_path / "out" / "index.json")
    assert index == prepared.index
    assert prepared.refused == ()
    assert len(index.tiles) == 3 * 9
    by_name = {image.image.name: image for image in source}
    for tile in index.tiles:
        window = slice(tile.row, tile.row + 32), slice(tile.column, tile.column + 32)
        of = by_name[tile.source]
        stem = f"{tile.source}_r{tile.row:05d}_c{tile.column:05d}.tif"
        assert tile.files == (f"{tile.part}/masks/{stem}", f"{tile.part}/images/{stem}")
        assert (tile.animal, tile.scale) == (of.animal, 1)
        made_mask, made_image = (read_image(tmp_path / "out" / file) for file in tile.files)
        assert made_image.pixel_size == pytest.approx(0.1)
        assert made_image.data.dtype == made_mask.data.dtype == np.uint8
        np.testing.assert_array_equal(made_image.data, of.image.data[window])
        np.testing.assert_array_equal(made_mask.data, mask_values(of.classes[window]))
    counts = [(e.done, e.total) for e in events if isinstance(e, Progress)]
    assert counts == [(done, 3) for done in range(3)] + [(done, 27) for done in range(28)]
    assert set(files(tmp_path / "out")) == {*index.files(), "index.json"}


def places(prepared: Prepared) -> list[tuple[int, int]]:
    return [(tile.row, tile.column) for tile in prepared.index.tiles if tile.source == "sub-0"]


def test_the_grid(tmp_path: Path) -> None:
    found, _ = prepare(images(), tmp_path / "a", tile=32)
    # 70 x 90: the last ones would stick out and are shifted inwards.
    assert places(found) == list(itertools.product((0, 32, 38), (0, 32, 58)))
    found, _ = prepare(images(), tmp_path / "b", tile=32, stride=20)
    assert places(found) == list(itertools.product((0, 20, 38), (0, 20, 40, 58)))
    found, _ = prepare(images(), tmp_path / "c", tile=70)
    assert places(found) == [(0, 0), (0, 20)]


def test_side_by_side(tmp_path: Path) -> None:
    source = images()
    prepared, _ = prepare(source, tmp_path / "out", tile=64, side_by_side=True)
    tile = prepared.index.tiles[0]
    assert tile.files == (f"{tile.part}/{tile.source}_r00000_c00000.png",)
    both = read_image(tmp_path / "out" / tile.files[0]).data
    assert both.shape == (64, 128)
    of = next(image for image in source if image.image.name == tile.source)
    np.testing.assert_array_equal(both[:, :64], mask_values(of.classes[:64, :64]))
    np.testing.assert_array_equal(both[:, 64:], of.image.data[:64, :64])


@pytest.mark.parametrize("side_by_side", [False, True])
def test_prepared_folders_are_read_back(tmp_path: Path, side_by_side: bool) -> None:
    source = images()
    prepared, _ = prepare(source, tmp_path / "out", tile=32, side_by_side=side_by_side)
    tiles = load_prepared(tmp_path / "out")
    assert len(tiles) == 27
    for tile, made in zip(prepared.index.tiles, tiles, strict=True):
        of = next(image for image in source if image.image.name == tile.source)
        window = slice(tile.row, tile.row + 32), slice(tile.column, tile.column + 32)
        np.testing.assert_array_equal(made.image.data, of.image.data[window])
        np.testing.assert_array_equal(made.classes, of.classes[window])
        assert (made.animal, made.image.pixel_size) == (of.animal, 0.1)
    (animal,) = prepared.index.split["val"]
    assert {tile.animal for tile in load_prepared(tmp_path / "out", "val")} == {animal}


def test_a_part_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    prepare(images(), tmp_path / "out", tile=32)
    tiles = load_dataset(tmp_path / "out" / "train")
    assert len(tiles) == 9
    assert all(tile.animal.startswith("sub-") for tile in tiles)


def test_images_are_brought_to_one_scale(tmp_path: Path) -> None:
    sizes = (0.1, 0.05, 0.2)
    source = images(3, pixel_size=sizes)
    prepared, _ = prepare(source, tmp_path / "a", tile=16, pixel_size=0.1)
    scales = {image.source: image.scale for image in prepared.index.images}
    assert scales == {"sub-0": 1, "sub-1": 0.5, "sub-2": 2}
    assert all(image.pixel_size == pytest.approx(0.1) for image in prepared.index.images)
    assert {tile.scale for tile in prepared.index.tiles} == {0.5, 1, 2}

    arrays = [mask(radius=6), mask(radius=9), mask(radius=11)]
    names = ["p", "q", "r"]
    unscaled = from_arrays([grey()] * 3, arrays, names=names)
    prepared, _ = prepare(unscaled, tmp_path / "b", tile=16, axon_diameter=16)
    for image, array in zip(
        sorted(prepared.index.images, key=lambda i: i.name), arrays, strict=True
    ):
        assert image.scale == pytest.approx(16 / median_axon_diameter([array == 255]))
        assert image.pixel_size is None
    assert read_image(tmp_path / "b" / prepared.index.tiles[0].files[1]).pixel_size is None


def test_images_without_an_axon_are_left_out_by_name(tmp_path: Path) -> None:
    arrays = [mask()] * 3 + [np.minimum(mask(), 127)]
    source = from_arrays([grey()] * 4, arrays, names=["a", "b", "c", "bare"])
    prepared, events = prepare(source, tmp_path / "out", tile=16, axon_diameter=12)
    assert prepared.refused == ()
    assert prepared.index.left_out == ["bare has no axon to match the diameter of; it is left out."]
    assert prepared.index.left_out[0] in said(events, "info")
    assert "bare" not in {image.name for image in prepared.index.images}
    prepared, _ = prepare(source, tmp_path / "as-they-are", tile=16)
    assert prepared.index.left_out == []


def test_nearly_empty_tiles_are_left_out(tmp_path: Path) -> None:
    half = mask()
    half[:, 40:] = 0
    source = from_arrays([grey()] * 3, [half] * 3)
    prepared, _ = prepare(source, tmp_path / "out", tile=30, min_foreground=0.05)
    assert {(tile.row, tile.column) for tile in prepared.index.tiles} == set(
        itertools.product((0, 30, 40), (0, 30))
    )
    assert set(files(tmp_path / "out")) == {*prepared.index.files(), "index.json"}
    prepared, events = prepare(source, tmp_path / "none", tile=30, min_foreground=1)
    assert prepared.index.tiles == []
    assert len(said(events)) == 3
    assert all(": 0 tiles" in message for message in said(events))


def test_animals_that_are_named_for_a_part(tmp_path: Path) -> None:
    prepared, events = prepare(images(5), tmp_path / "a", tile=64, val="sub-1", test="sub-3, sub-4")
    assert prepared.index.split == {
        "train": ["sub-0", "sub-2"],
        "val": ["sub-1"],
        "test": ["sub-3", "sub-4"],
    }
    assert {tile.animal for tile in prepared.index.tiles if tile.part == "test"} == {
        "sub-3",
        "sub-4",
    }
    prepared, events = prepare(images(4), tmp_path / "b", tile=64, train="sub-1", val="sub-2")
    assert {tile.animal for tile in prepared.index.tiles} == {"sub-1", "sub-2"}
    assert "In no part: sub-0, sub-3." in said(events, "info")
    assert not (tmp_path / "b" / "test").exists()


def test_a_bad_pair_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for index in range(3):
        write_image(root / f"image_{index}.png", grey())
        write_image(root / f"mask_{index}.png", mask())
    write_image(root / "image_3.png", grey())
    write_image(root / "mask_4.png", mask())
    write_image(root / "image_5.png", grey((40, 90)))
    write_image(root / "mask_5.png", mask())
    write_image(root / "image_6.png", grey())
    write_image(root / "mask_6.png", mask() // 50)
    write_image(root / "image_7.png", grey((20, 90)))
    write_image(root / "mask_7.png", mask((20, 90)))
    prepared, events = prepare(root, tmp_path / "out", tile=32)
    assert {image.name for image in prepared.index.images} == {"image_0", "image_1", "image_2"}
    assert prepared.refused == tuple(prepared.index.left_out) == tuple(said(events))
    for sentence, reason in zip(
        prepared.refused,
        (
            "image_3.png has no mask",
            "mask_4.png is a mask without an image",
            "image_5.png has 40 x 90 pixels and its mask 70 x 90",
            "mask_6.png is not a mask",
            "image_7.png has 20 x 90 pixels at 1 of its size, less than a tile of 32",
        ),
        strict=True,
    ):
        assert reason in sentence
    with pytest.raises(InputError, match=r"No image of .* can be used: .*image_3.png has no mask"):
        prepare(root, tmp_path / "large", tile=100)
    assert not (tmp_path / "large").exists()


def test_equal_names_of_open_images(tmp_path: Path) -> None:
    source = from_arrays([grey()] * 4, [mask()] * 4, names=["a/1", "b", "c", "A_1"])
    prepared, _ = prepare(source, tmp_path / "out", tile=64)
    assert {image.name for image in prepared.index.images} == {"a_1", "b", "c"}
    assert "A_1 and a/1 of open images" in prepared.refused[0]
    with pytest.raises(InputError, match="There is no image to prepare"):
        prepare([], tmp_path / "none")


# ---------------------------------------------------------------- again, and stopped


def test_the_same_again_is_the_same_to_the_byte(tmp_path: Path) -> None:
    prepare(images(), tmp_path / "out", tile=32)
    first = files(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    prepare(images(), tmp_path / "out", tile=32)
    assert files(tmp_path / "out") == first | {"notes.txt": b"mine"}


def test_a_stopped_run_is_begun_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(images(), tmp_path / "whole", tile=32)
    steps = prepare_steps(images(), PrepareParameters(tile=32), out)
    for event in steps:
        if isinstance(event, Progress) and (event.done, event.message) == (12, "tiles"):
            break
    steps.close()
    assert (out / "unfinished.json").exists()
    assert not (out / "index.json").exists()
    assert len(list(out.rglob("*.tif"))) == 24
    with pytest.raises(InputError, match="is unfinished"):
        load_prepared(out)
    next(out.rglob("*.tif")).with_name(".x.tif.1.partial").write_bytes(b"of a kill")
    prepare(images(), out, tile=32)
    assert files(out) == files(tmp_path / "whole")


def test_tiles_of_images_that_went_are_removed(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "out"
    for index in range(4):
        write_image(root / f"sub-{index}.png", grey())
        write_image(root / f"sub-{index}_mask.png", mask())
    prepare(root, out, tile=32)
    for path in root.glob("sub-3*"):
        path.unlink()
    prepared, _ = prepare(root, out, tile=32)
    assert set(files(out)) == {*prepared.index.files(), "index.json"}
    assert not [name for name in files(out) if "sub-3" in name]


def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(images(), out, tile=32)
    before = files(out)
    with pytest.raises(
        InputError, match=r"holds tiles of other tile \(32, not 16\), seed \(0, not"
    ):
        prepare(images(), out, tile=16, seed=2)
    with pytest.raises(InputError, match="holds tiles of other dataset"):
        prepare(images(4), out, tile=32)
    assert files(out) == before
    (out / "index.json").write_text('{"verb": "generate"}')
    with pytest.raises(InputError, match=r"index.json is not the index of a prepared folder"):
        prepare(images(), out, tile=32)
    (out / "index.json").unlink()
    with pytest.raises(InputError, match="holds other files"):
        prepare(images(), out, tile=32)
    with pytest.raises(InputError, match="cannot be read"):
        load_prepared(out)
    with pytest.raises(InputError, match="is a file"):
        prepare(images(), out / "train" / "masks" / next((out / "train" / "masks").iterdir()).name)


@pytest.mark.parametrize(
    "file", ["../../precious.tif", "train/../../precious.tif", "/x.tif", "x.tif"]
)
def test_an_index_names_no_files_elsewhere(tmp_path: Path, file: str) -> None:
    out = tmp_path / "out"
    prepare(images(), out, tile=64)
    text = json.loads((out / "index.json").read_text())
    text["tiles"][0]["files"][0] = file
    (out / "index.json").write_text(json.dumps(text))
    with pytest.raises(InputError, match=r"not the index of a prepared folder \(tiles.0.files.0"):
        prepare(images(), out, tile=64)


def test_folders_that_cannot_be_read_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("data", "out"):
        (tmp_path / part).mkdir()

    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="data cannot be read: Permission denied"):
        prepare(tmp_path / "data", tmp_path / "out")
    with pytest.raises(InputError, match="out cannot be read: Permission denied"):
        prepare(images(), tmp_path / "out")


def test_too_few_animals_are_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are only 2"):
        prepare(images(2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- the real ones


@pytest.mark.parametrize("name", ["data_axondeepseg_sem", "data_axondeepseg_srf_testing"])
def test_real_data_sets(shared_data: Path, tmp_path: Path, name: str) -> None:
    prepared, events = prepare(shared_data / name, tmp_path / "out", tile=256)
    assert prepared.refused == ()
    assert said(events) == []
    source = {image.image.name: image for image in load_dataset(shared_data / name)}
    animals: dict[str, set[str]] = {}
    for tile in prepared.index.tiles:
        of = source[Path(tile.source).name]
        assert tile.animal == of.animal
        animals.setdefault(tile.animal, set()).add(tile.part)
        window = slice(tile.row, tile.row + 256), slice(tile.column, tile.column + 256)
        made_mask, made = (read_image(tmp_path / "out" / file) for file in tile.files)
        np.testing.assert_array_equal(made.data, of.image.data[window])
        np.testing.assert_array_equal(made_mask.data, mask_values(of.classes[window]))
        assert made.pixel_size == pytest.approx(of.image.pixel_size, rel=1e-4)
    assert set(animals) == {image.animal for image in source.values()}
    assert all(len(parts) == 1 for parts in animals.values())
    assert set.union(*animals.values()) == {"train", "val", "test"}
