"""Translation of arrays of every kind, by tiny translators and the shipped segmenters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_axongen.core.device import choose_device
from napari_axongen.core.events import run
from napari_axongen.core.networks import build
from napari_axongen.core.rendering import Source, render_plane


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(3)
    return build({"name": "translator", "channels": [8, 12]}).eval().requires_grad_(False)


def fibres(shape: tuple[int, int], radius: float = 9) -> tuple[np.ndarray, np.ndarray]:
    """Fibres in rows, and a grey image of them with noise."""
    y, x = np.indices(shape)
    far = np.hypot(y % (3 * radius) - 1.5 * radius, x % (3 * radius) - 1.5 * radius)
    classes = np.select([far < radius, far < 1.4 * radius], [255, 127], 0).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 0.1, shape)
    return classes, (np.choose(classes // 127, [0.5, 0.1, 0.9]) + noise).astype(np.float32)


def rendered(
    network: torch.nn.Module, shape: tuple[int, int], condition: str, scale: float, tile: int
) -> np.ndarray:
    """What the network makes, -1..1."""
    classes, grey = fibres(shape)
    out = np.full(shape, np.nan, np.float32)

    def write(rows: slice, columns: slice, values: np.ndarray) -> None:
        out[rows, columns] = values[0]

    source = Source(
        shape,
        (lambda r, c: classes[r, c]) if "mask" in condition else None,
        (lambda r, c: grey[r, c]) if "structure" in condition else None,
    )
    device = choose_device("cpu")
    run(render_plane(network, source, write, scale=scale, seed=5, device=device, tile=tile))
    assert not np.isnan(out).any()
    return out


@pytest.mark.parametrize("condition", ["mask", "mask and structure", "structure"])
@pytest.mark.parametrize("scale", [1.0, 0.37, 0.5, 1.6])
@pytest.mark.parametrize("shape", [(96, 128), (131, 77), (301, 270)])
def test_tiles_equal_the_whole(
    network: torch.nn.Module, shape: tuple[int, int], scale: float, condition: str
) -> None:
    whole = rendered(network, shape, condition, scale, 10_000)
    assert whole.std() > 1e-3
    for tile in (29, 64, 110):
        tiled = rendered(network, shape, condition, scale, tile)
        assert np.abs(whole - tiled).max() <= 1e-4
