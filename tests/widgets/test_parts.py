"""What the docks share: times as they are said, and a bar that is drawn with everything else."""

from __future__ import annotations

import pytest

from napari_axongen.widgets.parts import foretold
from napari_axongen.widgets.still import StillBar


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (9.6, "10 s"),
        (58, "1 min"),
        (47, "45 s"),
        (601, "10 min"),
        (3661, "1 h 1 min"),
        (7000, "2 h 0 min"),
    ],
)
def test_a_time_that_is_foretold_is_not_said_too_exactly(seconds, said):
    assert foretold(seconds) == said


def test_a_bar_waits_to_be_drawn(qtbot, monkeypatch):
    drawn = []
    draw = StillBar.paintEvent
    monkeypatch.setattr(
        StillBar, "paintEvent", lambda bar, event: (drawn.append(bar.value()), draw(bar, event))[1]
    )
    bar = StillBar()
    qtbot.addWidget(bar)
    bar.show()
    bar.show_done(0, 10)
    qtbot.waitUntil(lambda: bool(drawn))
    drawn.clear()
    bar.show_done(3, 10)
    bar.show_done(7, 10)
    assert not drawn
    qtbot.waitUntil(lambda: bool(drawn))
    assert drawn == [7]
