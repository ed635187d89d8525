from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from napari_axongen.cli.console import Group
from napari_axongen.cli.em_fibres import em_fibres
from napari_axongen.core.datasets import make_micrographs
from napari_axongen.core.events import run
from napari_axongen.core.files import read_image, read_mask
from napari_axongen.core.surrogate.em_images import em_images_steps
from napari_axongen.core.surrogate.em_laws import median_diameter
from napari_axongen.core.surrogate.em_parameters import PRESETS, EmFibreParameters
from napari_axongen.core.training.recipe import MadeData


def call(*arguments: object, code: int = 0) -> Any:
    app = typer.Typer(cls=Group)
    app.callback()(lambda: None)
    app.command("em-fibres")(em_fibres)
    result = CliRunner().invoke(app, ["em-fibres", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def parameters(folder: Path) -> EmFibreParameters:
    return EmFibreParameters(**json.loads((folder / "parameters.json").read_text())["parameters"])


def test_every_parameter_is_an_option() -> None:
    text = call("--help").output
    for name in EmFibreParameters.model_fields:
        assert f"--{name.replace('_', '-')}" in text


def test_images_are_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call("--out", out, "--count", 2, "--width", 90, "--height", 70, "--seed", 4)
    assert result.stdout.strip() == str(out)
    assert sorted(path.name for path in out.iterdir()) == [
        "00000_instances.tif",
        "00000_seg-axonmyelin.png",
        "00001_instances.tif",
        "00001_seg-axonmyelin.png",
        "fibres.csv",
        "parameters.json",
    ]
    assert parameters(out) == PRESETS["tem"].model_copy(update={"width": 90, "height": 70})
    assert "already holds" in call("--out", out, "--count", 2, code=1).stderr


def test_options_come_before_the_preset(tmp_path: Path) -> None:
    # 0.74 is the default of the option, too: given, it counts all the same.
    call("--out", tmp_path / "a", "--gratio-mean", 0.74, "--preset", "sem", "--width", 90)
    changes = {"gratio_mean": 0.74, "width": 90}
    assert parameters(tmp_path / "a") == PRESETS["sem"].model_copy(update=changes)


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    options = ("--preset", "sem", "--width", 64, "--height", 64, "--count", 2)
    call("--out", tmp_path / "a", *options)
    call("--out", tmp_path / "b", *options)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    recipe = whole["parameters.json"]
    for path in (tmp_path / "b").iterdir():
        if not path.name.startswith("00000"):
            path.unlink()
    (tmp_path / "b" / "unfinished.json").write_bytes(recipe)
    assert "unfinished export" in call("--out", tmp_path / "b", *options, code=1).stderr
    call("--out", tmp_path / "b", *options, "--resume")
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == whole


def test_sparse_layouts_are_said(tmp_path: Path) -> None:
    result = call("--out", tmp_path / "a", "--fraction", 0.85, "--width", 64, "--height", 64)
    assert "instead of 0.85" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--fraction", "1.5", "--fraction"),
        ("--preset", "lm", "--preset"),
        ("--count", "0", "--count"),
        ("--pixel-size", "0.5", "too coarse"),
    ],
)
def test_wrong_usage(tmp_path: Path, option: str, value: str, said: str) -> None:
    assert said in call("--out", tmp_path / "a", option, value, code=2).stderr
    assert not (tmp_path / "a").exists()


