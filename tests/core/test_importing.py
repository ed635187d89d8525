"""Checkpoints of pix2pix become models; anything else in such a file is refused in a sentence."""

from __future__ import annotations

import contextlib
import fractions
import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import run
from napari_axongen.core.image import Image
from napari_axongen.core.models import (
    import_checkpoint,
    importing,
    load_card,
    load_network,
    store,
    user_folder,
)
from napari_axongen.core.parameters import TranslateParameters
from napari_axongen.core.rendering import grey_levels
from napari_axongen.core.translation import translate_steps

State = dict[str, Tensor]

# As the reference writes them: the outermost level, the next, one in the middle, the innermost.
KNOWN_KEYS = [
    "model.model.0.weight",
    "model.model.1.model.1.weight",
    "model.model.1.model.2.running_mean",
    "model.model.1.model.3.model.2.weight",
    "model.model.1.model.3.model.3.model.5.weight",
    "model.model.1.model.3.model.3.model.6.running_var",
    "model.model.1.model.3.model.3.model.3.model.3.model.3.model.3.model.1.weight",
    "model.model.1.model.3.model.3.model.3.model.3.model.3.model.3.model.3.weight",
    "model.model.1.model.3.model.3.model.3.model.3.model.3.model.3.model.4.bias",
    "model.model.1.model.6.num_batches_tracked",
    "model.model.3.weight",
    "model.model.3.bias",
]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of its own for every test, with nothing shipped."""
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "user"))
    monkeypatch.setattr(store, "SHIPPED_FOLDER", tmp_path / "shipped")


def reference(channels: int = 3, width: int = 2, depth: int = 8, seed: int = 0) -> State:
    """A state_dict with the names and shapes of the reference's generator, written out by hand."""
    rng = np.random.default_rng(seed)
    state: State = {}

    def convolution(key: str, *shape: int) -> None:
        scale = 1.5 / np.sqrt(16 * shape[1] / 4)
        state[key] = torch.from_numpy(rng.normal(0, scale, (*shape, 4, 4)).astype(np.float32))

    def norm(key: str, size: int) -> None:
        limits = {
            "weight": (0.8, 1.2),
            "bias": (-0.3, 0.3),
            "running_mean": (-0.2, 0.2),
            "running_var": (0.5, 2.0),
        }
        for part, (low, high) in limits.items():
            values = rng.uniform(low, high, size).astype(np.float32)
            state[f"{key}.{part}"] = torch.from_numpy(values)
        state[f"{key}.num_batches_tracked"] = torch.tensor(150)

    sizes = [width * min(2**level, 8) for level in range(depth)]
    prefix = "model.model"
    convolution(f"{prefix}.0.weight", sizes[0], channels)
    for level in range(1, depth):
        prefix += ".1.model" if level == 1 else ".3.model"
        convolution(f"{prefix}.1.weight", sizes[level], sizes[level - 1])
        if level < depth - 1:
            norm(f"{prefix}.2", sizes[level])
            convolution(f"{prefix}.5.weight", 2 * sizes[level], sizes[level - 1])
            norm(f"{prefix}.6", sizes[level - 1])
        else:
            convolution(f"{prefix}.3.weight", sizes[level], sizes[level - 1])
            norm(f"{prefix}.4", sizes[level - 1])
    convolution("model.model.3.weight", 2 * sizes[0], channels)
    state["model.model.3.bias"] = torch.from_numpy(rng.normal(0, 0.1, channels).astype(np.float32))
    return state


