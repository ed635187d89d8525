"""Networks from the reference's checkpoints: the one place where torch files are read.

Such a file is a pickle inside a zip archive. It is opened by torch's weights-only unpickler, which
knows tensors and plain containers and runs nothing; whatever else is in it is a reason to refuse
the file. What is taken from it is stored as safetensors with a card, like any other model.

Two kinds are known by the names of their tensors: the generator of pix2pix, and the denoiser (see
`importing_denoiser`). The reference scales the values of its generators twice: it takes a mask's 0
to 255 for 0 to 1 and only then maps it as if it were 0 to 255. Masks and images therefore span -1
to -0.992 in them, and the imported network must go on so. Images of its denoisers span -1 to 1.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from napari_axongen.core.checking import checked
from napari_axongen.core.errors import InputError

from . import importing_denoiser
from .card import Card
from .fitting import fitted
from .importing_denoiser import GREY_RANGE
from .store import free_place, save_model

if TYPE_CHECKING:
    from torch import Tensor

    from napari_axongen.core.networks import TileExactNetwork

REFERENCE_RANGE = (-1.0, 1 / 127.5 - 1)
"""What the reference's networks hold for the grey values 0 and 255."""

FULL_RANGE = (-1.0, 1.0)

_LARGEST = 2 * 2**30  # bytes: the reference's files are 650 MB, with the state of their optimiser
_SAFE_TORCH = (2, 6)  # before, weights-only loading could be made to run code (CVE-2025-32434)
_COUNTER = "num_batches_tracked"


def import_checkpoint(
    path: str | os.PathLike[str],
    name: str,
    target: Literal["TEM", "SEM"],
    *,
    value_range: tuple[float, float] = REFERENCE_RANGE,
    pixel_size: float | None = None,
    axon_diameter: float | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    replace: bool = False,
) -> Card:
    """Import a generator (``UnetGenerator`` with BatchNorm) or a denoiser as a model of the user.

    Parameters
    ----------
    path
        Torch file of a ``state_dict``, or of a dictionary with an entry of that name; keys with or
        without ``module.`` before them. Which of the two it is, and its sizes, are found from the
        tensors.
    name
        Name of the model.
    target
        Contrast of the images that it makes.
    value_range
        What a generator holds for black and white: `REFERENCE_RANGE`, or `FULL_RANGE` for networks
        of pix2pix as published. A denoiser's is always full.
    pixel_size
        um of the images that it was trained on, as they went into the network.
    axon_diameter
        Median axon diameter there, in pixels: images are brought to it. Not known, it works at the
        scale of the image.
    dtype
        How the weights are stored. float16 halves the file, and can cost accuracy where the range
        is narrow.
    replace
        Let it take the place of a model of the user with the same name.

    Returns
    -------
    Card
        Of the stored model.

    Raises
    ------
    InputError
        No such file, too large, not a torch file, anything in it but tensors and plain values, not
        the tensors of such a network, or values that are not finite; the name is taken or not
        usable; torch is older than 2.6.
    """
    source = Path(path)
    card = checked(
        Card,
        {
            "name": name,
            "title": f"Imported from {source.name}",
            "contrast": target,
            "network": {},
            "classes": ["background", "myelin", "axon"],
            "pixel_size": pixel_size,
            "axon_diameter": axon_diameter,
        },
    )
    place = free_place(name, source, replace)
    found, digest = _load(source)
    weights = _weights(found, source)
    if importing_denoiser.FIRST in weights:
        network, entries = importing_denoiser.denoiser(weights, target, source)
    else:
        network, entries = _generator(weights, target, value_range, source)
    imported = {"imported": {"file": source.name, "sha256": digest}}
    card = card.model_copy(update=entries | {"training": imported})
    save_model(place, network, card, dtype)
    return card


# ---------------------------------------------------------------- the file


def _load(path: Path) -> tuple[Any, str]:
    """What a torch file holds, and its SHA-256; one opened file, so that both are of the same."""
    import torch

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _SAFE_TORCH:
        raise InputError(
            f"{path} is not opened by torch {torch.__version__}, in which that is not safe; "
            "install torch 2.6 or later."
        )
    try:
        with path.open("rb") as file:
            _check(file, path)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            return _unpack(file, path), digest
    except OSError as error:
        reason = "it is a folder" if path.is_dir() else (error.strerror or str(error)).lower()
        raise InputError(f"Checkpoint {path} cannot be read: {reason}.") from error


def _check(file: BinaryIO, path: Path) -> None:
    """Refuse what is no archive of a bearable size before torch sees it; rewinds the file."""
    size = os.fstat(file.fileno()).st_size
    try:
        if file.read(4) != b"PK\3\4":  # at its beginning: torch reads the rest in another way
            raise zipfile.BadZipFile
        with zipfile.ZipFile(file) as archive:
            size = max(size, sum(entry.file_size for entry in archive.infolist()))
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, EOFError) as error:
        raise InputError(
            f"{path} is not a file of torch.save (since torch 1.6, a zip archive), or is damaged; "
            "take the checkpoint as it was saved. A .safetensors file is imported without a target."
        ) from error
    if size > _LARGEST:
        raise InputError(
            f"{path} holds {size / 2**30:.1f} GB, more than the {_LARGEST / 2**30:.0f} GB that a "
            "checkpoint of such a network can need."
        )
    file.seek(0)


