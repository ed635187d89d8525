"""Training in the window: how fast, how free the window stays, and whether it waits for data."""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .timing import Row, output

if TYPE_CHECKING:
    from napari_axongen.core.training.recipe import Recipe

STEPS, SHORT = 200, 19
ROUNDS = 4
NETWORK = "{name: unet, channels: [8, 16, 32]}"
BATCH, CROP = 4, 96
WARM = 5  # steps before the rate counts

_WINDOW = """
import json, os, tempfile
place = tempfile.mkdtemp()
os.environ.update(AXONGEN_RUNS=place + "/runs", AXONGEN_MODELS=place + "/models")
os.environ["NAPARI_CONFIG"] = place + "/settings.yaml"
from benchmarks.training import measured
print(json.dumps(measured()))
"""


def training() -> list[Row]:
    """Steps a second through the dock against the bare loop; gaps of the event loop; data."""
    found: dict[str, Any] = json.loads(output(_WINDOW, screen=True))
    drawn = f"{found['drawn']:.0f} ms with a line of text drawn once a second, no training"
    rows = [
        (
            f"steps/s of training through the dock / bare loop ({found['work']})",
            f"{found['ratio']:.2f}",
            ">= 0.90",
        ),
        (
            f"longest gap of a 1 ms timer in the window while training, ms ({drawn})",
            f"{found['gap']:.0f}",
            "<= 50",
        ),
        (
            "processor time of the window in its longest gap while training, ms",
            f"{found['spent']:.0f}",
            "<= 50",
        ),
        ("gaps above 50 ms while training / while text is drawn", found["above"], "-"),
        ("part of the processors' time that the host took meanwhile", found["stolen"], "-"),
    ]
    for name, part in (("open tiles", found["tiles"]), ("a surrogate stream", found["surrogates"])):
        rows.append((f"part of a step that waits for data, {name}", f"{part:.2f}", "<= 0.20"))
    return rows


# ---------------------------------------------------------------- in a process with a window


