"""The translate dock's methods, samples and forecast, as a person uses them."""

from __future__ import annotations

import shlex
import threading

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication
from typer.testing import CliRunner

from napari_axongen.bridge import pace
from napari_axongen.bridge.layers import recipe_of
from napari_axongen.bridge.recipes import as_command, as_python
from napari_axongen.core import sampling
from napari_axongen.core.errors import InputError

from .conftest import AXON, PLACE, draw_fibres

BY_DIFFUSION = ("ddpm", "sdedit", "ddib", "generate")
SHOWN = {
    "cgan": {"condition", "seed", "samples", "variety"},
    "ddpm": {"condition", "seed", "samples", "steps", "guidance", "sampler"},
    "sdedit": {"condition", "seed", "samples", "steps", "guidance", "sampler", "strength"},
    "ddib": {"condition", "steps"},
    "generate": {"seed", "samples", "steps", "guidance", "sampler"},
}


def click(dock, qtbot):
    with qtbot.waitSignal(dock.translating.finished, timeout=60_000) as done:
        dock.run.button.click()
    return done.args[0]


def choose(dock, method):
    dock.form.method.setCurrentIndex(dock.form.method.findData(method))


def samples(dock, count):
    dock.form.fields.editors["samples"].setValue(count)


def names(viewer):
    return [layer.name for layer in viewer.layers]


def shown(form):
    """Parameters that a person sees, the folded ones too."""
    form.advanced.set_open(True)
    widgets = {**form.fields.editors, "condition": form.condition, "seed": form.seed}
    return {name for name, widget in widgets.items() if widget.isVisibleTo(form)}


# ---------------------------------------------------------------- what is asked


@pytest.mark.usefixtures("denoiser")
def test_a_method_asks_for_what_it_heeds_and_says_what_it_does(translate_dock):
    _viewer, dock = translate_dock()
    meanings = set()
    for method, wanted in SHOWN.items():
        choose(dock, method)
        assert shown(dock.form) - {"axon_diameter", "device", "memory"} == wanted
        meanings.add(dock.form.method_meaning.text())
    assert len(meanings) == 5
    assert all(meanings)
    assert dock.form.mask.itemText(0) == "None"  # of "make one up", the last
    assert dock.form.direction.currentText() == "SEM"


@pytest.mark.usefixtures("denoiser")
def test_shared_noise_is_asked_of_stacks_alone(translate_dock):
    viewer, dock = translate_dock()
    viewer.add_image(np.stack([draw_fibres()] * 2), name="stack")
    for layer, wanted in (("stack", True), ("field TEM", False)):
        dock.picker.choose(viewer.layers[layer])
        assert ("shared_noise" in shown(dock.form)) == wanted


@pytest.mark.usefixtures("denoiser")
def test_what_another_method_was_told_is_not_handed_over(translate_dock, renderer, qtbot):
    _viewer, dock = translate_dock()
    editors = dock.form.fields.editors
    editors["variety"].setValue(2)
    choose(dock, "sdedit")
    editors["strength"].setValue(0.3)
    samples(dock, 3)
    assert dock.form.parameters().variety == 0.5
    assert dock.form.parameters().strength == pytest.approx(0.3)
    choose(dock, "ddib")
    parameters = dock.form.parameters()
    assert (parameters.strength, parameters.samples, parameters.seed) == (0.6, 1, 0)
    dock.form.seed.box.setValue(7)
    click(dock, qtbot)
    assert renderer.parameters[-1].seed == 0
    choose(dock, "cgan")
    assert dock.form.parameters().variety == 2  # what was said is not forgotten
    assert dock.form.parameters().seed == 7


@pytest.mark.usefixtures("denoiser")
def test_the_direction_is_kept_from_method_to_method(translate_dock):
    _viewer, dock = translate_dock()
    direction = dock.form.direction
    assert direction.currentData() == "tem-to-sem"
    choose(dock, "ddpm")
    titles = [direction.itemText(i) for i in range(direction.count())]
    assert titles == ["Found from the image", "TEM → SEM", "SEM → TEM"]
    assert dock.form.parameters().target == "SEM"
    assert dock.form.parameters().model == "auto"
    direction.setCurrentIndex(2)
    choose(dock, "generate")
    assert dock.form.parameters().target == "TEM"
    choose(dock, "cgan")
    assert direction.currentData() == "sem-to-tem"
    assert dock.form.parameters().target == "auto"
    direction.setCurrentIndex(0)
    choose(dock, "sdedit")
    assert dock.form.parameters().target == "auto"


