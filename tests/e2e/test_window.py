"""The whole way in a window, with a real network: sample, click, table, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_axongen.core.files import read_image


@pytest.fixture
def tiny_model(tmp_path, monkeypatch):
    """A network of a few weights, untrained: what comes out is noise, but it comes out."""
    import torch

    from napari_axongen.core.models.card import Card
    from napari_axongen.core.models.store import save_model
    from napari_axongen.core.networks import build

    torch.manual_seed(0)
    network = {"name": "unet", "channels": [4, 8]}
    card = Card(
        name="tiny",
        contrast="TEM",
        network=network,
        classes=["background", "myelin", "axon"],
        pixel_size=0.01,
        axon_diameter=30.0,
    )
    folder = tmp_path / "models"
    folder.mkdir()
    save_model(folder / "tiny.safetensors", build(network), card)
    monkeypatch.setenv("AXONGEN_MODELS", str(folder))
    return "tiny"


def test_a_sample_without_a_path_through_a_real_network(
    make_napari_viewer_proxy, tiny_model, qtbot, monkeypatch
):
    from napari.layers import Layer

    from napari_axongen.bridge import samples
    from napari_axongen.widgets.segment import SegmentDock

    monkeypatch.setattr(samples, "FIELD_SHAPE", (192, 192))
    viewer = make_napari_viewer_proxy(show=True)
    layers = [viewer.add_layer(Layer.create(*data)) for data in samples.tem_field()]
    assert layers[0].source.path is None
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    dock.picker.choose(layers[0])
    dock.model.setCurrentIndex(dock.model.findData(tiny_model))
    with qtbot.waitSignal(dock.segmenting.finished, timeout=60_000) as done:
        dock.run.button.click()
    result = done.args[0]
    axon = viewer.layers["TEM field axon"]
    assert np.array_equal(axon.data == 1, result.classes() == 255)
    assert axon.units == layers[0].units
    assert axon.metadata["axongen"]["model"]["name"] == tiny_model
    picture = viewer.screenshot(canvas_only=False, flash=False)
    assert picture.std() > 0
    dock.close_down()


def test_from_nothing_to_the_other_contrast_and_a_training_set(
    make_napari_viewer_proxy, translators, qtbot, monkeypatch, tmp_path
):
    from napari.layers import Layer

    from napari_axongen.bridge import samples
    from napari_axongen.core.datasets.layouts import find_pairs
    from napari_axongen.widgets.translate import TranslateDock

    monkeypatch.setattr(samples, "FIELD_SHAPE", (160, 192))
    viewer = make_napari_viewer_proxy(show=True)
    layers = [viewer.add_layer(Layer.create(*data)) for data in samples.sem_micrograph()]
    assert layers[0].source.path is None
    dock = TranslateDock(viewer)
    viewer.window.add_dock_widget(dock, name="Translate")
    dock.picker.choose(layers[0])
    assert dock.form.direction.currentData() == "sem-to-tem"
    for condition in range(dock.form.condition.count()):
        dock.form.condition.setCurrentIndex(condition)
        with qtbot.waitSignal(dock.translating.finished, timeout=60_000) as done:
            dock.run.button.click()
        made = viewer.layers["SEM micrograph as TEM"]
        assert np.array_equal(made.data, done.args[0].image)
        assert made.data.std() > 0
        assert made.units == layers[0].units
    assert np.array_equal(viewer.layers["SEM micrograph as TEM axon"].data, layers[2].data)
    picture = viewer.screenshot(canvas_only=False, flash=False)
    assert picture.std() > 0
    with qtbot.waitSignal(dock.exporting.finished):
        dock.export.start(tmp_path / "pairs")
    pairs = find_pairs(tmp_path / "pairs").pairs
    assert [pair.name for pair in pairs] == ["SEM-micrograph", "SEM-micrograph_tem"]
    dock.close_down()


def test_the_demo_without_a_screen_leaves_its_files(
    tmp_path, make_napari_viewer, translators, monkeypatch, capsys
):
    import napari

    from napari_axongen.bridge import samples
    from napari_axongen.widgets.demo import run_demo

    monkeypatch.setattr(samples, "FIELD_SHAPE", (256, 256))
    monkeypatch.setattr(napari, "Viewer", make_napari_viewer)
    run_demo(headless=True, out=tmp_path)
    said = capsys.readouterr().out
    for name in ("fibres", "axon", "myelin"):
        path = tmp_path / f"tem-field_{name}.tif"
        assert tifffile.imread(path).shape == (256, 256)
        assert read_image(path).pixel_size == pytest.approx(0.00493, rel=1e-3)
        assert str(path) in said
    assert (tmp_path / "tem-field_fibres.csv").read_text().startswith("label,")
    assert json.loads((tmp_path / "tem-field_fibres_image.json").read_text())["image"]
    translated = read_image(tmp_path / "tem-field_translated.tif")
    assert translated.plane_shape == (256, 256)
    assert str(tmp_path / "tem-field_translated.tif") in said
    for name in ("canvas", "window", "translated"):
        assert read_image(tmp_path / f"tem-field_{name}.png").axes == "YXC"
