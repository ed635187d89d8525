"""The segment dock on fluorescence images, with small models and the real core behind it."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Labels, Points, Shapes
from qtpy.QtWidgets import QApplication

from napari_axongen.bridge import fluorescence
from napari_axongen.bridge.layers import recipe_of
from napari_axongen.bridge.recipes import as_command
from napari_axongen.bridge.segmenting import FLUORESCENCE
from napari_axongen.bridge.tracing import traced_paths

from .conftest import PLACE, draw_fibres

OUTPUTS = ["axons", "boutons", "centrelines", "bouton centres"]


def draw(rows=(30, 70)):
    """Axons along some rows, each with a bouton of radius 5 on a faint one of radius 7."""
    grey = np.random.default_rng(0).integers(4, 8, (100, 120)).astype(np.uint8)
    y, x = np.mgrid[:100, :120]
    for row in rows:
        grey[row - 3 : row + 4, 10:110] = 100
        grey[np.hypot(y - row, x - 60) <= 5] = 250
        grey[np.hypot(y - row, x - 90) <= 5] = 150
    return grey


@pytest.fixture
def make(make_napari_viewer_proxy, glow, qtbot):
    """Make a segment dock in a viewer that shows an image; its jobs have ended afterwards."""
    from napari_axongen.widgets.segment import SegmentDock

    docks = []

    def made(image=None, **place):
        viewer = make_napari_viewer_proxy()
        viewer.add_image(draw() if image is None else image, **{"name": "field", **place})
        dock = SegmentDock(viewer)
        docks.append(dock)
        viewer.window.add_dock_widget(dock, name="Segment")
        return viewer, dock

    yield made
    for dock in docks:
        dock.close_down()
        jobs = (dock.segmenting, dock.masking, dock.labelling)
        qtbot.waitUntil(lambda jobs=jobs: not any(job.running for job in jobs), timeout=20_000)


def click(dock, qtbot):
    with qtbot.waitSignal(dock.segmenting.finished, timeout=30_000):
        dock.run.button.click()


def slide(dock, qtbot, name, value):
    job = dock.masking if name == "axon" else dock.labelling
    with qtbot.waitSignal(job.finished, timeout=20_000):
        dock.thresholds.sliders[name].setValue(value)


def outputs(viewer):
    return [viewer.layers[f"field {name}"] for name in OUTPUTS]


def test_one_click_gives_axons_centrelines_and_boutons_on_the_image(make, qtbot):
    viewer, dock = make(**PLACE)
    click(dock, qtbot)
    assert [one.name for one in viewer.layers] == ["field", *(f"field {name}" for name in OUTPUTS)]
    axons, boutons, lines, centres = outputs(viewer)
    kinds = (Labels, Labels, Shapes, Points)
    assert all(isinstance(*one) for one in zip(outputs(viewer), kinds, strict=True))
    assert (axons.data[30, 30], axons.data[70, 30], axons.data[50, 50]) == (1, 2, 0)
    assert boutons.data.max() == 2
    assert not boutons.visible  # their centres are shown
    assert set(lines.shape_type) == {"path"}
    assert list(lines.features["axon"]) == [1, 2]
    for path, row in zip(traced_paths(lines, viewer.layers["field"]), (30, 70), strict=True):
        assert np.abs(path[:, 0] - row).max() <= 1.5
    assert sorted(np.rint(centres.data).tolist()) == [[30, 60], [70, 60]]
    np.testing.assert_allclose(centres.size, 2 * centres.features["radius"])
    assert (centres.features["score"] > 0.6).all()
    source = viewer.layers["field"]
    for name, made in zip(OUTPUTS, outputs(viewer), strict=True):
        assert np.allclose(made.scale, source.scale)
        assert np.allclose(made.translate, source.translate)
        assert made.units == source.units
        assert made.axis_labels == source.axis_labels
        assert made.metadata["animal"] == "rat 1"
        recipe = recipe_of(made)
        assert (recipe["source"], recipe["output"]) == ("field", name)
        assert [model["name"] for model in recipe["models"]] == ["glow-axon", "glow-bouton"]
    assert "Fluorescence" in dock.notices.text()
    assert "2 axons and 2 boutons" in dock.notices.text()
    assert not dock.measure.isEnabled()
    assert dock.threshold.isHidden()
    assert [dock.thresholds.sliders[name].value() for name in ("axon", "bouton")] == [0.5, 0.6]


def test_sliders_act_without_the_network(make, glow, qtbot):
    viewer, dock = make()
    click(dock, qtbot)
    for path in glow.values():
        path.unlink()
    axons, boutons, lines, centres = outputs(viewer)
    area = np.count_nonzero(axons.data)
    slide(dock, qtbot, "bouton", 0.05)
    assert len(centres.data) == len(centres.features) == boutons.data.max() == 4
    assert np.count_nonzero(axons.data) == area
    slide(dock, qtbot, "axon", 0.95)
    assert 0 < np.count_nonzero(axons.data) < area
    assert len(lines.data) == len(lines.features) == 2
    assert recipe_of(centres)["parameters"]["bouton_threshold"] == pytest.approx(0.05)
    dock.copy.copy(as_command)
    assert QApplication.clipboard().text() == (
        "axongen segment IMAGE --out DIR --model auto --contrast fluorescence "
        "--axon-threshold 0.95 --bouton-threshold 0.05"
    )
    viewer.layers.remove("field centrelines")
    viewer.layers.remove("field bouton centres")
    slide(dock, qtbot, "axon", 0.3)
    slide(dock, qtbot, "bouton", 0.3)
    assert len(viewer.layers) == 3  # what was deleted is not brought back
    viewer.layers.remove("field")
    assert not dock.thresholds.isEnabled()


def test_nothing_may_be_left_and_come_back(make, qtbot):
    viewer, dock = make(draw(()) + np.eye(100, 120, dtype=np.uint8) * 250)
    dock.form.editors["min_length"].setValue(500)
    click(dock, qtbot)
    axons, boutons, lines, centres = outputs(viewer)
    assert len(lines.data) == len(centres.data) == 0
    viewer.layers["field"].data = draw()
    dock.form.editors["min_length"].setValue(20)
    click(dock, qtbot)
    assert outputs(viewer) == [axons, boutons, lines, centres]  # updated in place
    assert len(lines.data) == len(centres.data) == 2
    viewer.layers["field"].data = draw((50,))
    viewer.layers["field"].translate = (7, 8)
    click(dock, qtbot)
    assert len(lines.data) == len(centres.data) == axons.data.max() == 1
    assert all(np.allclose(made.translate, (7, 8)) for made in outputs(viewer))


def test_what_was_moved_holds_for_the_next_image_until_another_model_is_chosen(make, qtbot):
    _, dock = make()
    assert set(dock.thresholds.parameters()) == {"threshold"}
    click(dock, qtbot)
    slide(dock, qtbot, "bouton", 0.05)
    click(dock, qtbot)
    assert dock.thresholds.sliders["bouton"].probability() == 0.05
    assert dock.thresholds.parameters()["bouton_threshold"] == 0.05
    dock.choose_model("glow-bouton")
    click(dock, qtbot)
    assert dock.thresholds.sliders["bouton"].probability() == 0.6
    assert dock.thresholds.sliders["axon"].isHidden()


def test_a_lazy_stack_comes_plane_by_plane(make, qtbot):
    planes = [draw((50,)), draw((20, 80)), draw((50,))]
    stack = da.from_array(np.stack(planes), chunks=(1, 50, 50))
    viewer, dock = make(stack, contrast_limits=(0, 255), scale=(2, 1, 1))
    seen = []
    dock.segmenting.yielded.connect(lambda part: seen.append((part.plane, part.value.name)))
    click(dock, qtbot)
    axons, boutons, lines, centres = outputs(viewer)
    assert [plane for plane, name in seen if name == "axons"] == [(0,), (1,), (2,)]
    assert [set(np.unique(plane)) - {0} for plane in axons.data] == [{1}, {2, 3}, {4}]
    assert boutons.data.shape == stack.shape
    assert [path[0, 0] for path in lines.data] == [0, 1, 1, 2]
    assert sorted(np.rint(centres.data).tolist()) == [
        [0, 50, 60], [1, 20, 60], [1, 80, 60], [2, 50, 60],
    ]  # fmt: skip
    assert all(np.allclose(made.scale, (2, 1, 1)) for made in outputs(viewer))
    slide(dock, qtbot, "axon", 0.3)
    assert [set(np.unique(plane)) - {0} for plane in axons.data] == [{1}, {2, 3}, {4}]


def test_the_kind_of_image_can_be_chosen(make, qtbot):
    viewer, dock = make(draw_fibres())
    names = [dock.model.itemData(index) for index in range(dock.model.count())]
    assert names[:2] == ["auto", FLUORESCENCE]
    assert {"glow-axon", "axon-myelin-tem"} <= set(names)
    dock.model.choose(FLUORESCENCE)
    click(dock, qtbot)
    assert outputs(viewer)
    dock.choose_model("axon-myelin-tem")
    click(dock, qtbot)
    assert "field myelin" in viewer.layers
    assert not dock.threshold.isHidden()
    assert dock.thresholds.sliders["axon"].isHidden()
    assert dock.measure.isEnabled()
    assert recipe_of(viewer.layers["field axons"])["parameters"]["contrast"] == "fluorescence"


def test_of_too_many_centrelines_the_longest_are_shown(make, qtbot, monkeypatch):
    short = draw()
    short[60:80, 10:70] = short[40:60, 10:70]
    monkeypatch.setattr(fluorescence, "MOST_VERTICES", 3)
    viewer, dock = make(short)
    click(dock, qtbot)
    lines = viewer.layers["field centrelines"]
    assert list(lines.features["axon"]) == [1]
    assert "1 longest" in dock.notices.text()
