"""The measure dock: the table, and its link with the image."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from qtpy.QtCore import Qt

from .conftest import draw_fibres


@pytest.fixture
def measured(segment_dock, network, qtbot):
    """A segmented image and the filled table."""
    docks = []

    def make(image=None, **place):
        viewer, dock = segment_dock(image, **place)
        with qtbot.waitSignal(dock.segmenting.finished, timeout=20_000):
            dock.run.button.click()
        table = dock.open_table()
        docks.append(table)
        qtbot.waitUntil(lambda: table.result is not None)
        return viewer, table

    yield make
    for table in docks:
        table.close_down()
        qtbot.waitUntil(lambda table=table: not table.measuring.running)
    docks.clear()


def test_measure_leads_to_a_filled_table(measured):
    viewer, table = measured(scale=(0.5, 0.5), units=("um", "um"))
    model = table.model
    assert list(model.column("label")) == [1, 2, 3]
    assert model.rowCount() == 3
    axon = np.count_nonzero(viewer.layers["field axon"].data == 1) / 3 * 0.25
    assert model.column("axon_area (um^2)") == pytest.approx([axon] * 3, rel=0.02)
    assert model.column("gratio") == pytest.approx([8 / 12] * 3, abs=0.03)
    header = [
        model.headerData(i, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
        for i in range(model.columnCount())
    ]
    assert all(header)
    text = table.figures.text()
    assert "<b>3</b> fibres" in text
    assert "AVF" in text
    assert "MVF" in text
    assert "g-ratio" in text


def test_without_a_pixel_size_all_is_in_pixels(measured):
    _, table = measured()
    assert table.result.unit == "px"
    assert "axon_area (px^2)" in table.model.names


def test_the_same_dock_is_found_again(measured, segment_dock):
    from napari_axongen.widgets.measure import open_measure_dock

    viewer, table = measured()
    assert open_measure_dock(viewer) is table


def test_columns_sort_and_empty_values_stay_last(qtbot):
    from napari_axongen.widgets.table import FibreTable

    model = FibreTable()
    model.show({"label": np.array([1, 2, 3]), "gratio": np.array([0.5, np.nan, 0.2])}, {})
    model.sort(1)
    assert list(model.column("label")) == [3, 1, 2]
    model.sort(1, Qt.SortOrder.DescendingOrder)
    assert list(model.column("label")) == [1, 3, 2]
    assert model.data(model.index(2, 1)) == ""
    assert model.row_of(3) == 1
    assert model.row_of(99) is None


def test_a_selected_fibre_stays_selected_when_the_table_is_sorted(measured):
    _, table = measured()
    table.table.selectRow(0)
    table.table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    row = table.table.selectionModel().selectedRows()[0].row()
    assert table.model.column("label")[row] == 1


def test_a_row_leads_to_its_fibre(measured):
    viewer, table = measured(scale=(0.5, 0.5), units=("um", "um"), translate=(10, 20))
    fibres = viewer.layers["field fibres"]
    row = table.model.row_of(2)
    table.table.selectRow(row)
    assert fibres.selected_label == 2
    y, x = np.argwhere(fibres.data == 2).mean(axis=0) * 0.5 + (10, 20)
    assert viewer.scene.camera.center[-2:] == pytest.approx((y, x), abs=0.3)
    assert fibres.show_selected_label  # for a moment


def test_the_moment_ends(measured, qtbot):
    viewer, table = measured()
    table.table.selectRow(1)
    qtbot.waitUntil(lambda: not viewer.layers["field fibres"].show_selected_label)


def click_on(viewer, position, wander=0):
    """A click as napari tells its callbacks of it."""
    from types import SimpleNamespace

    event = SimpleNamespace(
        type="mouse_press",
        pos=np.array([5.0, 5.0]),
        position=position,
        view_direction=None,
        dims_displayed=[0, 1],
        modifiers=(),
    )
    running = [callback(viewer, event) for callback in list(viewer.mouse_drag_callbacks)]
    moves = (("mouse_press", 0), ("mouse_move", wander), ("mouse_release", wander))
    for event.type, moved in moves:
        event.pos = np.array([5.0, 5.0]) + moved
        for steps in running:
            next(steps, None)


def test_a_click_on_a_fibre_leads_to_its_row(measured):
    viewer, table = measured()
    y, x = np.argwhere(viewer.layers["field fibres"].data == 3).mean(axis=0)
    centre = viewer.scene.camera.center
    click_on(viewer, (y, x))
    assert table.model.column("label")[table.table.currentIndex().row()] == 3
    assert viewer.scene.camera.center == centre  # what was clicked does not jump away
    click_on(viewer, (1, 1))
    assert table.model.column("label")[table.table.currentIndex().row()] == 3


def test_a_drag_selects_nothing(measured):
    viewer, table = measured()
    y, x = np.argwhere(viewer.layers["field fibres"].data == 3).mean(axis=0)
    click_on(viewer, (y, x), wander=30)
    assert not table.table.currentIndex().isValid()


def test_colour_by_a_column_and_back(measured):
    viewer, table = measured(draw_fibres(count=2))
    fibres = viewer.layers["field fibres"]
    default = [tuple(fibres.colormap.map(k)) for k in (1, 2)]
    index = table.colour.box.findData("x0 (px)")
    table.colour.box.setCurrentIndex(index)
    low, high = (fibres.colormap.map(k) for k in (1, 2))
    assert low[2] > low[1]  # viridis begins dark blue and ends yellow
    assert high[1] > high[2]
    assert fibres.contour == 0
    assert not viewer.layers["field axon"].visible
    assert table.colour.low.text()
    table.colour.box.setCurrentIndex(0)
    assert [tuple(fibres.colormap.map(k)) for k in (1, 2)] == default
    assert viewer.layers["field axon"].visible


def test_corrections_by_hand_are_measured(measured, qtbot):
    viewer, table = measured()
    fibres, axon = viewer.layers["field fibres"], viewer.layers["field axon"]
    keep = fibres.data != 2
    fibres.data, axon.data = fibres.data * keep, axon.data * keep
    with qtbot.waitSignal(table.measuring.finished):
        table.run.button.click()
    assert list(table.model.column("label")) == [1, 3]


def test_csv_holds_the_table(measured, tmp_path):
    _, table = measured(scale=(0.5, 0.5), units=("um", "um"))
    table.write_csv(str(tmp_path / "fibres.csv"))
    with (tmp_path / "fibres.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["1", "2", "3"]
    assert float(rows[0]["gratio"]) == pytest.approx(table.model.column("gratio")[0])


def test_a_csv_that_cannot_be_written_is_said(measured, tmp_path):
    from napari.utils.notifications import notification_manager

    _, table = measured()
    (tmp_path / "file").write_text("")
    table.write_csv(str(tmp_path / "file" / "fibres.csv"))
    assert "cannot be written" in notification_manager.records[-1].message
    assert table.result is not None


def test_stacks_are_measured_plane_by_plane(measured):
    stack = np.stack([draw_fibres(count=3), draw_fibres(count=2)])
    viewer, table = measured(stack)
    assert list(table.model.column("plane")) == [0, 0, 0, 1, 1]
    assert list(table.model.column("label")) == [1, 2, 3, 4, 5]
    table.table.selectRow(table.model.row_of(5))
    assert viewer.dims.current_step[0] == 1


def test_layers_of_different_shape_are_refused(measured, qtbot):
    viewer, table = measured()
    other = viewer.add_labels(np.ones((10, 10), np.uint8), name="other")
    table.axon.choose(other)
    with qtbot.waitSignal(table.measuring.failed):
        table.run.button.click()
    assert "shape" in table.note.text()


def test_removing_the_fibres_empties_the_table(measured):
    viewer, table = measured()
    viewer.layers.remove("field fibres")
    assert table.model.rowCount() == 0
    assert not table.export.isEnabled()
