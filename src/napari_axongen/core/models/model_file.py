"""One model file: its header, its card, and a network with its weights.

Only safetensors files that carry a card are opened; nothing is ever unpickled.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import ValidationError

from napari_axongen.core.errors import InputError

from .card import CARD_KEY, Card

if TYPE_CHECKING:
    from napari_axongen.core.networks import TileExactNetwork

_FLOATS = ("F32", "F16", "BF16")  # stored so, computed as float32
_COUNTS = ("I64",)
_LONGEST_HEADER = 100_000_000  # bytes, the limit of the format itself


@dataclass(frozen=True)
class Header:
    """What a model file says of itself."""

    card: Card
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    """Type and shape by name."""


def read(path: Path) -> bytes:
    """All of a file, or an `InputError` that says why not."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def read_header(path: Path) -> Header:
    """Read and check the header of a model file.

    Raises
    ------
    InputError
        It cannot be read, or is no safetensors file, damaged, pickled or without card.
    """
    try:
        state = path.stat()
        return _header_of(path, (state.st_ino, state.st_mtime_ns, state.st_size))
    except OSError as error:
        raise _unreadable(path, error) from error


@lru_cache(maxsize=256)
def _header_of(path: Path, state: tuple[int, ...]) -> Header:
    """Of a file that is as it was: every picker of every dock asks for all of them."""
    with path.open("rb") as file:
        return _parse(file, os.fstat(file.fileno()).st_size, path)


def _unreadable(path: Path, error: OSError) -> InputError:
    reason = "it is a folder" if path.is_dir() else (error.strerror or str(error)).lower()
    return InputError(f"Model file {path} cannot be read: {reason}.")


def parse(data: bytes, path: Path) -> Header:
    """Header of a model file whose bytes are here, as `read_header`."""
    return _parse(io.BytesIO(data), len(data), path)


def _parse(file: BinaryIO, size: int, path: Path) -> Header:
    """Read and check the header of a safetensors file: length, JSON, extent of the data, card."""
    start = file.read(9)
    if start[8:] != b"{":
        raise InputError(f"{path} {_foreign(start)}")
    length = int.from_bytes(start[:8], "little")
    damaged = f"{path} is damaged or cut short; copy it again from its source ("
    if length > min(size - 8, _LONGEST_HEADER):
        raise InputError(f"{damaged}its header is not whole).")
    try:
        header = json.loads(b"{" + file.read(length - 1))
        metadata = header.pop("__metadata__", None) or {}
        tensors = {
            str(key): (str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))
            for key, entry in header.items()
        }
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        text = metadata.get(CARD_KEY)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{damaged}its header makes no sense).") from error
    if 8 + length + end != size:
        raise InputError(f"{damaged}{8 + length + end} bytes are announced, {size} are there).")
    if text is None:
        raise InputError(
            f"{path} carries no model card, so it was not made by axongen; only models that it "
            "saved can be used."
        )
    try:
        card = Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(
            f"The model card in {path} is not valid ({where}: {first['msg']}); the file comes from "
            "another version of axongen or was changed."
        ) from error
    return Header(card, tensors)


def _foreign(start: bytes) -> str:
    """Say what a file is that is no safetensors file, by its first bytes."""
    if not start:
        return "is empty (0 bytes); copy it again from its source."
    if start[:2] == b"PK" or (start[0] == 0x80 and start[1:2] <= b"\x05"):
        return (
            "is a pickled PyTorch file; such files are refused because opening one can run any "
            "code: ask for the model as .safetensors. Only networks of the reference can be "
            "imported from one, by giving it a name (--as) and its target."
        )
    return "is not a safetensors file; models are single .safetensors files saved by axongen."


def network_of(data: bytes, path: Path) -> tuple[TileExactNetwork, Card]:
    """Build the network of a model file and fill in its weights, each of which must fit."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from napari_axongen.core.networks import build

    header = parse(data, path)
    card = header.card
    try:
        with torch.device("meta"):  # shapes alone: a card cannot make us fill the memory
            expected = build(card.network).state_dict()
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"The network on the card of {path} cannot be built ({error}); the file comes from "
            "another version of axongen or was changed."
        ) from error
    _compare(header.tensors, expected, path)
    try:
        tensors = load(data)
    except SafetensorError as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is damaged; copy it again from its source ({reason}).") from error
    state = {key: tensor.to(expected[key].dtype) for key, tensor in tensors.items()}
    broken = [key for key, tensor in state.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise InputError(f"{path} holds weights that are not finite ('{broken[0]}').")
    network = build(card.network)
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False), card


def _compare(
    found: Mapping[str, tuple[str, tuple[int, ...]]], expected: Mapping[str, Any], path: Path
) -> None:
    problems = [f"'{key}' is missing" for key in expected if key not in found]
    problems += [f"'{key}' is not of this network" for key in found if key not in expected]
    for key, tensor in expected.items():
        dtype, shape = found.get(key, ("", None))
        if shape is not None and shape != tuple(tensor.shape):
            problems.append(f"'{key}' has shape {shape} instead of {tuple(tensor.shape)}")
        elif shape is not None and dtype not in (
            _FLOATS if tensor.is_floating_point() else _COUNTS
        ):
            problems.append(f"'{key}' is of type {dtype}")
    if problems:
        raise InputError(
            f"The weights in {path} do not fit the network on its card: {problems[0]}"
            + (f", and {len(problems) - 1} more." if len(problems) > 1 else ".")
        )
