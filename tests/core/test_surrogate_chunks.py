"""Images are rendered some at a time: which ones must not show."""

from __future__ import annotations

import numpy as np
import pytest

from napari_axongen.core.events import run
from napari_axongen.core.surrogate import developing, raster
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import with_changes

# now and then all objects of a kind are in one image of the batch
SPARSE = with_changes(
    SurrogateParameters(),
    {
        "width": 64,
        "height": 48,
        "series.frames": 2,
        "axons.count": {"choice": [0, 1]},
        "boutons.count": {"choice": [0, 0, 1]},
        "cells.count": {"choice": [0, 0, 1]},
    },
)

pytestmark = pytest.mark.usefixtures("no_loops")


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("what", ["rendered", "exposed", "segments", "windows"])
def test_the_size_of_the_pieces_does_not_show(
    series: bool, additive: bool, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = with_changes(SPARSE, {"acquisition.additive": additive})
    whole = run(generate_steps(parameters, 12, device="cpu", series=series))
    module, name, value = {
        "rendered": (developing, "_RENDERED", 1),
        "exposed": (developing, "_EXPOSED", 1),
        "segments": (developing, "MOST_SEGMENTS", 40),
        "windows": (raster, "_FEW_PIXELS", 1),
    }[what]
    monkeypatch.setattr(module, name, value)
    pieces = run(generate_steps(parameters, 12, device="cpu", series=series))
    for array in ("images", "clean_images", "branch_labels", "bouton_masks"):
        assert np.array_equal(getattr(pieces, array), getattr(whole, array)), array
