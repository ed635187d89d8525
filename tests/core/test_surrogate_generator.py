"""The generator as a whole: the original's look, the same image in any batch, streams."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Progress, run
from napari_axongen.core.surrogate.generator import SurrogateStream, batch_size, generate_steps
from napari_axongen.core.surrogate.parameters import SurrogateParameters
from napari_axongen.core.surrogate.presets import preset, with_changes
from napari_axongen.core.surrogate.truth import Surrogates

SMALL = with_changes(SurrogateParameters(), {"width": 64, "height": 48, "series.frames": 3})
ARRAYS = (
    "images",
    "clean_images",
    "axon_masks",
    "bouton_masks",
    "axon_labels",
    "branch_labels",
)

pytestmark = pytest.mark.usefixtures("loops")


def made(
    parameters: SurrogateParameters, count: int = 1, seed: int = 0, first: int = 0, **options: Any
) -> Surrogates:
    return run(generate_steps(parameters, count, seed, first, **{"device": "cpu"} | options))


def assert_part(whole: Surrogates, part: Surrogates) -> None:
    """All that there is of some images is what there is of them in a larger set."""
    begin = part.first - whole.first
    rows = slice(begin, begin + len(part))
    for name in ARRAYS:
        assert np.array_equal(getattr(part, name), getattr(whole, name)[rows]), name
    if part.transforms is None:
        assert whole.transforms is None
    else:
        assert whole.transforms is not None
        assert np.array_equal(part.transforms, whole.transforms[rows])
    indices = range(part.first, part.first + len(part))
    for name in ("boutons", "tracks"):
        table = getattr(whole, name)
        assert np.array_equal(getattr(part, name), table[np.isin(table["image"], indices)])
    lines = [line for line in whole.centrelines if line.image in indices]
    assert len(lines) == len(part.centrelines)
    for one, other in zip(part.centrelines, lines, strict=True):
        for field in dataclasses.fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name))


# ------------------------------------------------------------ the original's look


def test_statistics_of_the_original() -> None:
    """The figures of the original over many images (issue 3, "What it must show")."""
    result = made(preset("original"), 100, seed=11)
    images = result.images.astype(float)
    assert 0.05 <= (result.axon_masks > 0).mean() <= 0.07
    assert 0.001 <= (result.bouton_masks > 0).mean() <= 0.003
    assert 135 <= images.mean() <= 170
    assert 7 <= images.std((1, 2)).mean() <= 11
    # of single images, too: none is empty, none is full
    assert ((result.axon_masks > 0).mean((1, 2)) > 0.015).all()
    assert ((result.axon_masks > 0).mean((1, 2)) < 0.12).all()
    assert (images.mean((1, 2)) > 110).all()
    assert (images.mean((1, 2)) < 190).all()


def test_what_there_is_of_each_image() -> None:
    result = made(with_changes(SMALL, {"boutons.count": 2}), 5, seed=3, first=4)
    assert len(result) == 5
    for name in ARRAYS:
        assert getattr(result, name).shape == (5, 48, 64)
    assert result.images.dtype == result.clean_images.dtype == np.uint8
    assert result.axon_masks.dtype == result.bouton_masks.dtype == np.uint8
    assert result.axon_labels.dtype == result.branch_labels.dtype == np.int16
    assert result.transforms is None
    assert len(result.tracks) == 0
    assert {line.image for line in result.centrelines} == set(range(4, 9))
    assert set(result.boutons["image"]) <= set(range(4, 9))
    assert (result.seed, result.first, result.parameters.width) == (3, 4, 64)
    for image in range(4, 9):
        lines = [line for line in result.centrelines if line.image == image]
        assert [line.branch for line in lines] == list(range(1, len(lines) + 1))
        axons = {line.branch: line.axon for line in lines}
        assert set(axons.values()) == set(range(1, len(set(axons.values())) + 1))
        boutons = result.boutons[result.boutons["image"] == image]
        assert boutons["bouton"].tolist() == list(range(1, len(boutons) + 1))
        for bouton in boutons:
            assert axons[bouton["branch"]] == bouton["axon"]


# ------------------------------------------------------------ same seed, same image


def tiny(name: str) -> SurrogateParameters:
    return with_changes(preset(name), {"width": 72, "height": 56, "series.frames": 3})


@pytest.mark.parametrize("name", ["original", "two-photon", "broad"])
@pytest.mark.parametrize("series", [False, True])
def test_an_image_is_the_same_alone_and_in_any_batch(name: str, series: bool) -> None:
    parameters = tiny(name)
    whole = made(parameters, 12, seed=5, series=series)
    for first, count in ((0, 1), (7, 1), (3, 6), (8, 4)):
        assert_part(whole, made(parameters, count, seed=5, first=first, series=series))


def test_an_image_is_the_same_across_batches() -> None:
    parameters = with_changes(SMALL, {"axons.count": 1, "cells.count": 2})
    size = batch_size(parameters, torch.device("cpu"), series=False)
    whole = made(parameters, 2 * size + 3)
    assert len(whole) == 2 * size + 3
    for first, count in ((size - 1, 2), (size + 3, size), (2 * size + 2, 1)):
        assert_part(whole, made(parameters, count, first=first))


def test_a_set_is_the_same_after_a_resume() -> None:
    parameters = preset("original")
    whole = made(parameters, 8, seed=2)
    for part in (made(parameters, 5, seed=2), made(parameters, 3, seed=2, first=5)):
        assert_part(whole, part)


@pytest.mark.usefixtures("threads")
def test_an_image_is_the_same_on_any_number_of_threads() -> None:
    parameters = with_changes(preset("broad"), {"width": 512, "height": 300})
    results = []
    for number in (1, 3):
        torch.set_num_threads(number)
        results.append(made(parameters, 9, seed=1))
        assert torch.get_num_threads() == number
    assert_part(*results)


def test_images_and_seeds_differ() -> None:
    images = np.concatenate([made(SMALL, 20, seed=seed).images for seed in (0, 1, 2**40)])
    assert len({image.tobytes() for image in images}) == 60
    ends = [line.points[-1].tobytes() for line in made(SMALL, 40).centrelines]
    assert len(set(ends)) > 0.9 * len(ends)


def test_seed_and_index_do_not_change_places() -> None:
    """Image i of seed s is another one than image s of seed i."""
    assert not np.array_equal(
        made(SMALL, seed=3, first=5).images, made(SMALL, seed=5, first=3).images
    )


# ------------------------------------------------------------ as a job


def test_progress() -> None:
    size = batch_size(SMALL, torch.device("cpu"), series=False)
    events: list[Any] = []
    run(generate_steps(SMALL, 2 * size + 1, device="cpu"), events.append)
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in progress] == [size, 2 * size, 2 * size + 1]
    assert {event.total for event in progress} == {2 * size + 1}


def test_cancel_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_axongen.core.surrogate import generator

    rendered: list[int] = []
    render = generator.render_batch

    def counted(*arguments: Any) -> Any:
        rendered.append(len(arguments[2]))
        return render(*arguments)

    monkeypatch.setattr(generator, "render_batch", counted)
    size = batch_size(SMALL, torch.device("cpu"), series=False)
    steps = generate_steps(SMALL, 100 * size, device="cpu")
    assert next(steps) == Progress(size, 100 * size, "images")
    steps.close()
    assert rendered == [size]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "The seed is -1; it must be a whole number of at least 0."),
        ({"count": 0}, "The count is 0; it must be a whole number of at least 1."),
        ({"count": -3}, "The count is -3; it must be a whole number of at least 1."),
        ({"first": -2}, "The first is -2; it must be a whole number of at least 0."),
    ],
)
def test_bad_numbers(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        run(generate_steps(SMALL, device="cpu", **options))
    assert str(raised.value) == message


def test_an_unknown_device() -> None:
    with pytest.raises(InputError, match="abacus"):
        run(generate_steps(SMALL, device="abacus"))


# ------------------------------------------------------------ streams


def assert_batch(batch: dict[str, torch.Tensor], expected: Surrogates) -> None:
    assert set(batch) == {"images", "clean_images", "axon_masks", "bouton_masks"}
    top = expected.parameters.max_intensity
    for name in ("images", "clean_images"):
        assert batch[name].dtype == torch.float32
        grey = np.rint(batch[name].numpy() * top)
        assert np.array_equal(grey, getattr(expected, name))
        assert batch[name].max() <= 1
    for name in ("axon_masks", "bouton_masks"):
        assert batch[name].dtype == torch.bool
        assert np.array_equal(batch[name].numpy(), getattr(expected, name) > 0)


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("top", [255, 4095])
def test_a_stream_makes_the_images_of_its_seed(series: bool, top: int) -> None:
    parameters = with_changes(SMALL, {"max_intensity": top})
    stream = iter(SurrogateStream(parameters, seed=4, batch=3, device="cpu", series=series))
    for number in range(3):
        expected = made(parameters, 3, seed=4, first=3 * number, series=series)
        assert_batch(next(stream), expected)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12, by torch
@pytest.mark.parametrize("workers", [0, 2])
def test_each_worker_makes_images_of_its_own(workers: int) -> None:
    stream = SurrogateStream(SMALL, seed=4, batch=2, device="cpu")
    loader = DataLoader(stream, batch_size=None, num_workers=workers)
    batches = iter(loader)
    for number in range(4):  # the workers take turns
        assert_batch(next(batches), made(SMALL, 2, seed=4, first=2 * number))


# ------------------------------------------------------------ devices


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", ["original", "two-photon", "broad"])
@pytest.mark.parametrize("series", [False, True])
def test_cuda_gives_the_same_labels_and_grey_values_within_one(name: str, series: bool) -> None:
    parameters = with_changes(preset(name), {"width": 256, "height": 192, "series.frames": 3})
    here = made(parameters, 6, seed=9, series=series)
    there = made(parameters, 6, seed=9, series=series, device="cuda")
    for labels in ("axon_masks", "bouton_masks", "axon_labels", "branch_labels"):
        assert np.array_equal(getattr(here, labels), getattr(there, labels))
    for grey in ("images", "clean_images"):
        off = getattr(here, grey).astype(int) - getattr(there, grey)
        assert abs(off).max() <= 1
    assert np.array_equal(here.boutons, there.boutons)
    assert np.array_equal(here.tracks, there.tracks)
    alone = made(parameters, 1, seed=9, first=4, series=series, device="cuda")
    assert_part(there, alone)
