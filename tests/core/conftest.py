"""The two ways that surrogates are made on the CPU, their threads; data sets to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch


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
