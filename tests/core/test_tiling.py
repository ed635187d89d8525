"""Tiles equal the whole image, whatever the tile, the image's size and the scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.transform import resize

from napari_axongen.core import tiling
from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice, Progress, run
from napari_axongen.core.networks import build


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(1)
    network = build({"name": "unet", "channels": [6, 8, 10]})
    network.train()
    with torch.no_grad():  # batch statistics that are not those of the first call
        for _ in range(3):
            network(torch.rand(2, 1, 64, 64))
    return network.eval()


def whole(network: torch.nn.Module, image: np.ndarray, **options: object) -> np.ndarray:
    events: list = []
    out = np.full((3, *image.shape), np.nan, dtype=np.float32)

    def write(rows: slice, columns: slice, values: np.ndarray) -> None:
        out[:, rows, columns] = values

    run(
        tiling.predict(
            network,
            lambda r, c: image[r, c],
            write,
            image.shape,
            device=choose_device("cpu"),
            **options,
        ),
        events.append,
    )
    assert not np.isnan(out).any()
    return out


@pytest.mark.parametrize("scale", [1.0, 0.4, 1.8, 0.137])
@pytest.mark.parametrize("shape", [(96, 128), (131, 77), (200, 33)])
@pytest.mark.parametrize("tile", [24, 40, 63])
def test_tiled_equals_whole(
    network: torch.nn.Module, shape: tuple[int, int], tile: int, scale: float
) -> None:
    image = np.random.default_rng(2).random(shape, dtype=np.float32)
    once = whole(network, image, scale=scale, tile=10_000)
    tiled = whole(network, image, scale=scale, tile=tile)
    assert np.abs(once - tiled).max() <= 1e-4
    assert np.abs(once).max() > 1e-3


def test_one_tile_is_the_bare_network(network: torch.nn.Module) -> None:
    image = np.random.default_rng(3).random((64, 96), dtype=np.float32)
    with torch.inference_mode():
        bare = network(torch.from_numpy(image)[None, None])[0].numpy()
    assert np.abs(whole(network, image, tile=1000) - bare).max() <= 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 2)])
def test_tiny_images(network: torch.nn.Module, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(4).random(shape, dtype=np.float32)
    assert whole(network, image).shape == (3, *shape)
    assert whole(network, image, scale=0.2).shape == (3, *shape)


def test_a_smaller_budget_makes_smaller_tiles(network: torch.nn.Module) -> None:
    assert tiling.tile_side(network, (5000, 5000), 1.0, 64) < tiling.tile_side(
        network, (5000, 5000), 1.0, 512
    )


@pytest.mark.parametrize("scale", [0.5, 0.31])
def test_downscaling_is_that_of_skimage(scale: float) -> None:
    rng = np.random.default_rng(5)
    image = np.kron(rng.random((8, 9)), np.ones((12, 12))).astype(np.float32)
    mine = tiling.resample_image(image, scale)
    theirs = resize(image, mine.shape, order=1, anti_aliasing=True)
    assert np.abs(mine - theirs)[4:-4, 4:-4].mean() < 0.03
    assert abs(mine.mean() - image.mean()) < 0.02


def test_resampling_keeps_a_ramp_and_its_position() -> None:
    ramp = np.tile(np.arange(50, dtype=np.float32), (10, 1))
    for scale in (0.5, 2.0, 0.3, 1.7):
        small = tiling.resample_image(ramp, scale)
        expected = (np.arange(small.shape[1]) + 0.5) / scale - 0.5
        inner = slice(5, -5)
        np.testing.assert_allclose(small[0, inner], expected[inner], atol=0.02)


class Hungry(torch.nn.Module):
    """Fails as an allocator does on windows above a size."""

    stride, receptive_radius, bytes_per_pixel = 1, 0, 1

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x[0, 0].numel() > self.limit:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
        return torch.cat([x, x, x], 1)


def test_out_of_memory_halves_the_tile_and_says_so() -> None:
    image = np.random.default_rng(6).random((300, 300), dtype=np.float32)
    out = np.zeros((3, 300, 300), dtype=np.float32)
    events: list = []

    def write(rows: slice, columns: slice, values: np.ndarray) -> None:
        out[:, rows, columns] = values

    steps = tiling.predict(
        Hungry(80 * 80), lambda r, c: image[r, c], write, image.shape, device=choose_device("cpu")
    )
    run(steps, events.append)
    np.testing.assert_array_equal(out, np.stack([image] * 3))
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert notices
    assert "75 px" in notices[-1]
    assert [e for e in events if isinstance(e, Progress)][-1].done == 16


def test_out_of_memory_at_the_smallest_tile_is_said() -> None:
    steps = tiling.predict(
        Hungry(10),
        lambda r, c: np.zeros((100, 100), np.float32)[r, c],
        lambda *_: None,
        (100, 100),
        device=choose_device("cpu"),
    )
    with pytest.raises(InputError, match="Out of memory"):
        run(steps)


def test_other_errors_are_not_swallowed() -> None:
    class Broken(Hungry):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes do not match")

    steps = tiling.predict(
        Broken(1), lambda r, c: np.zeros((9, 9), np.float32), lambda *_: None, (9, 9)
    )
    with pytest.raises(RuntimeError, match="shapes"):
        run(steps)


def test_stopping_the_iteration_stops_the_work(network: torch.nn.Module) -> None:
    calls = 0

    def read(rows: slice, columns: slice) -> np.ndarray:
        nonlocal calls
        calls += 1
        return np.zeros((200, 200), np.float32)[rows, columns]

    steps = tiling.predict(network, read, lambda *_: None, (200, 200), tile=50)
    next(steps)
    steps.close()
    assert calls == 1
