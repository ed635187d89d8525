"""The micrograph dock, as a person uses it, with real but untrained models."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_axongen.bridge.layers import pixel_size, recipe_of
from napari_axongen.bridge.masks import find_masks
from napari_axongen.bridge.recipes import as_command, as_python
from napari_axongen.core.files import read_image, read_mask

SIDE = 160


@pytest.fixture
def micrograph_dock(make_napari_viewer_proxy, translators, qtbot):
    """Make a micrograph dock for small images; its jobs have ended afterwards."""
    docks = []

    def make():
        from napari_axongen.widgets.micrograph import open_micrograph_dock

        viewer = make_napari_viewer_proxy()
        dock = open_micrograph_dock(viewer)
        dock.width.setValue(SIDE)
        dock.height.setValue(SIDE - 20)
        docks.append(dock)
        return viewer, dock

    yield make
    for dock in docks:
        dock.close_down()
        qtbot.waitUntil(lambda dock=dock: not (dock.making.running or dock.exporting.running))
    docks.clear()


def click(dock, qtbot):
    with qtbot.waitSignal(dock.making.finished, timeout=30_000):
        dock.run.button.click()


@pytest.mark.parametrize("contrast", ["TEM", "SEM"])
def test_one_click_gives_an_image_with_exact_labels(micrograph_dock, qtbot, contrast):
    viewer, dock = micrograph_dock()
    dock.contrast.setCurrentIndex(dock.contrast.findData(contrast))
    click(dock, qtbot)
    name = f"{contrast} made, seed 0"
    assert [layer.name for layer in viewer.layers] == [
        name,
        f"{name} myelin",
        f"{name} axon",
        f"{name} fibres",
    ]
    image, myelin, axon, fibres = viewer.layers
    assert image.data.shape == (SIDE - 20, SIDE)
    assert image.data.std() > 0
    assert not (axon.data & myelin.data).any()
    assert np.array_equal(fibres.data > 0, ((axon.data | myelin.data) > 0) & (fibres.data > 0))
    assert (fibres.data[axon.data > 0] > 0).all()
    for layer in viewer.layers:
        assert pixel_size(layer).um == pixel_size(image).um is not None
    recipe = recipe_of(image)
    assert recipe["target"] == contrast
    assert recipe["parameters"]["width"] == SIDE
    (mask,) = find_masks(image, viewer.layers)  # ready to be translated to the other contrast
    assert np.array_equal(mask.reader()() == 255, axon.data > 0)


def test_recipe_is_copied_and_runs_again(micrograph_dock, qtbot):
    viewer, dock = micrograph_dock()
    dock.contrast.setCurrentIndex(dock.contrast.findData("SEM"))
    dock.seed.box.setValue(4)
    dock.form.set_values({"variety": 2})
    click(dock, qtbot)
    dock.copy.copy(as_command)
    size = dock.form.values()["pixel_size"]
    assert QApplication.clipboard().text() == (
        "axongen generate em-fibres --contrast sem --preset sem --width 160 --height 140 "
        f"--pixel-size {size} --variety 2.0 --count 1 --seed 4 --out DIR"
    )
    dock.copy.copy(as_python)
    made = {}
    exec(QApplication.clipboard().text(), made)
    assert np.array_equal(made["result"].image, viewer.layers[0].data)


def test_it_is_made_by_diffusion_if_the_form_says_so(micrograph_dock, denoiser, qtbot):
    viewer, dock = micrograph_dock()
    click(dock, qtbot)
    dock.seed.lock.setChecked(True)
    dock.form.set_values({"method": "ddpm", "steps": 2})
    click(dock, qtbot)
    by_gan, by_diffusion = viewer.layers[0], viewer.layers[4]
    assert np.array_equal(viewer.layers[1].data, viewer.layers[5].data)
    assert not np.array_equal(by_gan.data, by_diffusion.data)
    assert recipe_of(by_diffusion)["model"] == {"name": "tem-sem"}
    dock.copy.copy(as_command)
    assert "--method ddpm --steps 2" in QApplication.clipboard().text()
    dock.copy.copy(as_python)
    made = {}
    exec(QApplication.clipboard().text(), made)
    assert np.array_equal(made["result"].image, by_diffusion.data)


def test_the_same_seed_gives_the_same_micrograph(micrograph_dock, qtbot):
    viewer, dock = micrograph_dock()
    click(dock, qtbot)
    dock.seed.lock.setChecked(True)
    click(dock, qtbot)
    dock.seed.box.setValue(1)
    click(dock, qtbot)
    first, second, other = (viewer.layers[k] for k in (0, 4, 8))
    assert np.array_equal(first.data, second.data)
    assert not np.array_equal(first.data, other.data)


def test_the_pixel_is_that_at_which_the_model_works(micrograph_dock, qtbot):
    """A median axon of the tissue has the diameter on the card; the form shows all its digits."""
    _viewer, dock = micrograph_dock()
    for contrast, median, axon in (("TEM", 0.400, 40), ("SEM", 1.603, 28)):
        dock.contrast.setCurrentIndex(dock.contrast.findData(contrast))
        size = dock.form.values()["pixel_size"]
        assert median / size == pytest.approx(axon, rel=0.01)
        assert dock.form.editors["pixel_size"].text().startswith(f"{size:.6g}")


def test_what_cannot_be_laid_out_is_said(micrograph_dock, qtbot):
    _viewer, dock = micrograph_dock()
    dock.form.set_values({"pixel_size": 5.0})
    with qtbot.waitSignal(dock.making.failed):
        dock.run.button.click()
    assert "too coarse" in dock.notices.text()


def test_pairs_are_exported(micrograph_dock, qtbot, tmp_path):
    viewer, dock = micrograph_dock()
    click(dock, qtbot)
    with qtbot.waitSignal(dock.exporting.finished):
        dock.export.start(tmp_path / "pairs")
    stem = "TEM-made-seed-0"
    image = read_image(tmp_path / "pairs" / f"{stem}.tif")
    assert np.array_equal(image.data, viewer.layers[0].data)
    mask = read_mask(tmp_path / "pairs" / f"{stem}_seg-axonmyelin.png")
    assert np.array_equal(mask == 255, viewer.layers[2].data > 0)


def test_without_a_model_the_dock_says_so(make_napari_viewer_proxy, translators, monkeypatch):
    from napari_axongen.widgets.micrograph import MicrographDock

    monkeypatch.setenv("AXONGEN_MODELS", "nowhere")
    dock = MicrographDock(make_napari_viewer_proxy())
    assert "No translation model" in dock.notices.text()
    assert not dock.run.button.isEnabled()
    dock.start()
    assert not dock.making.running
    dock.close_down()


def test_the_surrogate_dock_leads_there(make_napari_viewer_proxy, translators):
    from napari_axongen.widgets.micrograph import MicrographDock
    from napari_axongen.widgets.surrogate import SurrogateDock

    viewer = make_napari_viewer_proxy()
    surrogate = SurrogateDock(viewer)
    viewer.window.add_dock_widget(surrogate, name="Generate")
    surrogate.micrographs.click()
    surrogate.micrographs.click()
    docks = viewer.window.dock_widgets.values()
    assert len([dock for dock in docks if isinstance(dock, MicrographDock)]) == 1
    surrogate.close_down()