def _unpack(file: BinaryIO, path: Path) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251 - see above
    except Exception as error:  # a file made to do harm can make it fail in any way
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise InputError(
                f"{path} holds an object of {refused[1]}, and only tensors are taken from such "
                "files; save the state_dict of the network alone."
            ) from error
        reason = " ".join(str(error).split(". ")[0].split())[:120]
        raise InputError(
            f"{path} cannot be read as tensors ({reason or type(error).__name__}); save the "
            "state_dict of the network alone."
        ) from error


# ---------------------------------------------------------------- the tensors


def _weights(found: Any, path: Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, each a plain one, without ``module.`` in their names."""
    import torch

    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found or not all(isinstance(key, str) for key in found):
        raise InputError(
            f"{path} holds no state_dict (tensors by name); save that of the network in it."
        )
    for key, value in found.items():
        if type(value) not in (torch.Tensor, torch.nn.Parameter):
            raise InputError(
                f"{path} holds '{key:.80}', which is no tensor but of type {type(value).__name__}; "
                "save the state_dict of the network alone."
            )
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise InputError(f"'{key:.80}' in {path} is not a plain tensor of numbers.")
    # A tensor may claim more values than the file has bytes, by repeating them.
    if 4 * sum(value.numel() for value in found.values()) > _LARGEST:
        raise InputError(f"{path} holds tensors larger than any such network has.")
    weights: dict[str, Tensor] = dict(found)
    while all(key.startswith("module.") for key in weights):  # torch.nn.DataParallel
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    return weights


def _generator(
    weights: Mapping[str, Tensor],
    target: Literal["TEM", "SEM"],
    value_range: tuple[float, float],
    path: Path,
) -> tuple[TileExactNetwork, dict[str, Any]]:
    """The generator of pix2pix, and what its card says of it."""
    import torch

    from napari_axongen.core.networks import ClassicGenerator

    first = weights.get("model.model.0.weight")
    if first is None or first.ndim != 4:
        there = (
            f"'{next(iter(weights)):.80}'" if first is None else f"of shape {tuple(first.shape)}"
        )
        raise InputError(
            f"{path} is not of a U-Net generator of pix2pix, which begins with "
            "'model.model.0.weight' of 4 axes, nor of the reference's denoiser, which begins with "
            f"'{importing_denoiser.FIRST}': its first tensor is {there}."
        )
    depth = 1
    while f"{_level(depth)}1.weight" in weights:
        depth += 1
    last = weights.get("model.model.3.weight", first)
    arguments: dict[str, Any] = {
        "in_channels": first.shape[1],
        "out_channels": last.shape[1] if last.ndim == 4 else 1,
        "width": first.shape[0],
        "depth": depth,
    }
    try:
        with torch.device("meta"):  # shapes alone
            expected = ClassicGenerator(**arguments).state_dict()
    except TypeError as error:
        raise InputError(f"The generator in {path} cannot be built: {error}.") from error
    names = {f"{theirs}{part}": f"{ours}{part}" for theirs, ours, parts in _layers(depth)
             for part in parts}  # fmt: skip
    names = {theirs: ours for theirs, ours in names.items() if ours in expected}
    for theirs in names:
        if "running_" in theirs and theirs not in weights:
            raise InputError(
                f"The generator in {path} has no running statistics ('{theirs}' is missing); only "
                "one that was trained with BatchNorm can be imported."
            )
    counters = {key: torch.zeros((), dtype=torch.int64) for key in names if key.endswith(_COUNTER)}
    state = fitted(
        counters | dict(weights),  # files of old releases of torch do not count
        {theirs: expected[ours] for theirs, ours in names.items()},
        "a U-Net generator with BatchNorm",
        path,
    )
    for theirs, tensor in state.items():
        if theirs.endswith("running_var") and bool((tensor < 0).any()):
            raise InputError(f"'{theirs}' in {path} is a variance below zero.")
    network = ClassicGenerator(**arguments, value_range=value_range)
    network.load_state_dict({names[theirs]: tensor for theirs, tensor in state.items()})
    return network, {
        "task": "translation",
        "description": "A generator of pix2pix: it renders masks, square by square.",
        "source": "SEM" if target == "TEM" else "TEM",
        "grey_range": GREY_RANGE,
        "network": {"name": "classic", **arguments, "value_range": list(value_range)},
    }


def _level(level: int) -> str:
    """What the reference's names begin with at a level, 0 the outermost: each holds the next."""
    return "model.model." + ("1.model." + "3.model." * (level - 1) if level else "")


def _layers(depth: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Beginnings of the reference's and of our names of each layer, and what follows both."""
    convolution = ("weight", "bias")
    norm = ("weight", "bias", "running_mean", "running_var", _COUNTER)
    for level in range(depth):
        theirs = _level(level)
        up = depth - 1 - level  # ours are in the order of computation
        outermost, innermost = level == 0, level == depth - 1
        yield (
            f"{theirs}{0 if outermost else 1}.",
            f"down.{level}.{0 if outermost else 1}.",
            convolution,
        )
        yield f"{theirs}{3 if outermost or innermost else 5}.", f"up.{up}.1.", convolution
        if not outermost:
            yield f"{theirs}{4 if innermost else 6}.", f"up.{up}.2.", norm
            if not innermost:
                yield f"{theirs}2.", f"down.{level}.2.", norm
