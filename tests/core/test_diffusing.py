"""Whole images by diffusion: model, contrast and samples; what is said, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_axongen.core import methods, planning, sampling
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Partial, Progress, run
from napari_axongen.core.image import Image
from napari_axongen.core.models import Card, save_model
from napari_axongen.core.models.card import Looks
from napari_axongen.core.networks import Denoiser, build
from napari_axongen.core.parameters import TranslateParameters
from napari_axongen.core.planning import check
from napari_axongen.core.surrogate.em_fields import EmField, em_field
from napari_axongen.core.translation import CHECKING, Translation, translate_steps

pytestmark = pytest.mark.usefixtures("denoiser")

BY_DIFFUSION = ("ddpm", "sdedit", "ddib", "generate")


def fibres(shape: tuple[int, int], radius: float = 9) -> tuple[np.ndarray, np.ndarray]:
    """Fibres in rows, and a grey image of them with noise."""
    y, x = np.indices(shape)
    far = np.hypot(y % (3 * radius) - 1.5 * radius, x % (3 * radius) - 1.5 * radius)
    classes = np.select([far < radius, far < 1.4 * radius], [255, 127], 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.1, shape)
    return classes, (np.choose(classes // 127, [0.5, 0.1, 0.9]) + noise).astype(np.float32)


def made(
    image: np.ndarray | Image, mask: Any = None, **options: Any
) -> tuple[Translation, list[Event]]:
    """By diffusion on the CPU, in two steps, of axons that the model knows as they are."""
    if not isinstance(image, Image):
        image = Image.from_array(image)
    keywords = {name: options.pop(name) for name in ("out", "first") if name in options}
    usual = {"method": "ddpm", "target": "SEM", "steps": 2, "device": "cpu", "axon_diameter": 24}
    parameters = TranslateParameters(**(usual | options))
    events: list[Event] = []
    result = run(translate_steps(image, parameters, mask, **keywords), events.append)
    return result, events


def notices(events: list[Event]) -> str:
    return " ".join(event.message for event in events if isinstance(event, Notice))


@pytest.fixture(scope="module")
def field() -> EmField:
    """A TEM field with a median axon of about 40 px."""
    return em_field((220, 240), "tem", pixel_size=0.01, seed=21)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images of which the segmenters were asked."""
    names: list[str] = []
    match = planning.match_model

    def counted(image: Image, *rest: Any) -> Any:
        names.append(image.name)
        return match(image, *rest)

    monkeypatch.setattr(planning, "match_model", counted)
    return names


# ---------------------------------------------------------------- what is asked, what is said


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, False),
        ({"method": "generate"}, False),
        ({"method": "sdedit"}, True),  # grey values are inverted or not
        ({"method": "ddib"}, True),
        ({"target": "auto"}, True),
        ({"method": "generate", "target": "auto"}, True),
        ({"mask": None}, True),
        ({"mask": None, "condition": "structure"}, False),
        ({"mask": None, "method": "generate"}, False),
        ({"axon_diameter": None}, False),  # the mask tells
        ({"axon_diameter": None, "mask": None, "method": "generate"}, True),
    ],
)
def test_the_segmenters_are_asked_for_what_is_not_known(
    asked: list[str], field: EmField, options: dict[str, Any], wanted: bool
) -> None:
    arguments = {"mask": field.classes, "axon_diameter": 40, **options}
    found, _ = made(field.image, **arguments)
    assert bool(asked) == wanted
    assert (found.plan.segmenter is not None) == wanted
    assert found.source == ("TEM" if wanted else None)
    assert found.target == "SEM"


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("ddpm", "TEM contrast, .* tem-sem renders it anew, as SEM"),
        ("sdedit", "goes on from the image itself, noised, as SEM"),
        ("ddib", "takes it to noise and back, as SEM"),
        ("generate", "makes one up, as SEM"),
    ],
)
def test_it_is_said_what_is_done(field: EmField, method: str, said: str) -> None:
    found, events = made(field.image, field.classes, method=method, target="auto")
    text = notices(events)
    assert re.search(said, text)
    assert "Computing on CPU" in text
    assert "brought to the 24 px that tem-sem knows" in text
    assert (found.source, found.target, found.card.name) == ("TEM", "SEM", "tem-sem")


def test_contrast_scale_and_mask_are_found(field: EmField) -> None:
    found, _ = made(field.image, target="auto", axon_diameter=None, seed=3)
    assert (found.source, found.target, found.mask_origin) == ("TEM", "SEM", "segmented")
    assert found.scale == pytest.approx(24 / found.plan.segmenter.axon_diameter, rel=0.02)
    given, _ = made(field.image, found.mask, axon_diameter=24 / found.scale, seed=3)
    assert given.mask_origin == "given"
    np.testing.assert_array_equal(given.image, found.image)