def test_a_denoiser_is_chosen_where_there_are_several(translate_dock, denoiser, make_denoiser):
    from napari_axongen.core.models import Card, load_card, save_model
    from napari_axongen.core.models.card import Looks

    _viewer, dock = translate_dock()
    choose(dock, "ddpm")
    assert not dock.form.denoiser.isVisibleTo(dock.form)
    card = load_card(denoiser)
    looks = {"SEM": Looks(grey_range=(0, 250), quantiles=[0, 1])}
    network = {**card.network, "objective": "flow"}
    other = Card(**{**card.model_dump(), "name": "zz-flow", "looks": looks, "network": network})
    save_model(denoiser.with_name("zz-flow.safetensors"), make_denoiser(objective="flow"), other)
    _viewer, dock = translate_dock()
    dock.form.advanced.set_open(True)
    assert not dock.form.denoiser.isVisibleTo(dock.form)  # conditional GANs have a direction each
    choose(dock, "ddpm")
    assert dock.form.denoiser.isVisibleTo(dock.form)
    assert dock.form.parameters().model == "tem-sem"
    sampler, direction = dock.form.fields.editors["sampler"], dock.form.direction
    sampler.setCurrentIndex(sampler.findData("ddim"))
    dock.form.denoiser.setCurrentText("zz-flow")
    assert dock.form.parameters().model == "zz-flow"
    assert [direction.itemText(i) for i in range(direction.count())][1:] == ["TEM → SEM"]
    assert [sampler.itemData(i) for i in range(sampler.count())] == ["auto", "euler"]
    assert dock.form.parameters().sampler == "auto"


def test_without_a_denoiser_the_dock_says_so(translate_dock, renderer, qtbot):
    _viewer, dock = translate_dock()
    choose(dock, "ddpm")
    assert "No diffusion model" in dock.notices.text()
    assert not dock.run.button.isEnabled()
    choose(dock, "cgan")
    assert dock.run.button.isEnabled()
    click(dock, qtbot)


# ---------------------------------------------------------------- the click


@pytest.mark.parametrize("method", BY_DIFFUSION)
def test_one_click_of_each_method(diffusion_dock, qtbot, method):
    viewer, dock = diffusion_dock(method, **PLACE)
    result = click(dock, qtbot)
    made = viewer.layers[f"field TEM as SEM ({method})"]
    source = viewer.layers["field TEM"]
    assert made.data.std() > 0
    assert np.allclose(made.data_to_world((5, 9)), source.data_to_world((5, 9)))
    assert np.array_equal(viewer.layers[f"{made.name} axon"].data == 1, source.data == AXON)
    recipe = recipe_of(made)
    assert recipe["parameters"]["method"] == method
    assert recipe["parameters"]["steps"] == 2
    assert recipe["contrasts"][1] == "SEM"
    if method == "ddib":
        assert recipe["round_trip"] == result.round_trip > 0
        assert "to noise and back" in dock.notices.text()
    else:
        assert recipe["round_trip"] is None


def test_a_method_has_a_layer_of_its_own_and_the_last_one_is_on_top(diffusion_dock, qtbot):
    viewer, dock = diffusion_dock("ddpm")
    click(dock, qtbot)
    choose(dock, "cgan")
    click(dock, qtbot)
    images = ["field TEM", "field TEM as SEM (ddpm)", "field TEM as SEM"]
    assert names(viewer)[:3] == images
    first = viewer.layers[images[1]]
    before = first.data.copy()
    choose(dock, "ddpm")
    click(dock, qtbot)  # another seed
    assert names(viewer)[:3] == [images[0], images[2], images[1]]
    assert viewer.layers[images[1]] == first
    assert not np.array_equal(first.data, before)
    assert len(names(viewer)) == 4 + 2 * 2  # with the mask; of both, the labels


def test_made_up_without_labels_there_are_none(diffusion_dock, qtbot):
    viewer, dock = diffusion_dock("generate")
    dock.form.mask.setCurrentIndex(0)
    dock.form.mask.activated.emit(0)
    dock.form.fields.editors["axon_diameter"].setValue(16)
    click(dock, qtbot)
    assert names(viewer)[1:] == ["field TEM as SEM (generate)", "field TEM mask"]


