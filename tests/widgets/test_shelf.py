"""Open docks offer a new model at once."""

from __future__ import annotations

import pytest

from napari_axongen.bridge.shelf import models_changed
from napari_axongen.core.models import Card, save_model
from napari_axongen.core.networks import build
from napari_axongen.widgets.micrograph import MicrographDock
from napari_axongen.widgets.segment import SegmentDock
from napari_axongen.widgets.translate import TranslateDock


def put(folder, **card):
    network = {"name": "unet", "channels": [2, 2]}
    if card.get("task") == "translation":
        network = {"name": "translator", "channels": [8, 12]}
    classes = ["background", "myelin", "axon"]
    card = Card(network=network, classes=classes, axon_diameter=20, **card)
    save_model(folder / f"{card.name}.safetensors", build(network), card)


@pytest.fixture
def docks(make_napari_viewer_proxy, translators):
    viewer = make_napari_viewer_proxy()
    made = [kind(viewer) for kind in (SegmentDock, TranslateDock, MicrographDock)]
    yield made
    for dock in made:
        dock.close_down()


def test_new_models_are_offered_and_choices_stay(docks, translators, monkeypatch):
    folder = translators["tem-to-sem"].parent
    segmenting, translating, making = docks
    segmenting.choose_model("axon-myelin-tem")
    direction = translating.form.direction
    direction.setCurrentIndex(direction.findData("sem-to-tem"))
    put(folder, name="a-mine", contrast="SEM")
    put(folder, name="a-sem-to-tem", task="translation", source="SEM", contrast="TEM")
    models_changed()
    assert segmenting.model.findData("a-mine") >= 0
    assert segmenting.model.currentData() == "axon-myelin-tem"
    assert direction.findData("a-sem-to-tem") >= 0
    assert direction.currentData() == "sem-to-tem"
    assert making.contrast.count() == 2
    (folder / "a-mine.safetensors").unlink()
    segmenting.choose_model("a-mine")
    models_changed()
    assert segmenting.model.currentData() == "auto"  # the chosen one is gone