def test_the_same_contrast_may_be_made_anew(field: EmField) -> None:
    found, _ = made(field.image, field.classes, method="sdedit", target="TEM", strength=0.1)
    assert (found.source, found.target) == ("TEM", "TEM")
    assert np.corrcoef(found.image.ravel(), field.image.ravel())[0, 1] > 0.5
    other, _ = made(field.image, field.classes, method="sdedit", target="SEM", strength=0.1)
    assert np.corrcoef(other.image.ravel(), field.image.ravel())[0, 1] < -0.5


def test_greys_are_those_of_the_target() -> None:
    """Both ends of the network's range stand for greys beyond the usual range of the contrast."""
    mask, grey = fibres((64, 64))
    for target, low, high in (("TEM", 40, 220), ("SEM", 10, 200)):
        image = made(grey, mask, target=target, steps=1)[0].image
        assert image.min() >= max(0, low - 0.26 * (high - low))
        assert image.max() <= min(255, high + 0.26 * (high - low))


def test_nothing_is_looked_at_that_is_not_told(field: EmField) -> None:
    """The mask alone; nothing; the image alone."""
    black = np.zeros_like(field.image)
    blank = np.zeros_like(field.classes)

    def same(method: str, condition: str, image: np.ndarray, mask: np.ndarray) -> bool:
        options = {"method": method, "condition": condition}
        one, other = (made(i, m, **options)[0].image
                      for i, m in ((field.image, field.classes), (image, mask)))  # fmt: skip
        return np.array_equal(one, other)

    assert same("ddpm", "mask", black, field.classes)
    assert not same("ddpm", "mask", field.image, blank)
    assert same("ddpm", "structure", field.image, blank)
    assert not same("ddpm", "structure", black, field.classes)
    assert not same("ddpm", "mask and structure", field.image, blank)
    assert not same("ddpm", "mask and structure", black, field.classes)
    assert same("generate", "structure", black, field.classes)
    assert not same("generate", "structure", field.image, blank)
    free, _ = made(field.image, method="generate")
    np.testing.assert_array_equal(free.image, made(black, method="generate")[0].image)
    assert (free.mask, free.mask_origin) == (None, None)


# ---------------------------------------------------------------- samples and stacks


@pytest.mark.parametrize("method", ["cgan", "ddpm", "sdedit"])
def test_samples_are_single_runs_with_the_seeds_that_follow(method: str) -> None:
    image, (mask, grey) = None, fibres((70, 60))
    image = Image.from_array(grey)
    options = {"method": method, "target": "auto" if method == "cgan" else "SEM", "seed": 4}
    if method == "cgan":
        options["model"] = "tem-to-sem"
    found, events = made(image, mask, samples=3, **options)
    assert found.image.shape == (3, 70, 60)
    for index in range(3):
        alone, _ = made(image, mask, **{**options, "seed": 4 + index})
        np.testing.assert_array_equal(found.image[index], alone.image)
        assert (alone.spread, alone.round_trip) == (None, None)
    assert (found.image[0] != found.image[1]).any()
    assert found.spread is not None
    assert found.spread.dtype == np.float32
    np.testing.assert_allclose(found.spread, found.image.std(0), atol=1e-4)
    partials = [event for event in events if isinstance(event, Partial)]
    assert [event.plane for event in partials] == [(0,), (1,), (2,)]
    np.testing.assert_array_equal(partials[1].value, found.image[1])
    progress = [event for event in events if isinstance(event, Progress)]
    parts = [event.done / event.total for event in progress]
    assert parts == sorted(parts)
    assert parts[-1] == 1


def test_samples_of_a_stack_and_the_array_that_they_are_written_to(tmp_path: Path) -> None:
    mask = np.stack([fibres((40, 50), radius)[0] for radius in (8, 10)])
    grey = np.zeros(mask.shape, np.uint8)
    shape = (2, *mask.shape)
    mapped = np.memmap(tmp_path / "out", np.uint8, "w+", shape=shape)
    found, events = made(grey, mask, samples=2, out=mapped)
    assert found.image is mapped
    assert found.spread is not None
    assert found.spread.shape == mask.shape
    planes = [event.plane for event in events if isinstance(event, Partial)]
    assert planes == [(0, 0), (1, 0), (0, 1), (1, 1)]  # all of what is looked at first
    alone, _ = made(grey, mask, seed=1)
    np.testing.assert_array_equal(found.image[1], alone.image)
    with pytest.raises(InputError, match=r"needs \(2, 2, 40, 50\) and uint8"):
        made(grey, mask, samples=2, out=np.zeros(mask.shape, np.uint8))


