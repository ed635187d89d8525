"""Jobs are generators: they are driven to a result, or stopped."""

from __future__ import annotations

import pytest

from napari_axongen.core.evaluation import dice
from napari_axongen.core.events import Notice, Progress, Steps, run


def job(log: list[str]) -> Steps[int]:
    try:
        yield Progress(1, 2)
        log.append("worked")
        yield Notice("half-way")
        return 7
    finally:
        log.append("closed")


def test_run_returns_the_result_and_passes_events_on() -> None:
    events: list = []
    assert run(job([]), events.append) == 7
    assert events == [Progress(1, 2), Notice("half-way")]
    assert run(job([])) == 7


def test_stopping_to_iterate_cancels_and_cleans_up() -> None:
    log: list[str] = []
    steps = job(log)
    next(steps)
    steps.close()
    assert log == ["closed"]


def test_dice_of_known_masks() -> None:
    import numpy as np

    a = np.zeros((4, 4), bool)
    b = a.copy()
    assert dice(a, b) == 1.0
    a[:2] = True
    assert dice(a, b) == 0.0
    b[:1] = True
    assert dice(a, b) == pytest.approx(2 * 4 / (8 + 4))
    with pytest.raises(ValueError, match="shapes"):
        dice(a, np.zeros((3, 3), bool))
