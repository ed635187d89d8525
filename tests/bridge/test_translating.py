"""What the translate dock stands on: masks among layers, guesses, where to begin, pairs."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_axongen.bridge.masks import find_masks
from napari_axongen.bridge.pairs import labelled_pairs
from napari_axongen.bridge.recipes import as_command, as_python
from napari_axongen.bridge.translating import (
    CONDITIONS,
    METHODS,
    Spread,
    Stage,
    Written,
    contrast_of,
    direction,
    directions,
    heeded,
    looked_at,
    models,
    samplers,
    suitable,
    towards,
    translate,
    translators,
    unheeded,
)
from napari_axongen.core import image as core
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Partial, Progress, run
from napari_axongen.core.parameters import TranslateParameters

SHAPE = (40, 50)


def labels(name, value=1, shape=SHAPE, **recipe):
    data = np.zeros(shape, np.uint8)
    data[..., 4:20, 4:30] = value
    return Labels(data, name=name, metadata={"axongen": recipe} if recipe else {})


def classes():
    mask = np.zeros(SHAPE, np.uint8)
    mask[:10], mask[10:20] = 127, 255
    return mask


@pytest.fixture
def source():
    return Image(np.zeros(SHAPE, np.uint8), name="field")


# ---------------------------------------------------------------- masks


def test_the_image_s_own_pair_comes_first(source):
    own = {"verb": "segment", "source": "field"}
    layers = [
        labels("field axon", output="axon", **own),
        labels("field myelin", output="myelin", **own),
        labels("field fibres", 3, output="fibres", **own),
        labels("other_seg-axon-manual"),
        labels("other_seg-myelin-manual"),
        Labels(classes(), name="drawn"),
        source,
    ]
    masks = find_masks(source, reversed(layers))
    assert masks[0].title == "field: axon, myelin"
    assert {mask.title for mask in masks} == {
        "field: axon, myelin",
        "drawn",
        "other_seg: axon, myelin",
    }


def test_half_a_pair_and_labels_of_another_size_are_not_offered(source):
    layers = [
        labels("field axon"),
        labels("other axon", shape=(9, 9)),
        labels("other myelin", shape=(9, 9)),
        labels("numbered", 7),
        Image(np.arange(2000, dtype=np.uint8).reshape(SHAPE), name="another image"),
        Image(np.zeros((*SHAPE, 3), np.uint8), rgb=True, name="colour"),
    ]
    assert find_masks(source, layers) == []


def test_a_mask_file_that_was_opened_as_an_image_is_one(source):
    (mask,) = find_masks(source, [Image(classes(), name="x_seg-axonmyelin")])
    assert np.array_equal(mask.reader()(), classes())
    halves = [Image(255 * (classes() == v).view(np.uint8)) for v in (127, 255)]
    halves[0].name, halves[1].name = "x_seg-myelin", "x_seg-axon"
    (mask,) = find_masks(source, halves)
    assert np.array_equal(mask.reader()(), classes())


def test_an_axon_inside_its_sheath_wins_where_labels_overlap(source):
    layers = [labels("a axon", shape=(3, *SHAPE)), labels("a myelin", shape=(3, *SHAPE))]
    layers[1].data[:] = 1
    stack = Image(np.zeros((3, *SHAPE), np.uint8), name="a")
    (mask,) = find_masks(stack, layers)
    read = mask.reader()()
    assert np.array_equal(read, np.where(layers[0].data > 0, 255, 127))


def test_a_colour_image_has_labels_of_its_plane():
    colour = Image(np.zeros((*SHAPE, 3), np.uint8), rgb=True, name="field")
    assert len(find_masks(colour, [labels("field axon"), labels("field myelin")])) == 1


def test_a_layer_that_changed_since_is_refused_when_it_is_read(source):
    layer = Labels(classes(), name="drawn")
    (mask,) = find_masks(source, [layer])
    layer.data = np.full(SHAPE, 60, np.uint8)
    with pytest.raises(InputError, match="not a mask"):
        mask.reader()()


# ---------------------------------------------------------------- guesses


@pytest.mark.parametrize(
    ("name", "contrast"),
    [
        ("sub-1_acq-roi_TEM", "TEM"),
        ("SEM of rat 3", "SEM"),
        ("my-sem.tif", "SEM"),
        ("system", None),
        ("items", None),
        ("field", None),
    ],
)
def test_contrast_by_name(name, contrast):
    assert contrast_of(Image(np.zeros(SHAPE), name=name), []) == contrast


def test_what_made_or_segmented_a_layer_says_more_than_its_name():
    made = Image(np.zeros(SHAPE), name="TEM", metadata={"axongen": {"target": "SEM"}})
    assert contrast_of(made, []) == "SEM"
    image = Image(np.zeros(SHAPE), name="old TEM")
    recipe = {"verb": "segment", "source": "old TEM", "model": {"name": "axon-myelin-sem"}}
    assert contrast_of(image, [labels("x", **recipe)]) == "SEM"


def test_models_by_direction(translators_only):
    cards = translators_only
    assert [direction(card) for card in cards] == ["SEM → TEM", "TEM → SEM"]
    choices = directions("cgan", cards)
    assert suitable(choices, "TEM").model == "tem-to-sem"
    assert suitable(choices, None) is choices[0]
    assert towards(choices, "TEM").model == "sem-to-tem"
    assert [choice.model for choice in directions("cgan", [])] == ["auto"]


@pytest.fixture
def translators_only(request):
    request.getfixturevalue("translators")
    return translators()


@pytest.mark.parametrize(("name", "texts"), [("condition", CONDITIONS), ("method", METHODS)])
def test_every_condition_and_method_is_explained(name, texts):
    field = TranslateParameters.model_fields[name]
    assert tuple(texts) == get_args(field.annotation)
    assert all(title and meaning for title, meaning in texts.values())


def test_what_a_method_does_not_heed_is_as_by_default():
    usual = TranslateParameters().model_dump()
    for method in METHODS:
        for stack in (False, True):
            said, unsaid = heeded(method, stack), unheeded(method, stack)
            assert not said & set(unsaid)
            assert all(usual[name] == value for name, value in unsaid.items())
            assert ("shared_noise" in said) == (stack and method != "ddib")
    every = heeded("cgan", True) | set(unheeded("cgan", True))
    assert every == heeded("sdedit", True) | {"variety"}


def test_directions_of_denoisers(denoiser):
    cards = models("ddpm")
    choices = directions("ddpm", cards)
    assert [(one.title, one.model, one.target) for one in choices] == [
        ("Found from the image", "auto", "auto"),
        ("TEM → SEM", "auto", "SEM"),
        ("SEM → TEM", "auto", "TEM"),
    ]
    assert suitable(choices, "SEM").target == "TEM"
    assert towards(choices, "SEM").target == "SEM"
    assert [one.title for one in directions("generate", cards)][1:] == ["SEM", "TEM"]
    of_sem = cards[0].model_copy(update={"looks": {"SEM": cards[0].looks["SEM"]}})
    assert [one.target for one in directions("sdedit", [of_sem])] == ["auto", "SEM"]
    assert len(directions("ddib", [])) == 1


@pytest.mark.parametrize("objective", ["velocity", "noise", "flow"])
def test_samplers_are_those_of_the_core(denoiser, objective):
    from napari_axongen.core.diffusion import process

    (card,) = models("ddpm")
    card = card.model_copy(update={"network": {**card.network, "objective": objective}})
    assert samplers(card) == ("auto", *process(objective).samplers)


# ---------------------------------------------------------------- where to begin


def test_where_one_looks():
    viewer = ViewerModel()
    stack = viewer.add_image(np.zeros((5, 40, 60), np.uint8), scale=(2, 0.5, 0.5))
    viewer.dims.set_point(0, 6)
    stack.corner_pixels = np.array([[0, 10, 20], [0, 20, 50]])
    assert looked_at(stack, viewer.dims.point) == (3, 15, 35)


def test_where_one_looks_at_a_coarse_level():
    viewer = ViewerModel()
    levels = [np.zeros((80, 80), np.uint8), np.zeros((20, 20), np.uint8)]
    layer = viewer.add_image(levels, multiscale=True)
    layer._data_level = 1
    layer.corner_pixels = np.array([[10, 0], [19, 9]])
    assert looked_at(layer, viewer.dims.point) == pytest.approx((58, 18), abs=1)


def test_a_layer_out_of_view_is_begun_at_its_edge():
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((40, 60), np.uint8))
    layer.corner_pixels = np.array([[900, -70], [950, -50]])
    assert looked_at(layer, viewer.dims.point) == (39, 0)


# ---------------------------------------------------------------- the run


def test_the_real_core_fills_the_array_and_gives_labels(translators):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (2, 64, 80), dtype=np.uint8)
    mask = np.zeros(grey.shape, np.uint8)
    mask[:, 10:40, 10:40], mask[:, 16:34, 16:34] = 127, 255
    out = np.zeros(grey.shape, np.uint8)
    parameters = TranslateParameters(model="tem-to-sem", device="cpu")
    events = []
    steps = translate(core.Image(grey, "ZYX"), parameters, lambda: mask, out, (1, 30, 30))
    result = run(steps, events.append)
    everything = [event for event in events if isinstance(event, Partial)]
    assert isinstance(everything[0].value, Written)
    partials = [part for part in everything if not isinstance(part.value, Written)]
    assert result.image is out
    assert partials[0].value is result
    assert out.std() > 0
    shown = [(part.plane, part.value.name) for part in partials[1:]]
    assert shown == [((k,), name) for k in (0, 1) for name in ("myelin", "axon")]
    assert np.array_equal(partials[2].value.values == 1, mask[0] == 255)


@pytest.mark.parametrize("find", [True, False])
def test_what_part_is_written_all_over(find):
    """Of two planes in two samples of two steps, by one tile a step, or by two."""
    parameters = TranslateParameters(method="ddpm", steps=2, samples=2)

    def whole(plane, sample, step):
        part, within = 2 * plane + sample, Fraction(step, 4)
        if find and sample == 0:
            within = (1 + within) / 2
        done = (part + within) / 4
        event = Progress(done.numerator, done.denominator)
        return Stage.of(event, parameters, 2, find).whole

    assert [whole(0, 0, step) for step in (1, 2, 3, 4)] == [0, 1, 1, 1]
    assert [whole(0, 1, step) for step in (1, 2, 4)] == [1, 2, 2]
    assert [whole(1, 0, step) for step in (1, 2, 4)] == [2, 3, 3]
    assert whole(1, 1, 4) == 4
    at_once = parameters.model_copy(update={"method": "cgan", "samples": 1})
    assert [Stage.of(Progress(n, 4), at_once, 2, False).whole for n in (1, 2, 3, 4)] == [0, 1, 1, 2]


@pytest.mark.parametrize("given", [True, False])
def test_progress_says_plane_sample_and_step(denoiser, given):
    grey = np.zeros((2, 64, 80), np.uint8)
    mask = np.zeros(grey.shape, np.uint8)
    mask[:, 10:40, 10:40], mask[:, 16:34, 16:34] = 127, 255
    grey[:] = 60 + mask // 2
    parameters = TranslateParameters(
        method="ddpm", target="SEM", steps=2, samples=2, axon_diameter=24, device="cpu"
    )
    out, events = np.zeros((2, *grey.shape), np.uint8), []
    run(
        translate(
            core.Image(grey, "ZYX"), parameters, (lambda: mask) if given else None, out, (0, 0, 0)
        ),
        events.append,
    )
    said = [event.message for event in events if isinstance(event, Progress)]
    steps = [message for message in said if "step" in message]
    assert list(dict.fromkeys(steps)) == [
        f"plane {plane} of 2, sample {sample} of 2, step {step} of 2"
        for plane in (1, 2)
        for sample in (1, 2)
        for step in (1, 2)
    ]
    assert ("finding axons and myelin" in said) != given
    whole = [
        e.value.whole for e in events if isinstance(e, Partial) and isinstance(e.value, Written)
    ]
    assert whole == sorted(whole, key=len)
    assert whole[-1] == [(0, 0), (1, 0), (0, 1), (1, 1)][: len(whole[-1])]
    (spread,) = [e.value for e in events if isinstance(e, Partial) and isinstance(e.value, Spread)]
    assert spread.values.shape == grey.shape
    assert spread.values.mean() < spread.highest <= spread.values.max()
    assert any("2 samples differ" in e.message for e in events if isinstance(e, Notice))


def test_what_is_shown_grows_from_step_to_step(denoiser, monkeypatch):
    monkeypatch.setattr("napari_axongen.bridge.translating.EVENT_INTERVAL", 0)
    grey = np.random.default_rng(0).integers(0, 255, (64, 80), np.uint8)
    mask = np.zeros(grey.shape, np.uint8)
    mask[10:40, 10:40], mask[16:34, 16:34] = 127, 255
    out, seen, done = np.zeros(grey.shape, np.uint8), [], []
    parameters = TranslateParameters(
        method="ddpm", target="SEM", steps=3, axon_diameter=24, device="cpu"
    )
    for event in translate(core.Image(grey, "YX"), parameters, lambda: mask, out, (30, 30)):
        if isinstance(event, Partial) and isinstance(event.value, Written):
            seen.append(out.copy())
            done.append(event.value.done)
    assert done == pytest.approx([1 / 3, 2 / 3, 1])
    far = [float(np.abs(one.astype(int) - out).mean()) for one in seen]
    assert far == sorted(far, reverse=True)
    assert far[0] > far[-1] == 0


# ---------------------------------------------------------------- pairs


def made(name, source="a b", **recipe):
    recipe = {"verb": "translate", "output": "image", "target": "SEM", "source": source} | recipe
    return Image(np.zeros(SHAPE, np.uint8), name=name, metadata={"axongen": recipe})


def test_pairs_are_whole_images_with_both_labels():
    both = [
        labels(f"{name} {half}", verb="translate", source=name, output=half)
        for name in ("one", "two", "three")
        for half in ("axon", "myelin")
    ]
    layers = [made("one"), made("two", "a/b"), made("three", partial=0.5), made("four"), *both]
    assert [pair.stem for pair in labelled_pairs(layers)] == ["a-b_sem", "a-b_sem-2"]
    assert labelled_pairs(layers[:4]) == []
    segmented = [
        labels("one axon", verb="segment", source="one", output="axon"),
        labels("one myelin", verb="segment", source="one", output="myelin"),
    ]
    assert labelled_pairs([made("one"), *segmented]) == []  # not the labels that it came with


def test_samples_share_their_labels():
    several = Image(
        np.zeros((3, *SHAPE), np.uint8),
        name="some",
        axis_labels=("sample", "y", "x"),
        metadata={
            "axongen": {"verb": "translate", "output": "image", "target": "SEM", "source": "x"}
        },
    )
    both = [
        labels(f"some {half}", verb="translate", source="some", output=half)
        for half in ("axon", "myelin")
    ]
    (pair,) = labelled_pairs([several, *both])
    assert [stem for _, stem in pair.planes()] == ["x_sem_s000", "x_sem_s001", "x_sem_s002"]
    assert np.shares_memory(pair.axon[2], both[0].data)


def test_a_translation_by_diffusion_as_text():
    parameters = TranslateParameters(
        method="sdedit", model="tem-sem", target="TEM", strength=0.4, samples=3, shared_noise=True
    )
    recipe = {"verb": "translate", "mask": None, "parameters": parameters.model_dump(mode="json")}
    assert as_command(recipe, "a.png") == (
        "axongen translate a.png --out DIR --model tem-sem --method sdedit --target TEM "
        "--strength 0.4 --samples 3 --shared-noise"
    )


def test_a_translation_as_text():
    recipe = {
        "verb": "translate",
        "mask": "given",
        "parameters": TranslateParameters(model="tem-to-sem", seed=3).model_dump(mode="json"),
    }
    assert as_command(recipe, "a.png") == (
        "axongen translate a.png --out DIR --mask MASK --model tem-to-sem --seed 3"
    )
    called = {}

    class Fake:
        @staticmethod
        def translate(image, **arguments):
            called.update(arguments, image=image)

    code = as_python(recipe).replace("import napari_axongen\n", "")
    exec(code, {"napari_axongen": Fake, "image": "pixels", "mask": "classes"})
    assert called == {"image": "pixels", "mask": "classes", "model": "tem-to-sem", "seed": 3}
