"""The surrogate dock, as a person uses it."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_axongen.bridge.layers import recipe_of
from napari_axongen.bridge.recipes import as_command, as_python
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Progress, run
from napari_axongen.core.surrogate import generator
from napari_axongen.core.surrogate.distributions import Uniform
from napari_axongen.core.surrogate.export import STATE
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import PRESETS, preset
from napari_axongen.widgets.exporting import ExportDialog
from napari_axongen.widgets.preview import NAME

SMALL = SurrogateParameters(
    width=96,
    height=80,
    axons={"count": 3, "crossings": True},
    boutons={"count": 5},
    cells={"count": 1},
    series={"frames": 3, "first_frame": 1},
)


class Watched:
    """The real generator, counted, and held before an image while its gate is closed."""

    def __init__(self):
        self.real = generator.generate_steps
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()
        self.begun = self.closed = 0
        self.notice = None

    def steps(self, parameters, count=1, seed=0, first=0, device="auto", series=False):
        self.asked.append((parameters, count, seed, series))
        self.begun += 1
        try:
            if self.notice:
                yield Notice(self.notice)
            yield Progress(0, count)
            self.gate.wait(20)
            yield Progress(0, count)
            return (
                yield from self.real(
                    parameters, count=count, seed=seed, first=first, device=device, series=series
                )
            )
        finally:
            self.closed += 1


@pytest.fixture
def made(monkeypatch):
    """What the generator was asked for."""
    watched = Watched()
    monkeypatch.setattr(generator, "generate_steps", watched.steps)
    yield watched
    watched.gate.set()


def jobs(dock):
    return (dock.previewing, dock.matching, dock.generating, dock.exporting)


@pytest.fixture
def surrogate_dock(make_napari_viewer_proxy, made, qtbot):
    """Make a surrogate dock; its jobs have ended afterwards."""
    docks = []

    def make(parameters=SMALL, live=False):
        from napari_axongen.widgets.surrogate import SurrogateDock

        viewer = make_napari_viewer_proxy()
        dock = SurrogateDock(viewer)
        docks.append(dock)
        viewer.window.add_dock_widget(dock, name="Generate")
        dock.form.set_parameters(parameters, reference=True)
        if not live:
            dock.preview.on.click()
            dock.preview.on.click()
            dock.preview.stop()
        return viewer, dock

    yield make
    made.gate.set()
    for dock in docks:
        dock.close_down()
        qtbot.waitUntil(lambda dock=dock: not any(job.running for job in jobs(dock)), timeout=20000)
    docks.clear()


def generate(dock, qtbot):
    with qtbot.waitSignal(dock.generating.finished, timeout=30_000):
        dock.run.button.click()
    qtbot.waitUntil(lambda: dock.queue.empty, timeout=20_000)


def settle(dock, qtbot):
    """Wait until the last change is shown."""
    preview = dock.preview
    qtbot.waitUntil(
        lambda: not preview._timer.isActive() and not dock.previewing.running, timeout=30_000
    )


def shown(viewer):
    return viewer.layers[NAME].data


def image_of(parameters, seed=0, kind="images"):
    return getattr(run(generator.generate_steps(parameters, seed=seed)), kind)[0]


# ---------------------------------------------------------------- the preview


def test_nothing_is_made_until_something_is_touched(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    qtbot.wait(100)
    assert not made.asked
    assert len(viewer.layers) == 0
    dock.form.editor("axons.count").slider.setValue(200)
    settle(dock, qtbot)
    assert dock.preview.on.isChecked()
    assert [layer.name for layer in viewer.layers] == [NAME]


def test_the_image_follows_a_slider(surrogate_dock, made, qtbot):
    """A slider goes through fifty places: few images are made, and the last of them is shown.

    That the event loop does not stall is measured in the processor time that its thread takes from
    one turn to the next: other programs beside the tests do not disturb that, and time that the
    thread waits for the worker shows in the gaps of most turns. The window is not shown: a shown
    one is drawn by the processor here, at 0.1 s a turn for any slider in it, which is napari's.
    """
    viewer, dock = surrogate_dock(preset("original"), live=True)
    dock.preview.on.click()
    settle(dock, qtbot)
    editor = dock.form.editor("axons.brightness")
    editor.set_kind("fixed")
    settle(dock, qtbot)
    made.asked.clear()
    beats, beat = [], QTimer()
    beat.timeout.connect(lambda: beats.append((time.thread_time(), time.perf_counter())))
    beat.start(1)
    for place in range(100, 600, 10):
        editor.slider.setValue(place)
        qtbot.wait(1)
    settle(dock, qtbot)
    beat.stop()
    parameters = dock.parameters()
    assert parameters.axons.brightness == editor.value() == editor._scale.value(590)
    assert np.array_equal(shown(viewer), image_of(parameters))
    assert len(made.asked) - 1 <= 10  # the last one is that of the line above
    taken, gaps = np.diff(beats, axis=0).T
    assert len(beats) > 50
    assert taken.max() < 0.05
    assert np.percentile(gaps, 90) < 0.05


def test_the_event_loop_turns_while_a_preview_is_made(surrogate_dock, made, qtbot):
    _viewer, dock = surrogate_dock(live=True)
    made.gate.clear()
    beats, beat = [], QTimer()
    beat.timeout.connect(lambda: beats.append(0))
    beat.start(2)
    dock.seed.draw()
    qtbot.waitUntil(lambda: made.begun == 1)
    begun = len(beats)
    qtbot.waitUntil(lambda: len(beats) > begun + 20)
    assert made.closed == 0  # it has not ended: the loop did not wait for it
    beat.stop()
    made.gate.set()
    settle(dock, qtbot)


def test_changes_during_a_preview_wait_for_it_and_the_last_wins(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    made.gate.clear()
    dock.seed.box.setValue(1)
    qtbot.waitUntil(lambda: made.begun == 1)
    for seed in (2, 3, 4):
        dock.seed.box.setValue(seed)
        qtbot.wait(60)
    made.gate.set()
    settle(dock, qtbot)
    assert [asked[2] for asked in made.asked] == [1, 4]
    assert np.array_equal(shown(viewer), image_of(SMALL, 4))


def test_a_preview_without_noise_and_with_masks(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    dock.seed.box.setValue(5)
    settle(dock, qtbot)
    dock.preview.what.setCurrentIndex(1)
    assert np.array_equal(shown(viewer), image_of(SMALL, 5, "clean_images"))
    dock.preview.masks.setChecked(True)
    assert np.array_equal(viewer.layers[f"{NAME} axons"].data, image_of(SMALL, 5, "axon_labels"))
    boutons = viewer.layers[f"{NAME} boutons"].data
    assert np.array_equal(boutons == 1, image_of(SMALL, 5, "bouton_masks") == 255)
    dock.preview.masks.setChecked(False)
    assert [layer.name for layer in viewer.layers] == [NAME]


def test_grey_values_do_not_flicker(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    dock.seed.box.setValue(1)
    settle(dock, qtbot)
    limits = viewer.layers[NAME].contrast_limits
    viewer.layers[NAME].contrast_limits = (10, 90)  # by hand
    for seed in (2, 1):
        dock.seed.box.setValue(seed)
        settle(dock, qtbot)
        assert viewer.layers[NAME].contrast_limits == [10, 90]
    dock._take(SMALL)
    settle(dock, qtbot)
    assert viewer.layers[NAME].contrast_limits == limits


def test_a_preview_that_is_thrown_away_does_not_come_back(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    dock.seed.draw()
    settle(dock, qtbot)
    viewer.layers.remove(NAME)
    dock.seed.draw()
    settle(dock, qtbot)
    assert len(viewer.layers) == 0
    assert not dock.preview.on.isChecked()
    dock.preview.on.click()
    settle(dock, qtbot)
    assert NAME in viewer.layers


def test_a_series_is_previewed_as_a_series(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    dock.seed.draw()
    settle(dock, qtbot)
    dock.series.setChecked(True)
    settle(dock, qtbot)
    assert shown(viewer).shape == (3, 80, 96)
    assert dock.preview.on.isChecked()
    dock.series.setChecked(False)
    settle(dock, qtbot)
    assert shown(viewer).shape == (80, 96)


def test_notices_and_errors_of_a_preview_stand_below_it(surrogate_dock, made, qtbot):
    _viewer, dock = surrogate_dock(live=True)
    made.notice = "2 axons found no room and were left out; the field is crowded."
    dock.seed.draw()
    settle(dock, qtbot)
    assert dock.preview.hint.text().startswith(made.notice)
    made.notice = None
    dock.form.set_parameters(SMALL.model_copy(update={"width": 600, "height": 500}))
    dock.seed.draw()
    settle(dock, qtbot)
    assert "600 x 500" in dock.preview.hint.text()


def test_the_preview_keeps_the_pixel_size(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    dock.seed.draw()
    settle(dock, qtbot)
    dock.form.editor("pixel_size").setValue(0.25)
    settle(dock, qtbot)
    assert np.allclose(viewer.layers[NAME].scale, 0.25)
    assert [str(unit) for unit in viewer.layers[NAME].units] == ["micrometer"] * 2


# ---------------------------------------------------------------- layers


def test_one_click_gives_images_and_all_that_is_known_of_them(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(SMALL.model_copy(update={"pixel_size": 0.5}))
    dock.seed.box.setValue(7)
    dock.count.setValue(2)
    generate(dock, qtbot)
    names = ("clean", "images", "axons", "boutons", "centrelines", "bouton centres")
    assert [layer.name for layer in viewer.layers] == [f"seed 7 {name}" for name in names]
    truth = run(generator.generate_steps(dock.parameters(), count=2, seed=7))
    assert np.array_equal(viewer.layers["seed 7 images"].data, truth.images)
    assert np.array_equal(viewer.layers["seed 7 axons"].data, truth.axon_labels)
    for layer in viewer.layers:
        assert np.allclose(layer.scale, (1, 0.5, 0.5))
        assert tuple(layer.axis_labels) == ("image", "y", "x")
        recipe = recipe_of(layer)
        assert (recipe["verb"], recipe["seed"], recipe["count"]) == ("generate", 7, 2)
        assert SurrogateParameters(**recipe["parameters"]) == dock.parameters()
    assert dock.run.button.text() == "Generate"


def test_a_second_click_makes_other_layers_unless_the_seed_is_locked(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock()
    dock.seed.box.setValue(7)
    generate(dock, qtbot)
    assert dock.seed.value() == 7  # what was previewed is what was made
    generate(dock, qtbot)
    other = dock.seed.value()
    assert other != 7
    assert len(viewer.layers) == 12
    dock.seed.lock.setChecked(True)
    generate(dock, qtbot)
    assert dock.seed.value() == other
    assert [asked[2] for asked in made.asked] == [7, other, other]
    assert len(viewer.layers) == 18


def test_a_series_has_tracks(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock()
    dock.seed.box.setValue(2)
    dock.series.setChecked(True)
    generate(dock, qtbot)
    assert viewer.layers["seed 2 image"].data.shape == (3, 80, 96)
    tracks = viewer.layers["seed 2 bouton tracks"]
    truth = run(generator.generate_steps(dock.parameters(), seed=2, series=True))
    assert len(tracks.data) == len(truth.tracks)
    assert recipe_of(tracks)["verb"] == "generate_series"


def test_the_preview_makes_way_and_comes_back(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    dock.seed.box.setValue(3)
    settle(dock, qtbot)
    generate(dock, qtbot)
    assert not viewer.layers[NAME].visible
    dock.seed.box.setValue(4)
    settle(dock, qtbot)
    assert viewer.layers[NAME].visible
    assert viewer.layers[-1].name == NAME


def test_cancel_leaves_no_layers(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock()
    made.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: made.begun == 1)
    qtbot.waitUntil(lambda: dock.run.button.text() == "Cancel")
    with qtbot.waitSignal(dock.generating.stopped):
        dock.run.button.click()
        made.gate.set()
    qtbot.wait(50)
    assert len(viewer.layers) == 0
    assert made.closed == 1
    assert dock.notices.text() == "Cancelled."
    generate(dock, qtbot)
    assert len(viewer.layers) == 6


def test_a_dock_closed_during_a_run_ends_it(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    made.gate.clear()
    dock.seed.draw()
    qtbot.waitUntil(lambda: made.begun == 1)
    dock.run.button.click()
    qtbot.waitUntil(lambda: made.begun == 2)
    viewer.window.remove_dock_widget(dock)
    made.gate.set()
    qtbot.waitUntil(lambda: made.closed == 2 and not any(job.running for job in jobs(dock)))
    qtbot.wait(50)
    assert len(viewer.layers) == 0
    viewer.add_image(np.zeros((20, 20)), name="later")  # nobody listens any more
    viewer.layers.remove("later")
    assert dock.match.picker.layer is None


def test_a_viewer_closed_during_a_run_ends_it(make_napari_viewer, made, qtbot):
    from napari_axongen.widgets.surrogate import SurrogateDock

    viewer = make_napari_viewer()
    dock = SurrogateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Generate")
    dock.form.set_parameters(SMALL)
    made.gate.clear()
    dock.run.button.click()
    dock.seed.draw()
    qtbot.waitUntil(lambda: made.begun == 2)
    viewer.close()
    made.gate.set()
    qtbot.waitUntil(lambda: made.closed == 2)


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fill_the_form_to_the_last_digit(surrogate_dock, name):
    _viewer, dock = surrogate_dock()
    dock.preset.setCurrentIndex(dock.preset.findData(name))
    dock.preset.activated.emit(dock.preset.currentIndex())
    assert dock.parameters() == preset(name)
    assert not dock.reset.isEnabled()


def test_what_is_changed_is_marked_and_can_be_set_back(surrogate_dock, qtbot):
    _viewer, dock = surrogate_dock()
    form = dock.form
    axons, boutons = form.sections["axons"], form.sections["boutons"]
    form.editor("axons.count").slider.setValue(500)
    form.editor("boutons.radius").set_kind("uniform")
    assert axons.form.label("count").font().bold()
    assert not axons.form.label("step").font().bold()
    assert "•" in axons.text()
    assert dock.reset.isEnabled()
    axons.reset.click()
    assert dock.parameters().axons == SMALL.axons
    assert boutons.differs
    dock.reset.click()
    assert dock.parameters() == SMALL
    assert not dock.reset.isEnabled()


def test_a_parameter_is_found_by_its_name(surrogate_dock):
    _viewer, dock = surrogate_dock()
    form = dock.form
    form.find.setText("radius")
    open_sections = {
        name: [field for field, editor in section.form.editors.items() if not editor.isHidden()]
        for name, section in form.sections.items()
        if not section.isHidden()
    }
    assert open_sections["boutons"] == ["radius"]
    assert open_sections["cells"] == ["radius"]
    assert "series" not in open_sections
    assert form.sections["cells"].isExpanded()
    form.find.clear()
    assert [name for name, section in form.sections.items() if section.isExpanded()] == ["axons"]
    assert not any(section.isHidden() for section in form.sections.values())


def test_every_parameter_is_in_the_form(surrogate_dock):
    _viewer, dock = surrogate_dock()
    dock.form.set_parameters(SMALL)
    assert dock.form.parameters() == SMALL
    editor = dock.form.editor("acquisition.psf_sigma")
    assert "0 to 20 px" in editor.toolTip()
    label = dock.form.sections["acquisition"].form.label("psf_sigma")
    assert label.text() == "PSF sigma (px)"


def test_what_cannot_be_is_said_and_nothing_runs(surrogate_dock, made, qtbot, monkeypatch):
    _viewer, dock = surrogate_dock()

    def refuse():
        raise InputError("Parameter 'axons.count' is 501: it must be from 0 to 500.")

    monkeypatch.setattr(dock.form, "parameters", refuse)
    dock.run.button.click()
    assert "axons.count" in dock.notices.text()
    dock._ask_export()
    dock.match.start()
    dock.preview._refused = False
    dock.preview.poke()
    qtbot.waitUntil(lambda: "axons.count" in dock.preview.hint.text())
    assert not made.asked


def test_parameters_are_saved_and_loaded(surrogate_dock, tmp_path, qtbot):
    _viewer, dock = surrogate_dock()
    dock.form.editor("axons.thickness").set_value(Uniform(uniform=(1.25, 4)))
    saved = dock.parameters()
    path = tmp_path / "mine.json"
    dock.file.save(path)
    dock._take(preset("broad"))
    dock.file.load(path)
    assert dock.parameters() == saved
    assert dock.preset.currentIndex() == -1
    dock.reset.click()
    assert dock.parameters() == saved  # a file is what a reset comes back to


def test_a_file_of_the_original_is_loaded_with_a_report(surrogate_dock, tmp_path, qtbot):
    _viewer, dock = surrogate_dock()
    path = tmp_path / "original.json"
    dock._take(preset("original"))
    dock.file.save_original(path)
    assert "MinAxons" in json.loads(path.read_text())
    dock._take(SMALL)
    dock.file.load(path)
    report = dock.file.report
    assert "converted" in report.informativeText()
    assert "MinAxons" in report.detailedText()
    assert dock.parameters().axons.count == preset("original").axons.count
    report.close()


def test_a_file_that_is_none_is_refused_in_one_sentence(surrogate_dock, tmp_path):
    from napari.utils.notifications import notification_manager

    _viewer, dock = surrogate_dock()
    path = tmp_path / "broken.json"
    path.write_text('{"axons": {"count": 501}}')
    dock.file.load(path)
    assert "axons.count" in notification_manager.records[-1].message
    assert dock.parameters() == SMALL


@pytest.mark.parametrize(
    ("write", "words"), [(as_python, "napari_axongen.generate"), (as_command, "axongen generate")]
)
def test_the_parameters_are_copied_as_text(surrogate_dock, write, words):
    _viewer, dock = surrogate_dock()
    dock.seed.box.setValue(11)
    dock.copy.copy(write)
    text = QApplication.clipboard().text()
    assert words in text
    assert "11" in text


# ---------------------------------------------------------------- match


def test_an_image_is_matched_and_the_match_undone(surrogate_dock, qtbot, monkeypatch):
    from napari_axongen.core.surrogate import matching

    real = matching.match_steps
    monkeypatch.setattr(
        matching, "match_steps", lambda *image, **more: real(*image, **more, budget=12)
    )
    viewer, dock = surrogate_dock(preset("two-photon"))
    target = image_of(preset("two-photon").model_copy(update={"width": 128, "height": 128}), 9)
    viewer.add_image(np.stack([np.zeros_like(target), target]), name="stack")
    viewer.dims.set_point(0, 1)
    before = dock.parameters()
    with qtbot.waitSignal(dock.matching.finished, timeout=120_000):
        dock.match.run.button.click()
    assert dock.parameters() != before
    assert dock.match.table.rowCount() > 5
    shown = [dock.match.table.item(0, column).text() for column in range(4)]
    assert shown[0].startswith("background")
    assert all(text == "–" or np.isfinite(float(text)) for text in shown[1:])
    assert "'stack'" in dock.match.hint.text()
    assert dock.reset.isEnabled()
    dock.match.undo.click()
    assert dock.parameters() == before
    assert dock.match.undo.isHidden()
    assert dock.match.table.isHidden()


def test_a_layer_that_cannot_be_matched_is_refused(surrogate_dock, made, qtbot):
    viewer, dock = surrogate_dock(live=True)
    assert "Open a two-photon image" in dock.match.picker.reason.text()
    assert not dock.match.run.button.isEnabled()
    dock.seed.draw()
    settle(dock, qtbot)
    assert dock.match.picker.layer is None  # the preview is not on offer
    viewer.add_labels(np.ones((80, 80), np.uint8))
    viewer.add_image(np.zeros((80, 80), bool), name="mask")
    assert "mask" in dock.match.picker.reason.text()
    assert not dock.match.run.button.isEnabled()
    viewer.add_image(np.zeros((20, 20), np.uint8), name="tiny")
    dock.match.picker.choose(viewer.layers["tiny"])
    with qtbot.waitSignal(dock.matching.failed, timeout=20_000):
        dock.match.start()
    assert dock.match.hint.text()
    assert dock.parameters() == SMALL


# ---------------------------------------------------------------- export


def test_a_data_set_is_written(surrogate_dock, made, tmp_path, qtbot):
    import tifffile

    _viewer, dock = surrogate_dock()
    dialog = ExportDialog(dock.parameters(), 4, False, dock)
    ok = dialog.buttons.button(dialog.buttons.StandardButton.Ok)
    assert not ok.isEnabled()
    dialog.folder.setText(str(tmp_path / "set"))
    dialog.count.setValue(3)
    assert ok.isEnabled()
    assert dialog.resume.isHidden()
    assert "kB" in dialog.note.text()
    with qtbot.waitSignal(dock.exporting.finished, timeout=60_000):
        dock.start_export(**dialog.values())
    assert np.array_equal(tifffile.imread(tmp_path / "set" / "images.tif")[0], image_of(SMALL, 4))
    assert "set" in dock.notices.text()
    assert dock.export.button.text() == "Export dataset ..."


def test_an_export_that_was_stopped_goes_on(surrogate_dock, made, tmp_path, qtbot):
    _viewer, dock = surrogate_dock()
    folder = tmp_path / "set"
    made.gate.clear()
    dialog = ExportDialog(dock.parameters(), 4, False, dock)
    dialog.folder.setText(str(folder))
    dialog.count.setValue(3)
    dock.start_export(**dialog.values())
    qtbot.waitUntil(lambda: made.begun == 1)
    assert not dock.run.button.isEnabled()  # one thing at a time
    with qtbot.waitSignal(dock.exporting.stopped):
        dock.export.button.click()
        made.gate.set()
    assert (folder / STATE).exists()
    other = ExportDialog(preset("broad"), 4, False, dock)
    other.folder.setText(str(folder))
    assert other.resume.isHidden()
    again = ExportDialog(dock.parameters(), 99, False, dock)
    again.folder.setText(str(folder))
    assert not again.resume.isHidden()
    values = again.values()
    assert (values["resume"], values["seed"], values["count"]) == (True, 4, 3)
    assert "0 of 3" in again.note.text()
    with qtbot.waitSignal(dock.exporting.finished, timeout=60_000):
        dock.start_export(**values)
    assert (folder / "images.tif").exists()
    with qtbot.waitSignal(dock.exporting.failed):  # it is not written over
        dock.start_export(**{**values, "resume": False})
    assert str(folder) in dock.notices.text()
