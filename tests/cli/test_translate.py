"""``axongen translate`` with tiny translators and the shipped segmenters."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_axongen
from napari_axongen.cli import app
from napari_axongen.core import room, translation
from napari_axongen.core.files import read_image, read_mask, write_image
from napari_axongen.core.parameters import TranslateParameters
from napari_axongen.core.surrogate.em_fields import em_field

FIELD = em_field((220, 240), "tem", pixel_size=0.02, seed=3)
NAMED = ("--model", "tem-to-sem", "--device", "cpu")


@pytest.fixture(autouse=True)
def _place(translators: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images and their masks."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_image(Path(f"images/{name}.png"), FIELD.image, 0.02)
        write_image(Path(f"images/{name}_seg-axonmyelin-manual.png"), FIELD.classes)


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["translate", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def said(result: Any) -> str:
    return " ".join(result.stderr.replace("│", " ").split())


def names(folder: str = "out") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_every_parameter_is_an_option() -> None:
    text = call("--help").output
    for name in TranslateParameters.model_fields:
        assert f"--{name.replace('_', '-')}" in text


def test_an_image_its_mask_and_its_recipe(tmp_path: Path) -> None:
    mask = "images/a_seg-axonmyelin-manual.png"
    result = call("images/a.png", "--mask", mask, "--out", "out", *NAMED, "--seed", 5)
    assert names() == ["a_sem.json", "a_sem.tif", "a_sem_seg-axonmyelin.png"]
    assert [Path(line).name for line in result.stdout.split()] == names()[1:]
    made = read_image(Path("out/a_sem.tif"))
    assert made.data.dtype == np.uint8
    assert made.pixel_size == pytest.approx(0.02)
    np.testing.assert_array_equal(read_mask(Path("out/a_sem_seg-axonmyelin.png")), FIELD.classes)
    again = napari_axongen.translate("images/a.png", mask, "tem-to-sem", seed=5, device="cpu")
    np.testing.assert_array_equal(made.data, again.image)
    recipe = json.loads(Path("out/a_sem.json").read_text())
    assert (recipe["image"], recipe["verb"], recipe["seed"]) == ("a.png", "translate", 5)
    assert recipe["mask"] == "given"


def test_model_and_mask_are_found_from_the_image() -> None:
    call("images/a.png", "--out", "out", "--device", "cpu")
    assert names() == ["a_sem.json", "a_sem.tif", "a_sem_seg-axonmyelin.png"]
    assert json.loads(Path("out/a_sem.json").read_text())["mask"] == "segmented"


def test_structure_alone_writes_no_mask() -> None:
    result = call(
        "images/a.png", "--out", "out", *NAMED, "--condition", "structure", "--axon-diameter", 20
    )
    assert names() == ["a_sem.json", "a_sem.tif"]
    assert "no mask is written" in said(result)


@pytest.mark.parametrize("images", ["images", "images/[ab].png"])
@pytest.mark.parametrize("mask", ["images", "images/*manual.png"])
def test_folders_and_quoted_patterns(images: str, mask: str) -> None:
    call(images, "--mask", mask, "--out", "out", *NAMED)
    assert [name for name in names() if name.endswith(".tif")] == ["a_sem.tif", "b_sem.tif"]


def test_a_mask_may_have_the_images_name() -> None:
    write_image(Path("masks/a.png"), FIELD.classes)
    call("images/a.png", "--mask", "masks", "--out", "out", *NAMED)
    assert "a_sem.tif" in names()


def test_a_stack_has_its_mask_in_a_tiff() -> None:
    write_image(Path("stack.tif"), np.stack([FIELD.image[:60, :70]] * 2))
    write_image(Path("mask.tif"), np.stack([FIELD.classes[:60, :70]] * 2))
    call("stack.tif", "--mask", "mask.tif", "--out", "out", *NAMED, "--axon-diameter", 28)
    assert names() == ["stack_sem.json", "stack_sem.tif", "stack_sem_seg-axonmyelin.tif"]
    assert read_image(Path("out/stack_sem.tif")).data.shape == (2, 60, 70)


def test_a_bad_file_is_named_and_the_others_are_done() -> None:
    Path("images/broken.png").write_bytes(b"no picture")
    write_image(Path("images/c.png"), FIELD.image)
    write_image(Path("images/c_seg-axonmyelin.png"), FIELD.classes[:9])
    write_image(Path("images/d.png"), FIELD.image)
    write_image(Path("images/e.png"), FIELD.image)
    write_image(Path("images/e_seg-axonmyelin.png"), FIELD.labels.astype(np.uint16))
    Path("empty").mkdir()
    result = call(
        "images", "gone.png", "empty", "none*.png", "--mask", "images", "--out", "out", *NAMED,
        code=1,
    )  # fmt: skip
    text = said(result)
    assert "broken.png is not a PNG" in text
    assert "c_seg-axonmyelin.png is of size (9, 240) and c.png of (220, 240)" in text
    assert "images holds no mask of d.png" in text
    assert "e_seg-axonmyelin.png is not a mask" in text
    assert "gone.png" in text
    assert "empty holds no image" in text
    assert "none*.png" in text
    assert "7 of 9 files failed" in text
    assert [name for name in names() if name.endswith(".tif")] == ["a_sem.tif", "b_sem.tif"]


def test_several_masks_of_an_image_are_too_many() -> None:
    write_image(Path("images/a_seg-axonmyelin.png"), FIELD.classes)
    result = call("images/a.png", "--mask", "images", "--out", "out", *NAMED, code=1)
    assert "several masks of a.png" in said(result)


def test_results_never_replace_what_is_translated() -> None:
    write_image(Path("images/a_sem.tif"), FIELD.image)
    before = Path("images/a_sem.tif").read_bytes()
    mask = ("--axon-diameter", 20, "--condition", "structure")
    images = ("images/a.png", "images/a_sem.tif")
    result = call(*images, "--out", "images", *NAMED, *mask, code=1)
    assert "write into another folder" in said(result)
    assert Path("images/a_sem.tif").read_bytes() == before


def test_wrong_usage_is_said_before_anything_is_done() -> None:
    two = ("images/a.png", "images/b.png", "--out", "out")
    one = "images/a_seg-axonmyelin-manual.png"
    assert "one mask for 2 images" in said(call(*two, "--mask", one, *NAMED, code=2))
    write_image(Path("other/a.tif"), FIELD.image)
    assert "different folders" in said(
        call("images/a.png", "other/a.tif", "--out", "out", *NAMED, code=2)
    )
    assert "no model 'tem-to-lem'" in said(call(*two, "--model", "tem-to-lem", code=2))
    assert "--method" in call(*two, "--method", "magic", code=2).stderr
    assert not Path("out").exists()


def test_a_run_folder_is_a_model_and_no_translator_is_said(translators: dict[str, Path]) -> None:
    Path("run").mkdir()
    translators["tem-to-sem"].rename("run/model.safetensors")
    translators["sem-to-tem"].unlink()
    arguments = ("images/a.png", "--mask", "images", "--out", "out")
    assert "No model for translation is installed" in said(call(*arguments, code=2))
    call(*arguments, "--model", "run")
    assert "a_sem.tif" in names()


# ---------------------------------------------------------------- by diffusion

SMALL = ("--axon-diameter", 24, "--device", "cpu", "--steps", 2)
MASK = ("--mask", "images/a_seg-axonmyelin-manual.png")


@pytest.mark.usefixtures("denoiser")
@pytest.mark.parametrize("method", ["ddpm", "sdedit", "ddib", "generate"])
def test_each_method_of_diffusion(method: str) -> None:
    options = {"seed": 3, "guidance": 1.5, "strength": 0.4, "sampler": "ddim"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    result = call("images/a.png", *MASK, "--out", "out", *SMALL, "--method", method, *words)
    assert names() == ["a_sem.json", "a_sem.tif", "a_sem_seg-axonmyelin.png"]
    recipe = json.loads(Path("out/a_sem.json").read_text())
    asked = {**options, "method": method, "steps": 2, "model": "tem-sem"}
    assert asked.items() <= recipe["parameters"].items()
    assert set(recipe["parameters"]) == set(TranslateParameters.model_fields)
    assert (recipe["round_trip"] is not None) == (method == "ddib")
    assert ("returns to within" in said(result)) == (method == "ddib")
    again = TranslateParameters(**recipe["parameters"]).model_dump(exclude={"model"})
    made = napari_axongen.translate(
        "images/a.png", "images/a_seg-axonmyelin-manual.png", recipe["model"]["name"], **again
    )
    np.testing.assert_array_equal(read_image("out/a_sem.tif").data, made.image)
    assert made.round_trip == recipe["round_trip"]


@pytest.mark.usefixtures("denoiser")
def test_without_a_mask_one_is_made_up() -> None:
    arguments = ("--method", "generate", "--target", "tem", "--samples", 2)
    result = call("images/a.png", "--out", "out", *SMALL, *arguments)
    assert names() == ["a_tem.json", "a_tem.tif", "a_tem_spread.tif"]
    assert "no mask is written" in said(result)


@pytest.mark.usefixtures("denoiser")
def test_samples_are_a_stack_of_their_own_axis_and_their_spread() -> None:
    arguments = ("--method", "ddpm", "--samples", 3, "--seed", 4)
    result = call("images/a.png", *MASK, "--out", "out", *SMALL, *arguments)
    assert [Path(line).name for line in result.stdout.split()] == [
        "a_sem.tif",
        "a_sem_spread.tif",
        "a_sem_seg-axonmyelin.png",
    ]
    with tifffile.TiffFile("out/a_sem.tif") as file:
        assert (file.series[0].axes, file.series[0].shape) == ("IYX", (3, *FIELD.image.shape))
    samples, spread = (read_image(f"out/{name}.tif") for name in ("a_sem", "a_sem_spread"))
    assert spread.data.dtype == np.float32
    assert samples.pixel_size == spread.pixel_size == pytest.approx(0.02)
    np.testing.assert_allclose(spread.data, np.asarray(samples.data).std(0), atol=1e-4)
    call("images/a.png", *MASK, "--out", "single", *SMALL, "--method", "ddpm", "--seed", 5)
    np.testing.assert_array_equal(read_image("single/a_sem.tif").data, samples.data[1])
    recipe = json.loads(Path("out/a_sem.json").read_text())
    assert (recipe["parameters"]["samples"], recipe["seed"]) == (3, 4)


@pytest.mark.usefixtures("denoiser")
def test_samples_that_the_memory_does_not_hold_are_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[int, ...]] = []

    def on_disk(shape: tuple[int, ...], dtype: Any) -> Any:
        made.append(shape)
        return room.on_disk(shape, dtype)

    monkeypatch.setattr(translation, "on_disk", on_disk)
    command = ("images/a.png", *MASK, *SMALL, "--method", "ddpm", "--samples", 3)
    call(*command, "--out", "out")
    assert not made
    monkeypatch.setattr(translation, "IN_MEMORY", FIELD.image.size * 3 - 1)
    call(*command, "--out", "large")
    assert made == [(3, *FIELD.image.shape)]
    for name in ("a_sem.tif", "a_sem_spread.tif"):
        assert Path("large", name).read_bytes() == Path("out", name).read_bytes()


def test_a_full_disk_of_temporary_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*told: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    monkeypatch.setattr(translation, "IN_MEMORY", 1)
    result = call("images/a.png", *MASK, "--out", "out", *NAMED, "--samples", 2, code=1)
    assert "no room for 0.0 GB of images (No space left on device)" in said(result)


@pytest.mark.usefixtures("denoiser")
def test_stacks_keep_their_axes_and_may_share_their_noise() -> None:
    field = FIELD.image[:60, :4], FIELD.classes[:60, :4]  # as narrow as colours are
    image, mask = (np.stack([plane] * 2) for plane in field)
    write_image(Path("stack.tif"), image, axes="TYX")
    write_image(Path("mask.tif"), mask, axes="TYX")
    arguments = ("stack.tif", "--mask", "mask.tif", *SMALL, "--method", "ddpm")
    call(*arguments, "--out", "out", "--samples", 2, "--shared-noise")
    shapes = {"stack_sem.tif": ("ITYX", 4), "stack_sem_spread.tif": ("TYX", 3)}
    for name, (axes, count) in shapes.items():
        with tifffile.TiffFile(f"out/{name}") as file:
            assert file.series[0].axes == axes
            assert file.series[0].shape == (2, 2, 60, 4)[-count:]
    shared = tifffile.imread("out/stack_sem.tif")
    np.testing.assert_array_equal(shared[:, 0], shared[:, 1])
    call(*arguments, "--out", "apart")
    apart = tifffile.imread("apart/stack_sem.tif")
    assert (apart[0] != apart[1]).any()
    np.testing.assert_array_equal(apart[0], shared[0, 0])


def test_samples_of_a_conditional_gan() -> None:
    call("images/a.png", *MASK, "--out", "out", *NAMED, "--samples", 2)
    samples = read_image("out/a_sem.tif").data
    assert samples.shape == (2, *FIELD.image.shape)
    assert (samples[0] != samples[1]).any()


@pytest.mark.usefixtures("denoiser")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--steps", 0), "--steps"),
        (("--steps", 1001), "--steps"),
        (("--strength", 2), "--strength"),
        (("--strength", 0), "--strength"),
        (("--guidance", -1), "--guidance"),
        (("--samples", 0), "--samples"),
        (("--samples", 65), "--samples"),
        (("--sampler", "dpm"), "'dpm' is not one of 'auto', 'dpm++', 'ddim', 'ddpm', 'euler'"),
        (("--target", "LM"), "'LM' is not one of 'auto', 'tem', 'sem'"),
        (("--method", "dream"), "'dream' is not one of 'cgan', 'ddpm', 'sdedit', 'ddib'"),
        (("--method", "ddpm", "--sampler", "euler"), "The sampler 'euler' does not suit"),
        (
            ("--method", "sdedit", "--steps", 700, "--strength", 0.5),
            "700 steps are more than the 500 that there are from strength 0.5 on",
        ),
        (("--method", "ddpm", "--model", "tem-to-sem"), "is for translation; for diffusion,"),
        (("--model", "tem-sem"), "is for diffusion; for translation,"),
        (("--model", "sem-to-tem", "--target", "SEM"), "makes TEM images and none of SEM"),
        (("--method", "ddpm", "--device", "mps"), "mps"),
    ],
)
def test_bad_values_are_one_sentence_before_the_first_file(
    words: tuple[object, ...], expected: str
) -> None:
    result = call("images", "--out", "out", *words, code=2)
    assert expected in said(result)
    assert not Path("out").exists()


@pytest.mark.usefixtures("denoiser")
def test_a_mask_of_another_size_is_named() -> None:
    write_image(Path("mask.png"), FIELD.classes[:9])
    arguments = ("images/a.png", "--mask", "mask.png", "--out", "out", *SMALL, "--method", "ddpm")
    assert "mask.png is of size (9, 240) and a.png of (220, 240)" in said(call(*arguments, code=1))
    assert not Path("out").exists()


@pytest.mark.parametrize("ending", [".tif", "_spread.tif", "_seg-axonmyelin.png"])
def test_no_result_replaces_what_is_read(ending: str) -> None:
    """Neither an image nor a mask, by whatever way it is named."""
    write_image(Path("images/a.tif"), FIELD.image)
    kept = Path(f"images/a_sem{ending}")
    write_image(kept, FIELD.classes)
    before = kept.read_bytes()
    images = ["images/../images/a.tif"]
    if "seg" not in ending:
        images.append(str(kept))
    mask = ("--mask", kept) if "seg" in ending else ("--condition", "structure")
    options = (*NAMED, "--samples", 2, "--axon-diameter", 20)
    result = call(*images, *mask, "--out", "images", *options, code=1)
    assert f"a_sem{ending} is one of the images or masks that are read" in said(result)
    assert kept.read_bytes() == before
    assert not Path("images/a_sem.json").exists()
