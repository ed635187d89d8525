"""What a person asks to be trained as a recipe, and what comes of it; no window is needed."""

from __future__ import annotations

import gc
import json
import math
import sys

import numpy as np
import pytest
from napari.components import ViewerModel
from safetensors.numpy import save_file

from napari_axongen.bridge.beside_window import beside_a_window
from napari_axongen.bridge.comparing import compare_steps
from napari_axongen.bridge.curves import MOST, History, Trace, readable
from napari_axongen.bridge.open_pairs import (
    OpenPair,
    common_pixel_size,
    fitting_pairs,
    label_choices,
    labelled,
)
from napari_axongen.bridge.plans import (
    Images,
    first_recipe,
    free_name,
    plan_of,
    slots,
    starts,
    surrogate_words,
)
from napari_axongen.bridge.training import (
    animals_steps,
    discard,
    outlook_steps,
    stopped_runs,
    training_steps,
)
from napari_axongen.core.classes import AXON_CLASSES, BOUTON_CLASSES, FIBRE_CLASSES, IGNORED
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, run
from napari_axongen.core.image import Image
from napari_axongen.core.models import Card, save_model
from napari_axongen.core.models.store import load_card
from napari_axongen.core.networks import build
from napari_axongen.core.parameters import SegmentParameters
from napari_axongen.core.surrogate.presets import preset, with_changes
from napari_axongen.core.training.holding import held
from napari_axongen.core.training.presets import PRESETS, begin_with
from napari_axongen.core.training.runs import CHECKPOINT, RECIPE, STATE_KEY, free_run

