from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save

from napari_axongen.core.device import choose_device
from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice
from napari_axongen.core.models import (
    Card,
    available,
    export_model,
    find_model,
    import_model,
    load_card,
    load_network,
    save_model,
    store,
    user_folder,
)
from napari_axongen.core.models.card import CARD_KEY
from napari_axongen.core.networks import build

NETWORK = {"name": "unet", "channels": [2, 3]}


def card(name: str = "tiny", **changes: object) -> Card:
    fields = {
        "name": name,
        "contrast": "TEM",
        "network": NETWORK,
        "classes": ["background", "myelin", "axon"],
        "pixel_size": 0.02,
        "axon_diameter": 40.0,
        "training": {"recipe": {"seed": 1}, "licence": "CC-BY"},
        "metrics": {"validation": {"dice_axon": 0.95}},
        "version": "0.1.0",
    }
    return Card.model_validate(fields | changes)


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build(NETWORK)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of its own for every test, with nothing shipped."""
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "user"))
    monkeypatch.setattr(store, "SHIPPED_FOLDER", tmp_path / "shipped")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_model(path, network(), card())
    return path


def ship(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "shipped" / f"{name}.safetensors"
    save_model(path, network(), card(name))
    return path


# ---------------------------------------------------------------- cards


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "ä", "x" * 101, "a\n", "-x"]
)
def test_names_lead_nowhere(name: str) -> None:
    with pytest.raises(ValidationError):
        card(name)


def test_cards_are_frozen_and_know_their_fields() -> None:
    with pytest.raises(ValidationError):
        card().name = "other"
    for wrong in ({"colour": 1}, {"task": "cooking"}, {"pixel_size": -1.0}, {"classes": []}):
        with pytest.raises(ValidationError):
            card(**wrong)
    for metrics in ({"validation": {"dice_axon": 0.9}}, {"none": {"dice_axon": float("inf")}}):
        made = card(metrics=metrics)
        assert Card.model_validate_json(made.model_dump_json()) == made


# ---------------------------------------------------------------- saving and loading


def test_round_trip(model: Path) -> None:
    loaded, read_card, digest = load_network(model)
    assert read_card == card() == load_card(model)
    assert digest == hashlib.sha256(model.read_bytes()).hexdigest()
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    for key, value in network().state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    x = torch.from_numpy(np.random.default_rng(0).random((1, 1, 8, 8), dtype=np.float32))
    assert torch.equal(loaded(x), network().eval()(x))


def test_half_precision_on_disk_is_single_in_memory(tmp_path: Path, model: Path) -> None:
    half = tmp_path / "half.safetensors"
    save_model(half, network(), card(), "float16")
    assert half.stat().st_size < model.stat().st_size
    loaded, _, _ = load_network(half, choose_device("cpu"))
    for key, value in network().state_dict().items():
        assert loaded.state_dict()[key].dtype == value.dtype
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=1e-3, atol=1e-6)


def test_same_model_same_bytes(tmp_path: Path, model: Path) -> None:
    save_model(tmp_path / "again.safetensors", network(), card())
    assert (tmp_path / "again.safetensors").read_bytes() == model.read_bytes()


def test_weights_that_overflow_are_not_saved(tmp_path: Path) -> None:
    net = network()
    with torch.no_grad():
        net.head.weight.fill_(1e6)
    with pytest.raises(InputError, match=r"head\.weight.*not finite in float16"):
        save_model(tmp_path / "a.safetensors", net, card(), "float16")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_keeps_the_older_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = model.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"tiny\.safetensors cannot be written: no space"):
        save_model(model, network(1), card())
    assert model.read_bytes() == before
    assert not list(model.parent.glob("*.partial"))
    assert not list(model.parent.glob(".*.partial"))


# ---------------------------------------------------------------- bad files


def zipped_torch(_: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": torch.zeros(1)}, buffer)
    return buffer.getvalue()


def old_torch(_: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": torch.zeros(1)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def header_of(data: bytes) -> dict[str, dict[str, object]]:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length])


def with_header(data: bytes, header: object) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def with_card(text: str) -> Callable[[bytes], bytes]:
    return lambda data: with_header(data, header_of(data) | {"__metadata__": {CARD_KEY: text}})


def changed_card(**changes: object) -> Callable[[bytes], bytes]:
    return with_card(json.dumps(card().model_dump() | changes))


def shifted(data: bytes) -> bytes:
    header = header_of(data)
    header["head.bias"]["shape"] = [1]
    return with_header(data, header)


def weights(**changes: torch.Tensor | None) -> Callable[[bytes], bytes]:
    def make(_: bytes) -> bytes:
        state = network().state_dict() | {k.replace("__", "."): v for k, v in changes.items()}
        state = {key: value for key, value in state.items() if value is not None}
        return save(state, {CARD_KEY: card().model_dump_json()})

    return make


BAD = {
    "empty": (lambda data: b"", "0 bytes"),
    "text": (lambda data: b"just some text, much longer than a header", "not a safetensors"),
    "short text": (lambda data: b"hi", "not a safetensors"),
    "zipped pickle": (zipped_torch, "pickled PyTorch file"),
    "pickle": (old_torch, "pickled PyTorch file"),
    "cut in the header": (lambda data: data[:100], "header is not whole"),
    "cut in the weights": (lambda data: data[:-5], "bytes are announced"),
    "longer": (lambda data: data + b"more", "bytes are announced"),
    "header of no length": (lambda data: b"\0" * 8 + data[8:], "header makes no sense"),
    "huge header": (lambda data: b"\xff" * 8 + data[8:], "header is not whole"),
    "header not JSON": (lambda data: data[:20] + b"\xff\xfe" + data[22:], "makes no sense"),
    "header a list": (lambda data: with_header(data, {"a": [1]}), "makes no sense"),
    "overlapping": (shifted, "shape"),
    "foreign": (lambda data: save({"w": torch.zeros(2)}), "no model card"),
    "foreign card": (with_card("{}"), "not valid"),
    "card not JSON": (with_card("{"), "not valid"),
    "card of a later version": (changed_card(colour="red"), "colour"),
    "unknown network": (changed_card(network={"name": "transformer"}), "transformer"),
    "unknown arguments": (changed_card(network=NETWORK | {"depth": 3}), "cannot be built"),
    "network too large": (
        changed_card(network={"name": "unet", "channels": [10**6, 10**6]}),
        "do not fit",
    ),
    "another shape": (changed_card(network={"name": "unet", "channels": [2, 4]}), "has shape"),
    "another depth": (changed_card(network={"name": "unet", "channels": [2, 3, 4]}), "missing"),
    "key missing": (weights(head__bias=None), r"'head\.bias' is missing"),
    "key too many": (weights(extra=torch.zeros(1)), "'extra' is not of this network"),
    "integers": (weights(head__bias=torch.zeros(3, dtype=torch.int64)), "of type I64"),
    "double": (weights(head__bias=torch.zeros(3, dtype=torch.float64)), "of type F64"),
    "not finite": (weights(head__bias=torch.full((3,), float("nan"))), "not finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_a_sentence(model: Path, case: str) -> None:
    make, message = BAD[case]
    bad = model.with_name("bad.safetensors")
    bad.write_bytes(make(model.read_bytes()))
    for load in (load_network, import_model):
        with pytest.raises(InputError, match=message) as error:
            load(bad)
        assert "bad.safetensors" in str(error.value)
        assert "\n" not in str(error.value)
    assert not user_folder().exists()


def test_every_flipped_byte_of_the_header_is_survived(model: Path) -> None:
    data = model.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    bad = model.with_name("bad.safetensors")
    for position in range(0, 8 + length, 37):
        changed = bytearray(data)
        changed[position] ^= 0x15
        bad.write_bytes(changed)
        try:
            found = load_card(bad)
        except InputError:
            continue
        assert isinstance(found, Card)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    attack = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    for name, content in {"a.safetensors": attack, "b.safetensors": b"\x80\x02" + attack}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError):
            load_network(tmp_path / name)
    assert not marker.exists()


def test_a_header_whose_length_looks_like_a_pickle(tmp_path: Path) -> None:
    """The length of the header may start with any byte, that of pickles and archives included."""
    for length in (0x80, 0x0280, 0x4B50):
        header = b'{"__metadata__":{}}'.ljust(length)
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + header)
        with pytest.raises(InputError, match="no model card"):
            load_card(tmp_path / "a.safetensors")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_network(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="it is a folder"):
        load_card(tmp_path)


# ---------------------------------------------------------------- the store


def test_an_empty_store() -> None:
    assert available() == []
    with pytest.raises(InputError, match="no model 'tiny'; known: none"):
        load_network("tiny")


def test_import_export_is_the_same_file(tmp_path: Path, model: Path) -> None:
    assert import_model(model) == card()
    assert find_model("tiny") == user_folder() / "tiny.safetensors"
    assert export_model("tiny", tmp_path / "out" / "copy.safetensors").read_bytes() == (
        model.read_bytes()
    )
    (tmp_path / "folder").mkdir()
    assert export_model("tiny", tmp_path / "folder") == tmp_path / "folder" / "tiny.safetensors"
    assert load_network("tiny")[2] == load_network(model)[2]


def test_a_name_is_taken_once(tmp_path: Path, model: Path) -> None:
    import_model(model)
    other = tmp_path / "other.safetensors"
    save_model(other, network(1), card())
    with pytest.raises(InputError, match="is taken by"):
        import_model(other)
    assert find_model("tiny").read_bytes() == model.read_bytes()
    import_model(other, replace=True)
    assert find_model("tiny").read_bytes() == other.read_bytes()


def test_shipped_models_are_not_replaced(tmp_path: Path) -> None:
    ship(tmp_path, "shipped-one")
    other = tmp_path / "other.safetensors"
    save_model(other, network(1), card("shipped-one"))
    with pytest.raises(InputError, match="is taken by"):
        import_model(other, replace=True)


def test_export_overwrites_nothing(tmp_path: Path, model: Path) -> None:
    import_model(model)
    target = tmp_path / "mine.txt"
    target.write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        export_model("tiny", target)
    assert target.read_text() == "precious"
    export_model("tiny", target, replace=True)
    assert target.read_bytes() == model.read_bytes()
    with pytest.raises(InputError, match="cannot be written"):
        export_model("tiny", target / "below.safetensors")


def test_the_shipped_come_first_and_bad_files_give_a_notice(tmp_path: Path, model: Path) -> None:
    ship(tmp_path, "zebra")
    import_model(model)
    (user_folder() / "bad.safetensors").write_bytes(b"hello")
    (user_folder() / "z-tiny.safetensors").write_bytes(model.read_bytes())
    (user_folder() / "notes.txt").write_text("no model")
    notices: list[Notice] = []
    assert [c.name for c in available(notices.append)] == ["zebra", "tiny"]
    assert [n.level for n in notices] == ["warning", "warning"]
    assert "bad.safetensors" in notices[0].message
    assert "same name 'tiny'" in notices[1].message
    assert [c.name for c in available()] == ["zebra", "tiny"]


def test_a_model_that_was_replaced_is_read_again(tmp_path: Path, model: Path) -> None:
    import_model(model)
    assert load_card("tiny").axon_diameter == 40
    other = tmp_path / "other.safetensors"
    save_model(other, network(), card(axon_diameter=50.0))  # a file of the same size
    import_model(other, replace=True)
    assert load_card("tiny").axon_diameter == 50


def test_no_place_for_the_user_models(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AXONGEN_MODELS", str(tmp_path / "file" / "models"))
    assert available() == []
    with pytest.raises(InputError, match="cannot be written"):
        import_model(model)


def test_the_user_folder_without_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXONGEN_MODELS")
    assert user_folder().name == "models"
    assert "napari-axongen" in user_folder().parts


def test_listing_needs_no_torch(model: Path) -> None:
    import_model(model)
    code = (
        "import sys; from napari_axongen.core.models import available, load_card;"
        "assert [c.name for c in available() if c.name == 'tiny'] == ['tiny'];"
        "load_card('tiny'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
