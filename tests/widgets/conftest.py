"""A stand-in for the network, and images for which its answer is known."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from itertools import product
from types import SimpleNamespace

import dask.array as da
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


PLACE = {
    "scale": (0.1, 0.1),
    "translate": (3, 4),
    "units": ("um", "um"),
    "axis_labels": ("y", "x"),
    "metadata": {"animal": "rat 1"},
}
"""Of an image layer: what its outputs have to take over."""

REFUSED = [
    (None, "Open an image"),
    (lambda viewer: viewer.add_labels(np.ones((40, 40), np.uint8)), "Open an image"),
    (lambda viewer: viewer.add_image(np.zeros((40, 40), bool)), "mask"),
    (lambda viewer: viewer.add_image(np.zeros((1, 500), np.uint8)), "1 x 500"),
    (lambda viewer: viewer.add_image(np.zeros((2, 2, 2, 20, 20), np.uint8)), "5 axes"),
]
"""What is in the viewer, and a word of why a dock for images refuses it."""

KINDS = ["dask", "multiscale", "RGB", "RGBA", "float", "uint16"]


def of_kind(grey, kind):
    """A grey image as data of one of `KINDS`, and options of its layer."""
    if kind == "dask":
        return da.from_array(grey, chunks=32), {"contrast_limits": (0, 255)}
    if kind == "multiscale":
        return [grey, grey[::2, ::2]], {"multiscale": True}
    if kind in ("RGB", "RGBA"):
        return np.repeat(grey[..., None], len(kind), axis=-1), {}
    return grey.astype(kind), {}


class Gated:
    """What stands in for a computation: tile by tile, and it can be held up.

    Attributes
    ----------
    tiles, pause
        Tiles a plane, and seconds that one takes.
    gate
        While it is closed (cleared) the tile after the first does not end.
    error
        Raised in its place.
    done, closed
        Tiles of this run; whether it has ended.
    images, parameters
        What it was asked for, run by run.
    """

    def __init__(self):
        self.tiles, self.pause = 4, 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.done = 0
        self.images, self.parameters = [], []
        self.closed = threading.Event()
        self.error = None

    def begin(self, image, parameters):
        self.images.append(image)
        self.parameters.append(parameters)
        self.done = 0
        self.closed.clear()


class StandIn(Gated):
    """Segments like a network that is right about `draw_fibres`."""

    def steps(self, image, parameters):
        from napari_axongen.core.segmentation import Segmentation

        self.begin(image, parameters)
        try:
            yield Notice("Computing on CPU: no GPU found, 1 thread.")
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


class Renderer(Gated):
    """Translates by inversion, row of tiles by row of tiles; the mask it makes is of `draw_fibres`.

    Samples differ by ``step`` grey levels each.

    Attributes
    ----------
    masks, first
        What it was asked for, run by run.
    order
        Planes and first rows of the tiles, as they were written.
    """

    def __init__(self):
        super().__init__()
        self.masks, self.first, self.order = [], [], []
        self.step = 1

    def steps(self, image, parameters, mask=None, *, out, first):
        self.begin(image, parameters)
        self.masks.append(mask)
        self.first.append(first)
        try:
            yield Notice("Computing on CPU: no GPU found, 1 thread.")
            yield Notice("TEM contrast: the stand-in renders it as SEM.")
            planes = sorted(image.plane_indices(), key=lambda plane: plane != first[:-2])
            height, samples = image.plane_shape[0], parameters.samples
            stack = out if samples > 1 else out[None]
            for plane, sample in product(planes, range(samples)):
                for tile in range(self.tiles):
                    if self.done:
                        self.gate.wait(20)
                    if self.error is not None:
                        raise self.error
                    time.sleep(self.pause)
                    rows = slice(tile * height // self.tiles, (tile + 1) * height // self.tiles)
                    stack[(sample, *plane, rows)] = (
                        255 - image.read(plane, rows) - self.step * sample
                    )
                    self.order.append((plane, rows.start))
                    self.done += 1
                    total = self.tiles * len(planes) * samples
                    yield Progress(self.done, total, "translating")
                if plane:
                    yield Partial(plane, out[plane])
            given = mask is not None
            if mask is None and parameters.condition != "structure":
                mask = np.zeros(image.spatial_shape, np.uint8)
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
            return SimpleNamespace(
                image=out,
                mask=mask,
                target="SEM",
                recipe=lambda: recipe,
                spread=out.std(0, dtype=np.float32) if samples > 1 else None,
                card=SimpleNamespace(axon_diameter=28.0),
                scale=1.0,
            )
        finally:
            self.closed.set()


@pytest.fixture
def spent(monkeypatch):
    """Processor time (s) of the GUI thread in each of our slots that hears of a job.

    The longest gap between two turns of the event loop would say more about the machine than about
    this package: under Xvfb each repaint is drawn by the processor, and other programs run beside
    the tests. This time is not disturbed by that.
    """
    from napari_axongen.bridge.jobs import _Run

    times, original = [], _Run._on_event

    def timed(run, event):
        began = time.thread_time()
        original(run, event)
        times.append(time.thread_time() - began)

    monkeypatch.setattr(_Run, "_on_event", timed)
    return times


@pytest.fixture
def renderer(monkeypatch, translators):
    """The stand-in for a translation; the models are those of `translators`, but not used."""
    stand_in = Renderer()
    monkeypatch.setattr("napari_axongen.core.translation.translate_steps", stand_in.steps)
    yield stand_in
    stand_in.gate.set()


def translate_docks(make_viewer, qtbot):
    """Yield what makes a translate dock in a viewer that shows an image; end its jobs then."""
    docks = []

    def make(image=None, show=False, **place):
        from napari_axongen.widgets.translate import TranslateDock

        viewer = make_viewer(show=show)
        image = draw_fibres() if image is None else image
        if image is not False:
            viewer.add_image(image, **{"name": "field TEM", **place})
        dock = TranslateDock(viewer)
        docks.append(dock)
        viewer.window.add_dock_widget(dock, name="Translate")
        return viewer, dock

    yield make
    for dock in docks:
        dock.close_down()
        jobs = (dock.translating, dock.foretelling, dock.exporting)
        qtbot.waitUntil(lambda jobs=jobs: not any(job.running for job in jobs), timeout=20_000)
    docks.clear()


@pytest.fixture
def translate_dock(make_napari_viewer_proxy, renderer, qtbot):
    """Make a translate dock, with the stand-in behind it."""
    with contextmanager(translate_docks)(make_napari_viewer_proxy, qtbot) as make:
        yield make
        renderer.gate.set()


@pytest.fixture
def diffusion_dock(make_napari_viewer_proxy, denoiser, qtbot):
    """Make a translate dock of a labelled image, with small networks and the real core behind it.

    Two steps of the method that is asked for.
    """
    with contextmanager(translate_docks)(make_napari_viewer_proxy, qtbot) as make:

        def labelled(method, image=None, **place):
            viewer, dock = make(image, **place)
            source = viewer.layers[0]
            grey = np.asarray(source.data[..., 0] if source.rgb else source.data)
            mask = (127 * (grey == MYELIN) + 255 * (grey == AXON)).astype(np.uint8)
            where = {"scale": source.scale, "translate": source.translate, "units": source.units}
            viewer.add_labels(mask, name="field TEM mask", visible=False, **where)
            viewer.layers.selection.active = source
            dock.form.method.setCurrentIndex(dock.form.method.findData(method))
            dock.form.fields.editors["steps"].setValue(2)
            return viewer, dock

        yield labelled


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