class _Gaps:
    """Gaps between the turns of the event loop, and the thread's own processor time in each."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.found: list[tuple[float, float]] = []
        self._last = time.perf_counter(), time.thread_time()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def watch(self, on: bool) -> None:
        """Have the timer run, or not: it takes time itself."""
        self._last = time.perf_counter(), time.thread_time()
        self.found = []
        if on:
            self._timer.start(1)
        else:
            self._timer.stop()

    def _tick(self) -> None:
        now = time.perf_counter(), time.thread_time()
        self.found.append((now[0] - self._last[0], now[1] - self._last[1]))
        self._last = now

    def taken(self) -> list[tuple[float, float]]:
        found, self.found = self.found, []
        return found


@contextlib.contextmanager
def _watched(rates: list[float], waits: list[float]) -> Iterator[None]:
    """Add to the lists steps a second, and the part of a step that goes by until it has its batch.

    The rate is that between the ends of two steps: with all that happens between them.
    """
    from napari_axongen.core.training.segmenter import SegmentationTask as Task

    step, batch = Task.step, Task._batch
    ends: list[float] = []
    spent = {"steps": 0.0, "batches": 0.0}

    def timed(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = work(*arguments)
            now = time.perf_counter()
            spent[what] += now - began
            if what == "steps":
                ends.append(now)
            return result

        return run

    Task.step, Task._batch = timed("steps", step), timed("batches", batch)
    try:
        yield
    finally:
        Task.step, Task._batch = step, batch
    rates.append((len(ends) - 1 - WARM) / (ends[-1] - ends[WARM]))
    waits.append(spent["batches"] / spent["steps"])


def _short(optimisation: Any) -> Any:
    """As usual, but for the number of steps."""
    return optimisation.model_copy(update={"steps": SHORT})


def _bare(recipe: Recipe) -> None:
    """The loop, with nobody who listens."""
    from napari_axongen.core.events import run
    from napari_axongen.core.training import train_steps

    with tempfile.TemporaryDirectory() as folder:
        run(train_steps(recipe, Path(folder) / "run"))


def _stolen() -> float:
    """Seconds of a processor that a virtual machine did not get from its host; nan: not known."""
    state = Path("/proc/stat")
    if not state.exists():
        return math.nan
    jiffies = int(state.read_text().split()[8])  # user nice system idle iowait irq softirq steal
    return jiffies / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)


def measured() -> dict[str, Any]:
    """Train by turns through the dock and without it, and watch the event loop."""
    import napari
    import numpy as np
    from qtpy.QtCore import QEventLoop, QTimer

    from napari_axongen.bridge.beside_window import beside_a_window
    from napari_axongen.core.surrogate.em_fields import em_field
    from napari_axongen.core.training.presets import starting_recipe
    from napari_axongen.core.training.recipe import SurrogateData
    from napari_axongen.core.training.runs import read_run
    from napari_axongen.widgets.train import TrainDock

    viewer = napari.Viewer(show_welcome_screen=False)
    for seed in range(2):
        field = em_field((512, 512), "sem", pixel_size=0.1, seed=seed)
        place = {"scale": (0.1, 0.1), "units": ("um", "um")}
        viewer.add_image(field.image, name=f"sub-{seed}", **place)
        labels = np.searchsorted((0, 127, 255), field.classes)
        viewer.add_labels(labels, name=f"sub-{seed} labels", **place)
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, name="Train a model")
    details = dock.form.details
    details.network.setText(NETWORK)
    details.forms["optimisation"].set_values({"batch": BATCH, "crop": CROP})
    dock.form.steps.setValue(STEPS)
    details.forms["run"].set_values({"validate_every": STEPS})
    details.changed.emit()
    gaps = _Gaps()

    clock = QTimer()
    clock.start(100)  # so that waiting comes to an end
    loop = QEventLoop()

    def wait(done: Callable[[], bool]) -> None:
        while not done():
            loop.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    def rest(seconds: float) -> None:
        until = time.monotonic() + seconds
        wait(lambda: time.monotonic() > until)

    def train() -> float:
        """Steps a second through the dock."""
        dock.set_up()
        wait(lambda: dock.outlook.may_start)
        dock.foretelling.cancel()
        wait(lambda: not dock.foretelling.running)
        rates: list[float] = []
        with _watched(rates, []):
            dock.start()
            rest(1)  # the page is laid out once
            gaps.taken()
            wait(lambda: not dock.training.running)
        return rates[0]

    def alone() -> float:
        """Steps a second of the same without the dock."""
        rates: list[float] = []
        with _watched(rates, []), beside_a_window():
            _bare(recipe)
        return rates[0]

    train()
    recipe = read_run(dock.folder).recipe
    pairs = [(train(), alone()) if turn % 2 else (alone(), train())[::-1] for turn in range(ROUNDS)]
    gaps.watch(True)
    stolen, began = _stolen(), time.monotonic()
    train()
    trained = gaps.taken()
    stolen = (_stolen() - stolen) / (time.monotonic() - began)
    gaps.watch(False)
    rest(1)
    gaps.watch(True)
    dock.monitor.state.setVisible(True)
    for turn in range(10):
        dock.monitor.state.say(f"Step {turn}")
        rest(1)
    drawn = gaps.taken()
    gaps.watch(False)

    waits: list[float] = []
    # a usual run takes 2,400 steps on 256 surrogates: as many of them for each step
    stream = SurrogateData(source="surrogate", held_out=0, count=round(SHORT * 256 / 2400))
    tiles = starting_recipe("axon-myelin-sem", name="tiles", data=recipe.data)
    made = starting_recipe("axon-fluorescence", name="made", data=stream)
    with beside_a_window():
        for each in (made, tiles, made):  # once to warm up
            with _watched([], waits):
                _bare(each.model_copy(update={"optimisation": _short(each.optimisation)}))
    worst = max(trained)
    above = [sum(gap > 0.05 for gap, _ in some) for some in (trained, drawn)]
    viewer.close()
    return {
        "work": f"{recipe.optimisation.batch} crops of {recipe.optimisation.crop} px, CPU",
        "ratio": statistics.median(through for through, _ in pairs)
        / statistics.median(bare for _, bare in pairs),
        "gap": 1000 * worst[0],
        "spent": 1000 * worst[1],
        "drawn": 1000 * max(drawn)[0],
        "above": f"{above[0]} / {above[1]}",
        "stolen": f"{stolen:.2f}",
        "tiles": waits[1],
        "surrogates": waits[2],
    }
