"""``axongen translate`` with tiny translators and the shipped segmenters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import napari_axongen
from napari_axongen.cli import app
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
