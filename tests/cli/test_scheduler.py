"""``--scheduler``: two workers, one of which is killed half-way, make what one process makes."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_axongen.cli import app
from napari_axongen.core.cluster import Cluster, Outcome
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Progress, Steps
from napari_axongen.core.files import write_image
from napari_axongen.core.surrogate.em_fields import em_field

distributed = pytest.importorskip("distributed")

FIELD = em_field((130, 170), "tem", pixel_size=0.02, seed=3)
SMALL = ("--axon-diameter", 25, "--device", "cpu")
TEM = ("--model", "axon-myelin-tem")
TO_SEM = ("--model", "tem-to-sem")
STATE = "unfinished.json"
LOADED = [
    f"napari_axongen.{name}"
    for name in (
        "cli",
        "core.cluster",
        "core.surrogate.em_export",
        "core.surrogate.em_images",
        "core.surrogate.export",
        "core.surrogate.generator",
        "core.translation",
    )
]


@pytest.fixture(scope="module")
def local_cluster() -> Iterator[Any]:
    """Two worker processes of one thread each, on this machine alone.

    They are forked from a process that has loaded torch, so that a new one is soon there. It is not
    checked 15 seconds after a loss, as is usual, whether there is a new one: if that has just been
    killed in its turn, its nanny would be told to close instead of starting another.
    """
    import dask
    from distributed.utils import get_mp_context

    settings = {
        "distributed.worker.multiprocessing-method": "forkserver",
        "distributed.deploy.lost-worker-timeout": "1 hour",
    }
    with dask.config.set(settings):
        get_mp_context().set_forkserver_preload(LOADED)
        with distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            scheduler_port=0,
            dashboard_address="127.0.0.1:0",
        ) as cluster:
            yield cluster
    forkserver._forkserver._stop()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No models but those of the package, which the workers know; that is not where they are."""
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def content(folder: str) -> dict[str, bytes]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def same(local_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command alone and on the cluster, where a worker is killed; compares all files."""

    def run(*arguments: object, code: int = 0, kill: bool = True) -> Any:
        local_cluster.wait_for_workers(2, timeout=60)
        killed, placed = list[int](), Counter[str]()
        replace, outcome = os.replace, Cluster._outcome

        def place(source: Any, target: Any) -> None:
            replace(source, target)
            placed[str(target)] += 1

        def first_done(self: Cluster, index: int, future: Any) -> Outcome:
            if kill and not killed:
                killed.extend(kill_a_busy_worker(local_cluster))
            return outcome(self, index, future)

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", place)
            patched.setattr(Cluster, "_outcome", first_done)
            address = local_cluster.scheduler_address
            shared = call(*arguments, "--out", "shared", "--scheduler", address, code=code)
        alone = call(*arguments, "--out", "alone", code=code)
        assert len(killed) == kill
        assert content("shared") == content("alone")
        assert not list(Path("shared").glob(".*"))
        twice = [Path(name).name for name, times in placed.items() if times > 1]
        assert all(name == STATE or name.startswith(".") for name in twice), twice
        assert shared.stdout.replace("shared", "alone") == alone.stdout
        return shared

    return run


def kill_a_busy_worker(cluster: Any) -> list[int]:
    """One, if there is any: what it was at is done by another, and a new one knows nothing."""
    for worker in list(cluster.scheduler.workers.values()):
        if worker.processing:
            (pid,) = (n.pid for n in cluster.workers.values() if n.worker_address == worker.address)
            os.kill(pid, signal.SIGKILL)
            return [pid]
    return []


# ---------------------------------------------------------------- files


def test_files_to_segment_one_of_them_bad(same: Callable[..., Any]) -> None:
    names = [f"{letter}.png" for letter in "abc"]
    for turn, name in enumerate(names):
        write_image(Path(name), np.roll(FIELD.image, 20 * turn, 1), 0.02)
    Path("bad.png").write_bytes(b"no picture")
    images = [*names[:2], "bad.png", *names[2:]]
    result = same("segment", *images, *TEM, *SMALL, code=1)
    assert "bad.png is not a PNG" in result.stderr
    assert "1 of 4 files failed" in result.stderr
    assert "a.png: Scale" in result.stderr
    assert len(content("shared")) == 3 * 4


def test_images_to_translate_with_their_masks(same: Callable[..., Any]) -> None:
    for name in "ab":
        write_image(Path(f"images/{name}.png"), FIELD.image, 0.02)
        write_image(Path(f"masks/{name}.png"), FIELD.classes)
    same("translate", "images", "--mask", "masks", *TO_SEM, *SMALL, kill=False)
    assert len(content("shared")) == 2 * 3


# ---------------------------------------------------------------- one image


def test_tiles_of_one_image_to_segment(same: Callable[..., Any]) -> None:
    write_image(Path("wide.png"), np.tile(FIELD.image, (1, 4)), 0.02)
    same("segment", "wide.png", *TEM, *SMALL, "--memory", 64)


def test_tiles_of_one_image_to_translate(same: Callable[..., Any]) -> None:
    write_image(Path("wide.png"), np.tile(FIELD.image, (1, 3)), 0.02)
    write_image(Path("mask.png"), np.tile(FIELD.classes, (1, 3)))
    told = ("--mask", "mask.png", "--condition", "mask and structure")
    same("translate", "wide.png", *TO_SEM, *SMALL, *told, "--memory", 64, kill=False)


# ---------------------------------------------------------------- exports


def test_blocks_of_an_export(same: Callable[..., Any]) -> None:
    small = ("--set", "width=64", "--set", "height=64", "--set", "cells.count=1")
    options = ("--count", 300, "--format", "zarr", "--device", "cpu")
    same("generate", "original", *small, *options)


def test_images_of_fibres(same: Callable[..., Any]) -> None:
    size = ("--width", 70, "--height", 60, "--count", 3)
    same("generate", "em-fibres", *size, "--contrast", "sem", "--device", "cpu", kill=False)


# ---------------------------------------------------------------- what goes wrong


def test_interrupted_it_keeps_what_is_finished_and_leaves_nothing(
    local_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{letter}.png" for letter in "abc"]
    for name in names:
        write_image(Path(name), FIELD.image, 0.02)
    outcome, done = Cluster._outcome, list[int]()

    def interrupted(self: Cluster, index: int, future: Any) -> Outcome:
        done.append(index)
        if len(done) == 2:
            raise KeyboardInterrupt
        return outcome(self, index, future)

    monkeypatch.setattr(Cluster, "_outcome", interrupted)
    address = ("--scheduler", local_cluster.scheduler_address)
    result = call("segment", *names, "--out", "out", *TEM, *SMALL, *address, code=130)
    assert "stopped; what was finished is kept" in result.stderr
    with distributed.Client(local_cluster, set_as_default=False) as client:
        for worker in list(local_cluster.scheduler.workers):  # when its one thread is free again
            client.submit(os.getpid, workers=[worker], pure=False).result(timeout=60)
    stem = Path(names[done[0]]).stem
    assert {path.name.split("_")[0] for path in Path("out").iterdir()} == {stem}
    assert len(result.stdout.split()) == 3


def test_no_scheduler_is_one_sentence_and_nothing_is_begun() -> None:
    write_image(Path("a.png"), FIELD.image, 0.02)
    result = call("segment", "a.png", "--out", "out", *TEM, "--scheduler", "nonsense", code=1)
    assert "No scheduler answers at 'nonsense'" in result.stderr
    assert "Traceback" not in result.output
    assert not Path("out").exists()


def test_what_kills_its_workers_is_given_up(local_cluster: Any, monkeypatch: Any) -> None:
    def steps() -> Steps[None]:  # in here, as workers have no such module
        yield Progress(0, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    local_cluster.wait_for_workers(2, timeout=60)
    monkeypatch.setattr(local_cluster.scheduler, "allowed_failures", 0)
    with (
        Cluster(local_cluster.scheduler_address) as cluster,
        cluster.tasks(steps, [()]) as outcomes,
    ):
        (outcome,) = outcomes
    with pytest.raises(InputError, match=r"died, 1 time\(s\); give the workers more memory"):
        outcome.result()
