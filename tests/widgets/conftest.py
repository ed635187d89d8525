"""A stand-in for the network, and images for which its answer is known."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from napari_axongen.core.events import Notice, Partial, Progress

AXON, MYELIN, FAINT = 200, 100, 60
"""Grey values that stand for a sure axon, sure myelin, and myelin of probability 0.4."""


def draw_fibres(shape=(96, 128), count=3):
    """Axons of radius 8 with 4 px of sure and 3 px of unsure myelin, in a row."""
    image = np.zeros(shape, np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for k in range(count):
        r = np.hypot(y - shape[0] / 2, x - (k + 0.5) * shape[1] / count)
        for radius, value in ((15, FAINT), (12, MYELIN), (8, AXON)):
            image[r < radius] = value
    return image


class StandIn:
    """Segments like a network that is right about `draw_fibres`, tile by tile.

    Attributes
    ----------
    tiles, pause
        Tiles a plane, and seconds that one takes.
    gate
        While it is closed (cleared) the tile after the first does not end.
    """

    def __init__(self):
        self.tiles, self.pause = 4, 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.done = 0
        self.images = []
        self.parameters = []
        self.closed = threading.Event()
        self.error = None

    def steps(self, image, parameters):
        from napari_axongen.core.segmentation import Segmentation

        self.images.append(image)
        self.parameters.append(parameters)
        self.done = 0
        self.closed.clear()
        try:
            yield Notice("Computing on CPU: no GPU found, 1 thread(s).")
            yield Notice("TEM contrast: model stand-in.")
            planes = list(image.plane_indices())
            probabilities = np.zeros((2, *image.spatial_shape), np.uint8)
            for plane in planes:
                for _ in range(self.tiles):
                    if self.done:
                        self.gate.wait(20)
                    time.sleep(self.pause)
                    self.done += 1
                    yield Progress(self.done, self.tiles * len(planes))
                if self.error is not None:
                    raise self.error
                grey = image.read(plane)
                index = (slice(None), *plane)
                probabilities[index] = [240 * (grey == AXON), 230 * (grey == MYELIN)]
                probabilities[index][1][grey == FAINT] = 102
                if plane:
                    yield Partial(plane, probabilities[index])
            match = SimpleNamespace(
                card=SimpleNamespace(name="stand-in"), sha256="0" * 64, scale=1.0
            )
            return Segmentation(probabilities, match, parameters, image.pixel_size)
        finally:
            self.closed.set()


class Renderer:
    """Translates by inversion, row of tiles by row of tiles; the mask it makes is of `draw_fibres`.

    Attributes
    ----------
    tiles, pause, gate, error
        As of `StandIn`.
    masks, first, parameters
        What it was asked for, run by run.
    order
        Planes and first rows of the tiles, as they were written.
    """

    def __init__(self):
        self.tiles, self.pause = 4, 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.done = 0
        self.masks, self.first, self.parameters, self.images, self.order = [], [], [], [], []
        self.closed = threading.Event()
        self.error = None

    def steps(self, image, parameters, mask=None, *, out, first):
        self.images.append(image)
        self.parameters.append(parameters)
        self.masks.append(mask)
        self.first.append(first)
        self.done = 0
        self.closed.clear()
        try:
            yield Notice("Computing on CPU: no GPU found, 1 thread(s).")
            yield Notice("TEM contrast: the stand-in renders it as SEM.")
            planes = sorted(image.plane_indices(), key=lambda plane: plane != first[:-2])
            height = image.plane_shape[0]
            for plane in planes:
                for tile in range(self.tiles):
                    if self.done:
                        self.gate.wait(20)
                    if self.error is not None:
                        raise self.error
                    time.sleep(self.pause)
                    rows = slice(tile * height // self.tiles, (tile + 1) * height // self.tiles)
                    out[(*plane, rows)] = 255 - image.read(plane, rows)
                    self.order.append((plane, rows.start))
                    self.done += 1
                    yield Progress(self.done, self.tiles * len(planes), "translating")
                if plane:
                    yield Partial(plane, out[plane])
            given = mask is not None
            if mask is None and parameters.condition != "structure":
                mask = np.zeros(out.shape, np.uint8)
                for plane in planes:
                    grey = image.read(plane)
                    mask[plane] = 255 * (grey == AXON) + 127 * (grey == MYELIN)
            recipe = {
                "verb": "translate",
                "parameters": parameters.model_dump(mode="json")
                | {"model": "tem-to-sem", "pixel_size": image.pixel_size},
                "mask": "given" if given else "segmented",
                "source": "TEM",
                "target": "SEM",
            }
            return SimpleNamespace(image=out, mask=mask, target="SEM", recipe=lambda: recipe)
        finally:
            self.closed.set()


@pytest.fixture
def renderer(monkeypatch, translators):
    """The stand-in for a translation; the models are those of `translators`, but not used."""
    stand_in = Renderer()
    monkeypatch.setattr("napari_axongen.core.translation.translate_steps", stand_in.steps)
    yield stand_in
    stand_in.gate.set()


@pytest.fixture
def translate_dock(make_napari_viewer_proxy, renderer, qtbot):
    """Make a translate dock in a viewer that shows an image; its jobs have ended afterwards."""
    docks = []

    def make(image=None, show=False, **place):
        from napari_axongen.widgets.translate import TranslateDock

        viewer = make_napari_viewer_proxy(show=show)
        image = draw_fibres() if image is None else image
        if image is not False:
            viewer.add_image(image, **{"name": "field TEM", **place})
        dock = TranslateDock(viewer)
        docks.append(dock)
        viewer.window.add_dock_widget(dock, name="Translate")
        return viewer, dock

    yield make
    renderer.gate.set()
    for dock in docks:
        dock.close_down()
        qtbot.waitUntil(lambda dock=dock: not (dock.translating.running or dock.exporting.running))
    docks.clear()


@pytest.fixture
def network(monkeypatch):
    """The stand-in, in place of the network."""
    stand_in = StandIn()
    monkeypatch.setattr("napari_axongen.core.segmentation.segment_steps", stand_in.steps)
    yield stand_in
    stand_in.gate.set()


@pytest.fixture
def segment_dock(make_napari_viewer_proxy, network, qtbot):
    """Make a segment dock in a viewer that shows an image; its jobs have ended afterwards."""
    docks = []

    def make(image=None, **place):
        from napari_axongen.widgets.segment import SegmentDock

        viewer = make_napari_viewer_proxy()
        image = draw_fibres() if image is None else image
        if image is not False:
            viewer.add_image(image, **{"name": "field", **place})
        dock = SegmentDock(viewer)
        docks.append(dock)
        viewer.window.add_dock_widget(dock, name="Segment")
        return viewer, dock

    yield make
    network.gate.set()
    for dock in docks:
        dock.close_down()
        qtbot.waitUntil(
            lambda dock=dock: (
                not any(job.running for job in (dock.segmenting, dock.masking, dock.labelling))
            )
        )
    docks.clear()


def pytest_collection_modifyitems(items):
    """Let pass a warning that napari silences itself.

    It does so by `warnings.catch_warnings`, which is not made for threads: a worker that starts or
    ends at that moment (superqt does the same in it) brings the warning back now and then.
    """
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB"))