@pytest.mark.usefixtures("translators")
def test_images_of_a_contrast(tmp_path: Path) -> None:
    options = ("--contrast", "sem", "--width", 90, "--height", 70, "--device", "cpu")
    result = call("--out", tmp_path / "a", "--count", 2, *options)
    assert "tem-to-sem renders the layouts on CPU" in " ".join(result.stderr.split())
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names[:3] == ["00000.tif", "00000_instances.tif", "00000_seg-axonmyelin.png"]
    recipe = json.loads((tmp_path / "a" / "parameters.json").read_text())
    assert recipe["model"]["name"] == "tem-to-sem"
    # the tissue is that of the contrast, at the pixel size at which the model works
    size = parameters(tmp_path / "a").pixel_size
    sem = PRESETS["sem"].model_copy(update={"width": 90, "height": 70, "pixel_size": size})
    assert parameters(tmp_path / "a") == sem
    assert median_diameter(sem) == pytest.approx(28, rel=0.01)
    image = read_image(tmp_path / "a" / "00001.tif")
    assert (image.data.shape, image.data.dtype) == ((70, 90), np.uint8)
    assert image.pixel_size == pytest.approx(size)

    # image 1 is the same in any count, and in memory
    call("--out", tmp_path / "b", "--count", 3, *options)
    for name in ("00001.tif", "00001_seg-axonmyelin.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (made,) = run(em_images_steps(sem, "sem", first=1, device="cpu"))
    np.testing.assert_array_equal(made.image, image.data)
    np.testing.assert_array_equal(made.classes, read_mask(tmp_path / "a/00001_seg-axonmyelin.png"))
    (first,) = run(em_images_steps(sem, "sem", device="cpu"))
    assert (first.image != made.image).any()

    # more variety, the same fibres
    call("--out", tmp_path / "c", "--count", 2, *options, "--variety", 3)
    assert parameters(tmp_path / "c").variety == 3
    assert (read_image(tmp_path / "c" / "00001.tif").data != image.data).any()
    assert (tmp_path / "c" / names[2]).read_bytes() == (tmp_path / "a" / names[2]).read_bytes()


def test_a_stopped_run_with_images_goes_on_only_with_its_model(
    translators: dict[str, Path], tmp_path: Path
) -> None:
    options = ("--width", 64, "--height", 64, "--pixel-size", 0.01, "--count", 2)
    out = tmp_path / "a"
    call("--out", out, "--contrast", "tem", *options)
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    for path in out.iterdir():
        if not path.name.startswith("00000"):
            path.unlink()
    (out / "unfinished.json").write_bytes(whole["parameters.json"])
    assert "model" in call("--out", out, *options, "--resume", code=1).stderr
    call("--out", out, "--contrast", "tem", *options, "--resume")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
    for file in translators.values():
        file.unlink()
    text = call("--out", tmp_path / "b", "--contrast", "tem", *options, code=2).stderr
    assert "No model for translation is installed" in " ".join(text.replace("│", " ").split())
    assert not (tmp_path / "b").exists()


@pytest.mark.usefixtures("denoiser")
def test_images_by_diffusion(tmp_path: Path) -> None:
    options = ("--contrast", "sem", "--width", 90, "--height", 70, "--device", "cpu")
    diffusion = ("--method", "ddpm", "--steps", 2, "--guidance", 1.5)
    out = tmp_path / "a"
    result = call("--out", out, "--count", 2, *options, *diffusion)
    assert "tem-sem renders the layouts on CPU" in " ".join(result.stderr.split())
    recipe = json.loads((out / "parameters.json").read_text())
    assert recipe["model"]["name"] == "tem-sem"
    made = parameters(out)
    assert (made.method, made.steps, made.guidance) == ("ddpm", 2, 1.5)
    assert median_diameter(made) == pytest.approx(24, rel=0.01)  # as the denoiser knows them
    image = read_image(out / "00001.tif")
    assert (image.data.shape, image.data.dtype) == ((70, 90), np.uint8)
    assert image.data.std() > 0

    # image 1 is the same in any count, and in memory
    (again,) = run(em_images_steps(made, "sem", first=1, device="cpu"))
    np.testing.assert_array_equal(again.image, image.data)
    np.testing.assert_array_equal(again.classes, read_mask(out / "00001_seg-axonmyelin.png"))
    (first,) = run(em_images_steps(made, "sem", device="cpu"))
    assert (first.image != again.image).any()
    (other,) = run(em_images_steps(made, "tem", first=1, device="cpu"))
    assert (other.image != again.image).any()

    # more steps or another method are another export
    for changed in (("--steps", 3), ("--guidance", 1)):
        text = call("--out", out, "--count", 2, *options, *diffusion, *changed, "--resume", code=1)
        assert f"other {changed[0][2:]}" in text.stderr
    text = call("--out", out, "--count", 2, *options, "--resume", code=1).stderr
    assert "method" in text


@pytest.mark.usefixtures("denoiser")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "ddpm"), "--method: without images it is of no use; name their --contrast"),
        (("--steps", "3"), "--steps: without images it is of no use"),
        (("--contrast", "sem", "--method", "sdedit"), "'sdedit' is not one of 'cgan', 'ddpm'"),
        (("--contrast", "sem", "--method", "ddpm", "--steps", "0"), "--steps"),
        (("--contrast", "sem", "--model", "sem-to-tem"), "makes TEM images and none of SEM"),
        (("--contrast", "sem", "--model", "tem-sem"), "is for diffusion; for translation, choose"),
        (("--contrast", "sem", "--method", "ddpm", "--model", "tem-to-sem"), "is for translation"),
    ],
)
def test_wrong_usage_of_images(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    text = call("--out", tmp_path / "a", *options, code=2).stderr
    assert said in " ".join(text.replace("│", " ").split())
    assert not (tmp_path / "a").exists()


@pytest.mark.usefixtures("denoiser")
def test_a_recipe_may_add_images_by_diffusion() -> None:
    entries = {"method": "ddpm", "count": 2, "side": 64, "steps": 2, "seed": 3}
    made = MadeData.model_validate(entries)
    images = make_micrographs("SEM", **made.model_dump(exclude={"source"}))
    assert [image.animal for image in images] == ["sub-made000", "sub-made001"]
    assert images[0].image.data.shape == (64, 64)
    again = make_micrographs("SEM", 1, 64, 3, method="ddpm", steps=2)
    np.testing.assert_array_equal(again[0].image.data, images[0].image.data)
    other = make_micrographs("SEM", 1, 64, 3, method="ddpm", steps=3)
    np.testing.assert_array_equal(other[0].classes, images[0].classes)
    assert (other[0].image.data != images[0].image.data).any()
    by_gan = make_micrographs("SEM", 1, 64, 3)
    assert by_gan[0].image.pixel_size != other[0].image.pixel_size  # at which each model works
