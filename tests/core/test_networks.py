"""The networks' claims about themselves: stride, reach, memory, refusal of bad arguments."""

from __future__ import annotations

import pytest
import torch

from napari_axongen.core.networks import build


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_receptive_radius_bounds_what_a_pixel_depends_on(levels: int) -> None:
    torch.manual_seed(0)
    network = build({"name": "unet", "channels": [4] * levels}).eval()
    side = 8 * network.stride * max(1, network.receptive_radius // network.stride // 2)
    side = max(side, 2 * network.receptive_radius + 2 * network.stride)
    side += -side % network.stride
    x = torch.randn(1, 1, side, side, requires_grad=True)
    middle = side // 2
    network(x)[0, :, middle, middle].abs().sum().backward()
    touched = x.grad[0, 0].abs().sum(0).nonzero().ravel()
    reach = max(middle - int(touched.min()), int(touched.max()) - middle)
    assert reach <= network.receptive_radius
    assert reach >= network.receptive_radius / 2  # and the claim is not idle


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