def test_planes_share_their_noise_if_asked_to() -> None:
    mask = np.stack([fibres((40, 50))[0]] * 2)
    grey = np.zeros(mask.shape, np.uint8)
    for method in ("ddpm", "cgan"):
        options = {"method": method, "target": "SEM"}
        apart = made(grey, mask, **options)[0].image
        assert (apart[0] != apart[1]).any()
        shared = made(grey, mask, shared_noise=True, **options)[0].image
        np.testing.assert_array_equal(shared[0], shared[1])
        np.testing.assert_array_equal(shared[0], apart[0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5), (40, 50, 3)])
def test_every_size_and_colour(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    mask = fibres(shape[:2])[0]
    for method in ("ddpm", "sdedit"):
        found, _ = made(image, mask, method=method, condition="mask and structure")
        assert (found.image.shape, found.image.dtype) == (shape[:2], np.uint8)


@pytest.mark.parametrize("method", ["sdedit", "ddib"])
def test_lazy_arrays_give_what_arrays_give(field: EmField, method: str) -> None:
    options = {"method": method, "condition": "mask and structure"}
    expected, _ = made(field.image, field.classes, **options)
    lazy, mask = (da.from_array(a, chunks=64) for a in (field.image, field.classes))
    found, _ = made(lazy, mask, **options)
    np.testing.assert_array_equal(found.image, expected.image)
    assert found.round_trip == expected.round_trip


def test_where_one_looks_is_made_first_and_all_comes_out_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "tile_side", lambda *_: 40)
    mask = np.stack([fibres((100, 100))[0]] * 2)
    image = Image.from_array(np.zeros(mask.shape, np.uint8))
    expected, _ = made(image, mask)
    out = np.zeros(mask.shape, np.uint8)
    parameters = TranslateParameters(
        method="ddpm", target="SEM", steps=2, device="cpu", axon_diameter=24
    )
    steps = translate_steps(image, parameters, mask, out=out, first=(1, 90, 50))
    while not (isinstance(event := next(steps), Progress) and event.done):
        pass
    assert out[1, 90, 50] > 0
    assert not out[0].any()
    assert not out[1, 0].any()
    run(steps)
    np.testing.assert_array_equal(out, expected.image)


@pytest.mark.parametrize("diameter", [24, 96])
def test_no_more_than_a_part_is_read_at_a_time(
    monkeypatch: pytest.MonkeyPatch, recording: type[Any], diameter: float
) -> None:
    """Of an image finer than the model knows it, too, whose blocks reach far."""
    from napari_axongen.core import image as images
    from napari_axongen.core import masks, rendering

    for module, name, value in (
        (images, "_SAMPLE", 1 << 14),
        (masks, "_CHECKED", 1 << 14),
        (masks, "_MEASURED_SIDE", 128),
        (rendering, "_SAMPLE_SIDE", 32),
        (sampling, "_BLOCK", 128),
    ):
        monkeypatch.setattr(module, name, value)
    shape = (900, 800)
    mask, grey = (recording(array) for array in fibres(shape))
    found, _ = made(
        Image(grey, "YX"), mask, axon_diameter=diameter, condition="mask and structure", memory=64
    )
    assert found.image.std() > 0
    assert max(mask.largest, grey.largest) < shape[0] * shape[1] / 5


# ---------------------------------------------------------------- to noise and back


def test_the_way_to_noise_and_back_is_checked_and_the_finer_the_better(
    field: EmField, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "ROUND_TRIP", 64)
    errors = []
    for steps in (2, 10, 50):
        found, events = made(
            field.image[:80, :80], field.classes[:80, :80], method="ddib", steps=steps
        )
        assert found.round_trip is not None
        errors.append(found.round_trip)
        assert f"returns to within {found.round_trip:.1%} of the grey range" in notices(events)
        assert CHECKING in {event.message for event in events if isinstance(event, Progress)}
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0
    recipe = json.loads(json.dumps(found.recipe()))
    assert recipe["round_trip"] == errors[-1]


# ---------------------------------------------------------------- recipes, and what is refused


