"""The reference's networks: sizes, fields, and that squares are rendered each by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_axongen.core import tiling
from napari_axongen.core.device import choose_device
from napari_axongen.core.events import run
from napari_axongen.core.networks import ClassicDiscriminator, ClassicGenerator, build
from napari_axongen.core.networks.classic import mask_channel
from napari_axongen.core.training import classic

SMALL = {"name": "classic", "width": 4, "depth": 4}
SIDE = 16


def condition(shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    classes = torch.from_numpy(rng.integers(0, 3, (1, *shape)))
    mask = torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float()
    others = torch.from_numpy(rng.standard_normal((1, 3, *shape), dtype=np.float32))
    return torch.cat([mask, others], 1)


@pytest.fixture(scope="module")
def small() -> torch.nn.Module:
    """With statistics that are not those of the first call, and values that differ."""
    torch.manual_seed(1)
    network = build(SMALL)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.weight *= 10
        for seed in range(3):
            network.train()(condition((2 * SIDE, 3 * SIDE), seed))
    return network.eval()


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize(("channels", "generator", "discriminator"), [
    (3, 54_413_955, 2_768_705),  # the reference's own files
    (1, 54_407_809, 2_764_609),
])  # fmt: skip
def test_as_large_as_the_reference(channels: int, generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        network = build({"name": "classic", "in_channels": channels, "out_channels": channels})
        critic = ClassicDiscriminator(2 * channels)
    assert sum(p.numel() for p in network.parameters()) == generator
    assert sum(p.numel() for p in critic.parameters()) == discriminator
    assert network.fixed_tile == network.stride == 256


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(channels: int) -> None:
    network = ClassicGenerator(channels, channels, width=2, depth=6).eval()
    critic = ClassicDiscriminator(2 * channels, width=2)
    given = condition((64, 128))
    image = network(given)
    assert image.shape == (1, 1, 64, 128)
    assert image.abs().max() <= 1
    assert critic(given, image).shape == (1, 1, 6, 14)
    assert critic(condition((256, 256)), torch.zeros(1, 1, 256, 256)).shape == (1, 1, 30, 30)


def test_weights_begin_as_those_of_pix2pix() -> None:
    torch.manual_seed(0)
    network = ClassicGenerator(width=16, depth=5)
    for module in network.modules():
        if isinstance(module, torch.nn.ConvTranspose2d | torch.nn.BatchNorm2d):
            normal = isinstance(module, torch.nn.BatchNorm2d)
            weights = module.weight.detach().numpy()
            error = 5 * 0.02 / math.sqrt(weights.size)
            assert abs(weights.mean() - normal) < error
            assert abs(weights.std() - 0.02) < error
            assert module.bias is None or not module.bias.any()


@pytest.mark.parametrize("wrong", [
    {"width": 0}, {"depth": 1}, {"depth": 40}, {"in_channels": 0}, {"dropout": True},
    {"value_range": [1, -1]}, {"value_range": [1]}, {"value_range": "ab"},
])  # fmt: skip
def test_bad_arguments_are_value_errors(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"classic|value_range|unpack"):
        build(SMALL | wrong)
    with pytest.raises(TypeError, match="even"):
        ClassicDiscriminator(3)


# ---------------------------------------------------------------- what they see


def test_the_mask_is_one_channel_of_three_levels() -> None:
    given = torch.zeros(1, 6, 1, 3)
    for pixel in range(3):
        given[0, pixel, 0, pixel] = 1
    expected = torch.tensor([0.0, 127.0, 255.0]) / 127.5 - 1
    torch.testing.assert_close(mask_channel(given)[0, 0, 0], expected)


def test_only_the_mask_counts(small: torch.nn.Module) -> None:
    given = condition((SIDE, SIDE))
    changed = given.clone()
    changed[:, 3:] += 1
    with torch.inference_mode():
        assert torch.equal(small(given), small(changed))
        changed[:, :3] = condition((SIDE, SIDE), 1)[:, :3]
        assert not torch.allclose(small(given), small(changed), atol=1e-3)


def test_a_patch_has_70_pixels() -> None:
    """By gradients: with weights of 1 and nothing clipped, every pixel that can matter does."""
    critic = ClassicDiscriminator(width=1).eval()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.fill_(1)
    image = torch.ones(1, 1, 128, 128, requires_grad=True)
    critic(condition((128, 128)).abs(), image)[0, 0, 7, 7].backward()
    assert image.grad is not None
    touched = image.grad[0, 0] != 0
    for axis in (0, 1):
        places = touched.any(axis).nonzero().ravel()
        assert int(places.max() - places.min()) + 1 == len(places) == 70


# ---------------------------------------------------------------- squares


def test_squares_are_rendered_each_by_itself(small: torch.nn.Module) -> None:
    given = condition((3 * SIDE, 4 * SIDE))  # more than are rendered at once
    with torch.inference_mode():
        image = small(given)
        for row in range(0, 3 * SIDE, SIDE):
            for column in range(0, 4 * SIDE, SIDE):
                window = (..., slice(row, row + SIDE), slice(column, column + SIDE))
                torch.testing.assert_close(image[window], small(given[window]))
    with pytest.raises(ValueError, match="no multiple of 16"):
        small(given[..., :20, :])


def test_every_pixel_of_a_square_counts_for_every_other(small: torch.nn.Module) -> None:
    """So no margin makes a tile exact, and the squares are all that can be promised."""
    given = condition((SIDE, 2 * SIDE)).requires_grad_()
    small(given)[0, 0, 0, 0].backward()
    assert given.grad is not None
    touched = given.grad[0, 2] != 0
    assert touched[-1, SIDE - 1]
    assert not touched[:, SIDE:].any()


@pytest.mark.parametrize("scale", [1.0, 0.45, 1.7])
@pytest.mark.parametrize("shape", [(48, 64), (61, 37)])
def test_tiles_equal_the_whole(
    small: torch.nn.Module, shape: tuple[int, int], scale: float
) -> None:
    class OfGrey(torch.nn.Module):
        """Takes grey values as the axon's channel, as one-channel images are what is read here."""

        stride, receptive_radius, bytes_per_pixel = SIDE, small.receptive_radius, 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return small(torch.cat([1 - x, 0 * x, x], 1))

    grey = np.random.default_rng(2).random(shape, dtype=np.float32)

    def whole(tile: int) -> np.ndarray:
        out = np.full((1, *shape), np.nan, dtype=np.float32)

        def write(rows: slice, columns: slice, values: np.ndarray) -> None:
            out[:, rows, columns] = values

        run(
            tiling.predict(
                OfGrey(),
                lambda r, c: grey[r, c],
                write,
                shape,
                scale=scale,
                tile=tile,
                device=choose_device("cpu"),
            )
        )
        return out

    once = whole(1000)
    assert once.std() > 1e-2
    for tile in (13, 32):
        np.testing.assert_allclose(whole(tile), once, atol=1e-5)


