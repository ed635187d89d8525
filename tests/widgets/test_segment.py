"""The segment dock, as a person uses it."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from napari_axongen.bridge.layers import recipe_of
from napari_axongen.core.errors import InputError

from .conftest import KINDS, PLACE, REFUSED, draw_fibres, of_kind


def click(dock, qtbot):
    with qtbot.waitSignal(dock.segmenting.finished, timeout=20_000):
        dock.run.button.click()


def layer(viewer, name):
    return viewer.layers[name]


def test_one_click_gives_three_layers_that_lie_on_the_image(segment_dock, network, qtbot):
    viewer, dock = segment_dock(**PLACE)
    assert dock.pixel_size.optional_value() == pytest.approx(0.1)
    click(dock, qtbot)
    assert [made.name for made in viewer.layers] == [
        "field",
        "field myelin",
        "field axon",
        "field fibres",
    ]
    source = layer(viewer, "field")
    grey = np.asarray(source.data)
    assert np.array_equal(layer(viewer, "field axon").data == 1, grey == 200)
    assert np.array_equal(layer(viewer, "field myelin").data == 1, grey == 100)
    fibres = layer(viewer, "field fibres")
    assert set(np.unique(fibres.data)) == {0, 1, 2, 3}
    for name in ("field axon", "field myelin", "field fibres"):
        made = layer(viewer, name)
        assert np.allclose(made.scale, source.scale)
        assert np.allclose(made.translate, source.translate)
        assert made.units == source.units
        assert made.axis_labels == source.axis_labels
        assert made.metadata["animal"] == "rat 1"
        recipe = recipe_of(made)
        assert recipe["verb"] == "segment"
        assert recipe["model"] == {"name": "stand-in", "sha256": "0" * 64}
        assert recipe["parameters"]["pixel_size"] == pytest.approx(0.1)
        assert recipe["source"] == "field"
    assert "CPU" in dock.device.text()
    assert "TEM contrast" in dock.notices.text()
    assert "3 fibres" in dock.notices.text()


def test_colours_are_those_of_the_class(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    click(dock, qtbot)
    red, _, blue, _ = layer(viewer, "field axon").colormap.map(1)
    assert blue > red
    red, _, blue, _ = layer(viewer, "field myelin").colormap.map(1)
    assert red > blue
    first = [tuple(layer(viewer, "field fibres").colormap.map(k)) for k in range(1, 4)]
    click(dock, qtbot)
    assert first == [tuple(layer(viewer, "field fibres").colormap.map(k)) for k in range(1, 4)]


def test_a_second_click_updates_the_layers_in_place(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    click(dock, qtbot)
    before = list(viewer.layers)
    layer(viewer, "field").data = draw_fibres(count=2)
    layer(viewer, "field").translate = (7, 8)
    click(dock, qtbot)
    assert list(viewer.layers) == before
    assert layer(viewer, "field fibres").data.max() == 2
    assert np.allclose(layer(viewer, "field fibres").translate, (7, 8))


def test_pixel_size_can_be_given_or_withheld(segment_dock, network, qtbot):
    _viewer, dock = segment_dock(**PLACE)
    dock.pixel_size.set_optional_value(0.00493)
    assert dock.pixel_size.text().startswith("0.00493")
    click(dock, qtbot)
    assert network.images[-1].pixel_size == pytest.approx(0.00493)
    assert dock.pixel_size.optional_value() == pytest.approx(0.00493)  # new layers do not reset it
    dock.pixel_size.set_optional_value(None)
    assert dock.pixel_size.text() == "unknown"
    click(dock, qtbot)
    assert network.images[-1].pixel_size is None
    assert network.parameters[-1].pixel_size is None


def test_calibrating_the_layer_fills_the_field(segment_dock, network):
    viewer, dock = segment_dock()
    assert dock.pixel_size.optional_value() is None
    layer(viewer, "field").units = ("nm", "nm")
    layer(viewer, "field").scale = (50, 50)
    assert dock.pixel_size.optional_value() == pytest.approx(0.05)


def test_threshold_acts_on_cached_probabilities(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    assert not dock.threshold.isEnabled()
    click(dock, qtbot)
    assert dock.threshold.isEnabled()
    myelin, fibres = layer(viewer, "field myelin"), layer(viewer, "field fibres")
    areas = np.count_nonzero(myelin.data), np.count_nonzero(fibres.data)
    with (
        qtbot.waitSignal(dock.masking.finished),
        qtbot.waitSignal(dock.labelling.finished),
    ):
        dock.threshold.setValue(0.3)
    grey = np.asarray(layer(viewer, "field").data)
    assert np.array_equal(myelin.data == 1, (grey == 100) | (grey == 60))
    assert np.count_nonzero(myelin.data) > areas[0]
    assert np.count_nonzero(fibres.data) > areas[1]
    assert len(network.images) == 1  # the network was not asked again
    assert recipe_of(myelin)["parameters"]["threshold"] == pytest.approx(0.3)


def test_a_moving_slider_is_waited_for(segment_dock, network, qtbot):
    _viewer, dock = segment_dock()
    click(dock, qtbot)
    settled = []
    dock.threshold.settled.connect(settled.append)
    with qtbot.waitSignal(dock.labelling.finished):
        for value in (0.45, 0.4, 0.35, 0.3, 0.2):
            dock.threshold.setValue(value)
    assert settled == [pytest.approx(0.2)]


def test_a_deleted_output_is_not_brought_back_by_the_slider(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    click(dock, qtbot)
    viewer.layers.remove("field fibres")
    with qtbot.waitSignal(dock.masking.finished):
        dock.threshold.setValue(0.3)
    assert "field fibres" not in viewer.layers
    click(dock, qtbot)
    assert "field fibres" in viewer.layers


def test_cancel_stops_within_one_tile_and_changes_nothing(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    network.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: network.done == 1)
    qtbot.waitUntil(lambda: dock.run.button.text() == "Cancel")
    with qtbot.waitSignal(dock.segmenting.stopped):
        dock.run.button.click()
        network.gate.set()
    assert network.done <= 2
    assert network.closed.is_set()
    assert [made.name for made in viewer.layers] == ["field"]
    assert dock.run.button.text() == "Segment"
    assert dock.notices.text() == "Cancelled."
    click(dock, qtbot)
    assert "field fibres" in viewer.layers


def test_a_layer_deleted_during_the_run_ends_it(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    network.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: network.done == 1)
    with qtbot.waitSignal(dock.segmenting.stopped):
        viewer.layers.remove("field")
        network.gate.set()
    assert len(viewer.layers) == 0
    assert "removed" in dock.notices.text()
    assert not dock.run.button.isEnabled()


def test_a_dock_closed_during_the_run_ends_it(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    network.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: network.done == 1)
    viewer.window.remove_dock_widget(dock)
    network.gate.set()
    qtbot.waitUntil(network.closed.is_set)
    qtbot.waitUntil(lambda: not dock.segmenting.running)
    assert [made.name for made in viewer.layers] == ["field"]
    viewer.add_image(draw_fibres(), name="later")  # nobody listens any more
    assert dock.picker.layer.name == "field"


def test_a_viewer_closed_during_the_run_ends_it(make_napari_viewer, network, qtbot):
    from napari_axongen.widgets.segment import SegmentDock

    viewer = make_napari_viewer()
    viewer.add_image(draw_fibres(), name="field")
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    network.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: network.done == 1)
    viewer.close()
    network.gate.set()
    qtbot.waitUntil(network.closed.is_set)
    assert network.done <= network.tiles


def test_a_hidden_tab_keeps_running(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    network.gate.clear()
    dock.run.button.click()
    qtbot.waitUntil(lambda: network.done == 1)
    dock.parent().hide()
    with qtbot.waitSignal(dock.segmenting.finished):
        network.gate.set()
    assert "field fibres" in viewer.layers


@pytest.mark.parametrize(("add", "word"), REFUSED)
def test_the_dock_says_why_a_layer_is_refused(segment_dock, add, word):
    viewer, dock = segment_dock(False)
    if add is not None:
        add(viewer)
    assert word in dock.picker.reason.text()
    assert not dock.run.button.isEnabled()
    dock.start()
    assert not dock.segmenting.running


def test_bad_input_found_on_the_way_is_shown(segment_dock, network, qtbot):
    viewer, dock = segment_dock()
    network.error = InputError("'field' holds no finite value; there is nothing to see in it.")
    with qtbot.waitSignal(dock.segmenting.failed):
        dock.run.button.click()
    assert "no finite value" in dock.notices.text()
    assert dock.run.button.text() == "Segment"
    assert [made.name for made in viewer.layers] == ["field"]


def test_an_absurd_scale_is_said_when_the_button_is_pressed(segment_dock, network, qtbot):
    _viewer, dock = segment_dock(scale=(5, 5), units=("m", "m"))
    dock.run.button.click()
    assert not dock.segmenting.running
    assert "pixel_size" in dock.notices.text()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer(segment_dock, network, qtbot, kind):
    grey = draw_fibres()
    image, options = of_kind(grey, kind)
    viewer, dock = segment_dock(image, **options)
    click(dock, qtbot)
    assert layer(viewer, "field fibres").data.shape == grey.shape
    # luminance weights add up to one but for rounding, so grey stays grey
    if kind not in ("RGB", "RGBA"):
        assert layer(viewer, "field fibres").data.max() == 3


@pytest.mark.parametrize(("shape", "ndim"), [((3,), 3), ((2, 3), 4)])
def test_stacks_come_plane_by_plane(segment_dock, network, qtbot, shape, ndim):
    plane = draw_fibres()
    stack = np.broadcast_to(plane, (*shape, *plane.shape)).copy()
    viewer, dock = segment_dock(stack)
    seen = []
    dock.segmenting.yielded.connect(
        lambda part: seen.append((part.plane, part.value.name, len(viewer.layers)))
    )
    click(dock, qtbot)
    assert [plane for plane, name, _ in seen if name == "fibres"] == list(np.ndindex(*shape))
    assert seen[0][2] >= 2  # shown at once, not when the last plane is done
    fibres = layer(viewer, "field fibres").data
    assert fibres.shape == stack.shape
    planes = fibres.reshape(-1, *plane.shape)
    labels = [set(np.unique(p)) - {0} for p in planes]
    assert all(len(found) == 3 for found in labels)
    assert len(set.union(*labels)) == 3 * len(planes)  # no label in two planes
    with qtbot.waitSignal(dock.labelling.finished):
        dock.threshold.setValue(0.3)
    grey = np.asarray(stack)
    assert np.array_equal(layer(viewer, "field myelin").data == 1, (grey == 100) | (grey == 60))


def test_picker_follows_the_selected_image(segment_dock, network):
    viewer, dock = segment_dock()
    viewer.add_image(draw_fibres(), name="second")
    assert dock.picker.layer.name == "second"
    viewer.layers.selection.active = viewer.layers["field"]
    assert dock.picker.layer.name == "field"
    viewer.layers["field"].name = "renamed"
    assert dock.picker.box.currentText() == "renamed"


def test_recipe_is_copied_as_command(segment_dock, network, qtbot):
    from qtpy.QtWidgets import QApplication

    from napari_axongen.bridge.recipes import as_command

    _viewer, dock = segment_dock(**PLACE)
    click(dock, qtbot)
    dock.copy.copy(as_command)
    assert QApplication.clipboard().text() == (
        "axongen segment IMAGE --out DIR --model stand-in --pixel-size 0.1"
    )


def test_form_has_titles_tooltips_and_bounds_of_the_model(segment_dock):
    from napari_axongen.core.parameters import SegmentParameters

    _, dock = segment_dock()
    field = SegmentParameters.model_fields["min_diameter"]
    editor = dock.form.editors["min_diameter"]
    assert editor.toolTip() == field.description
    assert (editor.minimum(), editor.maximum()) == (0, 1000)
    assert editor.value() == field.default
    assert dock.form.parameters().model_dump()["min_diameter"] == field.default
    device = dock.form.editors["device"]
    assert [device.itemText(i) for i in range(device.count())] == ["auto", "cpu", "cuda", "mps"]


def test_our_share_of_the_gui_thread_stays_small(segment_dock, network, qtbot, spent):
    """What our slots do while a worker computes takes less than 50 ms each.

    Layers are there already: making one is napari's, and takes it a quarter of a second here.
    """
    _viewer, dock = segment_dock(draw_fibres((512, 512), 9))
    click(dock, qtbot)
    network.tiles, network.pause = 200, 0.002
    spent.clear()
    click(dock, qtbot)
    assert len(spent) >= 5
    assert len(spent) < 200  # thinned out
    assert max(spent) < 0.05


def test_the_event_loop_turns_while_the_network_computes(segment_dock, network, qtbot):
    """A heartbeat of the GUI thread goes on, beat by beat, while the worker is in one tile."""
    from qtpy.QtCore import QTimer

    _viewer, dock = segment_dock()
    network.gate.clear()
    beats, timer = [], QTimer()
    timer.timeout.connect(lambda: beats.append(threading.current_thread()))
    timer.start(5)
    dock.run.button.click()
    qtbot.waitUntil(lambda: network.done == 1)
    begun = len(beats)
    qtbot.waitUntil(lambda: len(beats) > begun + 20)
    assert network.done == 1  # the tile has not ended: the loop did not wait for it
    timer.stop()
    with qtbot.waitSignal(dock.segmenting.finished):
        network.gate.set()


def test_docks_open_without_torch():
    """In a process of its own: this one has torch loaded."""
    code = (
        "import sys, napari, numpy as np\n"
        "from napari_axongen.widgets.segment import SegmentDock\n"
        "from napari_axongen.widgets.measure import MeasureDock\n"
        "from napari_axongen.widgets.surrogate import SurrogateDock\n"
        "from napari_axongen.widgets.translate import TranslateDock\n"
        "viewer = napari.Viewer(show=False)\n"
        "viewer.add_image(np.eye(40), name='TEM')\n"
        "for dock in (SegmentDock, MeasureDock, SurrogateDock, TranslateDock):\n"
        "    viewer.window.add_dock_widget(dock(viewer))\n"
        "viewer.close()\n"
        "sys.exit('torch was loaded' if 'torch' in sys.modules else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
