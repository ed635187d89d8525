"""The loops that numba compiles make the same images as torch and NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from napari_axongen.core.events import run
from napari_axongen.core.surrogate import compiling
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import PRESETS, preset, with_changes
from napari_axongen.core.surrogate.truth import Surrogates

ARRAYS = ("images", "clean_images", "axon_masks", "bouton_masks", "axon_labels", "branch_labels")


pytestmark = pytest.mark.usefixtures("loops")


def both(
    monkeypatch: pytest.MonkeyPatch,
    parameters: SurrogateParameters,
    count: int = 3,
    series: bool = False,
) -> tuple[Surrogates, Surrogates]:
    """By loops, and by torch and NumPy."""

    def made() -> Surrogates:
        return run(generate_steps(parameters, count, 11, device="cpu", series=series))

    fast = made()
    with monkeypatch.context() as patch:
        patch.setattr(compiling, "kernels", lambda: None)
        return fast, made()


def assert_same(one: Surrogates, other: Surrogates) -> None:
    for name in ARRAYS:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert np.array_equal(one.boutons, other.boutons)
    assert np.array_equal(one.tracks, other.tracks)
    assert len(one.centrelines) == len(other.centrelines) > 0
    for line, same in zip(one.centrelines, other.centrelines, strict=True):
        assert (line.axon, line.branch, line.parent) == (same.axon, same.branch, same.parent)
        assert np.array_equal(line.points, same.points)
        assert np.array_equal(line.brightness, same.brightness)


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_all_presets(name: str, series: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = with_changes(preset(name), {"width": 150, "height": 131, "series.frames": 3})
    assert_same(*both(monkeypatch, parameters, series=series))


CHANGES = {
    "crowd": {"axons.count": 30, "axons.daughters": 3, "boutons.count": 60, "cells.count": 9},
    "crossings": {"axons.crossings": True, "axons.ends_inside": 0.7, "axons.starts_inside": 0.5},
    "noise": {
        "axons.noise": 0.5,
        "acquisition.line_jitter": 2,
        "acquisition.gain": 2,
        "acquisition.offset": -9,
        "acquisition.vignetting": 1,
        "acquisition.haze": 40,
    },
    "additive": {"acquisition.additive": True, "acquisition.true_width": True},
    "negative": {"negative": True, "max_intensity": 65535},
    "thick": {"axons.thickness": 30, "axons.sigma": 15, "axons.mask_distance": 30},
    "large": {"cells.radius": 100, "boutons.radius": 30, "boutons.elongation": 3},
    "fine grain": {"acquisition.background_correlation": 1},
    "coarse grain": {"acquisition.background_correlation": 200},
    "odd": {"width": 33, "height": 64},
    "nothing": {"boutons.count": 0, "cells.count": 0},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_whatever_is_asked_for(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = with_changes(preset("original"), {"width": 97, "height": 120, **changes})
    assert_same(*both(monkeypatch, parameters))


def test_no_axons(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = with_changes(preset("original"), {"width": 70, "height": 60, "axons.count": 0})
    fast, slow = both(monkeypatch, parameters)
    for name in ARRAYS:
        assert np.array_equal(getattr(fast, name), getattr(slow, name)), name


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
