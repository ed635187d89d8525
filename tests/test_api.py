from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_axongen
from napari_axongen.core import training
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Progress, Steps
from napari_axongen.core.files import write_image
from napari_axongen.core.image import Image
from napari_axongen.core.models import Card, save_model, store
from napari_axongen.core.networks import build

NETWORK = {"name": "unet", "channels": [2, 2]}


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(store, "SHIPPED_FOLDER", tmp_path / "shipped")
    torch.manual_seed(0)
    card = Card(
        name="tiny", network=NETWORK, classes=["background", "myelin", "axon"], pixel_size=0.02
    )
    save_model(tmp_path / "models" / "tiny.safetensors", build(NETWORK), card)


@pytest.fixture
def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    y, x = np.indices((40, 50))
    radius = np.hypot(y - 20, x - 25)
    return np.select([radius <= 8, radius <= 12], [255, 127], 0).astype(np.uint8)


def test_the_package_is_light() -> None:
    code = (
        "import sys, napari_axongen; dir(napari_axongen); napari_axongen.__version__\n"
        "napari_axongen.segment, napari_axongen.measure, napari_axongen.train\n"
        "napari_axongen.evaluate_tracing, napari_axongen.generate, napari_axongen.generate_series\n"
        "heavy = {'torch', 'napari', 'qtpy', 'scipy', 'skimage'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names() -> None:
    assert set(napari_axongen.__all__) == {
        "__version__",
        "evaluate",
        "evaluate_tracing",
        "generate",
        "generate_series",
        "match",
        "measure",
        "segment",
        "train",
        "translate",
    }
    assert set(napari_axongen.__all__) <= set(dir(napari_axongen))
    with pytest.raises(AttributeError, match="no attribute 'dance'"):
        napari_axongen.dance  # noqa: B018


def test_arrays_paths_and_images_are_one(tmp_path: Path, grey: np.ndarray) -> None:
    write_image(tmp_path / "a.png", grey, 0.02)
    from_array = napari_axongen.segment(grey, pixel_size=0.02)
    from_path = napari_axongen.segment(str(tmp_path / "a.png"), device="cpu")
    from_image = napari_axongen.segment(Image.from_array(grey, pixel_size=0.5), pixel_size=0.02)
    for other in (from_path, from_image):
        assert other.pixel_size == pytest.approx(0.02)
        np.testing.assert_array_equal(other.classes(), from_array.classes())
    assert from_array.classes().shape == grey.shape


def test_events_are_told(grey: np.ndarray) -> None:
    events: list[Event] = []
    napari_axongen.segment(grey, 0.02, "tiny", on_event=events.append)
    assert any(isinstance(event, Progress) and event.done == event.total for event in events)
    assert any(isinstance(event, Notice) for event in events)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 2}, "'threshold' is 2"),
        ({"colour": "red"}, "no parameter 'colour'"),
        ({"pixel_size": -1}, "pixel"),
        ({"pixel_size": float("nan")}, "pixel"),
        ({"pixel_size": "wide"}, "'pixel_size' is 'wide'"),
        ({"model": "nobody"}, "no model 'nobody'"),
        ({"device": "abacus"}, "'device' is 'abacus'"),
    ],
)
def test_bad_parameters(grey: np.ndarray, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        napari_axongen.segment(grey, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "'steps' is 0: it must be from 1 to 1000"),
        ({"strength": 2}, "'strength' is 2: it must be from 0.05 to 1"),
        ({"guidance": -1}, "'guidance' is -1: it must be from 0 to 10"),
        ({"samples": 0}, "'samples' is 0: it must be from 1 to 64"),
        ({"sampler": "dpm"}, "'sampler' is 'dpm'"),
        ({"method": "dream"}, "'method' is 'dream'"),
        ({"target": "sem"}, "'target' is 'sem'"),
        ({"step": 3}, "no parameter 'step' .did you mean 'steps'"),
        ({"method": "ddpm", "sampler": "euler"}, "'euler' does not suit model 'tem-sem'"),
    ],
)
@pytest.mark.usefixtures("denoiser")
def test_bad_parameters_of_a_translation(
    grey: np.ndarray, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        napari_axongen.translate(grey, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "array", [np.zeros((0, 5)), np.zeros((4, 4), complex), np.zeros(5), np.array("text")]
)
def test_bad_images(array: np.ndarray) -> None:
    with pytest.raises(InputError):
        napari_axongen.segment(array)


def test_measure_takes_masks_in_all_forms(
    tmp_path: Path, mask: np.ndarray, grey: np.ndarray
) -> None:
    write_image(tmp_path / "m.png", mask, 0.1)
    expected = napari_axongen.measure(mask, pixel_size=0.1)
    assert expected.unit == "um"
    assert expected.image["fibres"] == 1
    for form in (tmp_path / "m.png", Image.from_array(mask, pixel_size=0.1)):
        assert napari_axongen.measure(form).image == pytest.approx(expected.image)
    assert napari_axongen.measure(mask).unit == "px"
    labels = (mask > 0).astype(np.int32) * 7
    given = napari_axongen.measure(mask, 0.1, labels=labels)
    assert given.fibres["label"].tolist() == [7]
    seen = napari_axongen.measure(napari_axongen.segment(grey, pixel_size=0.02))
    assert seen.unit == "um"


def test_measure_refuses_what_is_no_mask(mask: np.ndarray, grey: np.ndarray) -> None:
    with pytest.raises(InputError, match="not a mask"):
        napari_axongen.measure(grey)
    with pytest.raises(InputError, match="stack"):
        napari_axongen.measure(np.stack([mask, mask]))
    with pytest.raises(InputError, match="'axon_shape' is 'square'"):
        napari_axongen.measure(mask, axon_shape="square")


def test_train_reads_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(recipe: Any, out: Path, resume: bool, device: str) -> Steps[Path]:
        try:
            yield Progress(1, 1)
        except GeneratorExit:
            closed.append(True)
            raise
        return out / f"{recipe}-{resume}-{device}"

    closed: list[bool] = []

    def listener(event: Event) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train_steps", steps)
    monkeypatch.setattr(training, "load_recipe", lambda path: path.stem)
    events: list[Event] = []
    done = napari_axongen.train("small.yaml", tmp_path, True, "cpu", on_event=events.append)
    assert done == tmp_path / "small-True-cpu"
    assert events == [Progress(1, 1)]
    with pytest.raises(KeyboardInterrupt) as stopped:
        napari_axongen.train("small.yaml", tmp_path, on_event=listener)
    assert closed, stopped  # before the error is forgotten: a checkpoint is on the disk


def test_evaluate_tracing_takes_files_and_lists(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("kind,path,x,y\naxon,0,0,5\naxon,0,40,5\n")
    path = [[6.5, 0], [6.5, 20]]
    from_file = napari_axongen.evaluate_tracing([path], tmp_path / "truth.csv")
    from_list = napari_axongen.evaluate_tracing([np.array(path)], [[[5, 0], [5, 40]]])
    assert from_file == from_list
    assert from_file.overall.precision == 1
    assert from_file.overall.traced_to_truth == pytest.approx(1.5)
    close = napari_axongen.evaluate_tracing([path], str(tmp_path / "truth.csv"), tolerance=1)
    assert close.overall.precision == close.overall.recall == 0


def test_an_experiment_is_run_from_python(tmp_path: Path) -> None:
    entries = {
        "name": "none-yet",
        "measure": "axon",
        "data": {"here": {"root": str(tmp_path), "folds": {"f": {"test": ["a"], "train": ["b"],
                                                                  "validation": ["c"]}}}},
        "recipe": {"network": NETWORK, "optimisation": {"steps": 1}},
        "arms": {"real": {"real": "all"}},
    }  # fmt: skip
    file = tmp_path / "experiment.yaml"
    file.write_text(json.dumps(entries))
    with pytest.raises(InputError, match="no arm 'unreal'"):
        napari_axongen.evaluate(file, tmp_path / "out", only=["unreal"])
