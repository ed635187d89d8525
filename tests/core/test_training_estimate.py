"""What a training will take: measured by a little of it, of which nothing stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_axongen.core.datasets import LabelledImage, sources
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, run
from napari_axongen.core.image import Image
from napari_axongen.core.training import estimate, pools, segmenter
from napari_axongen.core.training.estimate import Estimate, estimate_steps
from napari_axongen.core.training.pools import SurrogatePool
from napari_axongen.core.training.presets import starting_recipe
from napari_axongen.core.training.recipe import Recipe, SurrogateData
from napari_axongen.core.training.segmenter import SegmentationTask

SMALL = {
    "name": "tiny",
    "network": {"name": "unet", "channels": [4, 6]},
    "data": {"source": "em-fields", "count": 2, "side": 64},
    "optimisation": {"steps": 1000, "batch": 2, "crop": 32},
    "validate_every": 100,
}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps are timed."""
    monkeypatch.setattr(estimate, "_LONG", 0.0)


def recipe(**changes: object) -> Recipe:
    return starting_recipe("axon-myelin-tem", **(SMALL | changes))


def test_steps_and_validations_are_counted_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps: list[int] = []
    validations: list[int] = []
    step, validate = SegmentationTask.step, SegmentationTask.validate
    monkeypatch.setattr(SegmentationTask, "step", lambda self, k: steps.append(k) or step(self, k))
    monkeypatch.setattr(
        SegmentationTask, "validate", lambda self: validations.append(1) or validate(self)
    )
    found: Estimate = run(estimate_steps(recipe(), "cpu"))
    assert len(steps) >= 4
    assert len(validations) == 1
    of_steps, of_validations = 1000 / found.steps_per_second, 10 * found.validation
    assert found.seconds >= of_steps + of_validations > of_steps > 0
    assert found.device.startswith("CPU")
    assert found.parts == 1
    assert not list(tmp_path.iterdir())


def test_surrogates_are_counted_once_each() -> None:
    """As long as they are kept; a run over few of them costs less than one over many."""
    data = {"source": "surrogate", "held_out": 0, "parameters": {"width": 64, "height": 64}}
    few, many = (
        run(
            estimate_steps(
                starting_recipe(
                    "axon-fluorescence",
                    **(SMALL | {"data": data | {"count": count}, "validate_every": 1000}),
                ),
                "cpu",
            )
        )
        for count in (2, 2000)
    )
    assert many.memory > few.memory
    assert (few.memory, many.memory) != (0, 0)


def test_how_many_surrogates_are_made_is_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make(parameters: object, count: int, seed: int, classes: object, first: int, *_: object):
        made.append(first)
        empty = np.zeros((2, 2), np.uint8)
        return [LabelledImage(Image(np.eye(2, dtype=np.uint8), "YX"), empty, "x")]

    monkeypatch.setattr(pools, "make_surrogates", make)
    data = SurrogateData(source="surrogate", count=200)
    rng = np.random.default_rng(0)
    for room in (50, 200):
        for draws in (20, 100, 2000):
            pool = SurrogatePool(data, ["background", "axon"])
            pool._room = room
            made.clear()
            for index in rng.integers(200, size=draws):
                pool[int(index)]
            assert pool.made(draws) == pytest.approx(len(made), rel=0.1)
            assert pool.kept(draws) == pytest.approx(pool.size * len(pool._kept), rel=0.1)


@pytest.mark.usefixtures("translators")
def test_one_micrograph_is_rendered_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def make(contrast: str, count: int, **options: object) -> list[LabelledImage]:
        asked.append(count)
        return sources.make_micrographs(contrast, count, **options)

    monkeypatch.setattr(segmenter, "make_micrographs", make)
    monkeypatch.setattr(estimate, "make_micrographs", make)
    many, one = (
        run(estimate_steps(recipe(made={"count": count, "side": 64}), "cpu"))
        for count in (100_000, 1)
    )
    assert set(asked) == {1}
    assert many.seconds > 2 * one.seconds
    assert many.memory - one.memory > 50_000 * 8 * 64**2


def test_too_little_memory_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    step = SegmentationTask.step

    def hungry(self: SegmentationTask, number: int) -> dict[str, float]:
        if self.parts < 2:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return step(self, number)

    monkeypatch.setattr(SegmentationTask, "step", hungry)
    events: list = []
    assert run(estimate_steps(recipe(), "cpu"), events.append).parts == 2
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert "1 of 2 crops" in notice.message


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(InputError, match="was not found"):
        run(estimate_steps(recipe(data={"source": "folder", "root": "nowhere"}), "cpu"))
    with pytest.raises(InputError, match="unknown"):
        run(estimate_steps(recipe(network={"name": "vgg"}), "cpu"))
