"""The train dock, as a person uses it: a tiny network, trained for real."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox

from napari_axongen.bridge.training import stopped_runs
from napari_axongen.core.events import Metrics
from napari_axongen.core.models.store import load_card
from napari_axongen.core.training.runs import read_run
from napari_axongen.widgets.segment import SegmentDock
from napari_axongen.widgets.train import TrainDock

from .conftest import AXON, MYELIN, PLACE, draw_fibres

TITLE = "Train a model"
LONG = 30_000  # ms that a loaded machine may take


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("AXONGEN_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "models"))


@pytest.fixture
def slow(monkeypatch):
    """Steps take a while, so that there is time to press a button."""
    from napari_axongen.core.training.segmenter import SegmentationTask

    monkeypatch.setattr(SegmentationTask, "step", slowed(SegmentationTask.step))


def slowed(step):
    """A step that takes a while."""

    def slowly(task, number):
        time.sleep(0.02)
        return step(task, number)

    return slowly


def make_tiny(dock, steps):
    """Set up a dock for a small network and few steps."""
    details = dock.form.details
    details.network.setText("{name: unet, channels: [4, 4]}")
    details.forms["optimisation"].set_values({"batch": 2, "crop": 32, "warm_up": 2})
    dock.form.steps.setValue(steps)
    details.forms["run"].set_values({"validate_every": 10})
    details.changed.emit()


def add_pair(viewer, name, count=3, seed=0):
    """A noisy image of fibres, and labels as a person paints them: 1 myelin, 2 axon."""
    grey = draw_fibres((64, 96), count)
    truth = 1 * (grey == MYELIN) + 2 * (grey == AXON)
    noise = np.random.default_rng(seed).normal(0, 12, grey.shape)
    image = np.clip(grey + noise + 20, 0, 255).astype(np.uint8)
    viewer.add_image(image, name=name, **PLACE | {"metadata": {}})
    viewer.add_labels(truth, name=f"{name} labels", **PLACE | {"metadata": {}})


@pytest.fixture
def train_dock(make_napari_viewer_proxy, qtbot):
    """Make a train dock in a viewer with two labelled images; its jobs have ended afterwards."""
    docks = []

    def make(steps=20, show=False, pairs=2):
        viewer = make_napari_viewer_proxy(show=show)
        for index in range(pairs):
            add_pair(viewer, f"sub-{index} field", seed=index)
        dock = TrainDock(viewer)
        docks.append(dock)
        viewer.window.add_dock_widget(dock, name=TITLE)
        make_tiny(dock, steps)
        return viewer, dock

    yield make
    for dock in docks:
        dock.close_down()
        jobs = (dock.training, dock.foretelling, dock.comparing, *dock.looking)
        qtbot.waitUntil(lambda jobs=jobs: not any(job.running for job in jobs), timeout=LONG)
    docks.clear()


def may_start(dock, qtbot):
    qtbot.waitUntil(lambda: dock.outlook.may_start, timeout=LONG)
    qtbot.waitUntil(dock.start_button.isEnabled)


def train_until(dock, qtbot, step):
    """Start, and come back when so many steps are done."""
    may_start(dock, qtbot)
    reached = []
    dock.training.yielded.connect(
        lambda event: reached.append(event) if isinstance(event, Metrics) else None
    )
    dock.start_button.click()
    qtbot.waitUntil(lambda: bool(reached) and reached[-1].step >= step, timeout=LONG)
    return reached


def answer(monkeypatch, how):
    """Answer questions; the list gets what was asked."""
    asked = []

    def question(parent, title, text, *_):
        asked.append(text)
        return how

    monkeypatch.setattr(QMessageBox, "question", question)
    return asked


yes = partial(answer, how=QMessageBox.StandardButton.Yes)
no = partial(answer, how=QMessageBox.StandardButton.No)


# ---------------------------------------------------------------- from layers to a model


def test_two_open_layers_become_a_model_that_the_other_docks_offer(train_dock, qtbot, tmp_path):
    viewer, dock = train_dock()
    segmenting = SegmentDock(viewer)
    viewer.window.add_dock_widget(segmenting, name="Segment")
    dock.form.name.setText("mine")
    dock.form.name.textEdited.emit("mine")
    pairs = dock.form.pickers[0].pairs.pairs
    assert [pair.part for pair in pairs] == ["train", "validation"]
    assert [pair.animal for pair in pairs] == ["sub-0", "sub-1"]
    qtbot.waitUntil(lambda: "Takes about" in dock.outlook.forecast.text(), timeout=LONG)
    assert "All labels: 1 is myelin, 2 axon." in dock.outlook.list.text()
    with qtbot.waitSignal(dock.training.finished, timeout=LONG):
        dock.start_button.click()
    history = dock.monitor.curves.history
    assert history.losses["loss"].points()[0][-1] == 20
    assert history.scores["val_dice_axon"].points()[0] == [10, 20]
    assert history.best in (10, 20)
    samples = dock.monitor.strip.samples
    assert samples.titles == ("image", "truth", "found")
    assert len(dock.monitor.strip.pictures.pixmaps) == 3
    card = load_card("mine")
    assert card.pixel_size == pytest.approx(0.1)
    assert "mine" in dock.after.card.text()
    assert "Dice axon" in dock.after.card.text()
    assert segmenting.model.findData("mine") >= 0
    assert dock.after.open_with() is segmenting
    assert segmenting.model.currentData() == "mine"
    dock.after.export_to(str(tmp_path / "handed-on.safetensors"))
    assert load_card(tmp_path / "handed-on.safetensors") == card
    assert not stopped_runs()
    segmenting.close_down()


@pytest.mark.usefixtures("denoiser")
def test_a_denoiser_goes_on_from_another_and_shows_what_it_restores(train_dock, qtbot, monkeypatch):
    from napari_axongen.core.training import denoiser

    monkeypatch.setattr(denoiser, "_LEVELS", 1)  # validated fast
    _viewer, dock = train_dock()
    form = dock.form
    for preset, names, diameter in (
        ("translator", [None, "tem-to-sem"], 28),
        ("denoiser", [None, "tem-sem"], 24),
    ):
        form.what.setCurrentIndex(form.what.findData(preset))
        assert [form.start.itemData(index) for index in range(form.start.count())] == names
        usual = form.plan().recipe
        assert usual.start is None
        form.start.setCurrentIndex(1)
        recipe = form.plan().recipe
        assert recipe.start == names[1]
        assert (recipe.network["channels"], recipe.axon_diameter) == ([8, 12], diameter)
        rate = usual.optimisation.learning_rate / 10
        assert recipe.optimisation.learning_rate == pytest.approx(rate)
    form.details.forms["optimisation"].set_values({"batch": 2, "crop": 32, "warm_up": 1})
    form.steps.setValue(4)
    may_start(dock, qtbot)
    with qtbot.waitSignal(dock.training.finished, timeout=LONG):
        dock.start_button.click()
    assert dock.monitor.strip.samples.titles == ("image", "mask", "noised", "restored")
    assert len(dock.monitor.strip.pictures.pixmaps) == 4
    assert load_card("my-denoiser").training["recipe"]["start"] == "tem-sem"


def test_pause_resume_cancel_and_resume_in_another_napari(
    train_dock, slow, qtbot, make_napari_viewer_proxy
):
    _viewer, dock = train_dock(steps=60)
    reached = train_until(dock, qtbot, 12)
    dock.monitor.pause.click()
    assert dock.monitor.pause.text() == "Resume"
    qtbot.wait(300)
    held_at = reached[-1].step
    qtbot.wait(300)
    assert reached[-1].step == held_at
    dock.monitor.pause.click()
    qtbot.waitUntil(lambda: reached[-1].step > held_at, timeout=LONG)
    with qtbot.waitSignal(dock.training.stopped, timeout=LONG):
        dock.monitor.cancel.click()
    step = read_run(dock.folder).step
    assert step >= reached[-1].step
    assert f"checkpoint of step {step}" in dock.monitor.ended.text()
    assert str(dock.folder) in dock.monitor.ended.text()
    dock.close_down()

    other = TrainDock(make_napari_viewer_proxy())  # as after a restart: nothing is remembered
    (run,) = other.stopped.runs
    assert f"step {step} of 60" in other.stopped.box.currentText()
    with qtbot.waitSignal(other.training.finished, timeout=LONG):
        other.stopped.go_on.click()
    steps, _ = other.monitor.curves.history.losses["loss"].points()
    assert steps[-1] == 60
    assert 10 in steps  # what was validated before is on the curves
    assert f"Going on from step {step}" in other.monitor.notices.text()
    assert read_run(run.folder).finished
    other.close_down()


def test_training_that_no_longer_improves_ends_early_and_says_so(train_dock, qtbot):
    _viewer, dock = train_dock(steps=400)
    forms = dock.form.details.forms
    forms["run"].set_values({"validate_every": 2, "patience": 1})
    forms["optimisation"].set_values({"learning_rate": 1e-6})  # it learns nothing
    dock.form.details.changed.emit()
    may_start(dock, qtbot)
    with qtbot.waitSignal(dock.training.finished, timeout=LONG):
        dock.start_button.click()
    assert "has not improved" in dock.monitor.notices.text()
    assert dock.after.isVisibleTo(dock)


# ---------------------------------------------------------------- before it starts


def test_wrong_labels_are_named_and_what_is_mended_is_seen(train_dock, qtbot):
    viewer, dock = train_dock()
    labels = viewer.layers["sub-1 field labels"]
    right = labels.data.copy()
    labels.data = np.arange(right.size, dtype=int).reshape(right.shape) % 7
    qtbot.waitUntil(
        lambda: "cannot tell axon from myelin" in dock.outlook.list.text(), timeout=LONG
    )
    assert "sub-1 field labels" in dock.outlook.list.text()
    assert not dock.start_button.isEnabled()
    labels.data = right
    may_start(dock, qtbot)


def test_what_is_missing_is_said(train_dock, qtbot):
    viewer, dock = train_dock(pairs=0)
    assert "Open an image and its labels" in dock.outlook.list.text()
    assert not dock.start_button.isEnabled()
    add_pair(viewer, "field")
    qtbot.waitUntil(lambda: len(dock.form.pickers[0].pairs.pairs) == 1)
    assert dock.form.pickers[0].pairs.pairs[0].part == "part"  # one image: a part is held out
    may_start(dock, qtbot)
    dock.form.name.setText("axon-myelin-sem")
    dock.form.name.textEdited.emit("axon-myelin-sem")
    assert "choose another name" in dock.outlook.list.text()
    assert not dock.start_button.isEnabled()


# ---------------------------------------------------------------- closing


def test_closing_the_dock_asks(train_dock, slow, qtbot, monkeypatch):
    viewer, dock = train_dock(steps=2000)
    reached = train_until(dock, qtbot, 2)
    asked = no(monkeypatch)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: bool(asked))
    assert "be resumed" in asked[0]
    assert dock in list(viewer.window.dock_widgets.values())
    step = reached[-1].step
    qtbot.waitUntil(lambda: reached[-1].step > step, timeout=LONG)  # it has gone on
    yes(monkeypatch)
    with qtbot.waitSignal(dock.training.stopped, timeout=LONG):
        viewer.window.remove_dock_widget(dock)
    assert dock not in list(viewer.window.dock_widgets.values())
    assert read_run(dock.folder).step >= step


class Closed(QObject):
    """Sees that a window is told to close, and keeps it from doing so."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def eventFilter(self, watched, event):  # noqa: N802 - a name of Qt's
        if event.type() != QEvent.Type.Close:
            return False
        self.seen += 1
        event.ignore()
        return True


