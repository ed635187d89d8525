"""Whatever the bounds of a parameter allow can be made: nothing is empty or huge by surprise."""

from __future__ import annotations

import numpy as np
import pytest

import napari_axongen
from napari_axongen.core.checking import paths
from napari_axongen.core.surrogate.distributions import is_number
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import preset, with_changes

NUMBERS = {path: field for path, field in paths(SurrogateParameters) if is_number(field)}
SMALL = {"width": 48, "height": 40, "series.frames": 2}
FEW = {"axons.count": 40, "boutons.count": 100}  # where the greatest takes seconds


@pytest.mark.parametrize("path", NUMBERS)
def test_both_bounds_of_a_parameter_work(path: str) -> None:
    extra = NUMBERS[path].json_schema_extra
    for value in (extra["low"], FEW.get(path, extra["high"])):
        changes = {**SMALL, path: value}
        image = napari_axongen.generate(with_changes(preset("original"), changes), device="cpu")
        assert image.images.shape == (1, 40, 48)
        assert np.array_equal(image.axon_masks > 0, image.axon_labels > 0)
        two_photon = with_changes(preset("two-photon"), changes)
        series = napari_axongen.generate_series(two_photon, device="cpu")
        assert series.images.shape == (1, 2, 40, 48)


def test_nothing_at_all_is_background() -> None:
    nothing = {f"{group}.count": 0 for group in ("axons", "boutons", "cells")}
    parameters = with_changes(preset("original"), {**SMALL, **nothing})
    for made in (napari_axongen.generate(parameters), napari_axongen.generate_series(parameters)):
        assert not made.axon_masks.any()
        assert not made.bouton_masks.any()
        assert len(made.boutons) == len(made.centrelines) == 0
        assert made.images.std() > 1