@pytest.mark.parametrize("method", BY_DIFFUSION)
def test_the_recipe_says_all_and_makes_it_again(field: EmField, method: str) -> None:
    image = Image.from_array(field.image, pixel_size=0.01)
    options = {"seed": 4, "guidance": 1.5, "steps": 3, "sampler": "ddim", "samples": 2}
    found, _ = made(image, field.classes, method=method, **options)
    recipe = json.loads(json.dumps(found.recipe()))
    assert recipe["verb"] == "translate"
    assert recipe["model"]["name"] == recipe["parameters"]["model"] == "tem-sem"
    assert options.items() <= recipe["parameters"].items()
    assert (recipe["target"], recipe["mask"]) == ("SEM", "given")
    again = TranslateParameters(**recipe["parameters"])
    repeated = run(translate_steps(image, again, field.classes))
    np.testing.assert_array_equal(repeated.image, found.image)


def test_calls_of_the_network_are_foretold(field: EmField, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    forward = Denoiser.forward

    def counted(self: Denoiser, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return forward(self, *arguments)

    monkeypatch.setattr(Denoiser, "forward", counted)
    monkeypatch.setattr(planning, "match_model", _nobody)
    for options in (
        {},
        {"guidance": 2, "samples": 2},
        {"guidance": 0},
        {"method": "generate", "steps": 5},
    ):
        calls = 0
        found, _ = made(field.image, field.classes, **options)
        assert calls == found.parameters.network_calls > 0
    ddib = TranslateParameters(method="ddib", steps=4, guidance=2)
    assert (ddib.network_calls, TranslateParameters(samples=3).network_calls) == (8, 3)


def _nobody(*_: Any) -> Any:
    raise AssertionError("the segmenters were asked")


def single(folder: Path, **changes: Any) -> Path:
    """A denoiser that makes SEM images alone."""
    network = {"name": "denoiser", "channels": [4], **changes}
    card = Card(
        name="sem-alone",
        task="diffusion",
        network=network,
        classes=["axon"],
        axon_diameter=24,
        looks={"SEM": Looks(grey_range=(0, 255), quantiles=[0, 1])},
    )
    path = folder / "sem-alone.safetensors"
    save_model(path, build(network), card)
    return path


def refused(options: dict[str, Any], said: str) -> None:
    """Before any image, and of one."""
    parameters = TranslateParameters(**{"method": "ddpm", "device": "cpu", **options})
    with pytest.raises(InputError, match=said):
        check(parameters)
    with pytest.raises(InputError, match=said):
        run(translate_steps(Image.from_array(np.zeros((40, 40), np.uint8)), parameters))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "nobody"}, "no model 'nobody'"),
        ({"model": "tem-to-sem"}, "'tem-to-sem' is for translation; for diffusion, choose tem-sem"),
        ({"model": "axon-myelin-tem"}, "is for segmentation; for diffusion, choose tem-sem"),
        ({"model": "tem-sem", "method": "cgan"}, "is for diffusion; for translation, choose"),
        ({"sampler": "euler"}, "sampler 'euler' does not suit .*choose dpm.., ddim, ddpm or auto"),
        ({"method": "sdedit", "steps": 400, "strength": 0.3}, "400 steps are more than the 300"),
        (
            {"method": "cgan", "model": "tem-to-sem", "target": "TEM"},
            "'tem-to-sem' makes SEM images and none of TEM contrast",
        ),
    ],
)
def test_what_no_image_can_be_translated_with_is_refused_beforehand(
    options: dict[str, Any], said: str
) -> None:
    refused(options, said)


def test_a_model_of_one_contrast(tmp_path: Path, field: EmField) -> None:
    alone = str(single(tmp_path))
    refused({"model": alone, "target": "TEM"}, "'sem-alone' makes SEM images and none of TEM")
    found, _ = made(field.image, field.classes, model=alone, target="auto")
    assert found.target == "SEM"
    with pytest.raises(InputError, match="knows SEM images and cannot take one of TEM contrast"):
        made(field.image, field.classes, model=alone, target="SEM", method="ddib")
    flow = str(single(tmp_path, objective="flow"))
    refused({"model": flow, "sampler": "dpm++"}, "choose euler or auto")
    check(TranslateParameters(model=flow, method="sdedit", sampler="euler", steps=1000))


def test_without_a_denoiser_that_is_said(denoiser: Path) -> None:
    denoiser.unlink()
    refused({}, "No model for diffusion is installed")


def test_the_target_chooses_among_conditional_gans(field: EmField) -> None:
    for target, name in (("SEM", "tem-to-sem"), ("TEM", "sem-to-tem")):
        found, _ = made(field.image, field.classes, method="cgan", target=target)
        assert (found.card.name, found.target) == (name, target)
