"""Nothing is lost: stopped, out of disk, out of memory, diverging, or no longer improving."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, safe_open
from torch import Tensor

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Metrics, Notice, Progress, Samples, Steps, Validation
from napari_axongen.core.training import Recipe, checkpoint, load_recipe
from napari_axongen.core.training.building import descend, descend_in_parts
from napari_axongen.core.training.loop import train
from napari_axongen.core.training.watching import Watch

from .toy_task import Toy, recipe

MODEL, CHECKPOINT, HISTORY = "model.safetensors", "checkpoint.safetensors", "history.json"
SCORES = {2: 0.2, 4: 0.7, 6: 0.5, 8: 0.7, 10: 0.1, 12: 0.6}  # 4 is best; 8 is as good, but later


def follow(steps: Steps[Path], until: int | None = None) -> list[Event]:
    """Run to the end, or close at the progress of a step."""
    events: list[Event] = []
    for event in steps:
        events.append(event)
        if isinstance(event, Progress) and event.done == until:
            break
    steps.close()
    return events


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def messages(events: list[Event]) -> str:
    return "\n".join(event.message for event in of(Notice, events))


def same(one: Path, other: Path, *names: str) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def saved_step(out: Path) -> int:
    with safe_open(out / CHECKPOINT, framework="pt") as file:
        return json.loads(file.metadata()["axongen_run"])["state"]["step"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 12 steps that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole") / "run"
    follow(train(Toy(recipe(), SCORES), recipe(), out))
    return out


# ---------------------------------------------------------------- best, patience


def test_what_validation_measures_is_told_by_itself(tmp_path: Path) -> None:
    events = follow(train(Toy(recipe(), SCORES), recipe(), tmp_path / "run"))
    assert all(set(event.values) == {"loss"} for event in of(Metrics, events))
    assert [(e.step, e.values["val_x"], e.best) for e in of(Validation, events)] == [
        (step, value, step in (2, 4)) for step, value in SCORES.items()
    ]
    samples = of(Samples, events)
    assert [(e.step, e.titles, e.tiles.max()) for e in samples] == [
        (step, ("image", "found"), step) for step in SCORES
    ]
    history = json.loads((tmp_path / "run" / HISTORY).read_text())
    assert [set(entry) - {"best"} for entry in history] == [{"step", "loss", "val_x"}] * 6
    assert [entry["step"] for entry in history if entry.get("best")] == [2, 4]
    pace = of(Progress, events)[-1].message
    assert "steps/s" in pace
    assert "GB" in pace or sys.platform != "linux"


def test_the_best_weights_become_the_model(whole: Path, tmp_path: Path) -> None:
    follow(train(Toy(recipe(), SCORES), recipe(), tmp_path / "short"), until=4)
    best = {
        key.removeprefix("module/average/"): value
        for key, value in load_file(tmp_path / "short" / CHECKPOINT).items()
        if key.startswith("module/average/")
    }
    model = load_file(whole / MODEL)
    assert all(torch.equal(model[key], best[key]) for key in model)
    with safe_open(whole / MODEL, framework="pt") as file:
        assert file.metadata()["n"] == "6"  # its card is told of all validations
    last = recipe(keep="last")
    follow(train(Toy(last, SCORES), last, tmp_path / "last"))
    nothing_held_out = recipe(keep="best")
    follow(train(Toy(nothing_held_out), nothing_held_out, tmp_path / "none"))
    one, other = (load_file(tmp_path / name / MODEL) for name in ("last", "none"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not all(torch.equal(one[key], model[key]) for key in one)


@pytest.mark.parametrize("stop", [3, 4, 7, 12])
def test_a_closed_run_writes_a_checkpoint_and_goes_on_to_the_same_bytes(
    whole: Path, tmp_path: Path, stop: int
) -> None:
    follow(train(Toy(recipe(), SCORES), recipe(), tmp_path), until=stop)  # long before 1000 s
    assert saved_step(tmp_path) == stop
    assert not (tmp_path / MODEL).exists()
    events = follow(train(Toy(recipe(), SCORES), recipe(), tmp_path, resume=True))
    assert f"Going on from step {stop} of 12." in messages(events)
    assert same(tmp_path, whole, MODEL, CHECKPOINT, HISTORY)


@pytest.mark.parametrize("stop", [2, 5, 8])
def test_without_improvement_it_ends(tmp_path: Path, stop: int) -> None:
    impatient = recipe(patience=2)
    events = follow(train(Toy(impatient, SCORES), impatient, tmp_path / "whole"))
    assert "not improved since step 4: training ends at step 8" in messages(events)
    assert of(Progress, events)[-1].done == 8
    follow(train(Toy(impatient, SCORES), impatient, tmp_path / "parts"), until=stop)
    follow(train(Toy(impatient, SCORES), impatient, tmp_path / "parts", resume=True))
    assert same(tmp_path / "parts", tmp_path / "whole", MODEL, CHECKPOINT, HISTORY)
    events = follow(train(Toy(impatient, SCORES), impatient, tmp_path / "whole", resume=True))
    assert "finished" in messages(events)
    assert not of(Progress, events)


def test_the_folder_holds_the_recipe_to_go_on_with(tmp_path: Path) -> None:
    small = recipe(steps=1, network={"name": "unet", "rate": 1e-7})  # YAML reads this as a word
    follow(train(Toy(small), small, tmp_path))
    assert load_recipe(tmp_path / "recipe.json") == small


# ---------------------------------------------------------------- spoilt weights


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    class Spoilt(Toy):
        def step(self, step: int) -> dict[str, float]:
            losses = super().step(step)  # its loss is finite, what it does to the weights is not
            if step == 6 and broken:
                next(self.modules["network"].parameters()).data.fill_(float("inf"))
            return losses

    broken, often = True, recipe(checkpoint_seconds=1e-6)
    with pytest.raises(InputError, match=r"weights .* at step 7; lower .* from step 6"):
        follow(train(Spoilt(often, SCORES), often, tmp_path / "run"))
    assert saved_step(tmp_path / "run") == 6
    broken = False
    follow(train(Spoilt(often, SCORES), often, tmp_path / "run", resume=True))
    follow(train(Toy(often, SCORES), often, tmp_path / "other"))
    assert same(tmp_path / "run", tmp_path / "other", MODEL, CHECKPOINT)


def test_a_loss_that_is_not_finite_keeps_what_was_saved(tmp_path: Path) -> None:
    class Broken(Toy):
        def loss(self, x: Tensor) -> Tensor:
            return super().loss(x) * (float("nan") if self.done == 5 else 1)

    with pytest.raises(InputError, match=r"loss is no longer finite at step 6; lower"):
        follow(train(Broken(recipe(), SCORES), recipe(), tmp_path))
    assert not (tmp_path / CHECKPOINT).exists()  # nothing was due, and now it is too late


class Diverging(Toy):
    """Its loss goes up after the 120th step."""

    def step(self, step: int) -> dict[str, float]:
        losses = super().step(step)
        return losses | {"loss": 1.0 if step < 120 else 20.0}


def test_divergence_ends_it_with_a_checkpoint_of_before(tmp_path: Path) -> None:
    long = recipe(steps=300, validate_every=1000, checkpoint_seconds=1e-6)
    with pytest.raises(InputError, match=r"loss diverges \(now 5.\d\d, 1 before\) at step 14\d"):
        follow(train(Diverging(long), long, tmp_path / "run"))
    assert saved_step(tmp_path / "run") == 120


def test_networks_that_play_against_each_other_may_lose(tmp_path: Path) -> None:
    long = recipe(steps=200, validate_every=1000)
    task = Diverging(long)
    task.optimisers["other"] = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    follow(train(task, long, tmp_path / "run"))
    assert (tmp_path / "run" / MODEL).exists()


def test_a_loss_may_waver() -> None:
    rng, watch = np.random.default_rng(0), Watch()
    for step in range(3000):  # it falls a thousandfold and is all noise
        watch.follow(float(np.exp(-step / 400) * rng.exponential()))
        assert not watch.diverged
    watch = Watch()
    for loss in [0.02] * 150 + [0.08] * 500 + [0.01] * 500 + [0.04] * 500:  # a new rate, new data
        watch.follow(loss)
        assert not watch.diverged


# ---------------------------------------------------------------- the disk


def test_a_full_disk_costs_no_state(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often, save, calls = recipe(checkpoint_seconds=1e-6), checkpoint.save_file, 0

    def full(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if 3 <= calls < 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", full)
    events, steps = [], train(Toy(often, SCORES), often, tmp_path)
    for event in steps:
        events.append(event)
        if isinstance(event, Progress) and event.done in (4, 8):
            assert saved_step(tmp_path) == 2  # the old one is whole
    warnings = [event.message for event in of(Notice, events) if event.level == "warning"]
    assert len(warnings) == 1
    assert f"{tmp_path / CHECKPOINT} cannot be written: no space left" in warnings[0]
    assert saved_step(tmp_path) == 12
    assert same(tmp_path, whole, MODEL, HISTORY)


@contextlib.contextmanager
def small_files_only() -> Iterator[None]:
    """The system itself refuses to write more than a few bytes."""
    resource = pytest.importorskip("resource", reason="a limit of POSIX systems")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_model_that_cannot_be_written_is_when_there_is_room(whole: Path, tmp_path: Path) -> None:
    follow(train(Toy(recipe(), SCORES), recipe(), tmp_path), until=7)
    steps = train(Toy(recipe(), SCORES), recipe(), tmp_path, resume=True)
    with (
        pytest.raises(InputError, match=r"cannot be written to .*too large.* with --resume"),
        small_files_only(),
    ):
        follow(steps)
    assert saved_step(tmp_path) == 7
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, HISTORY, "recipe.json"}
    follow(train(Toy(recipe(), SCORES), recipe(), tmp_path, resume=True))
    assert same(tmp_path, whole, MODEL, CHECKPOINT, HISTORY)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_becomes_read_only(whole: Path, tmp_path: Path) -> None:
    class Locking(Toy):
        def step(self, step: int) -> dict[str, float]:
            if step == 6:
                out.chmod(0o500)
            return super().step(step)

    out, often = tmp_path / "run", recipe(checkpoint_seconds=1e-6)
    with pytest.raises(InputError, match=f"cannot be written to {out}"):
        follow(train(Locking(often, SCORES), often, out))
    out.chmod(0o700)
    assert saved_step(out) == 6
    follow(train(Toy(often, SCORES), often, out, resume=True))
    assert same(out, whole, MODEL, HISTORY)


def test_closing_comes_to_an_end_even_if_nothing_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps = train(Toy(recipe(), SCORES), recipe(), tmp_path)
    next(steps)
    with small_files_only(), caplog.at_level(logging.WARNING):
        steps.close()
    assert "Step 1 is lost" in caplog.text


# ---------------------------------------------------------------- memory


class Large(Toy):
    """The memory holds so many crops."""

    room = 1

    def loss(self, x: Tensor) -> Tensor:
        if len(x) > self.room:
            torch.empty(1 << 60, dtype=torch.uint8)  # what torch says is what it does say
        return super().loss(x)


def test_out_of_memory_the_batch_comes_in_parts(tmp_path: Path) -> None:
    alone, together = Large(recipe(), SCORES, plain=True), Toy(recipe(), SCORES, plain=True)
    events = follow(train(alone, recipe(), tmp_path / "parts"), until=6)
    follow(train(together, recipe(), tmp_path / "whole"), until=6)
    warnings = [event.message for event in of(Notice, events) if event.level == "warning"]
    assert ["2 of 4 crops" in warnings[0], "1 of 4 crops" in warnings[1]] == [True, True]
    assert len(warnings) == 2
    assert [event.step for event in of(Metrics, events)] == [1, 2, 3, 4, 5, 6]
    one, other = (load_file(tmp_path / name / CHECKPOINT) for name in ("parts", "whole"))
    assert all(torch.allclose(one[k], other[k], atol=1e-5) for k in one)
    again = Large(recipe(), SCORES, plain=True)
    events = follow(train(again, recipe(), tmp_path / "parts", resume=True))
    assert again.parts == 4  # it is remembered
    assert "Memory" not in messages(events)


def test_a_crop_that_does_not_fit_is_said(tmp_path: Path) -> None:
    task = Large(recipe(), plain=True)
    task.room = 0
    with pytest.raises(InputError, match=r"step 1 with 1 crop of 16 x 16 px .* 45 weights"):
        follow(train(task, recipe(), tmp_path / "one"))
    task = Large(recipe(), plain=True)
    task.optimisers["other"] = task.optimisers["network"]  # a step of two cannot be taken again
    with pytest.raises(InputError, match=r"with 4 crops .* choose fewer or smaller crops"):
        follow(train(task, recipe(), tmp_path / "two"))


def test_one_part_is_an_ordinary_step() -> None:
    one, other = Toy(recipe()), Toy(recipe())
    x = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    for seed in range(3):
        torch.manual_seed(seed)
        descend_in_parts(one.optimisers["network"], 1, [x], one.loss)
        torch.manual_seed(seed)
        descend(other.optimisers["network"], other.loss(x))
    assert one.digest() == other.digest()


def test_a_recipe_of_before_a_new_entry_is_the_same(whole: Path, tmp_path: Path) -> None:
    follow(train(Toy(recipe(), SCORES), recipe(), tmp_path), until=3)
    path = tmp_path / "recipe.json"
    entries = json.loads(path.read_text())
    del entries["patience"]
    path.write_text(json.dumps(entries))
    follow(train(Toy(recipe(), SCORES), recipe(), tmp_path, resume=True))
    assert same(tmp_path, whole, MODEL)
    other: Recipe = recipe(patience=3)
    with pytest.raises(InputError, match="another recipe"):
        follow(train(Toy(other, SCORES), other, tmp_path, resume=True))