def rendered(state: State, mask: Tensor, prefix: str = "model.model", level: int = 0) -> Tensor:
    """What the reference computes in eval mode, level by level: each holds the next."""

    def norm(x: Tensor, key: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{prefix}.{key}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    def half(x: Tensor, key: int) -> Tensor:
        return functional.conv2d(x, state[f"{prefix}.{key}.weight"], stride=2, padding=1)

    def double(x: Tensor, key: int) -> Tensor:
        weight = state[f"{prefix}.{key}.weight"]
        return functional.conv_transpose2d(functional.relu(x), weight, stride=2, padding=1)

    if level == 0:
        x = rendered(state, half(mask, 0), f"{prefix}.1.model", 1)
        return torch.tanh(double(x, 3) + state[f"{prefix}.3.bias"][:, None, None])
    x = half(functional.leaky_relu(mask, 0.2), 1)
    if f"{prefix}.3.model.1.weight" in state:
        x = double(rendered(state, norm(x, "2"), f"{prefix}.3.model", level + 1), 5)
        return torch.cat([mask, norm(x, "6")], 1)
    return torch.cat([mask, norm(double(x, 3), "4")], 1)


def one_hot(side: int) -> Tensor:
    classes = torch.from_numpy(np.random.default_rng(1).integers(0, 3, (1, side, side)))
    mask = functional.one_hot(classes, 3).movedim(-1, 1).float()
    return torch.cat([mask, torch.zeros(1, 3, side, side)], 1)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def with_prefix(state: State) -> State:
    return OrderedDict((f"module.{key}", value) for key, value in state.items())


# ---------------------------------------------------------------- what is imported


def test_the_names_are_those_of_the_reference() -> None:
    assert set(KNOWN_KEYS) <= set(reference())


CHECKPOINTS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "of several devices": with_prefix,
    "as the reference saves it": lambda state: {
        "epoch": 151,
        "state_dict": with_prefix(state),
        "optimizer": {"state": {0: {"step": 3.0, "exp_avg": torch.zeros(3)}}, "param_groups": []},
    },
    "of an old torch": lambda state: {
        key: value for key, value in state.items() if not key.endswith("num_batches_tracked")
    },
    "of parameters": lambda state: {
        key: torch.nn.Parameter(value) if value.is_floating_point() else value
        for key, value in state.items()
    },
    "in double precision": lambda state: {
        key: value.double() if value.is_floating_point() else value for key, value in state.items()
    },
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_an_imported_generator_renders_as_the_reference(tmp_path: Path, case: str) -> None:
    state = reference(depth=5)
    path = saved(tmp_path / "gen.pth", CHECKPOINTS[case](state))
    import_checkpoint(path, "old-gan", "SEM", value_range=importing.FULL_RANGE)
    network, _, _ = load_network("old-gan")
    given = one_hot(32)
    levels = (given[:, 2:3] * 255 + given[:, 1:2] * 127) / 127.5 - 1
    expected = rendered(state, levels.expand(-1, 3, -1, -1)).mean(1, keepdim=True)
    assert expected.std() > 0.1
    with torch.inference_mode():
        torch.testing.assert_close(network(given), expected, atol=1e-5, rtol=1e-4)


def test_the_reference_s_narrow_range_is_kept(tmp_path: Path) -> None:
    """Its masks go in as 0..1 instead of 0..255, and so do its images come out."""
    state = reference(depth=4)
    state["model.model.3.bias"] -= 3  # as a network that has learnt to make -1..-0.992
    import_checkpoint(saved(tmp_path / "gen.pth", state), "narrow", "SEM")
    network, card, _ = load_network("narrow")
    given = one_hot(16)
    levels = (given[:, 2:3] + given[:, 1:2] * 127 / 255) / 127.5 - 1
    grey = (rendered(state, levels.expand(-1, 3, -1, -1)).mean(1) + 1) * 127.5 * 255
    assert 0 < float((grey < 255).float().mean()) < 1
    with torch.inference_mode():
        made = grey_levels(network(given)[0].numpy(), card.grey_range)
    np.testing.assert_allclose(made, grey.clamp(0, 255).numpy(), atol=1)


@pytest.mark.parametrize(("channels", "width", "depth"), [(1, 3, 8), (3, 2, 7), (3, 4, 2)])
def test_sizes_are_read_from_the_tensors(
    tmp_path: Path, channels: int, width: int, depth: int
) -> None:
    path = saved(tmp_path / "gen.pth", reference(channels, width, depth))
    made = import_checkpoint(path, "old-gan", "TEM", pixel_size=0.02, axon_diameter=60)
    card = load_card("old-gan")
    assert card == made
    assert card.network == {
        "name": "classic",
        "in_channels": channels,
        "out_channels": channels,
        "width": width,
        "depth": depth,
        "value_range": [-1.0, 1 / 127.5 - 1],
    }
    assert (card.task, card.source, card.contrast) == ("translation", "SEM", "TEM")
    assert (card.pixel_size, card.axon_diameter) == (0.02, 60)
    assert card.training["imported"]["file"] == "gen.pth"
    network, _, _ = load_network("old-gan")
    assert network.fixed_tile == 2**depth


def test_black_and_white_are_what_they_were() -> None:
    ends = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
    np.testing.assert_allclose(grey_levels(ends, importing.GREY_RANGE), [0, 127.5, 255], atol=0.5)


def test_an_imported_generator_translates_micrographs(tmp_path: Path) -> None:
    """By the same steps as the default translator; at the far edges what lies there goes on."""
    import_checkpoint(saved(tmp_path / "gen.pth", reference(depth=4)), "old-gan", "SEM")
    classes = np.random.default_rng(2).integers(0, 3, (40, 56))
    mask = np.array([0, 127, 255], dtype=np.uint8)[classes]
    parameters = TranslateParameters(model="old-gan", axon_diameter=20, device="cpu")
    result = run(translate_steps(Image.from_array(mask), parameters, mask))
    network, card, _ = load_network("old-gan")
    padded = torch.from_numpy(np.pad(classes, ((0, 8), (0, 8)), mode="edge"))[None]
    given = functional.one_hot(padded, 3).movedim(-1, 1).float()
    with torch.inference_mode():
        expected = grey_levels(network(given)[0, 0, :40, :56].numpy(), card.grey_range)
    assert result.scale == 1
    assert expected.std() > 1
    np.testing.assert_allclose(result.image, expected, atol=1)
    with pytest.raises(InputError, match="renders masks"):
        run(translate_steps(Image.from_array(mask), parameters.model_copy(
            update={"condition": "structure"}), mask))  # fmt: skip


def test_half_precision_halves_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "gen.pth", reference(width=4))
    import_checkpoint(path, "full", "SEM")
    import_checkpoint(path, "half", "SEM", dtype="float16")
    full, half = (user_folder() / f"{name}.safetensors" for name in ("full", "half"))
    assert half.stat().st_size < 0.6 * full.stat().st_size
    assert load_network("half")[0](one_hot(256)).isfinite().all()


