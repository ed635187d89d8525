"""The loops that numba compiles make the same images as torch and NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import run
from napari_axongen.core.surrogate import compiling, raster
from napari_axongen.core.surrogate.exact import root_
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


def test_a_pixel_at_the_border_between_two_greys(monkeypatch: pytest.MonkeyPatch) -> None:
    """It differed while roots were left to torch, whose last digit is not bound to be right."""
    values = torch.rand(5000, generator=torch.Generator().manual_seed(0)) * 1000
    assert np.array_equal(root_(values.clone()).numpy(), np.sqrt(values.numpy()))

    def made() -> Surrogates:
        return run(generate_steps(preset("original"), 1, 11, 18, "cpu"))

    fast = made()
    monkeypatch.setattr(compiling, "kernels", lambda: None)
    assert_same(fast, made())


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


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("series", [False, True])
def test_threads_do_not_show(series: bool) -> None:
    parameters = with_changes(preset("broad"), {"width": 90, "height": 80, "series.frames": 3})
    results = []
    for number in (1, 3):
        torch.set_num_threads(number)
        results.append(run(generate_steps(parameters, 10, 4, device="cpu", series=series)))
    assert_same(*results)


def test_too_many_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster, "MOST_SEGMENTS", 20)
    with pytest.raises(InputError, match="segments of axons, and at most 20"):
        run(generate_steps(preset("original"), 2, device="cpu"))


# ------------------------------------------------------------ getting them


def fresh(code: str, **environment: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


MAKE = """
from napari_axongen.core.events import run
from napari_axongen.core.surrogate import compiling
from napari_axongen.core.surrogate.generator import generate_steps
from napari_axongen.core.surrogate.presets import preset, with_changes
small = with_changes(preset("original"), {"width": 64, "height": 64})
print(run(generate_steps(small, 2, 5, device="cpu")).images.sum())
"""


def test_without_numba_torch_serves() -> None:
    hidden = 'import sys; sys.modules["numba"] = None\n'
    (sum_, ready) = fresh(hidden + MAKE + "print(compiling.wait())").split()
    assert ready == "False"
    assert sum_ == fresh(MAKE).splitlines()[0]


def test_where_numba_is_switched_off_torch_serves() -> None:
    ready = fresh(MAKE + "print(compiling.wait())", NUMBA_DISABLE_JIT="1").split()[1]
    assert ready == "False"


def test_numba_comes_when_images_are_made() -> None:
    modules = ("axons", "boutons", "cells", "compiling", "developing", "generator")
    imports = "".join(f"import napari_axongen.core.surrogate.{name}\n" for name in modules)
    assert not fresh(f'import sys\n{imports}print("numba" in sys.modules or "")')


def test_to_expect_them_takes_no_time() -> None:
    took = fresh(
        """
        import time
        from napari_axongen.core.surrogate import compiling
        start = time.perf_counter()
        compiling.expect(1, 1)
        assert compiling.kernels() is None
        print(time.perf_counter() - start)
        """
    )
    assert float(took) < 0.1


@pytest.mark.parametrize(
    ("images", "pixels", "times", "loaded"),
    [(1, 100, 1, True), (64, 1 << 20, 60, False), (64, 1 << 20, 70, True)],
)
def test_they_are_loaded_where_they_are_worth_it(
    images: int, pixels: int, times: int, loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(compiling, "_asked", 0)
    monkeypatch.setattr(compiling, "_start", lambda: started.append(True))
    for _ in range(times):
        compiling.expect(images, pixels)
    assert bool(started) == loaded


def test_what_is_made_of_them_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiling._folder()
    monkeypatch.setattr(compiling, "_MADE_OF", compiling._MADE_OF[1:])
    assert compiling._folder() != before
