from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_axongen.bridge import samples
from napari_axongen.bridge.layers import pixel_size, why_not
from napari_axongen.bridge.pairs import labelled_pairs
from napari_axongen.bridge.recipes import as_command, as_python
from napari_axongen.bridge.settings import preference
from napari_axongen.bridge.translating import contrast_of
from napari_axongen.core.errors import InputError


def test_preferences_are_read(plugin_settings, npe2pm):
    from pathlib import Path

    from npe2 import PluginManifest

    import napari_axongen

    path = Path(napari_axongen.__file__).parent / "napari.yaml"
    npe2pm.register(PluginManifest.from_file(path))
    from napari.settings import get_plugin_settings

    assert preference("device", "none") == "auto"
    get_plugin_settings("napari-axongen").computing.device = "cpu"
    assert preference("device", "none") == "cpu"
    assert preference("no such thing", 7) == 7


def test_defaults_where_the_plugin_is_not_registered(plugin_settings, npe2pm):
    assert preference("device", "auto") == "auto"


@pytest.mark.parametrize("sample", [samples.tem_field, samples.sem_field])
def test_samples_are_calibrated_and_have_their_truth(sample, monkeypatch):
    monkeypatch.setattr(samples, "FIELD_SHAPE", (160, 200))
    image, *truths = (Layer.create(*data) for data in sample())
    assert why_not(image) is None
    assert 0.001 < pixel_size(image).um < 1
    assert image.source.path is None
    assert [layer.name.split()[-1] for layer in truths] == ["myelin", "axon", "fibres"]
    for layer in truths:
        assert layer.data.shape == image.data.shape
        assert tuple(layer.scale) == tuple(image.scale)
        assert layer.units == image.units
    myelin, axon, fibres = (layer.data for layer in truths)
    assert (fibres[axon > 0] > 0).all()
    assert ((axon | myelin)[fibres > 0] > 0).all()
    assert fibres.max() > 1


@pytest.mark.parametrize("sample", [samples.tem_micrograph, samples.sem_micrograph])
def test_micrographs_from_nothing_have_their_labels(sample, monkeypatch, translators):
    monkeypatch.setattr(samples, "FIELD_SHAPE", (160, 200))
    image, *labels = (Layer.create(*data) for data in sample())
    assert why_not(image) is None
    assert image.data.shape == (160, 200)
    assert image.source.path is None
    (pair,) = labelled_pairs([image, *labels])
    assert pair.pixel_size == pytest.approx(pixel_size(image).um)
    assert np.asarray(pair.axon).any()
    assert contrast_of(image, []) == image.name[:3]


def test_a_sample_without_its_model_says_so(monkeypatch, translators, tmp_path):
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "none"))
    with pytest.raises(InputError, match="No model that makes TEM"):
        samples.tem_micrograph()


def test_recipe_as_text_runs_again():
    recipe = {
        "verb": "segment",
        "parameters": {
            "model": "axon-myelin-tem",
            "pixel_size": 0.005,
            "axon_diameter": None,
            "threshold": 0.4,
            "min_diameter": 3.0,
            "device": "cuda",
            "memory": 4096,
        },
    }
    assert as_command(recipe, "a b.png") == (
        "axongen segment 'a b.png' --out DIR --model axon-myelin-tem --pixel-size 0.005 "
        "--threshold 0.4"
    )
    called = {}

    class Fake:
        @staticmethod
        def segment(image, **arguments):
            called.update(arguments, image=image)

    code = as_python(recipe).replace("import napari_axongen\n", "")
    exec(code, {"napari_axongen": Fake, "image": "pixels"})
    assert called == {
        "image": "pixels",
        "model": "axon-myelin-tem",
        "pixel_size": 0.005,
        "threshold": 0.4,
    }
