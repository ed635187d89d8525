"""What the tasks of a cluster make is put together to what one process makes, whatever their order.

Here the tasks are done in this process; with workers they are in `tests/cli/test_scheduler.py`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_axongen.core import cluster as module
from napari_axongen.core import cluster_worker, tiling
from napari_axongen.core.cluster import Cluster, Outcome, Task
from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Progress, Steps, run
from napari_axongen.core.image import Image
from napari_axongen.core.models.card import package_version
from napari_axongen.core.parameters import SegmentParameters, TranslateParameters
from napari_axongen.core.segmentation import segment_steps
from napari_axongen.core.surrogate.em_export import em_fibres_steps
from napari_axongen.core.surrogate.em_fields import em_field
from napari_axongen.core.surrogate.em_images import EmRenderer
from napari_axongen.core.surrogate.em_parameters import EmFibreParameters
from napari_axongen.core.surrogate.export import export_steps
from napari_axongen.core.surrogate.parameters import SeriesParameters, SurrogateParameters
from napari_axongen.core.translation import translate_steps

FIELD = em_field((130, 170), "tem", pixel_size=0.02, seed=3)
SURROGATES = SurrogateParameters(
    width=24, height=20, pixel_size=0.25, series=SeriesParameters(frames=2)
)


class Here(Cluster):
    """Does tasks in any order, and what is written twice, as if the worker had died at the end."""

    def __init__(self, **sender: str) -> None:
        self.where, self.done = "cpu", 0
        self._sender = replace(cluster_worker.Sender(package_version(), "models"), **sender)

    def _done(
        self, task: Task, calls: Iterable[tuple[Any, ...]], staging: Path | None
    ) -> Generator[Outcome, None, None]:
        numbered = list(enumerate(calls))
        random.Random(4).shuffle(numbered)
        for index, call in numbered:
            for _ in range(1 if staging is None else 2):
                tried = cluster_worker.work(self._sender, staging, task, *call)
            self.done += 1
            yield Outcome(index, *tried)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task sets it."""
    monkeypatch.setenv("AXONGEN_MODELS", "models")


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# ---------------------------------------------------------------- exports


