"""The reference's denoiser: what it computes, square by square, and its checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_axongen.core.diffusion import process
from napari_axongen.core.errors import InputError
from napari_axongen.core.models import import_checkpoint, load_card, load_network, user_folder
from napari_axongen.core.models.store import save_model
from napari_axongen.core.networks import ClassicDenoiser, build
from napari_axongen.core.rendering import grey_levels

State = dict[str, Tensor]
SIDE = 64
NO_DOMAIN = torch.zeros(1, dtype=torch.int64)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of its own for every test."""
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "user"))


def reference(channels: int = 3, width: int = 8, told: int = 16, seed: int = 0) -> State:
    """A state_dict with the names and shapes of the reference's, written out by hand."""
    rng = np.random.default_rng(seed)
    state: State = {}

    def drawn(key: str, *shape: int, mean: float = 0.0) -> None:
        scale = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.2
        state[key] = torch.from_numpy((mean + rng.normal(0, scale, shape)).astype(np.float32))

    def affine(key: str, size: int) -> None:
        drawn(f"{key}.weight", size, mean=1)
        drawn(f"{key}.bias", size)

    def linear(key: str, inputs: int, outputs: int) -> None:
        drawn(f"{key}.weight", outputs, inputs)
        drawn(f"{key}.bias", outputs)

    def double(key: str, inputs: int, outputs: int, between: int | None = None) -> None:
        between = between or outputs
        drawn(f"{key}.double_conv.0.weight", between, inputs, 3, 3)
        affine(f"{key}.double_conv.1", between)
        drawn(f"{key}.double_conv.3.weight", outputs, between, 3, 3)
        affine(f"{key}.double_conv.4", outputs)

    a, b, c, d = width, 2 * width, 4 * width, 8 * width
    double("inc", channels, a)
    for level, (inputs, outputs) in enumerate([(a, b), (b, c), (c, c)], 1):
        double(f"down{level}.maxpool_conv.1", inputs, inputs)
        double(f"down{level}.maxpool_conv.2", inputs, outputs)
        linear(f"down{level}.emb_layer.1", told, outputs)
    for level, (inputs, outputs) in enumerate([(c, d), (d, d), (d, c)], 1):
        double(f"bot{level}", inputs, outputs)
    for level, (inputs, outputs) in enumerate([(d, b), (c, a), (b, a)], 1):
        double(f"up{level}.conv.0", inputs, inputs)
        double(f"up{level}.conv.1", inputs, outputs, inputs // 2)
        linear(f"up{level}.emb_layer.1", told, outputs)
    for level, size in enumerate([b, c, c, b, a, a], 1):
        drawn(f"sa{level}.mha.in_proj_weight", 3 * size, size)
        drawn(f"sa{level}.mha.in_proj_bias", 3 * size)
        linear(f"sa{level}.mha.out_proj", size, size)
        affine(f"sa{level}.ln", size)
        affine(f"sa{level}.ff_self.0", size)
        linear(f"sa{level}.ff_self.1", size, size)
        linear(f"sa{level}.ff_self.3", size, size)
    drawn("outc.weight", channels, a, 1, 1)
    drawn("outc.bias", channels)
    return state


def computed(state: State, x: Tensor, step: int) -> Tensor:
    """What the reference computes, by other functions of torch than ours."""
    gelu, linear = functional.gelu, functional.linear

    def of(key: str) -> tuple[Tensor, Tensor]:
        return state[f"{key}.weight"], state[f"{key}.bias"]

    def double(x: Tensor, key: str) -> Tensor:
        for convolution, norm in ((0, 1), (3, 4)):
            x = functional.conv2d(x, state[f"{key}.double_conv.{convolution}.weight"], padding=1)
            x = functional.group_norm(x, 1, *of(f"{key}.double_conv.{norm}"))
            x = gelu(x) if convolution == 0 else x
        return x

    def block(x: Tensor, key: str, first: str, second: str) -> Tensor:
        x = double(gelu(x + double(x, f"{key}.{first}")), f"{key}.{second}")
        return x + linear(functional.silu(told), *of(f"{key}.emb_layer.1"))[..., None, None]

    def down(x: Tensor, level: int) -> Tensor:
        x = functional.max_pool2d(x, 2)
        return attend(block(x, f"down{level}", "maxpool_conv.1", "maxpool_conv.2"), level)

    def up(x: Tensor, skip: Tensor, level: int) -> Tensor:
        x = torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)(x)
        return attend(block(torch.cat([skip, x], 1), f"up{level}", "conv.0", "conv.1"), level + 3)

    def attend(x: Tensor, level: int) -> Tensor:
        key, size = f"sa{level}", x.shape[1]
        heads = torch.nn.MultiheadAttention(size, 4, batch_first=True)
        prefix = f"{key}.mha."
        heads.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if prefix in k})
        places = x.view(len(x), size, -1).swapaxes(1, 2)
        seen = functional.layer_norm(places, (size,), *of(f"{key}.ln"))
        places = places + heads(seen, seen, seen)[0]
        made = functional.layer_norm(places, (size,), *of(f"{key}.ff_self.0"))
        made = linear(gelu(linear(made, *of(f"{key}.ff_self.1"))), *of(f"{key}.ff_self.3"))
        return (made + places).swapaxes(2, 1).view(x.shape)

    size = state["down1.emb_layer.1.weight"].shape[1]
    phase = step / 10000 ** (torch.arange(0, size, 2).float() / size)
    told = torch.cat([phase.sin(), phase.cos()])[None]
    one = double(x, "inc")
    two, three = (first := down(one, 1)), down(first, 2)
    x = down(three, 3)
    for level in (1, 2, 3):
        x = double(x, f"bot{level}")
    x = up(up(up(x, three, 1), two, 2), one, 3)
    return functional.conv2d(x, *of("outc"))


