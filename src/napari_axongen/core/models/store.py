"""Models on disk: those shipped with the package and those of the user.

Only safetensors files that carry a card are opened; nothing is ever unpickled. A file is read once:
what is checked, hashed and loaded are the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import platformdirs
from pydantic import ValidationError

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice
from napari_axongen.core.files import atomic_path, write_bytes

from .card import CARD_KEY, Card

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_axongen.core.device import Device
    from napari_axongen.core.networks import TileExactNetwork

SUFFIX = ".safetensors"
RUN_MODEL = f"model{SUFFIX}"
"""The finished model in the folder of a training run."""

SHIPPED_FOLDER = Path(__file__).parent / "weights"

_FLOATS = ("F32", "F16", "BF16")  # stored so, computed as float32
_COUNTS = ("I64",)
_LONGEST_HEADER = 100_000_000  # bytes, the limit of the format itself


def user_folder() -> Path:
    """Folder of the user's models: ``AXONGEN_MODELS``, or the system's place for user data."""
    named = os.environ.get("AXONGEN_MODELS")
    return Path(named) if named else platformdirs.user_data_path("napari-axongen", False) / "models"


# ---------------------------------------------------------------- what there is


def available(on_notice: Callable[[Notice], None] | None = None) -> list[Card]:
    """Cards of all models, the shipped ones first, each group by name.

    Parameters
    ----------
    on_notice
        Told of every file that is no usable model; such files are left out.
    """
    return [card for card, _ in _models(on_notice)]


def _models(on_notice: Callable[[Notice], None] | None = None) -> Iterator[tuple[Card, Path]]:
    seen: dict[str, Path] = {}
    for folder in (SHIPPED_FOLDER, user_folder()):
        for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
            try:
                card = _header(path).card
                if card.name in seen:
                    raise InputError(
                        f"{path} is left out: {seen[card.name]} has the same name '{card.name}'."
                    )
            except InputError as error:
                if on_notice is not None:
                    on_notice(Notice(str(error), "warning"))
                continue
            seen[card.name] = path
            yield card, path


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """File of a model, by its name or by its path (anything with a folder or the file's ending).

    The path of a training run's folder stands for the finished model in it.

    Raises
    ------
    InputError
        There is no such model.
    """
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, os.PathLike) or text.endswith(SUFFIX) or Path(text).name != text:
        inside = Path(text) / RUN_MODEL
        return inside if inside.exists() else Path(text)
    found = {card.name: path for card, path in _models()}
    if text not in found:
        known = ", ".join(found) or "none"
        raise InputError(
            f"There is no model '{text}'; known: {known}. Import one with 'axongen models import'."
        )
    return found[text]


def load_card(name_or_path: str | os.PathLike[str]) -> Card:
    """Read the card of a model, without its weights.

    Raises
    ------
    InputError
        No such model, or not a usable model file.
    """
    return _header(find_model(name_or_path)).card


# ---------------------------------------------------------------- loading and saving


def load_network(
    name_or_path: str | os.PathLike[str], device: Device | str = "cpu"
) -> tuple[TileExactNetwork, Card, str]:
    """Load a model, ready to compute.

    Parameters
    ----------
    name_or_path
        Name of a model, or its file.
    device
        Where it shall compute.

    Returns
    -------
    network
        In float32 and evaluation mode, without gradients.
    card
        Its card.
    sha256
        Hexadecimal digest of the file.

    Raises
    ------
    InputError
        No such model; not a safetensors file, damaged, pickled or without card; weights that are
        not exactly those of the network on the card.
    """
    path = find_model(name_or_path)
    data = _read(path)
    network, card = _network(data, path)
    network.to(device if isinstance(device, str) else device.torch)
    return network, card, hashlib.sha256(data).hexdigest()


def save_model(
    path: str | os.PathLike[str],
    network: nn.Module,
    card: Card,
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write weights and card as one file. The same input gives the same bytes.

    Parameters
    ----------
    path
        The file; replaced whole or not at all.
    network
        The network that ``card.network`` describes.
    card
        Its card.
    dtype
        How weights are stored. float16 halves the file; they are float32 again when loaded.

    Raises
    ------
    InputError
        A weight is not finite in this type, or the file cannot be written.
    """
    import torch
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        tensor = value.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.to(getattr(torch, dtype))
            if not bool(torch.isfinite(tensor).all()):
                raise InputError(
                    f"The weights '{key}' of model {card.name} are not finite in {dtype}; "
                    "such a model is not saved."
                )
        tensors[key] = tensor.contiguous()
    write_bytes(path, save(tensors, {CARD_KEY: card.model_dump_json()}))


def import_model(path: str | os.PathLike[str], replace: bool = False) -> Card:
    """Check a model file and copy it, byte for byte, to the user's models.

    Parameters
    ----------
    path
        The file.
    replace
        Let it take the place of a model of the user with the same name.

    Raises
    ------
    InputError
        Not a usable model (see `load_network`), its name is taken, or it cannot be copied.
    """
    source = Path(path)
    data = _read(source)
    _, card = _network(data, source)
    target = free_place(card.name, source, replace)
    write_bytes(target, data)
    return card


def free_place(name: str, origin: Path, replace: bool = False) -> Path:
    """File of the user for a model of this name.

    Parameters
    ----------
    name
        Name of the model.
    origin
        The file that it comes from, for the message.
    replace
        Let it take the place of a model of the user with the same name.

    Raises
    ------
    InputError
        The name is taken.
    """
    target = user_folder() / f"{name}{SUFFIX}"
    taken = {card.name: path for card, path in _models()}.get(name)
    if taken is None and target.exists():
        taken = target  # a file that is no model
    if taken is not None and not (replace and taken == target):
        raise InputError(
            f"The name '{name}' of {origin} is taken by {taken}; "
            + ("replace it, or remove that file first." if taken == target else "rename the model.")
        )
    return target


def export_model(name: str, path: str | os.PathLike[str], replace: bool = False) -> Path:
    """Copy a model, byte for byte, to a file or into a folder; return the file's path.

    Raises
    ------
    InputError
        No such model, a file is there already, or it cannot be written.
    """
    source, target = find_model(name), Path(path)
    data = _read(source)
    card = _parse(io.BytesIO(data), len(data), source).card
    if target.is_dir():
        target = target / f"{card.name}{SUFFIX}"
    if target.exists() and not replace:
        raise InputError(f"{target} exists already; choose another name or replace it.")
    with atomic_path(target) as partial:
        partial.write_bytes(data)
    return target


# ---------------------------------------------------------------- the file itself


@dataclass(frozen=True)
class _Header:
    card: Card
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    """Type and shape by name."""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _header(path: Path) -> _Header:
    try:
        state = path.stat()
        return _header_of(path, (state.st_ino, state.st_mtime_ns, state.st_size))
    except OSError as error:
        raise _unreadable(path, error) from error


@lru_cache(maxsize=256)
def _header_of(path: Path, state: tuple[int, ...]) -> _Header:
    """Of a file that is as it was: every picker of every dock asks for all of them."""
    with path.open("rb") as file:
        return _parse(file, os.fstat(file.fileno()).st_size, path)


def _unreadable(path: Path, error: OSError) -> InputError:
    reason = "it is a folder" if path.is_dir() else (error.strerror or str(error)).lower()
    return InputError(f"Model file {path} cannot be read: {reason}.")


def _parse(file: BinaryIO, size: int, path: Path) -> _Header:
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
    return _Header(card, tensors)


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


def _network(data: bytes, path: Path) -> tuple[TileExactNetwork, Card]:
    """Build the network of a model file and fill in its weights, each of which must fit."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from napari_axongen.core.networks import build

    header = _parse(io.BytesIO(data), len(data), path)
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