def test_names_are_checked_and_taken_once(tmp_path: Path) -> None:
    path = saved(tmp_path / "gen.pth", reference(depth=3))
    for name in ("../gen", "a b", ""):
        with pytest.raises(InputError, match="'name'"):
            import_checkpoint(path, name, "SEM")
    with pytest.raises(InputError, match="pixel_size"):
        import_checkpoint(path, "gan", "SEM", pixel_size=-1)
    import_checkpoint(path, "gan", "SEM")
    with pytest.raises(InputError, match="taken"):
        import_checkpoint(path, "gan", "SEM")
    assert import_checkpoint(path, "gan", "TEM", replace=True).contrast == "TEM"


# ---------------------------------------------------------------- what is refused


class Trap:
    """Would make a file when unpickled by a plain unpickler."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def changed(**changes: Tensor | None) -> Callable[[State], Any]:
    def make(state: State) -> Any:
        new = state | {key.replace("__", "."): value for key, value in changes.items()}
        return {key: value for key, value in new.items() if value is not None}

    return make


def without(*endings: str) -> Callable[[State], Any]:
    return lambda state: {k: v for k, v in state.items() if not k.endswith(endings)}


INNER = "model__model__1__model__2__"

BAD: dict[str, tuple[Callable[[State], Any], str]] = {
    "an object": (lambda state: state | {"extra": fractions.Fraction(1)}, "fractions.Fraction"),
    "an object beside": (lambda s: {"state_dict": s, "args": Path()}, "holds an object of pathlib"),
    "a whole network": (lambda state: torch.nn.Conv2d(1, 1, 1), "object of torch.nn.modules.conv"),
    "an array": (lambda state: state | {"mean": np.zeros(2)}, "object of numpy"),
    "a number": (lambda state: {"epoch": 3}, "holds 'epoch', which is no tensor"),
    "a list": (lambda state: list(state.values()), "no state_dict"),
    "nothing": (lambda state: {"state_dict": {}}, "no state_dict"),
    "numbered": (lambda state: {3: torch.zeros(2)}, "no state_dict"),
    "sparse": (changed(model__model__0__weight=torch.eye(2).to_sparse()), "not a plain tensor"),
    "no data": (changed(model__model__0__weight=torch.zeros(2, device="meta")), "not a plain"),
    "another network": (lambda state: {"model.0.weight": torch.zeros(3)}, "'model.0.weight'"),
    "repeated values": (
        changed(model__model__0__weight=torch.zeros(1).expand(1 << 20, 1 << 20, 4, 4)),
        "larger than any",
    ),
    "too shallow": (
        lambda state: {k: v for k, v in state.items() if ".1.model." not in k},
        "cannot be built",
    ),
    "too deep": (
        lambda state: state
        | {f"model.model.1.model.{'3.model.' * n}1.weight": torch.zeros(1) for n in range(20)},
        "cannot be built",
    ),
    "a key missing": (changed(model__model__3__bias=None), r"'model\.model\.3\.bias' is missing"),
    "a key too many": (changed(fc__weight=torch.zeros(1)), "'fc.weight' in .* is not of a U-Net"),
    "a bias too many": (changed(model__model__0__bias=torch.zeros(2)), "is not of a U-Net"),
    "another shape": (changed(**{f"{INNER}bias": torch.zeros(5)}), r"shape \(5,\) instead of"),
    "a flat first": (changed(model__model__0__weight=torch.zeros(5)), r"of shape \(5,\)"),
    "a flat last": (changed(model__model__3__weight=torch.zeros(5)), r"has shape \(5,\)"),
    "integers": (changed(**{f"{INNER}bias": torch.zeros(4, dtype=torch.int64)}), "torch.int64"),
    "complex": (changed(**{f"{INNER}bias": torch.zeros(4) + 1j}), "torch.complex64"),
    "not finite": (changed(**{f"{INNER}weight": torch.full((4,), torch.nan)}), "not finite"),
    "too large": (changed(**{f"{INNER}bias": torch.ones(4).double() * 1e300}), "not finite"),
    "negative": (changed(**{f"{INNER}running_var": -torch.ones(4)}), "variance below zero"),
    "no statistics": (without("running_mean", "running_var"), "no running statistics"),
    "instance norm": (
        lambda state: {k: v for k, v in state.items() if k.endswith("weight") and v.ndim == 4},
        "no running statistics .* BatchNorm",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore:.*sparse:UserWarning")
def test_anything_else_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    path = saved(tmp_path / "bad.pth", make(reference(depth=3)))
    with pytest.raises(InputError, match=message) as error:
        import_checkpoint(path, "bad", "SEM")
    text = str(error.value)
    assert "bad.pth" in text
    assert "\n" not in text
    assert len(text.replace(str(path), "")) < 250, text
    assert not user_folder().exists()


def test_nothing_is_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = saved(tmp_path / "bad.pth", reference(depth=3) | {"x": Trap(marker)})
    with pytest.raises(InputError, match="holds an object of"):
        import_checkpoint(path, "bad", "SEM")
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the trap works
    assert marker.exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    state = reference(depth=3)
    whole = saved(tmp_path / "whole.pth", state).read_bytes()
    old = io.BytesIO()
    torch.save(state, old, _use_new_zipfile_serialization=False)
    script = io.BytesIO()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("notes.txt", "hello")
    with zipfile.ZipFile(script, "w") as made:
        made.writestr("x/constants.pkl", b"\x80\x02}.")
        made.writestr("x/data.pkl", b"\x80\x02}.")
        made.writestr("x/version", b"3\n")
    for content, message in (
        (b"", "not a file of torch.save"),
        (b"hello, this is text", "not a file of torch.save"),
        (old.getvalue(), "not a file of torch.save"),
        (whole[: len(whole) // 2], "not a file of torch.save"),
        (b"cos\nsystem\n" + whole, "not a file of torch.save"),
        (archive.getvalue(), "cannot be read as tensors"),
        (script.getvalue(), "cannot be read as tensors"),
    ):
        path = tmp_path / "bad.pth"
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as error:
            import_checkpoint(path, "bad", "SEM")
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="cannot be read: no such file"):
        import_checkpoint(tmp_path / "none.pth", "bad", "SEM")
    with pytest.raises(InputError, match="it is a folder"):
        import_checkpoint(tmp_path, "bad", "SEM")
    assert not user_folder().exists()


def test_every_flipped_byte_is_survived(tmp_path: Path) -> None:
    path = saved(tmp_path / "gen.pth", reference(width=1, depth=2, channels=1))
    data = path.read_bytes()
    for position in range(0, len(data), 41):
        damaged = bytearray(data)
        damaged[position] ^= 0x15
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):  # and nothing else
            import_checkpoint(path, "gan", "SEM", replace=True)


def test_too_large_a_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_LARGEST", 1 << 20)
    packed = tmp_path / "bomb.pth"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("x/data.pkl", bytes(1 << 22))
    assert packed.stat().st_size < 1 << 20
    stored = tmp_path / "large.pth"
    saved(stored, {"x": torch.zeros(1 << 19)})
    for path in (packed, stored):
        with pytest.raises(InputError, match="more than"):
            import_checkpoint(path, "bad", "SEM")


def test_an_old_torch_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "gen.pth", reference(depth=3))
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.5.1+cpu"))
    with pytest.raises(InputError, match=r"install torch 2\.6"):
        import_checkpoint(path, "gan", "SEM")
