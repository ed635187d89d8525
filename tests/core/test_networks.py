"""The networks' claims about themselves: stride, reach, memory, refusal of bad arguments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch

from napari_axongen.core.networks import build, fold_batch_norm


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_receptive_radius_is_what_gradients_show(levels: int) -> None:
    """All weights 1 and nothing clipped or pooled away: every pixel that can matter does."""
    network = build({"name": "unet", "channels": [1] * levels, "out_channels": 1})
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.ones_(module.weight)
    side = (2 * network.receptive_radius // network.stride + 4) * network.stride
    middle = side // 2 // network.stride * network.stride
    reach = 0
    for phase in range(network.stride):
        pixel = middle + phase
        x = torch.ones(1, 1, side, side, requires_grad=True)
        with pooling_by_mean():
            network.eval()(x)[0, 0, pixel, pixel].backward()
        touched = x.grad[0, 0].abs().sum(0).nonzero().ravel()
        reach = max(reach, pixel - int(touched.min()), int(touched.max()) - pixel)
    assert reach == network.receptive_radius


@contextlib.contextmanager
def pooling_by_mean() -> Iterator[None]:
    """Let the gradient through to both pixels of a pair, as the maximum may be either."""
    functional = torch.nn.functional
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "max_pool2d", functional.avg_pool2d)
        yield


def test_folding_the_normalisation_changes_nothing_but_the_time() -> None:
    torch.manual_seed(0)
    network = build({"name": "unet", "channels": [4, 6, 8]})
    with torch.no_grad():
        for _ in range(5):
            network(torch.rand(2, 1, 32, 32))
    network.eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batch_norm(network)
    x = torch.rand(1, 1, 48, 64)
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_sizes() -> None:
    network = build({"name": "unet", "channels": [4, 6, 8], "in_channels": 2, "out_channels": 5})
    assert network.stride == 4
    assert network(torch.zeros(1, 2, 16, 24)).shape == (1, 5, 16, 24)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"name": "vgg"}, "unknown"),
        ({}, "unknown"),
        ({"name": "unet", "depth": 3, "channels": [4]}, "does not take"),
        ({"name": "unet", "channels": []}, "at least one level"),
    ],
)
def test_bad_networks_are_refused_by_name(network: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(network)