def test_closing_the_window_asks_and_waits_for_the_checkpoint(train_dock, slow, qtbot, monkeypatch):
    _viewer, dock = train_dock(steps=2000, show=True)
    closed = Closed()
    dock.window().installEventFilter(closed)
    reached = train_until(dock, qtbot, 2)
    asked = no(monkeypatch)
    dock.window().close()
    assert len(asked) == 1
    assert dock.training.running
    assert not closed.seen
    yes(monkeypatch)
    dock.window().close()
    assert closed.seen == 1
    assert not dock.training.running  # at once: it was waited for
    assert read_run(dock.folder).step >= reached[-1].step
    dock.window().removeEventFilter(closed)


def test_napari_that_quits_leaves_a_checkpoint(tmp_path):
    """In a process of its own: its thread has to end before it does, and Qt must not abort."""
    script = tmp_path / "train.py"
    script.write_text(_QUITS, encoding="utf-8")
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root, "AXONGEN_RUNS": str(tmp_path / "runs")}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "QThread" not in done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert read_run(folder).step >= 3


_QUITS = """
import napari
from qtpy.QtWidgets import QApplication
from napari_axongen.core.events import Metrics
from napari_axongen.core.training.segmenter import SegmentationTask
from napari_axongen.widgets.train import TrainDock
from tests.widgets.test_train import add_pair, make_tiny, slowed

SegmentationTask.step = slowed(SegmentationTask.step)
viewer = napari.Viewer(show=False)
add_pair(viewer, "sub-0 field")
dock = TrainDock(viewer)
viewer.window.add_dock_widget(dock, name="Train")
make_tiny(dock, 2000)
dock.outlook.changed.connect(lambda: dock.outlook.may_start and dock.start())

def on_event(event):
    if isinstance(event, Metrics) and event.step >= 3:
        QApplication.instance().quit()

dock.training.yielded.connect(on_event)
napari.run(force=True)
"""
