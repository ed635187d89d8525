"""Planes by diffusion: tiles equal the whole, the same seed gives the same, stopping stops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_axongen.core import room, sampling
from napari_axongen.core.baselines import match_greys
from napari_axongen.core.conditioning import (
    Ranks,
    condition,
    gradients,
    to_output,
    white_noise,
)
from napari_axongen.core.device import choose_device
from napari_axongen.core.diffusion import Route, process, route
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Event, Notice, Progress, run
from napari_axongen.core.models.card import Looks
from napari_axongen.core.networks import DOMAINS, Denoiser
from napari_axongen.core.rendering import Source
from napari_axongen.core.sampling import from_unit, sample_plane

LOOKS = Looks(grey_range=(0, 255), quantiles=[-0.2, 0.1, 0.3, 0.6, 1.2])
WHOLE = 10_000


@pytest.fixture(scope="module")
def network(make_denoiser: Callable[..., Denoiser]) -> Denoiser:
    return make_denoiser(centre=0.05, spread=0.15)


def fibres(shape: tuple[int, int], radius: float = 9) -> tuple[np.ndarray, np.ndarray]:
    """Fibres in rows, and a grey image of them with noise."""
    y, x = np.indices(shape)
    far = np.hypot(y % (3 * radius) - 1.5 * radius, x % (3 * radius) - 1.5 * radius)
    classes = np.select([far < radius, far < 1.4 * radius], [255, 127], 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.1, shape)
    return classes, (np.choose(classes // 127, [0.5, 0.1, 0.9]) + noise).astype(np.float32)


def way(network: Denoiser, method: str = "ddpm", steps: int = 3, **options: Any) -> Route:
    asked: dict[str, Any] = {
        "sampler": None,
        "strength": 0.6,
        "guidance": 1.0,
        "structure": True,
        "source": "TEM",
        "target": "SEM",
    }
    return route(process(network.objective), method, steps=steps, **(asked | options))


def steps_of(
    network: Denoiser,
    shape: tuple[int, int],
    told: Route,
    out: np.ndarray,
    mask: bool = True,
    **options: Any,
) -> Any:
    classes, grey = fibres(shape)

    def write(rows: slice, columns: slice, values: np.ndarray) -> None:
        out[rows, columns] = values[0]

    begins = told.structure or told.begins_with != "noise"
    source = Source(
        shape,
        (lambda r, c: classes[r, c]) if mask else None,
        (lambda r, c: grey[r, c]) if begins else None,
    )
    usual = {"scale": 1.0, "seed": 5, "plane": 0, "tile": WHOLE, "memory": 512}
    device = choose_device("cpu")
    return sample_plane(
        network, source, write, route=told, looks=LOOKS, device=device, **(usual | options)
    )


def made(
    network: Denoiser, shape: tuple[int, int], told: Route, **options: Any
) -> tuple[np.ndarray, list[Event]]:
    """What comes out, -1..1, and the events on the way."""
    out, events = np.full(shape, np.nan, np.float32), []
    run(steps_of(network, shape, told, out, **options), events.append)
    assert not np.isnan(out).any()
    return out, events


def seen(image: np.ndarray) -> np.ndarray:
    """An image that is not merely cut off at -1 and 1, where differences would not show."""
    assert image.std() > 0.03
    assert (np.abs(image) < 1).mean() > 0.8
    return image


METHODS = {
    "re-render": {"method": "ddpm"},
    "with noise in between": {"method": "ddpm", "sampler": "ddpm"},
    "guided": {"method": "ddpm", "guidance": 1.7, "structure": False},
    "from the image": {"method": "sdedit"},
    "to noise and back": {"method": "ddib", "structure": False, "steps": 2},
    "out of nothing": {"method": "generate", "structure": False},
}


@pytest.mark.parametrize("scale", [1.0, 0.37, 1.6])
@pytest.mark.parametrize("method", METHODS)
def test_tiles_equal_the_whole(network: Denoiser, method: str, scale: float) -> None:
    shape, told = (131, 86), way(network, **METHODS[method])
    mask = method != "out of nothing"
    whole = seen(made(network, shape, told, scale=scale, mask=mask)[0])
    for parts in (2, 3, 5):
        tiled, events = made(network, shape, told, scale=scale, mask=mask, tile=131 // parts)
        assert np.abs(whole - tiled).max() <= 1e-4
        tiles = events[-1].total / sum(len(leg.way) for leg in told.legs)  # type: ignore[union-attr]
        assert tiles >= parts


@pytest.mark.parametrize("shape", [(96, 128), (301, 34), (7, 5), (1, 60)])
@pytest.mark.parametrize("objective", ["velocity", "noise", "flow"])
def test_tiles_equal_the_whole_whatever_the_size_and_the_process(
    make_denoiser: Callable[..., Denoiser], shape: tuple[int, int], objective: str
) -> None:
    deep = make_denoiser(channels=[6, 8, 8, 8], spread=0.15, objective=objective)
    told = way(deep, steps=2)
    whole = made(deep, shape, told, scale=0.8)[0]
    for tile in (64, 40, 21):
        assert np.abs(whole - made(deep, shape, told, scale=0.8, tile=tile)[0]).max() <= 1e-4
    if shape == (96, 128):
        seen(whole)


def test_a_plane_is_what_the_bare_network_makes_step_by_step(network: Denoiser) -> None:
    """Beyond its edges the plane goes on as it ends, but for the noise."""
    height, width = shape = (62, 81)
    assert height % network.stride
    assert width % network.stride
    padded = [-(-n // network.stride) * network.stride for n in shape]
    padding = (0, padded[1] - width, 0, padded[0] - height)
    classes, grey = fibres(shape)
    x = gradients(torch.from_numpy(grey)[None, None])
    structure = functional.pad(Ranks.of(x).apply(x).half().float(), padding, mode="replicate")
    indices = torch.from_numpy(classes // 127)[None].float()
    indices = functional.pad(indices, padding, mode="replicate").long()
    course = process(network.objective).way("ddim", 3)
    x = white_noise(5, 2, *(slice(0, n) for n in padded))
    for index, level in enumerate(course.told):
        told = condition(indices, structure, x)
        domain = torch.tensor([DOMAINS.index("SEM")])
        with torch.inference_mode():
            x = course.sampler.step(network(told, torch.tensor([level]), domain), x, index)
    expected = seen(from_unit(x, network)[0, 0, :height, :width].numpy())
    found, _ = made(network, shape, way(network, sampler="ddim"), plane=2)
    assert np.abs(found - expected).max() <= 1e-4


def test_it_does_not_matter_in_which_blocks_a_plane_is_prepared(
    network: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = way(network, "sdedit")
    for scale in (1.0, 0.6):
        whole, _ = made(network, (120, 90), told, scale=scale)
        with monkeypatch.context() as patch:
            patch.setattr(sampling, "_BLOCK", 37)
            parts, _ = made(network, (120, 90), told, scale=scale)
        assert np.abs(seen(whole) - parts).max() <= 1e-5


def test_large_arrays_lie_in_files(network: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    told = way(network, sampler="ddpm")
    whole, _ = made(network, (90, 70), told)
    files = 0
    opened = room.tempfile.TemporaryFile

    def counted(*arguments: Any) -> Any:
        nonlocal files
        files += 1
        return opened(*arguments)

    monkeypatch.setattr(sampling, "IN_MEMORY", 90 * 70)
    monkeypatch.setattr(room.tempfile, "TemporaryFile", counted)
    mapped, _ = made(network, (90, 70), told)
    np.testing.assert_array_equal(mapped, whole)
    assert files == 6  # x and estimate twice, mask, structure


# ---------------------------------------------------------------- what the seed and the rest do


def test_the_seed_and_the_plane_are_the_noise(network: Denoiser) -> None:
    for sampler in ("dpm++", "ddpm"):
        told = way(network, sampler=sampler)
        once, _ = made(network, (60, 50), told)
        again, _ = made(network, (60, 50), told)
        np.testing.assert_array_equal(once, again)
        for other in ({"seed": 6}, {"plane": 1}):
            assert np.abs(made(network, (60, 50), told, **other)[0] - once).mean() > 0.01


def test_what_begins_with_the_image_and_adds_no_noise_needs_no_seed(network: Denoiser) -> None:
    told = way(network, "ddib")
    once, _ = made(network, (60, 50), told)
    np.testing.assert_array_equal(once, made(network, (60, 50), told, seed=6)[0])


def test_guidance_of_1_is_none_and_of_0_ignores_the_condition(network: Denoiser) -> None:
    def guided(guidance: float, **options: Any) -> np.ndarray:
        told = way(network, guidance=guidance, structure=False, steps=2)
        return made(network, (60, 50), told, **options)[0]

    plain, bare = guided(1), guided(1, mask=False)
    np.testing.assert_array_equal(guided(0), bare)
    assert np.abs(plain - bare).mean() > 0.01
    assert np.abs(guided(1.0001) - plain).max() < 0.01  # made of two calls, and all but the same
    further = guided(3) - plain
    assert (further * (plain - bare)).mean() > 0  # away from what is made of nothing


def test_the_target_is_told(network: Denoiser) -> None:
    one, other = (made(network, (60, 50), way(network, target=t))[0] for t in ("TEM", "SEM"))
    assert np.abs(one - other).mean() > 0.01


@pytest.mark.parametrize("source", ["TEM", "SEM"])
def test_of_a_source_that_is_hardly_noised_little_is_changed(
    network: Denoiser, source: str
) -> None:
    """It comes out with the target's grey values, inverted if it is of the other contrast."""
    _, grey = fibres((64, 80))
    sign = 1 if source == "SEM" else -1
    matched = match_greys(sign * grey, np.array(LOOKS.quantiles))
    expected = to_output(torch.from_numpy(matched)).numpy()
    errors = []
    for strength in (0.05, 0.2, 0.9):
        told = way(network, "sdedit", structure=False, strength=strength, source=source)
        found, _ = made(network, (64, 80), told)
        errors.append(float(np.sqrt(np.mean((found - expected) ** 2))))
    assert errors[0] < 0.05
    assert errors[0] < errors[1] / 2 < errors[2] / 4


