"""Translation of arrays of every kind, by tiny translators and the shipped segmenters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Partial, Progress, run
from napari_axongen.core.image import Image
from napari_axongen.core.matching import median_axon_diameter
from napari_axongen.core.models import Card, save_model
from napari_axongen.core.networks import build
from napari_axongen.core.parameters import SegmentParameters, TranslateParameters
from napari_axongen.core.rendering import Source, grey_levels, render_plane
from napari_axongen.core.segmentation import segment_steps
from napari_axongen.core.surrogate.em_fields import EmField, em_field
from napari_axongen.core.translation import Translation, translate_steps


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """One that answers every part of its input strongly."""
    torch.manual_seed(3)
    network = build({"name": "translator", "channels": [8, 12]}).eval().requires_grad_(False)
    for weights in network.parameters():
        if weights.ndim > 1:
            torch.nn.init.kaiming_normal_(weights, a=0.2)
    return network


def fibres(shape: tuple[int, int], radius: float = 9) -> tuple[np.ndarray, np.ndarray]:
    """Fibres in rows, and a grey image of them with noise."""
    y, x = np.indices(shape)
    far = np.hypot(y % (3 * radius) - 1.5 * radius, x % (3 * radius) - 1.5 * radius)
    classes = np.select([far < radius, far < 1.4 * radius], [255, 127], 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.1, shape)
    grey = np.choose(classes // 127, [0.5, 0.1, 0.9]) + noise
    grey[: shape[0] // 3] = 0.3  # a flat part, as beyond the edge of a section
    return classes, grey.astype(np.float32)


def rendered(
    network: torch.nn.Module, shape: tuple[int, int], condition: str, scale: float, tile: int
) -> np.ndarray:
    """What the network makes, -1..1."""
    classes, grey = fibres(shape)
    out = np.full(shape, np.nan, np.float32)

    def write(rows: slice, columns: slice, values: np.ndarray) -> None:
        out[rows, columns] = values[0]

    source = Source(
        shape,
        (lambda r, c: classes[r, c]) if "mask" in condition else None,
        (lambda r, c: grey[r, c]) if "structure" in condition else None,
    )
    device = choose_device("cpu")
    run(render_plane(network, source, write, scale=scale, seed=5, device=device, tile=tile))
    assert not np.isnan(out).any()
    return out


@pytest.mark.parametrize("scale", [1.0, 0.37, 0.5, 1.6])
@pytest.mark.parametrize(
    ("shape", "condition"),
    [
        ((131, 77), "mask"),
        ((131, 77), "structure"),
        ((96, 128), "mask and structure"),
        ((131, 77), "mask and structure"),
        ((301, 270), "mask and structure"),
    ],
)
def test_tiles_equal_the_whole(
    network: torch.nn.Module, shape: tuple[int, int], scale: float, condition: str
) -> None:
    whole = rendered(network, shape, condition, scale, 10_000)
    assert np.ptp(whole) > 0.5
    for parts in (2, 3, 5):
        tiled = rendered(network, shape, condition, scale, max(shape) // parts)
        assert np.abs(whole - tiled).max() <= 1e-4


def test_the_mask_alone_is_rendered_without_margins_for_the_structure(
    network: torch.nn.Module,
) -> None:
    """At scale 1 with one tile, the result is that of the bare network."""
    from napari_axongen.core.conditioning import condition, noise_window

    shape = (64, 96)
    classes = torch.from_numpy(fibres(shape)[0] // 127).long()[None]
    x = condition(classes, None, noise_window(5, 0, slice(0, 64), slice(0, 96), classes))
    with torch.inference_mode():
        bare = network(x)[0, 0].numpy()
    assert np.abs(rendered(network, shape, "mask", 1.0, 1000) - bare).max() <= 1e-5


# ---------------------------------------------------------------- whole images


def made(
    image: np.ndarray | Image, mask: np.ndarray | None = None, **options: object
) -> tuple[Translation, list[Event]]:
    """A translation on the CPU, and its events."""
    if not isinstance(image, Image):
        image = Image.from_array(image)
    keywords = {name: options.pop(name) for name in ("out", "first") if name in options}
    parameters = TranslateParameters(**{"model": "tem-to-sem", "device": "cpu"} | options)
    events: list[Event] = []
    result = run(translate_steps(image, parameters, mask, **keywords), events.append)
    return result, events


def notices(events: list[Event], level: str | None = None) -> str:
    return " ".join(e.message for e in events if isinstance(e, Notice) and level in (None, e.level))


@pytest.fixture(scope="module")
def field() -> EmField:
    """A TEM field with a median axon of about 40 px."""
    return em_field((400, 440), "tem", pixel_size=0.01, seed=21)


@pytest.mark.usefixtures("translators")
class TestGivenMask:
    @pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (7, 5), (64, 80), (40, 50, 3)])
    def test_every_size_and_colour(self, shape: tuple[int, ...]) -> None:
        image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        mask = fibres(shape[:2])[0]
        found, _ = made(image, mask, axon_diameter=20, condition="mask and structure")
        assert found.image.shape == shape[:2]
        assert found.image.dtype == np.uint8
        np.testing.assert_array_equal(found.mask, mask)

    @pytest.mark.parametrize("dtype", [bool, np.uint16, np.int32, np.float16, np.float64])
    def test_the_type_of_the_pixels_does_not_matter(self, dtype: type) -> None:
        base = np.random.default_rng(1).integers(0, 2, (48, 56))
        options = {"mask": fibres((48, 56))[0], "condition": "mask and structure"}
        expected, _ = made(base.astype(np.uint8), **options)
        found, _ = made(base.astype(dtype), **options)
        np.testing.assert_array_equal(found.image, expected.image)

    def test_nan_and_constant_images(self) -> None:
        image = np.random.default_rng(2).random((60, 60)).astype(np.float32)
        image[3, 4], image[5, 6] = np.nan, np.inf
        mask = fibres((60, 60))[0]
        for grey in (image, np.full((60, 60), 9.0)):
            made(grey, mask, condition="mask and structure")
        empty = np.full((60, 60), np.nan)
        made(empty, mask)  # grey values are not looked at
        with pytest.raises(InputError, match="no finite value"):
            made(empty, mask, condition="structure")

    def test_a_stack_is_done_plane_by_plane(self) -> None:
        mask = np.stack([fibres((50, 60), radius)[0] for radius in (8, 9, 10, 8, 9, 10)])
        mask = mask.reshape(2, 3, 50, 60)
        grey = np.random.default_rng(4).random(mask.shape).astype(np.float32)
        found, events = made(grey, mask, axon_diameter=20, condition="mask and structure")
        assert found.image.shape == mask.shape
        partials = [event for event in events if isinstance(event, Partial)]
        assert [event.plane for event in partials] == list(np.ndindex(2, 3))
        np.testing.assert_array_equal(partials[-1].value, found.image[1, 2])
        first, _ = made(grey[0, 0], mask[0, 0], axon_diameter=20, condition="mask and structure")
        np.testing.assert_array_equal(found.image[0, 0], first.image)
        progress = [event for event in events if isinstance(event, Progress)]
        assert progress[-1].done == progress[-1].total
        # each plane has noise of its own
        same = np.stack([mask[0, 0]] * 2)
        twice, _ = made(np.zeros(same.shape, np.uint8), same, axon_diameter=20)
        assert (twice.image[0] != twice.image[1]).any()

    def test_it_begins_where_asked_and_makes_the_same(self) -> None:
        mask = np.stack([fibres((300, 300))[0]] * 2)
        image = Image.from_array(np.zeros(mask.shape, np.uint8))
        expected, _ = made(image, mask, axon_diameter=9)
        out = np.zeros(mask.shape, np.uint8)
        parameters = TranslateParameters(
            model="tem-to-sem", device="cpu", axon_diameter=9, memory=64
        )
        steps = translate_steps(image, parameters, mask, out=out, first=(1, 290, 150))
        while not isinstance(event := next(steps), Progress):
            assert isinstance(event, Notice)
        assert event.total > 2
        assert out[1, 290, 150] > 0
        assert not out[0].any()
        assert not out[1, 0].any()
        found = run(steps)
        assert found.image is out
        assert np.abs(out.astype(int) - expected.image).max() <= 1  # one level of 255: rounding

    def test_lazy_arrays_give_what_arrays_give(self) -> None:
        mask, grey = fibres((120, 100))
        expected, _ = made(grey, mask, condition="mask and structure")
        lazy = da.from_array(grey, chunks=(32, 32))
        found, _ = made(lazy, da.from_array(mask, chunks=40), condition="mask and structure")
        np.testing.assert_array_equal(found.image, expected.image)

    def test_a_result_can_be_written_to_a_file(self, tmp_path: Path) -> None:
        mask, grey = fibres((90, 100))
        expected, _ = made(grey, mask)
        mapped = np.memmap(tmp_path / "out", np.uint8, "w+", shape=mask.shape)
        found, _ = made(grey, mask, out=mapped)
        assert found.image is mapped
        np.testing.assert_array_equal(mapped, expected.image)
        with pytest.raises(InputError, match=r"needs \(90, 100\) and uint8"):
            made(grey, mask, out=np.zeros((90, 100)))

    def test_seed_condition_and_model_change_the_result(self) -> None:
        mask, grey = fibres((90, 100))
        once, _ = made(grey, mask)
        again, _ = made(1 - grey, mask)
        np.testing.assert_array_equal(once.image, again.image)  # the mask is all that is used
        for changed in ({"seed": 1}, {"condition": "mask and structure"}, {"model": "sem-to-tem"}):
            assert (made(grey, mask, **changed)[0].image != once.image).any()

    def test_polarity_does_not_matter(self) -> None:
        mask, grey = fibres((90, 100))
        once, _ = made(grey, mask, condition="structure")
        inverted, _ = made(1 - grey, mask, condition="structure")
        assert np.abs(once.image.astype(int) - inverted.image).max() <= 1

    def test_the_scale_comes_from_the_mask_unless_the_diameter_is_given(self) -> None:
        mask, grey = fibres((200, 220), radius=14)
        found, events = made(grey, mask)
        assert found.scale == 1  # axons of 28 px, as the model knows them
        assert "as in the mask" in notices(events)
        found, events = made(grey, mask, axon_diameter=14)
        assert found.scale == 2
        assert "coarser" in notices(events)
        found, events = made(grey, mask, axon_diameter=100)
        assert found.scale == 0.28
        assert "finer" in notices(events)
        found, events = made(grey, mask, axon_diameter=1)
        assert found.scale == 8
        assert "larger scale is not used" in notices(events, "warning")

    def test_axons_are_measured_in_the_middle_of_a_large_mask(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from napari_axongen.core import masks

        monkeypatch.setattr(masks, "_MEASURED_SIDE", 100)
        mask = np.zeros((500, 130), np.uint8)
        mask[200:300] = fibres((100, 130), radius=14)[0]
        mask[:50] = fibres((50, 130), radius=5)[0]
        found, _ = made(np.zeros(mask.shape, np.uint8), mask)
        assert found.scale == pytest.approx(1, abs=0.2)
        mask[200:300] = 0
        found, _ = made(np.zeros(mask.shape, np.uint8), mask)
        assert found.scale == pytest.approx(2.8, abs=0.3)

    def test_the_recipe_says_all_and_is_json(self) -> None:
        mask, grey = fibres((50, 60))
        image = Image.from_array(grey, pixel_size=0.02)
        found, _ = made(image, mask, seed=4)
        assert (found.source, found.target, found.pixel_size) == ("TEM", "SEM", 0.02)
        recipe = json.loads(json.dumps(found.recipe()))
        assert recipe["verb"] == "translate"
        assert recipe["model"]["name"] == "tem-to-sem"
        assert len(recipe["model"]["sha256"]) == 64
        assert recipe["parameters"]["pixel_size"] == 0.02
        assert (recipe["seed"], recipe["mask"], recipe["scale"]) == (4, "given", found.scale)
        again = TranslateParameters(**recipe["parameters"])
        np.testing.assert_array_equal(run(translate_steps(image, again, mask)).image, found.image)

    @pytest.mark.parametrize(
        ("mask", "said"),
        [
            (np.zeros((40, 51), np.uint8), r"\(40, 51\) and image \(40, 50\)"),
            (np.arange(2000).reshape(40, 50), "value 1, .* number the fibres"),
            (np.zeros((40, 50)), "type float64"),
        ],
    )
    def test_what_is_no_mask_is_refused(self, mask: np.ndarray, said: str) -> None:
        with pytest.raises(InputError, match=said):
            made(np.zeros((40, 50), np.uint8), mask)


@pytest.mark.usefixtures("translators")
def test_no_more_than_a_tile_is_read_at_a_time(
    monkeypatch: pytest.MonkeyPatch, recording: type[Any]
) -> None:
    from napari_axongen.core import image as images
    from napari_axongen.core import masks, rendering

    for module, name, value in (
        (images, "_SAMPLE", 1 << 16),
        (masks, "_CHECKED", 1 << 16),
        (masks, "_MEASURED_SIDE", 256),
        (rendering, "_SAMPLE_SIDE", 64),
    ):
        monkeypatch.setattr(module, name, value)
    shape = (1500, 1400)
    mask, grey = (recording(array) for array in fibres(shape))
    found, events = made(
        Image(grey, "YX"), mask, axon_diameter=28, memory=64, condition="mask and structure"
    )
    assert found.image.std() > 0
    tiles = [event.total for event in events if isinstance(event, Progress)][-1]
    assert tiles >= 9
    assert max(mask.largest, grey.largest) < shape[0] * shape[1] / 5


@pytest.mark.usefixtures("translators")
class TestFoundFromTheImage:
    def test_contrast_scale_and_mask(self, field: EmField) -> None:
        image = Image.from_array(field.image, pixel_size=field.pixel_size)
        found, events = made(image, model="auto")
        assert (found.card.name, found.source, found.target) == ("tem-to-sem", "TEM", "SEM")
        expected = run(segment_steps(image, SegmentParameters(device="cpu")))
        np.testing.assert_array_equal(found.mask, expected.classes())
        axons = expected.match.axon_diameter
        assert axons == pytest.approx(median_axon_diameter([field.classes == 255]), rel=0.2)
        assert found.scale == pytest.approx(28 / axons, rel=0.02)
        assert "TEM contrast" in notices(events)
        given, _ = made(image, found.mask, axon_diameter=axons)
        np.testing.assert_array_equal(given.image, found.image)
        recipe = found.recipe()
        assert (recipe["mask"], recipe["segmenter"]["name"]) == ("segmented", "axon-myelin-tem")

    def test_the_other_direction(self) -> None:
        field = em_field((300, 320), "sem", seed=4)
        image = Image.from_array(field.image, pixel_size=field.pixel_size)
        found, _ = made(image, field.classes, model="auto")
        assert (found.card.name, found.source, found.target) == ("sem-to-tem", "SEM", "TEM")

    def test_structure_needs_no_mask(self, field: EmField) -> None:
        image = Image.from_array(field.image, pixel_size=field.pixel_size)
        found, events = made(image, condition="structure")
        assert found.mask is None
        assert found.recipe()["mask"] is None
        assert {e.message for e in events if isinstance(e, Progress)} >= {"translating"}

    def test_a_model_for_the_other_contrast_is_warned_of(self, field: EmField) -> None:
        image = Image.from_array(field.image, pixel_size=field.pixel_size)
        found, events = made(image, model="sem-to-tem", condition="structure")
        assert "looks like TEM, while sem-to-tem is meant for SEM" in notices(events, "warning")
        assert found.source == "TEM"
        _, events = made(image, condition="structure")
        assert not notices(events, "warning")


class TestModels:
    def test_no_translator_is_said(self, translators: dict[str, Path], field: EmField) -> None:
        image = Image.from_array(field.image, pixel_size=field.pixel_size)
        translators["tem-to-sem"].unlink()
        with pytest.raises(InputError, match=r"TEM contrast, for which no .*sem-to-tem"):
            made(image, model="auto", axon_diameter=40)
        translators["sem-to-tem"].unlink()
        with pytest.raises(InputError, match="No model for translation is installed"):
            made(image, model="auto", axon_diameter=40)

    def test_a_segmenter_is_no_translator(self, translators: dict[str, Path]) -> None:
        with pytest.raises(InputError, match="is for segmentation"):
            made(np.zeros((30, 30)), model="axon-myelin-tem")

    def test_the_folder_of_a_run_is_a_model(
        self, translators: dict[str, Path], tmp_path: Path
    ) -> None:
        run_folder = tmp_path / "run"
        run_folder.mkdir()
        translators["tem-to-sem"].rename(run_folder / "model.safetensors")
        mask, grey = fibres((50, 60))
        found, _ = made(grey, mask, model=str(run_folder))
        assert found.card.name == "tem-to-sem"
        with pytest.raises(InputError, match="it is a folder"):
            made(grey, mask, model=str(tmp_path))

    def test_the_reference_architecture_renders_masks_alone(self, tmp_path: Path) -> None:
        arguments = {"name": "classic", "width": 2, "depth": 4}
        card = Card(
            name="reference",
            task="translation",
            source="TEM",
            contrast="SEM",
            network=arguments,
            classes=["background", "myelin", "axon"],
            axon_diameter=18,
        )
        path = tmp_path / "reference.safetensors"
        save_model(path, build(arguments).eval(), card)
        mask, grey = fibres((60, 70))
        found, _ = made(grey, mask, model=str(path))
        assert found.image.std() > 0
        with pytest.raises(InputError, match="renders masks and nothing else"):
            made(grey, mask, model=str(path), condition="structure")


def test_grey_values_fill_the_range_of_the_target() -> None:
    """The output stands for -0.25..1.25 of the way from the low to the high percentile."""
    values = np.array([[-1, -2 / 3, 0, 2 / 3, 1]], np.float32)
    assert grey_levels(values, (40, 200)).tolist() == [[0, 40, 120, 200, 240]]
    assert grey_levels(values, (100, 250))[0, -1] == 255
