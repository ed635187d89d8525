"""The reference's segmentation network: its size, its reach, its one sigmoid, its dropout."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_axongen.core import tiling
from napari_axongen.core.device import choose_device
from napari_axongen.core.events import run
from napari_axongen.core.networks import TileExactNetwork, build


@pytest.fixture
def network() -> TileExactNetwork:
    torch.manual_seed(1)
    return build({"name": "nano", "out_channels": 2}).eval()


def test_it_has_the_references_parameters(network: TileExactNetwork) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 641_153
    assert {tuple(p.shape[2:]) for p in network.parameters() if p.dim() == 4} == {(5, 5), (1, 1)}


def test_it_sees_44_pixels_and_no_more(network: TileExactNetwork) -> None:
    """All weights positive: every pixel that can matter does, as the mean of what is pooled."""
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 1e-2)
    reach = []
    for pixel in range(40, 44):  # each place on the stride
        x = torch.ones(1, 1, 80, 80, requires_grad=True)
        with pytest.MonkeyPatch.context() as patch:
            functional = torch.nn.functional
            patch.setattr(functional, "max_pool2d", functional.avg_pool2d)
            network(x)[0, 1, pixel, pixel].backward()
        for axis in (0, 1):
            seen = x.grad[0, 0].abs().sum(axis).nonzero().ravel()
            assert int(seen.max() - seen.min()) + 1 == 44
            reach += [pixel - int(seen.min()), int(seen.max()) - pixel]
    assert max(reach) == network.receptive_radius


def test_tiles_equal_the_whole_image(network: TileExactNetwork) -> None:
    image = np.random.default_rng(2).random((131, 77), dtype=np.float32)

    def predicted(tile: int) -> np.ndarray:
        out = np.full((2, *image.shape), np.nan, dtype=np.float32)

        def write(rows: slice, columns: slice, values: np.ndarray) -> None:
            out[:, rows, columns] = values

        run(
            tiling.predict(
                network,
                lambda rows, columns: image[rows, columns],
                write,
                image.shape,
                device=choose_device("cpu"),
                tile=tile,
            )
        )
        return out

    whole = predicted(1000)
    assert np.abs(whole - predicted(24)).max() <= 1e-4
    assert np.abs(whole[1]).max() > 1e-3


def test_the_softmax_is_the_sigmoid_of_its_one_output(network: TileExactNetwork) -> None:
    logits = network(torch.rand(1, 1, 16, 24))
    assert logits.shape == (1, 2, 16, 24)
    assert network.head.out_channels == 1
    torch.testing.assert_close(torch.softmax(logits, 1)[:, 1], torch.sigmoid(logits[:, 1]))


def test_dropout_acts_in_training_alone_and_leaves_the_finest_skip(
    network: TileExactNetwork,
) -> None:
    x = torch.rand(1, 1, 16, 16)
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))
    # Of the last convolution only what comes up is dropped: without it nothing is random.
    with torch.no_grad():
        network.up[1].weight[:, :64] = 0
    assert torch.equal(network(x), network(x))


def test_three_classes_have_a_logit_each_but_the_background() -> None:
    network = build({"name": "nano", "out_channels": 3})
    logits = network(torch.rand(1, 1, 8, 8))
    assert logits.shape == (1, 3, 8, 8)
    assert not logits[:, 0].any()
    with pytest.raises(ValueError, match="two classes"):
        build({"name": "nano", "out_channels": 1})
