"""What is measured must be what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.surrogate import streamed
from benchmarks.timing import alternate, output, peak


def test_the_peak_is_that_of_the_process_alone(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ru_maxrss would start at the peak of the process that starts the other."""
    monkeypatch.chdir(repository)
    held = np.ones(300 << 20, np.uint8)
    here, fresh = peak(), "from benchmarks.timing import peak"
    assert here > 300
    bare = float(output(f"{fresh}\nprint(peak())"))
    filled = float(output(f"{fresh}\nheld = bytearray(b'1' * (100 << 20))\nprint(peak())"))
    assert bare < here - len(held) / (1 << 20)
    assert filled - bare > 99


def test_works_are_run_in_turn_after_a_warm_up() -> None:
    order: list[str] = []
    times = alternate(lambda: order.append("a"), lambda: order.append("b"), rounds=2)
    assert "".join(order) == "ababab"
    assert len(times) == 2


def test_the_stream_that_is_timed_on_cuda_runs_anywhere() -> None:
    assert streamed(32, "cpu") > 0
