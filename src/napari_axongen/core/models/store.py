"""Models on disk: those shipped with the package and those of the user.

A file is read once: what is checked, hashed and loaded are the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import platformdirs

from napari_axongen.core.errors import InputError
from napari_axongen.core.events import Notice
from napari_axongen.core.files import atomic_path, write_bytes

from .card import CARD_KEY, Card
from .model_file import network_of, parse, read, read_header

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_axongen.core.device import Device
    from napari_axongen.core.networks import TileExactNetwork

SUFFIX = ".safetensors"
RUN_MODEL = f"model{SUFFIX}"
"""The finished model in the folder of a training run."""

SHIPPED_FOLDER = Path(__file__).parent / "weights"


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
                card = read_header(path).card
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
    return read_header(find_model(name_or_path)).card


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
    data = read(path)
    network, card = network_of(data, path)
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
    data = read(source)
    _, card = network_of(data, source)
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
    data = read(source)
    card = parse(data, source).card
    if target.is_dir():
        target = target / f"{card.name}{SUFFIX}"
    if target.exists() and not replace:
        raise InputError(f"{target} exists already; choose another name or replace it.")
    with atomic_path(target) as partial:
        partial.write_bytes(data)
    return target