@pytest.mark.parametrize(
    ("format", "count", "series"),
    [("tiff", 130, False), ("tiff", 70, True), ("mat", 203, False), ("zarr", 130, False),
     ("zarr", 70, True)],
)  # fmt: skip
def test_an_export_is_the_same(tmp_path: Path, format: Any, count: int, series: bool) -> None:
    def made(name: str, cluster: Cluster | None) -> tuple[dict[str, bytes], list[Event]]:
        out, events = tmp_path / name, list[Event]()
        steps = export_steps(SURROGATES, count, 5, out, format, series, cluster=cluster)
        run(steps, events.append)
        return content(out), events

    cluster = Here()
    (whole, _), (parts, events) = made("whole", None), made("parts", cluster)
    assert cluster.done == -(-count // (200 if format == "mat" else 64)) > 1
    assert parts == whole
    done = [event.done for event in events if isinstance(event, Progress)]
    assert done == sorted(done)
    assert done[-1] == count


def test_an_export_that_was_stopped_goes_on_with_a_cluster_or_without(tmp_path: Path) -> None:
    run(export_steps(SURROGATES, 150, 5, tmp_path / "whole"))
    out = tmp_path / "parts"
    for cluster, until in ((None, 64), (Here(), 128)):
        steps = export_steps(SURROGATES, 150, 5, out, resume=True, cluster=cluster)
        for event in steps:
            if isinstance(event, Progress) and event.done == until:
                break
        steps.close()
    (out / ".cluster-of-a-killed-process").mkdir()
    run(export_steps(SURROGATES, 150, 5, out, resume=True))
    assert content(out) == content(tmp_path / "whole")
    assert not list(out.glob(".*"))


@pytest.mark.usefixtures("translators")
def test_layouts_and_their_images_are_the_same(tmp_path: Path) -> None:
    parameters = EmFibreParameters(width=70, height=60, fraction=0.6, unmyelinated=0.3)
    renderer = EmRenderer.of("sem", device="cpu")
    notices = {}
    for name, cluster in (("whole", None), ("parts", Here())):
        events = list[Event]()
        steps = em_fibres_steps(parameters, 2, 3, tmp_path / name, False, renderer, cluster)
        run(steps, events.append)
        notices[name] = [event for event in events if isinstance(event, Notice)]
        assert [e for e in events if isinstance(e, Progress)] == [
            Progress(done, 2) for done in (1, 2)
        ]
    assert content(tmp_path / "parts") == content(tmp_path / "whole")
    assert len(notices["parts"]) == len(notices["whole"])


# ---------------------------------------------------------------- one image


@pytest.fixture
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of them."""
    monkeypatch.setattr(tiling, "tile_side", lambda *_: 90)


@pytest.mark.usefixtures("_small_tiles")
def test_a_segmentation_in_tiles_is_the_same() -> None:
    image = Image.from_array(FIELD.image, pixel_size=0.02)
    parameters = SegmentParameters(model="axon-myelin-tem", device="cpu", axon_diameter=25)
    cluster = Here()
    whole = run(segment_steps(image, parameters))
    parts = run(segment_steps(image, parameters, replace(choose_device("cpu"), cluster=cluster)))
    assert cluster.done == 4
    np.testing.assert_array_equal(parts.probabilities, whole.probabilities)
    assert parts.recipe() == whole.recipe()


@pytest.mark.usefixtures("_small_tiles", "translators")
@pytest.mark.parametrize("condition", ["mask", "mask and structure"])
def test_a_translation_in_tiles_is_the_same(condition: Any) -> None:
    image = Image.from_array(FIELD.image, pixel_size=0.02)
    parameters = TranslateParameters(
        model="tem-to-sem", condition=condition, device="cpu", axon_diameter=25
    )
    cluster = Here()
    whole = run(translate_steps(image, parameters, FIELD.classes))
    device = replace(choose_device("cpu"), cluster=cluster)
    parts = run(translate_steps(image, parameters, FIELD.classes, device=device))
    assert cluster.done == 4
    np.testing.assert_array_equal(parts.image, whole.image)
    assert parts.recipe() == whole.recipe()


# ---------------------------------------------------------------- what goes wrong


def write(folder: Path, text: str) -> Steps[str]:
    yield Notice(text)
    (folder / "file.txt").write_text(text)
    return "file.txt"


def test_files_are_moved_and_nothing_is_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "b").mkdir(parents=True)
    with Here().tasks(write, [("one",), ("two",)], out) as outcomes:
        for outcome in outcomes:
            assert outcome.notices == [Notice(["one", "two"][outcome.index])]
            outcome.move([outcome.result()], out / "ab"[outcome.index])
    assert content(out) == {"a/file.txt": b"one", "b/file.txt": b"two"}
    assert not list(out.glob(".*"))


def test_a_task_that_nobody_waits_for_stops_and_leaves_nothing(tmp_path: Path) -> None:
    with Here().tasks(write, [("one",)], tmp_path) as outcomes:
        (staging,) = tmp_path.glob(".*")
        (staging / ".open").unlink()
        with pytest.raises(InputError, match="Nobody waits"):
            next(outcomes)
        assert not staging.exists()


def test_a_worker_must_see_the_folder_and_have_the_version(tmp_path: Path) -> None:
    sender = Here()._sender
    with pytest.raises(InputError, match="does not see"):
        cluster_worker.work(sender, tmp_path / "gone" / "folder", write, "one")
    sender = replace(sender, version="0.0")
    with pytest.raises(InputError, match=r"and this is 0\.0; install the same"):
        cluster_worker.work(sender, tmp_path, write, "one")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"napari-axongen\[distributed\]"):
        Cluster("tcp://127.0.0.1:1")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp:/127.0.0.1"])
def test_no_scheduler_is_one_sentence(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    distributed = pytest.importorskip("distributed")
    closed, close = list[object](), distributed.Client.close

    def closing(self: Any, *args: Any, **options: Any) -> Any:
        closed.append(None)
        return close(self, *args, **options)

    monkeypatch.setattr(distributed.Client, "close", closing)
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    with pytest.raises(InputError, match="No scheduler answers at"):
        Cluster(address)
    assert closed  # at once: as garbage it may hang
