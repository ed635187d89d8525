"""The two ways that surrogates are made on the CPU, their threads; data sets to train on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_axongen.core.events import Metrics, run
from napari_axongen.core.training import train_steps


@pytest.fixture(scope="session")
def loops() -> None:
    """By the loops that numba compiles; the first time ever this takes a while."""
    from napari_axongen.core.surrogate import compiling

    assert compiling.wait()


@pytest.fixture
def no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch and NumPy, as on other devices."""
    from napari_axongen.core.surrogate import compiling

    monkeypatch.setattr(compiling, "kernels", lambda: None)


@pytest.fixture(params=["loops", "no_loops"])
def each_way(request: pytest.FixtureRequest) -> None:
    """First by one, then by the other."""
    request.getfixturevalue(request.param)


@pytest.fixture
def threads() -> Iterator[None]:
    """Whatever number of threads a test sets is set back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Recording:
    """A lazy array that remembers the largest window that was read of it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.largest = array, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, index: object) -> np.ndarray:
        window = self.array[index]
        self.largest = max(self.largest, window.size)
        return window


@pytest.fixture
def recording() -> type[Recording]:
    """Wraps an array: see `Recording`."""
    return Recording


@pytest.fixture
def check_resumed(tmp_path: Path) -> Callable[[Any], None]:
    """Checks that a run that was stopped in its middle ends as one that was not, to the bit."""

    def check(recipe: Any) -> None:
        whole = run(train_steps(recipe, tmp_path / "whole", device="cpu"))
        steps = train_steps(recipe, tmp_path / "parts", device="cpu")
        for event in steps:  # stop in mid-run, after a checkpoint was written
            if isinstance(event, Metrics) and event.step == 4:
                break
        steps.close()
        parts = run(train_steps(recipe, tmp_path / "parts", resume=True, device="cpu"))
        one, other = load_file(whole), load_file(parts)
        assert all(torch.equal(one[key], other[key]) for key in one)
        histories = [(tmp_path / n / "history.json").read_text() for n in ("whole", "parts")]
        assert json.loads(histories[0]) == json.loads(histories[1])

    return check


@pytest.fixture(scope="session")
def write_bids() -> Callable[[Path, Literal["TEM", "SEM"], int], Path]:
    """Writes a BIDS data set of two animals, a and b, made by the package itself."""
    from napari_axongen.core.datasets import make_fields
    from napari_axongen.core.files import CLASS_VALUES, write_image

    def write(root: Path, contrast: Literal["TEM", "SEM"], side: int) -> Path:
        for animal, field in zip("ab", make_fields(contrast, 2, side, seed=3), strict=True):
            name = f"sub-{animal}/micr/sub-{animal}_{contrast}"
            grey = np.asarray(field.image.data)
            grey = np.clip(255 * grey / grey.max(), 0, 255).astype(np.uint8)
            write_image(root / f"{name}.png", grey)
            write_image(
                root / f"derivatives/labels/{name}_seg-axonmyelin-manual.png",
                np.array(CLASS_VALUES, np.uint8)[field.classes],
            )
        return root

    return write