# ---------------------------------------------------------------- how it goes on, and stops


def test_progress_counts_tiles_of_steps_and_each_shows_what_is_seen_so_far(
    network: Denoiser,
) -> None:
    out = np.full((80, 60), np.nan, np.float32)
    told = way(network, sampler="ddim", steps=4)
    shown = []
    for event in steps_of(network, out.shape, told, out, tile=40):
        assert isinstance(event, Progress)
        if event.done:
            assert event.total == 4 * 4
            shown.append((event.done, out.copy()))
    assert [done for done, _ in shown] == list(range(1, 17))
    assert np.isnan(shown[2][1]).any()
    passes = [shown[index][1] for index in (3, 7, 11, 15)]
    assert not np.isnan(passes[0]).any()
    assert all((one != other).any() for one, other in pairwise(passes))
    np.testing.assert_array_equal(passes[-1], made(network, out.shape, told, tile=40)[0])


def test_it_begins_where_asked(network: Denoiser) -> None:
    out = np.full((90, 90), np.nan, np.float32)
    steps = steps_of(network, out.shape, way(network), out, tile=30, first=(80, 40))
    for event in steps:
        if event.done:
            break
    steps.close()
    rows, columns = np.nonzero(~np.isnan(out))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (60, 89, 30, 59)


class Standin(torch.nn.Module):
    """Counts its calls; fails as an allocator does on windows above a size."""

    stride, receptive_radius, bytes_per_pixel = 2, 4, 1
    objective, centre, spread, conditional = "velocity", 0.0, 1.0, True

    def __init__(self, limit: int = 1 << 30) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5), requires_grad=False)
        self.limit, self.calls = limit, 0

    def forward(self, x: torch.Tensor, level: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if x[0, 0].numel() > self.limit:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return self.weight * functional.avg_pool2d(x[:, -1:], 3, 1, 1)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("method", ["ddpm", "ddib"])
def test_between_two_events_there_is_one_call_of_the_network(method: str, guidance: float) -> None:
    network, out = Standin(), np.zeros((100, 80), np.float32)
    told = way(network, method, guidance=guidance, structure=False)  # type: ignore[arg-type]
    steps, before = steps_of(network, out.shape, told, out, tile=50), 0  # type: ignore[arg-type]
    for _ in steps:
        assert network.calls - before <= 1
        before = network.calls
    twice = method == "ddib" or guidance == 2  # there and back, which goes without guidance
    assert network.calls == 3 * 4 * (2 if twice else 1)


def test_stopping_the_iteration_stops_the_work() -> None:
    network, out = Standin(), np.zeros((100, 80), np.float32)
    steps = steps_of(network, out.shape, way(network), out, tile=50)  # type: ignore[arg-type]
    while not next(steps).done:
        pass
    steps.close()
    assert network.calls == 1


@pytest.mark.parametrize("sampler", ["dpm++", "ddpm"])
def test_out_of_memory_halves_the_tile_and_the_step_is_taken_anew(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = way(Standin(), sampler=sampler, steps=4, structure=False)  # type: ignore[arg-type]
    whole, _ = made(Standin(), (200, 200), told)  # type: ignore[arg-type]
    network = Standin()
    out, events = np.zeros((200, 200), np.float32), []
    steps = steps_of(network, out.shape, told, out, tile=100)  # type: ignore[arg-type]
    for event in steps:
        events.append(event)
        if isinstance(event, Progress) and event.done == 6:
            network.limit = 80 * 80  # in the second step, after half of its tiles
    assert np.abs(out - whole).max() <= 1e-5
    (notice,) = (event for event in events if isinstance(event, Notice))
    assert (notice.level, "tiles of 64 px" in notice.message) == ("warning", True)
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert last.done == last.total == 4 * 16


def test_out_of_memory_at_the_smallest_tile_is_said() -> None:
    network, out = Standin(10), np.zeros((100, 100), np.float32)
    with pytest.raises(InputError, match="Out of memory"):
        run(steps_of(network, out.shape, way(network), out))  # type: ignore[arg-type]


def test_other_errors_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    network, out = Standin(), np.zeros((40, 40), np.float32)

    def broken(*_: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(network, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run(steps_of(network, out.shape, way(network), out))  # type: ignore[arg-type]
