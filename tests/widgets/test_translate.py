"""The translate dock, as a person uses it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_axongen.bridge.layers import recipe_of
from napari_axongen.bridge.recipes import as_command, as_python
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import read_image, read_mask

from .conftest import AXON, KINDS, MYELIN, PLACE, REFUSED, draw_fibres, of_kind

MADE = ["field TEM", "field TEM as SEM", "field TEM as SEM myelin", "field TEM as SEM axon"]


def click(dock, qtbot):
    with qtbot.waitSignal(dock.translating.finished, timeout=20_000):
        dock.run.button.click()


def names(viewer):
    return [layer.name for layer in viewer.layers]


# ---------------------------------------------------------------- the click


def test_one_click_gives_the_image_and_its_labels(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock(**PLACE)
    click(dock, qtbot)
    assert names(viewer) == MADE
    source, made = viewer.layers[0], viewer.layers[1]
    assert np.array_equal(made.data, 255 - source.data)
    assert np.array_equal(viewer.layers[MADE[2]].data == 1, source.data == MYELIN)
    assert np.array_equal(viewer.layers[MADE[3]].data == 1, source.data == AXON)
    for layer in viewer.layers:
        assert np.allclose(layer.scale, source.scale)
        assert np.allclose(layer.translate, source.translate)
        assert layer.units == source.units
        assert layer.axis_labels == source.axis_labels
        assert layer.metadata["animal"] == "rat 1"
    recipe = recipe_of(made)
    assert recipe["verb"] == "translate"
    assert recipe["source"] == "field TEM"
    assert recipe["contrasts"] == ["TEM", "SEM"]
    assert recipe["parameters"]["pixel_size"] == pytest.approx(0.1)
    assert [recipe_of(viewer.layers[name])["source"] for name in MADE[2:]] == [made.name] * 2
    assert made.contrast_limits == [0, 255]
    assert made.colormap.name == "gray"
    assert made.visible
    assert not viewer.layers[MADE[3]].visible
    assert "CPU" in dock.device.text()
    assert "renders it as SEM" in dock.notices.text()


def test_it_is_put_under_the_labels(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    viewer.add_labels(np.zeros((96, 128), int), name="notes")
    viewer.add_image(draw_fibres(), name="other")
    dock.picker.choose(viewer.layers["field TEM"])
    click(dock, qtbot)
    assert names(viewer)[:4] == [*MADE[:2], "notes", "other"]
    assert dock.picker.layer.name == "field TEM"  # what was made does not take its place


def test_a_second_click_fills_the_same_layers(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    click(dock, qtbot)
    before = list(viewer.layers)
    viewer.layers[0].data = draw_fibres(count=2)
    viewer.layers[0].translate = (7, 8)
    click(dock, qtbot)
    assert list(viewer.layers) == before
    assert np.array_equal(before[1].data, 255 - draw_fibres(count=2))
    assert all(np.allclose(layer.translate, (7, 8)) for layer in before)
    assert np.array_equal(before[3].data == 1, draw_fibres(count=2) == AXON)


def test_labels_that_come_along_survive_a_segmentation_of_the_result(
    translate_dock, renderer, network, qtbot
):
    from napari_axongen.widgets.segment import SegmentDock

    viewer, dock = translate_dock()
    click(dock, qtbot)
    came = viewer.layers[MADE[3]]
    before = came.data.copy()
    segmenting = SegmentDock(viewer)
    viewer.window.add_dock_widget(segmenting)
    segmenting.picker.choose(viewer.layers[MADE[1]])
    with qtbot.waitSignal(segmenting.segmenting.finished):
        segmenting.run.button.click()
    assert np.array_equal(came.data, before)
    assert len(viewer.layers) == len(MADE) + 3
    segmenting.close_down()


def test_each_unlocked_run_has_a_seed_of_its_own(translate_dock, renderer, qtbot):
    _viewer, dock = translate_dock()
    for _ in range(2):
        click(dock, qtbot)
    assert len({parameters.seed for parameters in renderer.parameters}) == 2
    dock.form.seed.lock.setChecked(True)
    for _ in range(2):
        click(dock, qtbot)
    assert renderer.parameters[-1].seed == renderer.parameters[-2].seed


# ---------------------------------------------------------------- what is chosen by itself


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("field TEM", "tem-to-sem"),
        ("sub-rat1_acq-roi_SEM", "sem-to-tem"),
        ("system 3", "auto"),
        ("field", "auto"),
    ],
)
def test_direction_is_guessed_from_the_name(translate_dock, name, model):
    _viewer, dock = translate_dock(name=name)
    assert dock.form.direction.currentData() == model


def test_what_a_person_chose_outlives_a_calibration(translate_dock):
    viewer, dock = translate_dock()
    viewer.add_labels(np.zeros((96, 128), np.uint8), name="a axon")
    viewer.add_labels(np.zeros((96, 128), np.uint8), name="a myelin")
    dock.form.direction.setCurrentIndex(dock.form.direction.findData("sem-to-tem"))
    dock.form.mask.setCurrentIndex(1)
    viewer.layers["field TEM"].units = ("um", "um")
    viewer.layers["field TEM"].scale = (0.1, 0.1)
    assert dock.pixel_size.optional_value() == pytest.approx(0.1)
    assert dock.form.direction.currentData() == "sem-to-tem"
    assert dock.form.mask.currentText() == "a: axon, myelin"


def test_direction_is_known_of_what_was_segmented_and_translated(
    translate_dock, renderer, network, qtbot
):
    viewer, dock = translate_dock(name="field")
    recipe = {"verb": "segment", "output": "axon", "source": "field"}
    recipe["model"] = {"name": "axon-myelin-sem"}
    viewer.add_labels(np.zeros((96, 128), int), metadata={"axongen": recipe})
    other = viewer.add_image(draw_fibres(), name="other")
    dock.picker.choose(other)
    dock.picker.choose(viewer.layers["field"])
    assert dock.form.direction.currentData() == "sem-to-tem"
    click(dock, qtbot)  # the stand-in says that it made SEM
    dock.picker.choose(viewer.layers["field as SEM"])
    assert dock.form.direction.currentData() == "sem-to-tem"


def test_an_unknown_contrast_is_found_by_the_core_and_named_in_the_end(
    translate_dock, renderer, qtbot
):
    viewer, dock = translate_dock(name="field")
    click(dock, qtbot)
    assert renderer.parameters[-1].model == "auto"
    assert "field as SEM" in names(viewer)
    click(dock, qtbot)
    assert len(viewer.layers) == 4


def test_the_image_s_own_labels_are_the_mask(translate_dock, renderer, network, qtbot):
    from napari_axongen.widgets.segment import SegmentDock

    viewer, dock = translate_dock()
    assert dock.form.mask.mask is None
    segmenting = SegmentDock(viewer)
    viewer.window.add_dock_widget(segmenting)
    with qtbot.waitSignal(segmenting.segmenting.finished):
        segmenting.run.button.click()
    assert dock.form.mask.currentText() == "field TEM: axon, myelin"
    viewer.layers["field TEM axon"].data[:40] = 0  # corrected by hand
    click(dock, qtbot)
    grey = viewer.layers[0].data
    assert np.array_equal(renderer.masks[-1] == 127, grey == MYELIN)
    assert not (renderer.masks[-1][:40] == 255).any()
    assert np.array_equal(renderer.masks[-1][40:] == 255, grey[40:] == AXON)
    assert recipe_of(viewer.layers[MADE[1]])["mask"] == "given"
    dock.picker.choose(viewer.layers["field TEM as SEM"])
    assert dock.form.mask.currentText() == "field TEM as SEM: axon, myelin"
    dock.picker.choose(viewer.layers["field TEM"])
    assert dock.form.mask.currentText() == "field TEM: axon, myelin"
    dock.form.mask.setCurrentIndex(0)
    dock.form.mask.activated.emit(0)
    viewer.add_labels(np.zeros((96, 128), int))  # does not bring the mask back
    click(dock, qtbot)
    assert renderer.masks[-1] is None
    segmenting.close_down()


def test_conditions_are_explained(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    said = set()
    for index in range(dock.form.condition.count()):
        dock.form.condition.setCurrentIndex(index)
        said.add(dock.form.meaning.text())
    assert len(said) == 3
    assert all(said)
    click(dock, qtbot)
    assert renderer.parameters[-1].condition == "structure"
    assert names(viewer) == MADE[:2]  # no labels are known


# ---------------------------------------------------------------- while it runs


def test_the_image_appears_at_once_and_fills_in(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    renderer.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    made = viewer.layers[1]
    assert np.array_equal(made.data[:24], 255 - viewer.layers[0].data[:24])
    assert not made.data[24:].any()
    below, written = made.colormap.map(np.array([0, 1 / 255]))
    assert (below[3], written[3]) == (0, 1)  # the source is seen where nothing is yet
    with qtbot.waitSignal(dock.translating.finished):
        renderer.gate.set()
    assert made.data.all()


def test_what_is_looked_at_comes_first(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock(np.zeros((400, 400), np.uint8), show=True)
    viewer.scene.camera.zoom = 20
    viewer.scene.camera.center = (0, 330, 60)
    qtbot.waitUntil(lambda: viewer.layers[0].corner_pixels[0, 0] > 0)  # the canvas was drawn
    click(dock, qtbot)
    row, column = renderer.first[-1]
    assert row == pytest.approx(330, abs=8)
    assert column == pytest.approx(60, abs=8)


def test_the_plane_that_is_looked_at_comes_first(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock(np.stack([draw_fibres()] * 3))
    viewer.dims.set_point(0, 2)
    click(dock, qtbot)
    assert renderer.first[-1][0] == 2
    assert renderer.order[0] == ((2,), 0)


def test_cancel_keeps_what_is_done_and_says_so(translate_dock, renderer, qtbot, tmp_path):
    viewer, dock = translate_dock()
    renderer.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert dock.run.button.text() == "Cancel"
    with qtbot.waitSignal(dock.translating.stopped):
        dock.run.button.click()
        renderer.gate.set()
    assert renderer.done <= 2
    assert renderer.closed.is_set()
    assert names(viewer) == ["field TEM", "field TEM as SEM (partial)"]
    made = viewer.layers[1]
    assert recipe_of(made)["partial"] == pytest.approx(0.25)
    assert made.data[:24].all()
    assert dock.notices.text() == "Cancelled."
    dock.export.start(tmp_path)
    assert "no whole image" in dock.notices.text()
    click(dock, qtbot)  # goes over the same layer, to its end
    assert viewer.layers[1] == made
    assert names(viewer) == MADE
    assert "partial" not in recipe_of(made)


def test_a_source_deleted_during_the_run_ends_it(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    renderer.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    with qtbot.waitSignal(dock.translating.stopped):
        viewer.layers.remove("field TEM")
        renderer.gate.set()
    assert "removed" in dock.notices.text()
    assert "field TEM as SEM" in names(viewer)[0]


def test_a_result_deleted_during_the_run_ends_it(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    renderer.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    with qtbot.waitSignal(dock.translating.stopped):
        viewer.layers.remove("field TEM as SEM")
        renderer.gate.set()
    assert names(viewer) == ["field TEM"]
    click(dock, qtbot)
    assert names(viewer) == MADE


def test_a_dock_closed_during_the_run_ends_it(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    renderer.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    viewer.window.remove_dock_widget(dock)
    renderer.gate.set()
    qtbot.waitUntil(renderer.closed.is_set)
    qtbot.waitUntil(lambda: not dock.translating.running)
    assert names(viewer) == ["field TEM", "field TEM as SEM (partial)"]
    viewer.add_image(draw_fibres(), name="later TEM")  # nobody listens any more
    assert dock.picker.layer.name == "field TEM"


def test_a_viewer_closed_during_the_run_ends_it(make_napari_viewer, renderer, qtbot):
    from napari_axongen.widgets.translate import TranslateDock

    viewer = make_napari_viewer()
    viewer.add_image(draw_fibres(), name="field TEM")
    dock = TranslateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Translate")
    renderer.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: renderer.done == 1)
    viewer.close()
    renderer.gate.set()
    qtbot.waitUntil(renderer.closed.is_set)
    assert renderer.done <= renderer.tiles


def test_our_share_of_the_gui_thread_stays_small(translate_dock, renderer, qtbot, spent):
    """As in the test of the segment dock: layers are there already."""
    _viewer, dock = translate_dock(draw_fibres((1024, 1024), 9))
    click(dock, qtbot)
    renderer.tiles, renderer.pause = 200, 0.003
    spent.clear()
    click(dock, qtbot)
    assert 5 <= len(spent) < 200
    assert max(spent) < 0.05


# ---------------------------------------------------------------- which layers


@pytest.mark.parametrize(("add", "word"), REFUSED)
def test_the_dock_says_why_a_layer_is_refused(translate_dock, add, word):
    viewer, dock = translate_dock(False)
    if add is not None:
        add(viewer)
    assert word in dock.picker.reason.text()
    assert not dock.run.button.isEnabled()
    dock.start()
    assert not dock.translating.running


def test_bad_input_found_on_the_way_is_shown(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    renderer.error = InputError("'field' holds no finite value; there is nothing to see in it.")
    with qtbot.waitSignal(dock.translating.failed):
        dock.run.button.click()
    assert "no finite value" in dock.notices.text()
    assert dock.run.button.text() == "Translate"
    assert names(viewer) == ["field TEM"]


def test_without_a_model_the_dock_says_so(translate_dock, monkeypatch, tmp_path):
    from napari_axongen.core.models import store

    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "none"))
    assert not [card for card in store.available() if card.task == "translation"]
    _viewer, dock = translate_dock()
    assert "No translation model" in dock.notices.text()
    assert not dock.run.button.isEnabled()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer(translate_dock, renderer, qtbot, kind):
    grey = draw_fibres()
    image, options = of_kind(grey, kind)
    viewer, dock = translate_dock(image, **options)
    click(dock, qtbot)
    made = viewer.layers["field TEM as SEM"]
    assert np.abs(made.data.astype(int) - (255 - grey)).max() <= 1  # RGB is rounded
    assert viewer.layers["field TEM as SEM axon"].data.shape == grey.shape


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_stacks_of_every_depth(translate_dock, renderer, qtbot, shape):
    plane = draw_fibres()
    stack = np.broadcast_to(plane, (*shape, *plane.shape)).copy()
    viewer, dock = translate_dock(stack)
    click(dock, qtbot)
    assert np.array_equal(viewer.layers["field TEM as SEM"].data, 255 - stack)
    assert np.array_equal(viewer.layers["field TEM as SEM axon"].data == 1, stack == AXON)


def test_a_large_image_is_shown_by_views_of_its_memory(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock(np.full((4100, 64), 9, np.uint8))
    dock.form.condition.setCurrentIndex(2)
    click(dock, qtbot)
    made = viewer.layers["field TEM as SEM"]
    assert made.multiscale
    assert [level.shape for level in made.data] == [(4100, 64), (1025, 16), (257, 4)]
    assert all(np.shares_memory(made.data[0], level) for level in made.data)
    assert (made.data[0] == 246).all()
    dock.compare.slider.setValue(100)
    qtbot.waitUntil(lambda: "field TEM as SEM (wipe)" in names(viewer))


# ---------------------------------------------------------------- afterwards


def test_the_curtain_shows_the_right_part_without_a_copy(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock(**PLACE)
    assert not dock.compare.isEnabled()
    click(dock, qtbot)
    assert dock.compare.isEnabled()
    made = viewer.layers["field TEM as SEM"]
    dock.compare.slider.setValue(100)
    qtbot.waitUntil(lambda: "field TEM as SEM (wipe)" in names(viewer))
    curtain = viewer.layers["field TEM as SEM (wipe)"]
    assert np.shares_memory(curtain.data, made.data)
    column = 128 - curtain.data.shape[1]
    assert column == pytest.approx(64, abs=2)
    assert np.allclose(curtain.translate, (3, 4 + 0.1 * column))
    assert (made.visible, curtain.visible) == (False, True)
    assert dock.picker.layer.name == "field TEM"
    assert viewer.layers.selection.active != curtain
    offered = [dock.picker.box.itemText(i) for i in range(dock.picker.box.count())]
    assert offered == ["field TEM", "field TEM as SEM"]
    dock.compare.slider.setValue(0)
    qtbot.waitUntil(lambda: "field TEM as SEM (wipe)" not in names(viewer))
    assert made.visible


def test_deleting_the_curtain_brings_the_image_back(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock()
    click(dock, qtbot)
    dock.compare.slider.setValue(60)
    qtbot.waitUntil(lambda: "field TEM as SEM (wipe)" in names(viewer))
    viewer.layers.remove("field TEM as SEM (wipe)")
    assert viewer.layers["field TEM as SEM"].visible
    assert dock.compare.slider.value() == 0
    click(dock, qtbot)
    assert names(viewer) == MADE


def test_side_by_side_moves_the_image_with_its_labels_and_back(translate_dock, renderer, qtbot):
    viewer, dock = translate_dock(**PLACE)
    click(dock, qtbot)
    dock.compare.beside.setChecked(True)
    for name in MADE[1:]:
        assert np.allclose(viewer.layers[name].translate, (3, 4 + 0.1 * 128 * 1.02))
    assert np.allclose(viewer.layers[0].translate, (3, 4))
    click(dock, qtbot)  # a run puts all back
    for name in MADE:
        assert np.allclose(viewer.layers[name].translate, (3, 4))


def test_pairs_are_exported_and_read_as_a_data_set(translate_dock, renderer, qtbot, tmp_path):
    from napari_axongen.core.datasets.layouts import find_pairs

    pairs = tmp_path / "pairs"
    viewer, dock = translate_dock(**PLACE)
    dock.export.start(pairs)
    assert "no whole image" in dock.notices.text()
    click(dock, qtbot)
    with qtbot.waitSignal(dock.exporting.finished):
        dock.export.start(pairs)
    stem = "field-TEM_sem"
    files = sorted(path.name for path in pairs.iterdir())
    assert files == [f"{stem}.json", f"{stem}.tif", f"{stem}_seg-axonmyelin.png"]
    image = read_image(pairs / f"{stem}.tif")
    assert np.array_equal(image.data, viewer.layers[1].data)
    assert image.pixel_size == pytest.approx(0.1)
    mask, grey = read_mask(pairs / f"{stem}_seg-axonmyelin.png"), viewer.layers[0].data
    assert np.array_equal(mask == 255, grey == AXON)
    assert np.array_equal(mask == 127, grey == MYELIN)
    assert json.loads((pairs / f"{stem}.json").read_text())["verb"] == "translate"
    (pair,) = find_pairs(pairs).pairs
    assert pair.name == stem
    assert "1 pair written" in dock.notices.text()


def test_files_are_replaced_only_when_allowed(
    translate_dock, renderer, qtbot, tmp_path, monkeypatch
):
    _viewer, dock = translate_dock()
    click(dock, qtbot)
    theirs = tmp_path / "field-TEM_sem.tif"
    theirs.write_bytes(b"theirs")
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    dock.export.start(tmp_path)
    assert not dock.exporting.running
    assert theirs.read_bytes() == b"theirs"
    with qtbot.waitSignal(dock.exporting.finished):
        dock.export.start(tmp_path)
    assert read_image(theirs).plane_shape == (96, 128)


def test_stacks_are_exported_plane_by_plane(translate_dock, renderer, qtbot, tmp_path):
    _viewer, dock = translate_dock(np.stack([draw_fibres(), draw_fibres(count=2)]))
    click(dock, qtbot)
    with qtbot.waitSignal(dock.exporting.finished):
        dock.export.start(tmp_path)
    for plane, count in ((0, 3), (1, 2)):
        image = read_image(tmp_path / f"field-TEM_sem_z00{plane}.tif")
        assert np.array_equal(image.data, 255 - draw_fibres(count=count))
        mask = read_mask(tmp_path / f"field-TEM_sem_z00{plane}_seg-axonmyelin.png")
        assert np.array_equal(mask == 255, draw_fibres(count=count) == AXON)


def test_a_folder_that_cannot_be_written_is_said(translate_dock, renderer, qtbot, tmp_path):
    _viewer, dock = translate_dock()
    click(dock, qtbot)
    (tmp_path / "file").write_text("no folder")
    with qtbot.waitSignal(dock.exporting.failed):
        dock.export.start(tmp_path / "file")
    assert "cannot be written" in dock.notices.text()


def test_recipe_is_copied(translate_dock, renderer, network, qtbot):
    viewer, dock = translate_dock(**PLACE)
    dock.form.seed.box.setValue(5)
    dock.form.condition.setCurrentIndex(1)
    click(dock, qtbot)
    dock.copy.copy(as_command)
    assert QApplication.clipboard().text() == (
        "axongen translate IMAGE --out DIR --model tem-to-sem --condition 'mask and structure' "
        "--seed 5 --pixel-size 0.1"
    )
    mask = np.zeros((96, 128), np.uint8)
    mask[:9], mask[9:20] = 127, 255
    viewer.add_labels(mask, name="field TEM mask")
    click(dock, qtbot)
    dock.copy.copy(as_python)
    assert (
        "    image,\n    mask=mask,\n    model='tem-to-sem',\n" in QApplication.clipboard().text()
    )