def test_a_colour_image_is_gone_on_from(diffusion_dock, qtbot):
    viewer, dock = diffusion_dock("sdedit", np.repeat(draw_fibres()[..., None], 3, -1))
    click(dock, qtbot)
    assert viewer.layers["field TEM as SEM (sdedit)"].data.shape == (96, 128)


# ---------------------------------------------------------------- samples


@pytest.mark.parametrize("method", ["ddpm", "cgan"])
def test_samples_are_a_stack_with_their_spread_and_labels_once(diffusion_dock, qtbot, method):
    viewer, dock = diffusion_dock(method, **PLACE)
    samples(dock, 3)
    click(dock, qtbot)
    name = "field TEM as SEM" + (" (ddpm)" if method == "ddpm" else "")
    source, made, spread = (viewer.layers[n] for n in ("field TEM", name, f"{name} spread"))
    assert made.data.shape == (3, 96, 128)
    assert made.axis_labels == ("sample", "y", "x")
    assert viewer.dims.nsteps[0] == 3
    assert viewer.dims.current_step[0] == 0
    assert np.allclose(spread.data, made.data.std(0), atol=1e-3)
    assert spread.data.any()
    assert spread.colormap.name == "magma"
    assert not spread.visible  # it would hide the picture
    assert f"differ by {spread.data.mean():.3g} grey" in dock.notices.text()
    for point in ((0, 0), (50, 90)):
        world = source.data_to_world(point)
        assert np.allclose(made.data_to_world((2, *point)), (2, *world))
        assert np.allclose(spread.data_to_world(point), world)
        assert np.allclose(viewer.layers[f"{name} axon"].data_to_world(point), world)
    assert viewer.layers[f"{name} axon"].data.shape == (96, 128)
    assert recipe_of(made)["parameters"]["samples"] == 3
    assert recipe_of(spread)["output"] == "spread"
    assert recipe_of(spread)["source"] == made.name
    assert recipe_of(spread)["parameters"] == recipe_of(made)["parameters"]
    offered = [dock.picker.box.itemText(i) for i in range(dock.picker.box.count())]
    assert offered == ["field TEM", name]  # the spread is no image
    assert dock.picker.layer.name == "field TEM"


