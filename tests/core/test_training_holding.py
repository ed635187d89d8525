"""One at a time trains in a folder: in this process, in another, and after one was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Metrics, Notice, run
from napari_axongen.core.training import Recipe, holding, train_steps
from napari_axongen.core.training.holding import LOCK, BusyError, held, is_held
from napari_axongen.core.training.runs import find_runs, read_run

SMALL: dict[str, Any] = {
    "name": "small",
    "contrast": "TEM",
    "network": {"name": "unet", "channels": [4, 6]},
    "data": {"source": "em-fields", "count": 2, "side": 64},
    "optimisation": {"steps": 6, "batch": 2, "crop": 32, "warm_up": 0},
    "checkpoint_seconds": 0.001,
}


def recipe(steps: int = 6) -> Recipe:
    return Recipe.model_validate(SMALL | {"optimisation": SMALL["optimisation"] | {"steps": steps}})


def steps_of(out: Path, **options: Any) -> Any:
    return train_steps(recipe(), out, device="cpu", **options)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_PATIENCE", 0.05)


def test_a_run_that_goes_on_is_not_begun_again_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = steps_of(out)
    while not isinstance(next(first), Metrics):
        pass
    assert is_held(out)
    kept = {path: path.read_bytes() for path in out.iterdir()}
    for resume in (False, True):
        with pytest.raises(BusyError, match=rf"{out} is being trained by another process"):
            run(steps_of(out, resume=resume))
    assert {path: path.read_bytes() for path in out.iterdir()} == kept
    first.close()
    assert not is_held(out)
    run(steps_of(out, resume=True))
    assert read_run(out).finished
    assert not is_held(out)


def test_a_run_that_fails_is_let_go(tmp_path: Path) -> None:
    nowhere = recipe().model_copy(update={"start": "nowhere"})
    with pytest.raises(InputError, match="nowhere"):
        run(train_steps(nowhere, tmp_path / "run", device="cpu"))
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="nowhere"):
        run(train_steps(nowhere, tmp_path / "run", device="cpu"))
    assert not is_held(tmp_path / "run")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that trains in ``run`` for longer than anybody waits."""
    file = tmp_path / "recipe.json"
    file.write_text(recipe(100_000).model_dump_json())
    command = [sys.executable, "-m", "napari_axongen.cli", "train", str(file), "--device", "cpu"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "run")], env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        try:
            deadline = time.monotonic() + 120
            while not (tmp_path / "run" / "checkpoint.safetensors").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def test_another_process_is_noticed_until_it_is_killed(
    other: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(BusyError, match="by another process"):
        next(train_steps(recipe(100_000), out, True, "cpu"))
    assert is_held(out)
    other.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    other.wait()
    assert not is_held(out)
    again = train_steps(recipe(100_000), out, True, "cpu")
    events: list[Any] = []
    while not (events and isinstance(events[-1], Metrics)):
        events.append(next(again))
    again.close()
    assert any("Going on from step" in e.message for e in events if isinstance(e, Notice))


def test_a_copy_is_another_run_and_a_lock_is_no_work(tmp_path: Path) -> None:
    for name in ("old", "new"):
        run(steps_of(tmp_path / name))
    for path in (tmp_path / "old").iterdir():
        os.utime(path, (1e9, 1e9))
    with held(tmp_path / "old"):
        os.utime(tmp_path / "old" / LOCK)
        assert [found.folder.name for found in find_runs(tmp_path)] == ["new", "old"]
        shutil.copytree(tmp_path / "old", tmp_path / "copy")
        assert is_held(tmp_path / "old")
        assert not is_held(tmp_path / "copy")
        with held(tmp_path / "copy"):
            pass


def test_where_nothing_can_be_written_a_finished_run_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(steps_of(tmp_path / "run"))

    def refuse(lock: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(holding.FileLock, "acquire", refuse)
    events: list[Any] = []
    run(steps_of(tmp_path / "run", resume=True), events.append)
    assert "finished" in events[-1].message
    with pytest.raises(InputError, match=r"cannot be written to .*other: Permission denied"):
        run(steps_of(tmp_path / "other"))


def test_a_file_system_without_locks_trains_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack(lock: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(holding.FileLock, "acquire", lack)
    assert run(steps_of(tmp_path / "run")).exists()
    (tmp_path / "run" / LOCK).touch()
    assert not is_held(tmp_path / "run")
