from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

import napari_axongen
from napari_axongen.cli import app
from napari_axongen.cli.options import with_options
from napari_axongen.core import segmentation, training
from napari_axongen.core.events import Metrics, Notice, Progress, Steps
from napari_axongen.core.files import read_image, write_image
from napari_axongen.core.models import Card, find_model, save_model, store
from napari_axongen.core.networks import build
from napari_axongen.core.parameters import SegmentParameters

NETWORK = {"name": "unet", "channels": [2, 2]}


def save_tiny(path: Path, name: str = "tiny") -> Path:
    torch.manual_seed(0)
    card = Card(
        name=name,
        title="A tiny one",
        contrast="TEM",
        network=NETWORK,
        classes=["background", "myelin", "axon"],
        pixel_size=0.02,
        axon_diameter=10.0,
    )
    save_model(path, build(NETWORK), card)
    return path


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tiny model, and nothing of the person who runs the tests."""
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(store, "SHIPPED_FOLDER", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "models" / "tiny.safetensors")


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def grey(shape: tuple[int, ...] = (40, 50), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def mask(shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    """Two fibres of axon radius 8 and myelin 4."""
    y, x = np.indices(shape)
    classes = np.zeros(shape, np.uint8)
    for cy, cx in ((25, 20), (30, 55)):
        radius = np.hypot(y - cy, x - cx)
        classes[radius <= 12] = 127
        classes[radius <= 8] = 255
    return classes


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- help, version


def test_version() -> None:
    assert call("--version").output == f"axongen {napari_axongen.__version__}\n"


def test_help_loads_neither_torch_nor_napari() -> None:
    code = (
        "import sys\nfrom napari_axongen.cli import main\nsys.argv = ['axongen', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'napari', 'qtpy', 'vispy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    for arguments in (["--help"], ["segment", "--help"], ["models", "list"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_every_parameter_is_an_option() -> None:
    text = call("segment", "--help").output
    for name in SegmentParameters.model_fields:
        assert f"--{name.replace('_', '-')}" in text


# ---------------------------------------------------------------- options from a model


class Parameters(BaseModel):
    count: int = Field(3, ge=1, le=9, title="Count", description="How many.")
    size: float | None = Field(None, gt=0, title="Size", json_schema_extra={"unit": "um"})
    kind: Literal["a", "b"] = Field("a", title="Kind")
    fast: bool = Field(False, title="Fast")
    some_name: str = "x"


def made(*arguments: str, code: int = 0) -> dict[str, Any]:
    seen: list[Parameters] = []
    small = typer.Typer()

    @small.command()
    @with_options(Parameters)
    def verb(word: str, parameters: Parameters) -> None:
        assert word == "word"
        seen.append(parameters)

    result = CliRunner().invoke(small, ["word", *arguments])
    assert result.exit_code == code, result.output
    return seen[0].model_dump() if seen else {"output": result.output}


def test_defaults_of_the_model_are_those_of_the_options() -> None:
    assert made() == Parameters().model_dump()


def test_options_reach_the_model() -> None:
    given = made("--count", "9", "--size", "0.5", "--kind", "b", "--fast", "--some-name", "y")
    assert given == {"count": 9, "size": 0.5, "kind": "b", "fast": True, "some_name": "y"}


@pytest.mark.parametrize(
    "wrong",
    [("--count", "10"), ("--count", "x"), ("--kind", "c"), ("--size", "0"), ("--size", "nan")],
)
def test_values_out_of_bounds_are_wrong_usage(wrong: tuple[str, str]) -> None:
    assert wrong[0][2:] in made(*wrong, code=2)["output"]


def test_help_has_title_unit_description_and_bounds() -> None:
    text = " ".join(made("--help")["output"].replace("│", " ").split())
    for part in ("Count: how many.", "1<=x<=9", "default: 3", "Size (um)", "a|b", "--no-fast"):
        assert part in text, part


# ---------------------------------------------------------------- segment


def test_segment_writes_masks_and_recipe(tmp_path: Path) -> None:
    write_image(tmp_path / "im.png", grey(), 0.02)
    result = call("segment", "im.png", "--out", "out", "--device", "cpu", "--threshold", "0.4")
    out = tmp_path / "out"
    names = ["im_seg-axonmyelin.png", "im_seg-axon.png", "im_seg-myelin.png"]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "im_seg.json"])
    assert result.stdout.split() == [str(Path("out") / name) for name in names]
    both, axon, myelin = (np.asarray(read_image(out / name).data) for name in names)
    assert both.shape == (40, 50)
    assert both.dtype == np.uint8
    assert set(np.unique(both)) <= {0, 127, 255}
    np.testing.assert_array_equal(axon, np.where(both == 255, 255, 0))
    np.testing.assert_array_equal(myelin, np.where(both == 127, 255, 0))
    assert read_image(out / names[0]).pixel_size == pytest.approx(0.02)
    recipe = json.loads((out / "im_seg.json").read_text())
    assert recipe["verb"] == "segment"
    assert recipe["image"] == "im.png"
    assert recipe["parameters"]["threshold"] == 0.4
    assert recipe["model"]["name"] == "tiny"


def test_segment_is_the_verb_of_python(tmp_path: Path) -> None:
    write_image(tmp_path / "im.png", grey())
    call("segment", "im.png", "--out", "out", "--pixel-size", "0.03", "--model", "tiny")
    expected = napari_axongen.segment(grey(), pixel_size=0.03, model="tiny").classes()
    np.testing.assert_array_equal(
        read_image(tmp_path / "out" / "im_seg-axonmyelin.png").data, expected
    )


def test_stacks_keep_all_planes_and_say_so(tmp_path: Path) -> None:
    write_image(tmp_path / "im.tif", grey((3, 40, 50)), 0.02)
    result = call("segment", "im.tif", "--out", "out")
    assert "stack (ZYX)" in result.stderr
    image = read_image(tmp_path / "out" / "im_seg-axonmyelin.tif")
    assert image.spatial_shape == (3, 40, 50)
    assert image.pixel_size == pytest.approx(0.02)


def test_a_bad_file_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    write_image(tmp_path / "good.png", grey(), 0.02)
    write_image(tmp_path / "last.png", grey(), 0.02)
    (tmp_path / "text.png").write_text("hello, this is text")
    (tmp_path / "empty.png").touch()
    images = ["text.png", "good.png", "empty.png", "missing.png", "last.png"]
    result = call("segment", *images, "--out", "out", code=1)
    for name in ("text.png", "empty.png", "missing.png"):
        assert result.stderr.count(f"Error: {name}") == 1, result.stderr
    assert "3 of 5 files failed" in result.stderr
    assert "Traceback" not in result.output
    assert len(list((tmp_path / "out").glob("*_seg-axonmyelin.png"))) == 2


def test_folders_and_patterns_that_the_shell_leaves_alone(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "other.png"):
        write_image(tmp_path / "images" / name, grey(), 0.02)
    told = ("--model", "tiny", "--device", "cpu")
    call("segment", "images/[ab].png", "--out", "images", *told)
    call("segment", "images", "--out", "out", *told)  # without the masks that lie there now
    masks = [path.name for path in sorted((tmp_path / "out").glob("*_seg-axonmyelin.png"))]
    assert masks == [f"{name}_seg-axonmyelin.png" for name in ("a", "b", "other")]
    assert len(list((tmp_path / "out").glob("*.json"))) == 3
    for named in ("out", "out/*_seg-axonmyelin.png"):
        call("measure", named, "--out", "t.csv")
        assert [row["image"] for row in rows(tmp_path / "t_summary.csv")] == masks
    write_image(tmp_path / "plain" / "mask.png", mask(), 0.1)
    call("measure", "plain", "--out", "t.csv")
    assert {row["image"] for row in rows(tmp_path / "t.csv")} == {"mask.png"}
    (tmp_path / "empty").mkdir()
    assert "empty is a folder" in call("segment", "empty", "--out", "out", code=1).stderr


def test_a_fault_of_ours_stops_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, grey(), 0.02)
    real = segmentation.segment_steps

    def faulty(image: Any, *rest: Any) -> Any:
        if image.name == "a.png":
            raise ZeroDivisionError("oops")
        return real(image, *rest)

    monkeypatch.setattr(segmentation, "segment_steps", faulty)
    result = call("segment", "a.png", "b.png", "--out", "out", code=1)
    assert "a.png: unexpected ZeroDivisionError: oops" in result.stderr
    assert (tmp_path / "out" / "b_seg-axonmyelin.png").exists()


def test_same_stems_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_image(tmp_path / folder / "im.png", grey(), 0.02)
    result = call("segment", "one/im.png", "two/im.png", "--out", "out", code=2)
    assert "im_seg-" in result.stderr
    assert not (tmp_path / "out").exists()
    result = call("segment", "one/im.png", tmp_path / "one" / "im.png", "--out", "out")
    assert len(result.stdout.split()) == 3, "the same file twice is one file"


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--pixel-size", "-1", "--pixel-size"),
        ("--pixel-size", "1e9", "--pixel-size"),
        ("--pixel-size", "nan", "pixel"),
        ("--threshold", "2", "--threshold"),
        ("--device", "abacus", "--device"),
        ("--model", "nobody", "nobody"),
        ("--colour", "red", "--colour"),
    ],
)
def test_wrong_usage(tmp_path: Path, option: str, value: str, word: str) -> None:
    write_image(tmp_path / "im.png", grey(), 0.02)
    result = call("segment", "im.png", "--out", "out", option, value, code=2)
    assert word in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_pickled_model_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "im.png", grey(), 0.02)
    (tmp_path / "evil.safetensors").write_bytes(b"PK\x03\x04 and more")
    result = call("segment", "im.png", "--out", "out", "--model", "evil.safetensors", code=2)
    assert "pickled" in result.stderr


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    write_image(tmp_path / "im.png", grey(), 0.02)
    (tmp_path / "file").touch()
    result = call("segment", "im.png", "--out", "file", code=1)
    assert "cannot be written" in result.stderr


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "im.png", grey(), 0.02)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    result = call("segment", "im.png", "--out", "out", code=1)
    assert "no space left on device" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_interruption_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "im.png", grey(), 0.02)
    closed = []

    def steps(*_: object) -> Iterator[Any]:
        try:
            yield Progress(1, 9)
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    monkeypatch.setattr(segmentation, "segment_steps", steps)
    result = call("segment", "im.png", "--out", "out", code=130)
    assert "stopped" in result.stderr
    assert closed
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- measure


def test_measure_makes_one_table(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", mask())
    write_image(tmp_path / "b.png", mask((50, 80)))
    result = call("measure", "a.png", "b.png", "--pixel-size", "0.1", "--out", "t.csv")
    assert result.stdout.split() == ["t.csv", "t_summary.csv", "t.json"]
    table = rows(tmp_path / "t.csv")
    assert [row["image"] for row in table] == ["a.png", "a.png", "b.png", "b.png"]
    assert next(iter(table[0])) == "image"
    assert float(table[0]["axon_diam (um)"]) == pytest.approx(1.6, rel=0.05)
    assert float(table[0]["gratio"]) == pytest.approx(8 / 12, rel=0.05)
    summary = rows(tmp_path / "t_summary.csv")
    assert [row["image"] for row in summary] == ["a.png", "b.png"]
    assert float(summary[0]["avf"]) == pytest.approx((mask() == 255).mean())
    recipe = json.loads((tmp_path / "t.json").read_text())
    assert recipe["verb"] == "measure"
    assert recipe["pixel_sizes"] == {"a.png": 0.1, "b.png": 0.1}


def test_measure_is_the_verb_of_python(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", mask(), 0.25)
    call("measure", "a.png", "--out", "t.csv", "--exclude-border", "--axon-shape", "ellipse")
    expected = napari_axongen.measure(
        mask(), pixel_size=0.25, exclude_border=True, axon_shape="ellipse"
    )
    table = rows(tmp_path / "t.csv")
    for key, values in expected.fibres.items():
        np.testing.assert_allclose([float(row[key]) for row in table], values, rtol=1e-6)


def test_measure_without_pixel_size_says_so(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", mask())
    result = call("measure", "a.png", "--out", "t.csv")
    assert "lengths are in pixels" in result.stderr
    assert "axon_diam (px)" in rows(tmp_path / "t.csv")[0]


def test_units_are_not_mixed(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", mask(), 0.1)
    write_image(tmp_path / "b.png", mask())
    result = call("measure", "a.png", "b.png", "--out", "t.csv", code=1)
    assert "b.png would be measured in px" in result.stderr
    assert {row["image"] for row in rows(tmp_path / "t.csv")} == {"a.png"}


def test_measure_planes_folders_and_empty_masks(tmp_path: Path) -> None:
    write_image(tmp_path / "stack.tif", np.stack([mask(), mask() * 0]), 0.1)
    write_image(tmp_path / "other" / "stack.tif", mask(), 0.1)
    call("measure", "stack.tif", "other/stack.tif", "--out", "t.csv")
    names = [row["image"] for row in rows(tmp_path / "t_summary.csv")]
    assert names == ["stack.tif[0]", "stack.tif[1]", str(Path("other/stack.tif"))]
    assert rows(tmp_path / "t_summary.csv")[1]["mean_gratio"] == ""


def test_a_micrograph_is_no_mask(tmp_path: Path) -> None:
    write_image(tmp_path / "im.png", grey())
    write_image(tmp_path / "a.png", mask(), 0.1)
    result = call("measure", "im.png", "a.png", "--out", "t.csv", code=1)
    assert "im.png is not a mask" in result.stderr
    assert len(rows(tmp_path / "t.csv")) == 2
    result = call("measure", "im.png", "--out", "none.csv", code=1)
    assert not (tmp_path / "none.csv").exists()


def test_masks_of_one_class_are_not_taken_for_axons(tmp_path: Path) -> None:
    for name, classes in (("axonmyelin", mask()), ("myelin", mask() * 2), ("axon", mask() * 2)):
        write_image(tmp_path / f"im_seg-{name}.png", classes, 0.1)
    result = call("measure", *sorted(tmp_path.glob("*.png")), "--out", "t.csv", code=1)
    assert "holds the myelin alone; measure the mask of both" in result.stderr
    assert "holds the axon alone" in result.stderr
    assert {row["image"] for row in rows(tmp_path / "t.csv")} == {"im_seg-axonmyelin.png"}


def test_wrong_table_name(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", mask())
    call("measure", "a.png", "--out", "t.xlsx", code=2)


# ---------------------------------------------------------------- models


def test_models_list_and_show(tmp_path: Path) -> None:
    (tmp_path / "models" / "bad.safetensors").write_bytes(b"hello")
    result = call("models", "list")
    assert "tiny" in result.stdout
    assert "0.02" in result.stdout
    assert "bad.safetensors" in result.stderr
    shown = json.loads(call("models", "show", "tiny").stdout)
    assert shown["network"] == NETWORK
    assert shown["file"] == str(tmp_path / "models" / "tiny.safetensors")


def test_models_import_and_export(tmp_path: Path) -> None:
    source = save_tiny(tmp_path / "other.safetensors", "other")
    result = call("models", "import", source)
    assert result.stdout.strip() == str(find_model("other"))
    assert call("models", "import", source, code=1).stderr.startswith("Error: The name 'other'")
    call("models", "import", source, "--replace")
    call("models", "export", "other", "copy.safetensors")
    assert (tmp_path / "copy.safetensors").read_bytes() == source.read_bytes()
    call("models", "export", "other", "copy.safetensors", code=1)
    call("models", "export", "other", "copy.safetensors", "--replace")


def test_models_errors(tmp_path: Path) -> None:
    assert "no model 'nobody'" in call("models", "show", "nobody", code=1).stderr
    (tmp_path / "a.pt").write_bytes(b"\x80\x02}q\x00.")
    assert "pickled" in call("models", "import", "a.pt", code=1).stderr


# ---------------------------------------------------------------- train, demo


def test_train_shows_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Recipe:
        name = "small"

    def steps(recipe: Any, out: Path, resume: bool, device: str) -> Steps[Path]:
        seen.update(out=out, resume=resume, device=device)
        yield Notice("Training [small].")
        yield Metrics(1, {"loss": 0.5})
        yield Progress(1, 2, "3 steps/s")
        return out / "model.safetensors"

    monkeypatch.setattr(training, "load_recipe", lambda path: Recipe())
    monkeypatch.setattr(training, "train_steps", steps)
    result = call("train", "r.yaml", "--out", "run", "--resume", "--device", "cpu")
    assert result.stdout.strip() == str(Path("run/model.safetensors"))
    assert "small: Training [small]." in result.stderr
    assert seen == {"out": Path("run"), "resume": True, "device": "cpu"}


def test_train_with_a_bad_recipe(tmp_path: Path) -> None:
    assert "missing.yaml" in call("train", "missing.yaml", "--out", "run", code=1).stderr
    (tmp_path / "r.yaml").write_text("name: x\ncolour: red\n")
    result = call("train", "r.yaml", "--out", "run", code=1)
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output


def test_demo_is_handed_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Module:
        @staticmethod
        def run_demo(headless: bool, out: Path) -> None:
            seen.update(headless=headless, out=out)

    monkeypatch.setitem(sys.modules, "napari_axongen.widgets.demo", Module)
    call("demo", "--headless", "--out", "here")
    assert seen == {"headless": True, "out": Path("here")}


def test_as_a_program(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", mask(), 0.1)
    (tmp_path / "b.png").touch()
    done = subprocess.run(
        [sys.executable, "-m", "napari_axongen.cli", "measure", "b.png", "a.png", "--out", "t.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("Error: b.png is empty")
    assert len(rows(tmp_path / "t.csv")) == 2