def network_of(state: State, **arguments: int) -> ClassicDenoiser:
    network = ClassicDenoiser(**arguments).eval()
    network.load_state_dict(state)
    return network


@pytest.fixture(scope="module")
def small() -> ClassicDenoiser:
    return network_of(reference(1), channels=1, width=8, told=16)


def noisy(*shape: int, seed: int = 1) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


# ---------------------------------------------------------------- what it is


@pytest.mark.parametrize("channels", [1, 3])
def test_as_large_as_the_reference(channels: int) -> None:
    with torch.device("meta"):
        network = build({"name": "classic-denoiser", "channels": channels})
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    expected = reference(channels, 64, 256)
    assert shapes == {key: tuple(value.shape) for key, value in expected.items()}
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(23.3e6, rel=0.01)
    assert network.fixed_tile == network.stride == SIDE
    assert network.receptive_radius == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_it_computes_what_the_reference_does(channels: int) -> None:
    state = reference(channels)
    network = network_of(state, channels=channels, width=8, told=16)
    x = noisy(2, channels, SIDE, SIDE)
    with torch.inference_mode():
        for step in (1, 999):
            expected = computed(state, x, step)
            assert expected.std() > 0.1
            made = network.noise(x, torch.full((2,), step))
            torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-3)


def test_only_the_noisy_image_and_its_level_count(small: ClassicDenoiser) -> None:
    x = noisy(2, 6, SIDE, SIDE)
    other = torch.cat([x[:, :-1] + 1, x[:, -1:]], 1)
    level = torch.tensor([0.3, 0.8])
    with torch.inference_mode():
        made = small(x, level, torch.tensor([0, 1]))
        assert made.shape == (2, 1, SIDE, SIDE)
        assert torch.equal(made, small(other, level, torch.tensor([2, 2])))
        assert not torch.allclose(made, small(x, level.flip(0), torch.tensor([0, 1])), atol=1e-3)
        assert not torch.allclose(made, small(x.flip(0), level, torch.tensor([0, 1])), atol=1e-3)


