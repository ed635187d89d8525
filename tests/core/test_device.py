"""The choice of the device, and its reason."""

from __future__ import annotations

import pytest
import torch

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Test GPU")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected", "reason"),
    [
        (True, True, "cuda", "Test GPU"),
        (False, True, "mps", "Apple"),
        (False, False, "cpu", "no GPU"),
    ],
)
def test_auto_takes_the_fastest(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str, reason: str
) -> None:
    pretend(monkeypatch, cuda, mps)
    device = choose_device("auto")
    assert device.torch.type == expected
    assert reason in device.reason


def test_a_device_asked_for_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=False, mps=False)
    assert choose_device("cpu").torch.type == "cpu"
    for name in ("cuda", "mps"):
        with pytest.raises(InputError, match=f"'{name}' was asked for"):
            choose_device(name)
    with pytest.raises(InputError, match="'abacus' is unknown"):
        choose_device("abacus")


def test_the_memory_layout_suits_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=True, mps=True)
    assert choose_device("cpu").memory_format == torch.channels_last
    assert choose_device("mps").memory_format == torch.contiguous_format


def test_a_cpu_computes_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = torch.nn.Conv2d(1, 1, 3), torch.ones(1, 1, 8, 8)
    with choose_device("cpu").mixed_precision():
        assert layer(x).dtype == torch.float32
    pretend(monkeypatch, cuda=True, mps=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    assert choose_device("cuda").mixed_precision().fast_dtype == torch.bfloat16  # type: ignore[attr-defined]
