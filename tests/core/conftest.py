"""The two ways that surrogates are made on the CPU, and the threads that they may use."""

from __future__ import annotations

from collections.abc import Iterator

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