def test_levels_are_the_steps_of_the_reference(
    small: ClassicDenoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both as samplers tell them and as training does."""
    seen: list[int] = []

    def note(x: Tensor, steps: Tensor) -> Tensor:
        seen.extend(steps.tolist())
        return x

    monkeypatch.setattr(small, "noise", note)
    known = process("noise")
    way = known.way("ddpm", 1000)
    levels = known.told((torch.arange(1000) + 0.5) / 1000)
    for told in (torch.tensor(way.told), levels.flip(0)):
        seen.clear()
        small(torch.zeros(1000, 1, SIDE, SIDE), told, NO_DOMAIN)
        assert seen == list(reversed(range(1000)))


def test_the_step_that_was_never_trained_is_the_first(small: ClassicDenoiser) -> None:
    x = noisy(1, 1, SIDE, SIDE)
    with torch.inference_mode():
        zeroth, first, second = (small.noise(x, torch.tensor([step])) for step in (0, 1, 2))
    assert torch.equal(zeroth, first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("wrong", [
    {"channels": 0}, {"width": 6}, {"width": 0}, {"told": 7}, {"told": 0}, {"depth": 3},
])  # fmt: skip
def test_bad_arguments_are_value_errors(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="classic-denoiser"):
        build({"name": "classic-denoiser"} | wrong)


# ---------------------------------------------------------------- squares


def test_squares_are_worked_on_each_by_itself(small: ClassicDenoiser) -> None:
    x = noisy(2, 6, 2 * SIDE, 3 * SIDE)  # more than are worked on at once
    level = torch.tensor([0.2, 0.9])
    with torch.inference_mode():
        made = small(x, level, NO_DOMAIN)
        for row in range(0, 2 * SIDE, SIDE):
            for column in range(0, 3 * SIDE, SIDE):
                window = (..., slice(row, row + SIDE), slice(column, column + SIDE))
                alone = small(x[window], level, NO_DOMAIN)
                torch.testing.assert_close(made[window], alone, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="no multiple of 64"):
        small(x[..., :80, :], level, NO_DOMAIN)


def test_every_pixel_of_a_square_counts_for_every_other(small: ClassicDenoiser) -> None:
    x = noisy(1, 6, SIDE, 2 * SIDE).requires_grad_()
    small(x, torch.tensor([0.5]), NO_DOMAIN)[0, 0, 0, 0].backward()
    assert x.grad is not None
    touched = x.grad[0, -1] != 0
    assert touched[-1, SIDE - 1]
    assert not touched[:, SIDE:].any()
    assert not x.grad[0, :-1].any()


# ---------------------------------------------------------------- channels


class Ideal(ClassicDenoiser):
    """The best that can be said of images whose pixels are normal, of some deviation, by chance."""

    deviation = 0.5

    def noise(self, x: Tensor, steps: Tensor) -> Tensor:
        kept = process("noise").schedule.kept[steps.long()].view(-1, 1, 1, 1)  # type: ignore[attr-defined]
        variance = self.deviation**2
        trust = kept.sqrt() * variance / (kept * variance + (1 - kept) / self.channels)
        image = trust * x.double().mean(1, keepdim=True)
        return ((x - kept.sqrt() * image) / (1 - kept).sqrt()).to(x.dtype)


@pytest.mark.parametrize("step", [20, 200, 500, 800, 940, 999])
def test_of_three_channels_as_much_is_known_as_of_one(step: int) -> None:
    """Images, not noise, are compared: where there is hardly any image, all noises look alike."""
    kept = float(process("noise").schedule.kept[step])  # type: ignore[attr-defined]
    x = kept**0.5 * Ideal.deviation * noisy(1, 1, SIDE, SIDE)
    x = x + (1 - kept) ** 0.5 * noisy(1, 1, SIDE, SIDE, seed=2)
    level = torch.tensor([(step + 1) / 1000])
    one, three = (Ideal(n, width=4, told=2)(x, level, NO_DOMAIN) for n in (1, 3))
    images = [((x - (1 - kept) ** 0.5 * made) / kept**0.5) for made in (one, three)]
    torch.testing.assert_close(images[1], images[0], atol=0.03, rtol=0)


@pytest.mark.parametrize("step", [1, 100, 500, 900, 999])
def test_a_network_of_three_channels_is_shown_what_it_was_trained_on(step: int) -> None:
    """Of an image, and noise of the level that it is told, which differs between the channels."""
    network = ClassicDenoiser(3, width=4, told=2)
    known = process("noise").schedule  # type: ignore[attr-defined]
    shown: list[tuple[Tensor, Tensor]] = []
    network.noise = lambda x, steps: shown.append((x, steps)) or x  # type: ignore[method-assign]
    image = 0.5 * torch.ones(1, 1, SIDE, SIDE)
    x = known.noised(image, noisy(1, 1, SIDE, SIDE), torch.tensor([step]))
    network(x, torch.tensor([(step + 1) / 1000]), NO_DOMAIN)
    ((seen, steps),) = shown
    kept = float(known.kept[int(steps)])
    assert int(steps) == steps >= step
    rest = (seen - kept**0.5 * 0.5) / (1 - kept) ** 0.5
    table = torch.corrcoef(rest[0].flatten(1))
    tolerance = 0.2 if step == 1 else 0.06  # steps are far apart at the beginning
    torch.testing.assert_close(table, torch.eye(3), atol=tolerance, rtol=0)
    torch.testing.assert_close(rest.std(), torch.tensor(1.0), atol=tolerance, rtol=0)


# ---------------------------------------------------------------- checkpoints


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


CHECKPOINTS: dict[str, Callable[[State], Any]] = {
    "as the reference saves it": lambda state: state,
    "of several devices": lambda state: {f"module.{key}": value for key, value in state.items()},
    "in a dictionary": lambda state: {"epoch": 900, "state_dict": state},
    "in double precision": lambda state: {key: value.double() for key, value in state.items()},
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_becomes_a_model(tmp_path: Path, case: str) -> None:
    state = reference()
    path = saved(tmp_path / "ckpt.pt", CHECKPOINTS[case](state))
    made = import_checkpoint(path, "old-ddpm", "SEM", pixel_size=0.1, axon_diameter=30)
    network, card, _ = load_network("old-ddpm")
    assert card == made == load_card("old-ddpm")
    assert (card.task, card.contrast, card.source) == ("diffusion", "SEM", None)
    assert (card.pixel_size, card.axon_diameter) == (0.1, 30)
    assert card.network == {"name": "classic-denoiser", "channels": 3, "width": 8, "told": 16}
    assert card.training["imported"]["file"] == "ckpt.pt"
    assert (user_folder() / "old-ddpm.safetensors").read_bytes()[8:9] == b"{"
    assert isinstance(network, ClassicDenoiser)
    x = noisy(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        torch.testing.assert_close(
            network.noise(x, torch.tensor([400])), computed(state, x, 400), atol=1e-4, rtol=1e-3
        )


def test_images_span_all_greys_and_look_like_those_it_was_trained_on(tmp_path: Path) -> None:
    path = saved(tmp_path / "ckpt.pt", reference(1))
    means = {}
    for target in ("TEM", "SEM"):
        import_checkpoint(path, target.lower(), target)
        looks = load_card(target.lower()).looks
        assert list(looks) == [target]
        low, high = looks[target].grey_range
        quantiles = low + (high - low) * np.array(looks[target].quantiles)
        assert (np.diff(quantiles) > 0).all()
        assert quantiles[0] >= 0
        assert quantiles[-1] <= 255
        means[target] = quantiles.mean()
        ends = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
        np.testing.assert_allclose(grey_levels(ends, (low, high)), [0, 127.5, 255], atol=0.5)
    assert means["SEM"] < means["TEM"]  # myelin is bright in SEM alone, and there is less of it


def changed(**changes: Tensor | None) -> Callable[[State], Any]:
    def make(state: State) -> Any:
        new = state | {key.replace("__", "."): value for key, value in changes.items()}
        return {key: value for key, value in new.items() if value is not None}

    return make


BAD: dict[str, tuple[Callable[[State], Any], str]] = {
    "another network": (lambda state: {"conv.weight": torch.zeros(3)}, "nor of the reference's"),
    "of patches": (lambda state: reference(12), "takes 12 channels"),
    "conditional": (changed(label_emb__weight=torch.zeros(3, 16)), "is told of classes"),
    "no deep layer": (changed(bot2__double_conv__0__weight=None), r"'bot2.*' is missing"),
    "a key too many": (changed(fc__weight=torch.zeros(1)), "'fc.weight' in .* is not of"),
    "another shape": (changed(sa3__ln__bias=torch.zeros(5)), r"shape \(5,\) instead of \(32,\)"),
    "a flat first": (changed(inc__double_conv__0__weight=torch.zeros(5)), "instead of 4 axes"),
    "a flat step": (changed(down1__emb_layer__1__weight=torch.zeros(5)), "instead of 2 axes"),
    "no step": (changed(down1__emb_layer__1__weight=None), "'down1.emb_layer.1.weight' is missing"),
    "an odd width": (
        changed(inc__double_conv__0__weight=torch.zeros(6, 3, 3, 3)), "cannot be built"
    ),
    "other outputs": (changed(outc__bias=torch.zeros(1)), r"'outc.bias' in .* has shape"),
    "integers": (changed(outc__bias=torch.zeros(3, dtype=torch.int64)), "torch.int64"),
    "not finite": (changed(outc__bias=torch.full((3,), torch.nan)), "not finite"),
    "a number": (lambda state: state | {"epoch": 3}, "holds 'epoch', which is no tensor"),
    "an object": (lambda state: state | {"path": Path()}, "holds an object of pathlib"),
    "a whole network": (lambda state: ClassicDenoiser(3, 4, 4), "holds an object of"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_anything_else_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    path = saved(tmp_path / "bad.pt", make(reference()))
    with pytest.raises(InputError, match=message) as error:
        import_checkpoint(path, "bad", "SEM")
    text = str(error.value)
    assert "bad.pt" in text
    assert "\n" not in text
    assert len(text.replace(str(path), "")) < 250, text
    assert not user_folder().exists()


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Nothing but the tensors of the reference is in its file."""
    import_checkpoint(saved(tmp_path / "ckpt.pt", reference()), "old", "TEM")
    network, card, _ = load_network("old")
    save_model(tmp_path / "again.safetensors", network, card)
    first = (user_folder() / "old.safetensors").read_bytes()
    assert (tmp_path / "again.safetensors").read_bytes() == first
