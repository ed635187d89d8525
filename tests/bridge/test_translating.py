"""What the translate dock stands on: masks among layers, guesses, where to begin, pairs."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_axongen.bridge.masks import find_masks
from napari_axongen.bridge.pairs import labelled_pairs
from napari_axongen.bridge.recipes import as_command, as_python
from napari_axongen.bridge.translating import (
    CONDITIONS,
    Written,
    contrast_of,
    direction,
    directions,
    looked_at,
    suitable,
    towards,
    translate,
    translators,
)
from napari_axongen.core import image as core
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Partial, run
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


def test_every_condition_is_explained():
    from typing import get_args

    field = TranslateParameters.model_fields["condition"]
    assert tuple(CONDITIONS) == get_args(field.annotation)


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