def test_a_second_click_fills_stack_and_spread_anew(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    samples(dock, 3)
    click(dock, qtbot)
    before = list(viewer.layers)
    spread = viewer.layers["field TEM as SEM spread"].data.copy()
    viewer.layers[0].data = draw_fibres(count=2)
    viewer.layers[0].translate = (7, 8)
    renderer.step = 2
    click(dock, qtbot)
    assert list(viewer.layers) == before
    assert np.allclose(viewer.layers["field TEM as SEM spread"].data, 2 * spread)
    for layer in before:
        assert np.allclose(layer.translate[-2:], (7, 8))


def test_samples_of_a_stack(diffusion_dock, qtbot):
    stack = np.stack([draw_fibres(), draw_fibres(count=2)])
    viewer, dock = diffusion_dock("ddpm", stack)
    samples(dock, 2)
    dock.form.fields.editors["shared_noise"].setChecked(True)
    viewer.dims.set_point(0, 1)
    click(dock, qtbot)
    name = "field TEM as SEM (ddpm)"
    assert viewer.layers[name].data.shape == (2, 2, 96, 128)
    assert viewer.layers[f"{name} spread"].data.shape == (2, 96, 128)
    assert np.array_equal(viewer.layers[f"{name} axon"].data == 1, stack == AXON)


def test_one_sample_after_several_is_a_layer_of_its_own(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    for count in (2, 1):
        samples(dock, count)
        click(dock, qtbot)
    assert names(viewer)[1:4:2] == ["field TEM as SEM", "field TEM as SEM [1]"]
    assert viewer.layers["field TEM as SEM [1]"].data.ndim == 2
    assert viewer.layers["field TEM as SEM [1] axon"].data.any()


def test_samples_are_compared_with_the_source(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock(**PLACE)
    samples(dock, 2)
    click(dock, qtbot)
    made, source = viewer.layers["field TEM as SEM"], viewer.layers["field TEM"]
    dock.compare.slider.setValue(100)
    qtbot.waitUntil(lambda: "field TEM as SEM (wipe)" in names(viewer))
    assert viewer.layers["field TEM as SEM (wipe)"].data.shape[:2] == (2, 96)
    dock.compare.beside.setChecked(True)
    beside = np.add(source.translate, (0, 0.1 * 128 * 1.02))
    for name in ("", " spread", " axon"):
        assert np.allclose(viewer.layers[f"field TEM as SEM{name}"].translate[-2:], beside)
    assert made.translate[0] == 0
    dock.compare.beside.setChecked(False)
    assert np.allclose(made.translate, (0, *source.translate))


def test_samples_are_exported_each_with_the_labels(translate_dock, renderer, qtbot, tmp_path):
    from napari_axongen.core.files import read_image, read_mask

    folder = tmp_path / "pairs"
    viewer, dock = translate_dock()
    samples(dock, 2)
    click(dock, qtbot)
    with qtbot.waitSignal(dock.exporting.finished):
        dock.export.start(folder)
    for sample in (0, 1):
        stem = folder / f"field-TEM_sem_s00{sample}"
        assert np.array_equal(read_image(f"{stem}.tif").data, viewer.layers[1].data[sample])
        mask = read_mask(f"{stem}_seg-axonmyelin.png")
        assert np.array_equal(mask == 255, draw_fibres() == AXON)
    assert len(list(folder.iterdir())) == 6


def test_a_spread_that_was_deleted_comes_back_with_the_next_run(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    samples(dock, 2)
    click(dock, qtbot)
    viewer.layers.remove("field TEM as SEM spread")
    click(dock, qtbot)
    assert "field TEM as SEM spread" in names(viewer)


# ---------------------------------------------------------------- while it runs


@pytest.fixture
def held(monkeypatch):
    """A gate before each step of the sampler but the first, and the steps taken.

    But for those that are timed beforehand.
    """
    gate, taken, step = threading.Event(), [], sampling._step

    def gated(network, state, *rest):
        if state.shape == draw_fibres().shape:
            if taken:
                gate.wait(20)
            taken.append(rest)
        return step(network, state, *rest)

    monkeypatch.setattr(sampling, "_step", gated)
    yield gate, taken
    gate.set()


def test_the_picture_sharpens_while_it_samples(diffusion_dock, held, qtbot):
    gate, _taken = held
    viewer, dock = diffusion_dock("ddpm")
    texts = []
    dock.translating.progress.connect(lambda *heard: texts.append(heard[-1]))
    dock.run.button.click()
    qtbot.waitUntil(lambda: "field TEM as SEM (ddpm)" in names(viewer), timeout=20_000)
    made = viewer.layers["field TEM as SEM (ddpm)"]
    early = made.data.copy()
    assert early.all(where=early > 0)
    assert early.std() > 0  # after one of the two steps, all of it can be seen
    assert made.colormap.name == "gray"  # black is black, not a hole
    assert "step 1 of 2" in dock.run.eta.text()
    assert not dock.form.method.isEnabled()
    assert not dock.forecast.text()
    with qtbot.waitSignal(dock.translating.finished):
        gate.set()
    assert not np.array_equal(made.data, early)
    assert texts[-1] == "step 2 of 2"
    assert dock.form.method.isEnabled()


def test_where_nothing_is_yet_the_source_is_seen(diffusion_dock, held, monkeypatch, qtbot):
    monkeypatch.setattr("napari_axongen.bridge.translating.EVENT_INTERVAL", 0)
    gate, _taken = held
    viewer, dock = diffusion_dock("ddpm")
    samples(dock, 2)
    dock.run.button.click()
    name = "field TEM as SEM (ddpm)"
    qtbot.waitUntil(lambda: name in names(viewer), timeout=20_000)
    made = viewer.layers[name]
    assert made.colormap.name == "gray"
    viewer.dims.set_current_step(0, 1)
    seen = []
    made.events.colormap.connect(lambda: seen.append(made.colormap.map(np.zeros(1))[0, 3]))
    with qtbot.waitSignal(dock.translating.finished):
        gate.set()
    assert seen[0] == 0
    assert seen[-1] == 1


def test_cancel_acts_within_one_call_and_leaves_what_there_is(diffusion_dock, held, qtbot):
    gate, taken = held
    viewer, dock = diffusion_dock("ddpm")
    samples(dock, 2)
    dock.form.fields.editors["steps"].setValue(50)
    dock.run.button.click()
    qtbot.waitUntil(lambda: "field TEM as SEM (ddpm)" in names(viewer), timeout=20_000)
    with qtbot.waitSignal(dock.translating.stopped):
        dock.run.button.click()
        gate.set()
    assert len(taken) <= 2
    assert names(viewer)[1] == "field TEM as SEM (ddpm) (partial)"
    made = viewer.layers[1]
    assert made.data[0].any()
    assert not made.data[1].any()  # the source is seen through it
    assert recipe_of(made)["partial"] == pytest.approx(0.01)
    assert not any(name.endswith(("axon", "spread")) for name in names(viewer))
    dock.form.fields.editors["steps"].setValue(1)
    click(dock, qtbot)
    assert viewer.layers[1] == made
    assert made.name == "field TEM as SEM (ddpm)"
    assert made.data[1].any()


def test_the_check_of_the_way_back_can_be_cancelled(diffusion_dock, monkeypatch, qtbot):
    from napari_axongen.core import translation

    viewer, dock = diffusion_dock("ddib")
    gate, begun, done, check = threading.Event(), [], [], translation.round_trip

    def gated(*arguments):
        begun.append(arguments)
        gate.wait(20)
        done.append((yield from check(*arguments)))

    monkeypatch.setattr(translation, "round_trip", gated)
    dock.run.button.click()
    qtbot.waitUntil(lambda: "field TEM as SEM (ddib)" in names(viewer), timeout=20_000)
    qtbot.waitUntil(lambda: bool(begun), timeout=20_000)
    with qtbot.waitSignal(dock.translating.stopped):
        dock.run.button.click()
        gate.set()
    assert not done
    assert "field TEM as SEM (ddib) (partial)" in names(viewer)


@pytest.mark.parametrize("layer", ["field TEM", "field TEM as SEM (ddpm)", "field TEM mask"])
def test_layers_removed_half_way(diffusion_dock, held, qtbot, layer):
    gate, _taken = held
    viewer, dock = diffusion_dock("ddpm")
    samples(dock, 2)
    dock.run.button.click()
    qtbot.waitUntil(lambda: "field TEM as SEM (ddpm)" in names(viewer), timeout=20_000)
    goes_on = layer == "field TEM mask"  # it has been read
    job = dock.translating
    with qtbot.waitSignal(job.finished if goes_on else job.stopped, timeout=20_000):
        viewer.layers.remove(layer)
        gate.set()
    assert ("removed" in dock.notices.text()) != goes_on
    assert layer not in names(viewer)


def test_a_dock_closed_while_it_samples_ends_it(diffusion_dock, held, qtbot):
    gate, taken = held
    viewer, dock = diffusion_dock("ddpm")
    dock.form.fields.editors["steps"].setValue(50)
    dock.run.button.click()
    qtbot.waitUntil(lambda: "field TEM as SEM (ddpm)" in names(viewer), timeout=20_000)
    viewer.window.remove_dock_widget(dock)
    gate.set()
    qtbot.waitUntil(lambda: not dock.translating.running)
    assert len(taken) <= 2
    assert "field TEM as SEM (ddpm) (partial)" in names(viewer)


@pytest.mark.usefixtures("denoiser")
def test_our_share_of_the_gui_thread_stays_small(translate_dock, renderer, qtbot, spent):
    """As in the test of the conditional GAN: layers are there already."""
    _viewer, dock = translate_dock(draw_fibres((1024, 1024), 9))
    choose(dock, "ddpm")
    samples(dock, 3)
    click(dock, qtbot)
    renderer.tiles, renderer.pause = 100, 0.003
    spent.clear()
    click(dock, qtbot)
    assert 5 <= len(spent) < 200
    assert max(spent) < 0.05


# ---------------------------------------------------------------- how long it will take


def test_the_time_is_said_before_and_found_out_off_the_gui_thread(
    diffusion_dock, monkeypatch, qtbot
):
    threads, calls = [], pace._calls

    def watched(*arguments):
        threads.append(threading.current_thread())
        return calls(*arguments)

    monkeypatch.setattr(pace, "_calls", watched)
    monkeypatch.setattr(pace, "_paces", {})
    _viewer, dock = diffusion_dock("ddpm")
    assert "being found out" in dock.forecast.text()
    qtbot.waitUntil(lambda: dock.forecast.text().startswith("Takes about "), timeout=20_000)
    assert dock.forecast.text().endswith(" on the CPU.")
    assert "Device: CPU" in dock.device.text()
    assert threading.main_thread() not in threads
    asked = len(threads)
    editors = dock.form.fields.editors
    editors["steps"].setValue(1000)
    editors["samples"].setValue(64)
    qtbot.waitUntil(lambda: "min" in dock.forecast.text() or "h " in dock.forecast.text())
    assert len(threads) == asked  # once per model and device


def test_where_the_size_of_axons_is_unknown_the_time_says_what_it_supposes(diffusion_dock, qtbot):
    _viewer, dock = diffusion_dock("ddpm")
    dock.form.mask.setCurrentIndex(0)
    dock.form.mask.activated.emit(0)
    qtbot.waitUntil(lambda: "if axons are some 24 px wide" in dock.forecast.text(), timeout=20_000)
    dock.form.fields.editors["axon_diameter"].setValue(16)
    qtbot.waitUntil(lambda: "axons" not in dock.forecast.text())
    dock.form.fields.editors["axon_diameter"].setValue(0)
    dock.form.fields.editors["steps"].setValue(1)
    click(dock, qtbot)
    # what the run found out is known afterwards
    qtbot.waitUntil(lambda: dock.forecast.text().endswith(" on the CPU."))


def test_without_an_image_nothing_is_foretold(translate_dock, qtbot):
    _viewer, dock = translate_dock(False)
    qtbot.wait(400)
    assert not dock.forecast.text()
    assert not dock.foretelling.running


# ---------------------------------------------------------------- afterwards


def test_the_recipe_is_copied_as_what_can_be_run(diffusion_dock, qtbot, monkeypatch, tmp_path):
    _viewer, dock = diffusion_dock("sdedit", **PLACE)
    editors = dock.form.fields.editors
    editors["strength"].setValue(0.3)
    editors["sampler"].setCurrentIndex(editors["sampler"].findData("ddim"))
    editors["guidance"].setValue(3)
    samples(dock, 2)
    dock.form.seed.box.setValue(5)
    result = click(dock, qtbot)
    dock.copy.copy(as_command)
    command = QApplication.clipboard().text()
    assert command == (
        "axongen translate IMAGE --out DIR --mask MASK --model tem-sem --method sdedit "
        "--target SEM --seed 5 --sampler ddim --steps 2 --strength 0.3 --guidance 3.0 "
        "--samples 2 --pixel-size 0.1"
    )
    heard = _parameters_of(command, monkeypatch, tmp_path)
    assert heard == result.parameters.model_copy(
        update={"model": "tem-sem", "device": "auto", "memory": heard.memory}
    )
    dock.copy.copy(as_python)
    code = QApplication.clipboard().text()
    assert "method='sdedit',\n    target='SEM'" in code
    assert "variety" not in code
    made = {}
    import napari_axongen

    exec(
        code.replace("result =", "made['result'] ="),
        {
            "napari_axongen": napari_axongen,
            "made": made,
            "image": np.asarray(_viewer.layers["field TEM"].data),
            "mask": np.asarray(_viewer.layers["field TEM mask"].data),
        },
    )
    assert np.array_equal(made["result"].image, result.image)


def _parameters_of(command, monkeypatch, tmp_path):
    """What a command line asks of the core."""
    from napari_axongen.cli import app
    from napari_axongen.core.files import write_image

    heard = []

    def steps(image, parameters, mask, **others):
        heard.append(parameters)
        raise InputError("Enough is known.")
        yield

    image, mask = tmp_path / "image.png", tmp_path / "mask.png"
    write_image(image, draw_fibres())
    write_image(mask, np.zeros((96, 128), np.uint8))
    places = {"IMAGE": str(image), "MASK": str(mask), "DIR": str(tmp_path / "out")}
    words = [places.get(word, word) for word in shlex.split(command)[1:]]
    with monkeypatch.context() as patched:
        patched.setattr("napari_axongen.core.translation.translate_steps", steps)
        CliRunner().invoke(app, words)
    return heard[0]