def test_one_condition_gives_one_image(small: torch.nn.Module) -> None:
    """Unlike the reference, which normalises by the tile's own statistics also at inference."""
    given = condition((SIDE, SIDE))
    before = {key: value.clone() for key, value in small.state_dict().items()}
    with torch.inference_mode():
        first = small(given)
        small(condition((4 * SIDE, SIDE), 1))
        assert torch.equal(small(given), first)
    assert all(torch.equal(value, before[key]) for key, value in small.state_dict().items())


def test_training_normalises_over_the_whole_batch() -> None:
    torch.manual_seed(0)
    network = ClassicGenerator(width=2, depth=3)
    given = condition((8 * 8, 8))
    stacked = given.view(1, 6, 8, 8, 8).transpose(1, 2).reshape(8, 6, 8, 8)
    images = network.train()(given)
    torch.testing.assert_close(images.view(8, 1, 8, 8), network(stacked))


def test_a_narrow_range_is_the_same_network_on_shrunken_values() -> None:
    torch.manual_seed(0)
    wide = ClassicGenerator(width=4, depth=4).eval()
    narrow = ClassicGenerator(width=4, depth=4, value_range=(-1, -0.5)).eval()
    narrow.load_state_dict(wide.state_dict())
    seen: list[torch.Tensor] = []
    narrow.down[0].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    narrow.up[-1].register_forward_hook(lambda _, __, made: seen.append(torch.tanh(made)))
    given = condition((SIDE, SIDE))
    with torch.inference_mode():
        image = narrow(given)
    np.testing.assert_allclose(np.unique(seen[0]), [-1, -0.75, -0.5], atol=2e-3)
    torch.testing.assert_close(image, ((seen[1] + 0.75) / 0.25).clamp(-1, 1))


# ---------------------------------------------------------------- training


def test_losses_are_those_of_the_reference() -> None:
    real, fake = torch.tensor([[0.3, -1.0]]), torch.tensor([[2.0, 0.5]])
    bce = torch.nn.BCELoss()
    expected = (
        bce(torch.sigmoid(real), torch.ones(1, 2)) + bce(torch.sigmoid(fake), torch.zeros(1, 2))
    ) / 2
    torch.testing.assert_close(classic.discriminator_loss(real, fake), expected)
    made, image = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.25)
    torch.testing.assert_close(
        classic.generator_loss(fake, made, image), bce(torch.sigmoid(fake), torch.ones(1, 2)) + 25
    )


def test_it_learns_an_image_by_heart() -> None:
    torch.manual_seed(0)
    given = condition((SIDE, 2 * SIDE))
    image = mask_channel(given) * -0.5  # the other contrast
    networks = ClassicGenerator(width=8, depth=4), ClassicDiscriminator(width=4, layers=1)
    steps = [
        torch.optim.Adam(n.parameters(), lr=10 * classic.LEARNING_RATE, betas=classic.BETAS)
        for n in networks
    ]
    generator, critic = networks
    distances = []
    for _ in range(40):
        made = generator(given)
        distances.append(float((made.detach() - image).abs().mean()))
        loss = classic.discriminator_loss(critic(given, image), critic(given, made.detach()))
        steps[1].zero_grad()
        loss.backward()
        steps[1].step()
        steps[0].zero_grad()
        classic.generator_loss(critic(given, made), made, image).backward()
        steps[0].step()
    assert distances[-1] < 0.45 * distances[0]