SHAPE = (64, 80)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("AXONGEN_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "models"))


@pytest.fixture
def viewer():
    return ViewerModel()


def classes():
    """Rings of myelin around axons."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    r = np.hypot(y % 32 - 16, x % 40 - 20)
    return np.where(r < 6, 2, np.where(r < 11, 1, 0))


def add_image(viewer, name, seed=0, **more):
    noise = np.random.default_rng(seed).normal(0, 8, SHAPE)
    image = (60 + 60 * (classes() == 2) - 40 * (classes() == 1) + noise).astype(np.uint8)
    return viewer.add_image(image, name=name, **more)


def add_pair(viewer, name, seed=0):
    image = add_image(viewer, name, seed)
    return image, viewer.add_labels(classes(), name=f"{name} labels")


def tiny(recipe, steps=4, **more):
    setting = {"steps": steps, "batch": 2, "crop": 32, "warm_up": 1}
    update = {"name": "tiny", "validate_every": 2, **more}
    optimisation = recipe.optimisation.model_copy(update=setting)
    return recipe.model_copy(update={**update, "optimisation": optimisation})


# ---------------------------------------------------------------- which labels, which part


def test_labels_go_to_the_image_that_they_belong_to(viewer):
    add_image(viewer, "sub-1 a")
    add_image(viewer, "sub-2 b")
    viewer.add_labels(classes(), name="sub-2 b mask")
    viewer.add_labels(classes(), name="drawn")
    viewer.add_labels(np.zeros((9, 9), int), name="of another size")
    pairs = fitting_pairs(viewer.layers, FIBRE_CLASSES)
    assert [(pair.image.name, pair.labels.title) for pair in pairs] == [
        ("sub-1 a", "drawn"),
        ("sub-2 b", "sub-2 b mask"),
    ]
    assert [(pair.animal, pair.part) for pair in pairs] == [
        ("sub-1", "train"),
        ("sub-2", "validation"),
    ]


def test_what_a_network_found_is_taken_only_where_nothing_is_drawn(viewer):
    image = add_image(viewer, "a")
    recipe = {"verb": "segment", "source": "a"}
    for output in ("axon", "myelin"):
        made = {"axongen": {**recipe, "output": output}}
        viewer.add_labels((classes() == 2).astype(int), name=f"a {output}", metadata=made)
    (pair,) = fitting_pairs(viewer.layers, FIBRE_CLASSES)
    assert pair.labels.title == "a: axon, myelin"
    viewer.add_labels(classes(), name="by hand")
    (pair,) = fitting_pairs(viewer.layers, FIBRE_CLASSES)
    assert pair.labels.title == "by hand"
    assert len(label_choices(image, viewer.layers, FIBRE_CLASSES)) == 2


def test_of_one_animal_a_part_of_an_image_is_held_out(viewer):
    add_pair(viewer, "sub-1 a")
    add_pair(viewer, "sub-1 b")
    pairs = fitting_pairs(viewer.layers, FIBRE_CLASSES)
    assert [pair.part for pair in pairs] == ["train", "part"]
    (left, right), said = labelled(pairs[1], FIBRE_CLASSES)
    assert left.classes.shape == (64, 60)
    assert right.classes.shape == (64, 20)
    assert left.animal != right.animal
    assert said == "The labels 'sub-1 b labels': 1 is myelin, 2 axon."
    recipe = tiny(first_recipe("axon-myelin-sem", "quick"))
    plan = plan_of(recipe, {"data": Images(tuple(pairs))}, {})
    assert plan.recipe.data.train == ["sub-1"]
    assert plan.recipe.data.validation == [right.animal]


def test_of_a_stack_the_planes_with_labels_are_taken(viewer):
    stack = viewer.add_image(np.random.default_rng(0).integers(0, 255, (3, *SHAPE), np.uint8))
    truth = np.zeros((3, *SHAPE), int)
    truth[1] = classes()
    viewer.add_labels(truth)
    (pair,) = fitting_pairs(viewer.layers, FIBRE_CLASSES)
    (left, right), _ = labelled(pair, FIBRE_CLASSES)
    whole = np.hstack([np.asarray(left.image.data), np.asarray(right.image.data)])
    np.testing.assert_array_equal(whole, stack.data[1])


def test_points_are_boutons_where_they_lie_in_the_image(viewer):
    add_image(viewer, "a", scale=(2, 2))
    viewer.add_points([[20.0, 30.0]], size=8, name="boutons")  # in the world: row 10, column 15
    (pair,) = fitting_pairs(viewer.layers, BOUTON_CLASSES)
    (left, _), said = labelled(pair, BOUTON_CLASSES)
    assert said == "'boutons': every point is a bouton."
    assert left.classes[10, 15] == 1
    assert left.classes[10, 18] == IGNORED  # the ring around a disc of 4 px
    assert left.classes[20, 30] == 0
    assert not fitting_pairs(viewer.layers, AXON_CLASSES)


def test_images_are_brought_to_the_coarsest_pixel_size(viewer):
    one, _ = add_pair(viewer, "a")
    other, _ = add_pair(viewer, "b")
    pairs = [OpenPair(image, label_choices(image, viewer.layers, FIBRE_CLASSES)[0])
             for image in (one, other)]  # fmt: skip
    assert common_pixel_size(pairs) is None
    for image, side in ((one, 0.1), (other, 0.2)):
        image.scale, image.units = (side, side), ("um", "um")
    assert common_pixel_size(pairs) == pytest.approx(0.2)


# ---------------------------------------------------------------- plans


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_becomes_a_recipe_with_the_chosen_data(viewer, name):
    add_pair(viewer, "sub-1 a")
    add_pair(viewer, "sub-2 b", seed=1)
    recipe = tiny(first_recipe(name, "quick"))
    pairs = fitting_pairs(viewer.layers, FIBRE_CLASSES)
    images = {slot.name: Images(tuple(pairs)) for slot in slots(recipe)}
    plan = plan_of(recipe, images, {})
    entries = plan.recipe.model_dump(mode="json")
    for slot in images:
        data = entries[slot] if slot in entries else entries["data"][slot]
        assert data["root"] == str(plan.folder / slot)
        assert data["train"] == ["sub-1"]
        assert data["validation"] == ["sub-2"]
    assert plan.at(plan.folder / "x").recipe != plan.recipe


def test_surrogates_and_mixtures_become_recipes(viewer):
    add_pair(viewer, "a")
    recipe = tiny(first_recipe("bouton-fluorescence", "quick"))
    words = surrogate_words(with_changes(preset("broad"), {"axons.count": 5}))
    surrogates = {"parameters": words, "count": 4, "held_out": 2}
    plan = plan_of(recipe, {"data": Images(surrogates=surrogates)}, {})
    assert plan.recipe.data.parameters == {"preset": "broad", "axons": {"count": 5}}
    assert not plan.pairs
    real = Images(tuple(fitting_pairs(viewer.layers, BOUTON_CLASSES)))
    mixing = {"made": {"source": "surrogate", **surrogates, "held_out": 0}, "share": 0.75}
    plan = plan_of(recipe, {"data": real}, mixing)
    assert plan.recipe.share == 0.75
    assert plan.recipe.made.count == 4


def test_what_cannot_be_planned_is_said(viewer):
    add_pair(viewer, "a")
    recipe = first_recipe("axon-myelin-sem", "quick")
    images = {"data": Images(tuple(fitting_pairs(viewer.layers, FIBRE_CLASSES)))}
    named = recipe.model_copy(update={"name": "axon-myelin-sem"})
    with pytest.raises(InputError, match="choose another name"):
        plan_of(named, images, {})
    assert free_name("axon-myelin-sem") == "axon-myelin-sem-2"
    nobody = {"data": Images(folder="here", split={"validation": ["a"]})}
    with pytest.raises(InputError, match="at least one animal"):
        plan_of(tiny(recipe), nobody, {})
    denoiser = first_recipe("denoiser", "quick")
    with pytest.raises(InputError, match="TEM or SEM"):
        plan_of(tiny(denoiser), {"SEM": None, "TEM": None}, {})


def test_a_run_may_begin_with_a_model_of_the_same_classes():
    recipe = first_recipe("axon-myelin-sem", "quick")
    names = [name for _, name in starts(recipe)]
    assert "axon-myelin-sem" in names
    assert not [name for name in names if "fluorescence" in name]
    assert begin_with(recipe, "axon-myelin-sem").start == "axon-myelin-sem"
    assert not [name for name in names if "to" in name.split("-")]


@pytest.mark.usefixtures("denoiser")
def test_translators_begin_with_those_of_their_direction_and_denoisers_with_denoisers(monkeypatch):
    from napari_axongen.core.models.store import user_folder

    monkeypatch.setattr("napari_axongen.core.models.store.SHIPPED_FOLDER", user_folder())
    told_nothing = {"name": "classic-denoiser", "width": 4, "told": 8}
    put(user_folder(), "imported", 0, network=told_nothing, task="diffusion")
    put(user_folder(), "masks-to-sem", 0, network={"name": "classic", "width": 4, "depth": 5},
        task="translation", contrast="SEM")  # fmt: skip
    to_sem = first_recipe("translator", "quick", "SEM")
    assert starts(to_sem) == [("tem-to-sem (SEM)", "tem-to-sem")]
    assert starts(first_recipe("translator", "quick", "TEM")) == [
        ("sem-to-tem (TEM)", "sem-to-tem")
    ]
    denoiser = first_recipe("denoiser", "quick")
    assert starts(denoiser) == [("tem-sem (TEM, SEM)", "tem-sem")]
    begun = begin_with(to_sem, "tem-to-sem")
    assert (begun.network["channels"], begun.axon_diameter) == ([8, 12], 28)
    begun = begin_with(denoiser, "tem-sem")
    assert (begun.network["spread"], begun.axon_diameter) == (0.4, 24)
    assert begun.optimisation.learning_rate == denoiser.optimisation.learning_rate / 10


@pytest.mark.parametrize("preset", ["translator", "denoiser"])
def test_runs_may_be_begun_with_and_finished_ones_for_what_their_model_lacks(preset):
    """The discriminator of a translator is in the folder of its run alone."""
    recipe = tiny(first_recipe(preset, "quick"))
    folder = free_run("tiny")
    folder.mkdir(parents=True)
    (folder / RECIPE).write_text(recipe.model_dump_json())
    begun = [("Run 'tiny', step 3", str(folder))]

    def offered(wanted):
        return [one for one in starts(wanted) if one[0].startswith("Run ")]

    assert offered(recipe) == []  # nothing has been learnt yet
    state = {STATE_KEY: json.dumps({"state": {"step": 3, "history": []}})}
    save_file({"x": np.zeros(1)}, folder / CHECKPOINT, state)
    assert offered(recipe) == begun
    assert offered(first_recipe("axon-myelin-sem", "quick")) == []
    if preset == "translator":
        assert offered(first_recipe(preset, "quick", "TEM")) == []
    (folder / "model.safetensors").touch()
    assert offered(recipe) == (begun if preset == "translator" else [])


def test_animals_of_a_folder_are_counted(write_pairs_of_two):
    folder = write_pairs_of_two
    assert run(animals_steps(str(folder), FIBRE_CLASSES)) == {"sub-1": 1, "sub-2": 2}
    with pytest.raises(InputError, match="not found"):
        run(animals_steps(str(folder / "nowhere"), FIBRE_CLASSES))


@pytest.fixture
def write_pairs_of_two(tmp_path, viewer):
    from napari_axongen.core.datasets.pair_folder import write_pairs

    images = []
    for name in ("sub-1 a", "sub-2 b", "sub-2 c"):
        add_pair(viewer, name)
    for pair in fitting_pairs(viewer.layers, FIBRE_CLASSES):
        images += labelled(pair, FIBRE_CLASSES)[0]
    return write_pairs(tmp_path / "pairs", images, FIBRE_CLASSES)


# ---------------------------------------------------------------- from a plan to a model


def test_all_wrong_layers_are_named_at_once(viewer):
    for name in ("sub-1 a", "sub-2 b"):
        _, labels = add_pair(viewer, name)
        labels.data = np.full(SHAPE, 3)
    pairs = fitting_pairs(viewer.layers, FIBRE_CLASSES)
    plan = plan_of(
        tiny(first_recipe("axon-myelin-sem", "quick")), {"data": Images(tuple(pairs))}, {}
    )
    outlook = run(outlook_steps(plan, "cpu"))
    assert not outlook.may_start
    said = " ".join(finding.sentence for finding in outlook.findings)
    assert "sub-1 a labels" in said
    assert "sub-2 b labels" in said
    assert not plan.folder.exists()  # nothing is written before the start


def test_findings_are_about_layers_and_not_about_files(viewer):
    for name in ("sub-1 a", "sub-2 b"):
        add_pair(viewer, name, seed=3)  # the same image on both sides
    pairs = fitting_pairs(viewer.layers, FIBRE_CLASSES)
    plan = plan_of(
        tiny(first_recipe("axon-myelin-sem", "quick")), {"data": Images(tuple(pairs))}, {}
    )
    (finding,) = [f for f in run(outlook_steps(plan, "cpu")).findings if f.level == "error"]
    assert "same image" in finding.sentence
    assert "sub-1-a" in finding.sentence
    assert "/tmp" not in finding.sentence


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("translator", {"name": "translator", "channels": [8, 12]}),
        ("denoiser", {"name": "denoiser", "channels": [8, 12]}),
    ],
)
def test_translators_and_denoisers_are_trained_from_open_layers(viewer, name, network):
    add_pair(viewer, "sub-1 a")
    add_pair(viewer, "sub-2 b", seed=1)
    recipe = first_recipe(name, "quick")
    more = {"critic": [4, 6]} if name == "translator" else {}
    recipe = tiny(recipe, steps=2, network=network, axon_diameter=12, **more)
    pairs = tuple(fitting_pairs(viewer.layers, FIBRE_CLASSES))
    images = {slot.name: Images(pairs) for slot in slots(recipe)}
    if name == "denoiser":
        images["TEM"] = None
    plan = plan_of(recipe, images, {})
    trained = run(training_steps(plan, "cpu"))
    assert trained.card.name == "tiny"
    assert trained.card.task == recipe.task
    assert not stopped_runs()


def test_a_stopped_run_is_found_and_can_be_discarded(viewer):
    add_pair(viewer, "a")
    recipe = tiny(first_recipe("axon-myelin-sem", "quick"), steps=40, network=NETWORK)
    images = {"data": Images(tuple(fitting_pairs(viewer.layers, FIBRE_CLASSES)))}
    plan = plan_of(recipe, images, {})
    steps = training_steps(plan, "cpu")
    for event in steps:
        if isinstance(event, Metrics) and event.step == 3:
            break
    assert not stopped_runs()  # it goes on
    steps.close()
    (stopped,) = stopped_runs()
    assert stopped.step == 3
    assert str(plan.folder) in [name for _, name in starts(recipe)]
    assert plan_of(recipe, images, {}).folder != plan.folder
    with held(plan.folder), pytest.raises(InputError, match="is being trained"):
        discard(stopped)  # another process has gone on with it
    discard(stopped)
    assert not plan.folder.exists()
    assert not stopped_runs()


def test_the_window_is_left_its_share_and_gets_it_back():
    import torch

    before = torch.get_num_threads(), sys.getswitchinterval()
    with beside_a_window():
        with beside_a_window():
            assert sys.getswitchinterval() < before[1]
        assert sys.getswitchinterval() < before[1]  # the other one still computes
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    assert (torch.get_num_threads(), sys.getswitchinterval()) == before


# ---------------------------------------------------------------- two models


NETWORK = {"name": "unet", "channels": [4, 4]}


def put(folder, name, seed, classes=FIBRE_CLASSES, **more):
    import torch

    torch.manual_seed(seed)
    usual = NETWORK if len(classes) == 3 else {**NETWORK, "out_channels": len(classes)}
    network = more.pop("network", usual)
    card = Card(name=name, network=network, classes=list(classes), axon_diameter=12, **more)
    save_model(folder / f"{name}.safetensors", build(network), card)
    return card


def test_two_models_are_compared_with_each_other_and_with_labels(viewer, tmp_path):
    folder = tmp_path / "models"
    cards = [put(folder, name, k, contrast="SEM", pixel_size=0.1) for k, name in enumerate("ab")]
    image, _ = add_pair(viewer, "field")
    (mask,) = label_choices(image, viewer.layers, FIBRE_CLASSES)
    core = Image.from_array(image.data, "YX", 0.1)
    parameters = SegmentParameters(pixel_size=0.1, device="cpu")
    truth = OpenPair(image, mask)
    result = run(compare_steps(core, tuple(cards), parameters, truth))
    assert result.names == ["myelin", "axon"]
    for number, one in enumerate(result.agreements, 1):
        masks = [found == number for found in result.found]
        drawn = classes() == number
        for value, (a, b) in zip(
            (one.between, one.first, one.second),
            (masks, (masks[0], drawn), (masks[1], drawn)),
            strict=True,
        ):
            total = a.sum() + b.sum()
            assert value == pytest.approx(2 * (a & b).sum() / total if total else 1)
    same = run(compare_steps(core, (cards[0], cards[0]), parameters, None))
    assert [one.between for one in same.agreements] == [1, 1]
    assert all(math.isnan(one.first) for one in same.agreements)
    bouton = put(folder, "c", 2, BOUTON_CLASSES, contrast="fluorescence")
    with pytest.raises(InputError, match="choose two that find the same"):
        run(compare_steps(core, (cards[0], bouton), parameters, None))


def test_what_two_models_find_is_what_segmenting_shows(viewer):
    import napari_axongen

    image = viewer.add_image(napari_axongen.generate("two-photon", 1, 3).images[0])
    core = Image.from_array(image.data, "YX")
    names = ("axon-fluorescence", "axon-light-sheet")
    parameters = SegmentParameters(contrast="fluorescence", device="cpu")
    result = run(compare_steps(core, tuple(map(load_card, names)), parameters, None))
    assert result.names == ["axon"]
    for name, found in zip(names, result.found, strict=True):
        shown = napari_axongen.segment(core, model=name, contrast="fluorescence").objects()
        assert shown.axons.any()
        assert ((found > 0) == (shown.axons > 0)).all()


# ---------------------------------------------------------------- curves


def test_a_long_curve_keeps_its_form_and_its_end():
    trace = Trace()
    for step in range(5 * MOST):
        trace.add(step, float(step))
    steps, values = trace.points()
    assert len(steps) <= MOST + 1
    assert np.allclose(steps, values)  # means of neighbours, of both alike
    assert trace.last == 5 * MOST - 1
    assert steps[-1] > 5 * MOST - 10


def test_a_past_is_drawn_and_its_best_marked():
    history = History(
        [
            {"step": 10.0, "loss": 1.0, "val_dice_axon": 0.5, "best": True},
            {"step": 20.0, "loss": 0.8, "val_dice_axon": 0.4, "val_threshold": 0.3},
        ]
    )
    assert history.losses["loss"].points() == ([10, 20], [1.0, 0.8])
    assert list(history.scores) == ["val_dice_axon"]
    assert (history.best, history.measured) == (10, 20)
    assert readable("val_dice_axon") == "Dice axon"
    assert readable("val_f1_bouton") == "F1 bouton"
