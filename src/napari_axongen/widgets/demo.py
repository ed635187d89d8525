"""The demo: what a newcomer does in the first minute, done by the same docks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from napari.layers import Layer
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_axongen.bridge.jobs import Job
from napari_axongen.bridge.outputs import FIBRES
from napari_axongen.bridge.samples import tem_field
from napari_axongen.core.errors import InputError
from napari_axongen.core.files import write_image

from .outputs import find_output
from .segment import SegmentDock
from .translate import TranslateDock

if TYPE_CHECKING:
    import napari

TITLE, TRANSLATE_TITLE = "Segment axons", "Translate contrast"
_WINDOW = (1400, 1000)  # px: room for both docks in the picture
_PAINTED = 500  # ms that a window is given to be painted before its picture is taken


def run_demo(headless: bool = False, out: Path | None = None) -> None:
    """Open a sample micrograph in napari, segment and measure it, ready to be translated.

    Parameters
    ----------
    headless
        Translate it, too, write labels, table, translation and pictures to ``out`` and close,
        instead of leaving the window open.
    out
        Folder for these files.

    Raises
    ------
    InputError
        Segmentation or translation failed, or the files cannot be written.
    """
    import napari

    viewer = napari.Viewer(title="napari-axongen demo", show_welcome_screen=False)
    dock = open_segmented_sample(viewer)
    translating = add_translate_dock(viewer, dock)
    if not headless:
        dock.segmenting.finished.connect(lambda _: dock.open_table())
        napari.run()
        return
    out = Path("demo-output") if out is None else out
    viewer.window.resize(*_WINDOW)
    try:
        _wait(dock.segmenting)
        table = dock.open_table()
        _wait(table.measuring)
        for path in _write(viewer, dock, table, out):
            typer.echo(path)
        if translating.run.button.isEnabled():
            translating.run.button.click()
            _wait(translating.translating)
            for path in _write_translation(viewer, translating, out):
                typer.echo(path)
    finally:
        viewer.close()


def open_segmented_sample(viewer: napari.viewer.Viewer) -> SegmentDock:
    """Open the sample and the segment dock, and press its button."""
    layers = [viewer.add_layer(Layer.create(*data)) for data in tem_field()]
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name=TITLE)
    dock.picker.choose(layers[0])
    dock.run.button.click()
    return dock


def add_translate_dock(viewer: napari.viewer.Viewer, segmenting: SegmentDock) -> TranslateDock:
    """Put the translate dock behind the segment dock, with the same image chosen."""
    dock = TranslateDock(viewer)
    viewer.window.add_dock_widget(dock, name=TRANSLATE_TITLE, tabify=True)
    segmenting.parent().raise_()
    dock.picker.choose(segmenting.picker.layer)
    return dock


def _wait(job: Job) -> None:
    """Let the window live until a job ends; raise what the job failed with."""
    loop, failures = QEventLoop(), []
    job.failed.connect(failures.append)
    job.running_changed.connect(lambda running: None if running else loop.quit())
    if job.running:
        loop.exec()
    QApplication.processEvents()
    if failures:
        raise InputError(failures[0])


def _write(viewer: napari.viewer.Viewer, dock: SegmentDock, table: Any, out: Path) -> list[Path]:
    source = dock.picker.layer
    stem, paths = source.name.replace(" ", "-").lower(), []
    for output in FIBRES:
        layer = find_output(viewer, source, output)
        if layer is not None:
            path = out / f"{stem}_{output}.tif"
            write_image(path, np.asarray(layer.data), dock.pixel_size.optional_value())
            paths.append(path)
    if table.result is not None:
        paths += table.result.write_csv(out / f"{stem}_fibres.csv")
    return paths + _pictures(viewer, out, {f"{stem}_canvas": True, f"{stem}_window": False})


def _write_translation(viewer: napari.viewer.Viewer, dock: TranslateDock, out: Path) -> list[Path]:
    """The translation, and a picture of it beside its source."""
    source, made = dock.compare.layers
    stem = source.name.replace(" ", "-").lower()
    path = out / f"{stem}_translated.tif"
    write_image(path, np.asarray(made.data), dock.pixel_size.optional_value())
    for layer in viewer.layers:  # the labels of the source would lie on both
        layer.visible = layer in (source, made)
    dock.parent().raise_()
    dock.compare.beside.setChecked(True)
    return [path, *_pictures(viewer, out, {f"{stem}_translated": False})]


def _pictures(viewer: napari.viewer.Viewer, out: Path, names: dict[str, bool]) -> list[Path]:
    """Take pictures of the window, or of its canvas alone."""
    pause, paths = QEventLoop(), []
    QTimer.singleShot(_PAINTED, pause.quit)
    pause.exec()
    for name, canvas_only in names.items():
        picture = viewer.screenshot(canvas_only=canvas_only, flash=False)
        path = out / f"{name}.png"
        write_image(path, np.ascontiguousarray(picture[..., :3]))
        paths.append(path)
    return paths
