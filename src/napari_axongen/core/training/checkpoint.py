"""Checkpoints: the whole state of a run in one safetensors file, replaced atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_axongen.core.errors import InputError
from napari_axongen.core.files import atomic_path

from .runs import CHECKPOINT, STATE_KEY


def save_checkpoint(
    out: Path,
    modules: dict[str, nn.Module],
    optimisers: dict[str, torch.optim.Optimizer],
    state: dict[str, Any],
    best: Mapping[str, Tensor],
) -> None:
    """Write weights, buffers, optimiser states and the run's JSON ``state`` as one file.

    ``best`` are the weights that did best on validation, if any. They go into the same file: what
    is said of them in ``state`` then holds whenever a run is killed.

    The file is written beside the old one and takes its place when it is whole on the disk, so a
    run that is killed at any moment finds the old state or the new one.
    """
    tensors = {f"best/{key}": tensor.contiguous() for key, tensor in best.items()}
    groups: dict[str, Any] = {}
    for name, module in modules.items():
        for key, tensor in module.state_dict().items():
            tensors[f"module/{name}/{key}"] = tensor.contiguous()
    for name, optimiser in optimisers.items():
        packed = optimiser.state_dict()
        groups[name] = packed["param_groups"]
        for index, entries in packed["state"].items():
            for key, value in entries.items():
                tensors[f"optimiser/{name}/{index}/{key}"] = torch.as_tensor(value).contiguous()
    metadata = {STATE_KEY: json.dumps({"state": state, "groups": groups})}
    with atomic_path(out / CHECKPOINT) as path:
        path.touch()
        usual = path.stat().st_mode  # safetensors lets nobody else read what it writes
        try:
            save_file(tensors, path, metadata)
            path.chmod(usual)
        except SafetensorError as error:  # its last words are the system's
            raise OSError(None, str(error).rpartition(": ")[2]) from error


def load_checkpoint(
    out: Path, modules: dict[str, nn.Module], optimisers: dict[str, torch.optim.Optimizer]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Put a checkpoint back into the modules and optimisers; return its ``state`` and ``best``.

    Raises
    ------
    InputError
        There is none, it is damaged, or it belongs to a run of another network.
    """
    path = out / CHECKPOINT
    if not path.exists():
        raise InputError(f"{out} holds no checkpoint to resume from; start without --resume.")
    try:
        with safe_open(path, framework="pt") as file:
            run = json.loads((file.metadata() or {})[STATE_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for name, module in modules.items():
            module.load_state_dict(_below(tensors, f"module/{name}/"))
        for name, optimiser in optimisers.items():
            entries: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _below(tensors, f"optimiser/{name}/").items():
                index, entry = key.split("/")
                entries.setdefault(int(index), {})[entry] = tensor
            optimiser.load_state_dict({"state": entries, "param_groups": run["groups"][name]})
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            f"The checkpoint {path} is damaged or belongs to another run ({error}); "
            "resume with the recipe that it was made by, or start anew in another folder."
        ) from error
    return run["state"], _below(tensors, "best/")


def best_weights(out: Path, module: str) -> dict[str, Tensor]:
    """Weights of a checkpoint that did best on validation; where nothing was scored, the last.

    Parameters
    ----------
    out
        Folder of the run.
    module
        That whose weights become the model.

    Raises
    ------
    InputError
        There is no checkpoint, or it is damaged.
    """
    return _stored(out, "best/") or last_weights(out, module)


def last_weights(out: Path, module: str) -> dict[str, Tensor]:
    """Weights and buffers of a module as a checkpoint has them; empty: the run has no such module.

    Raises
    ------
    InputError
        There is no checkpoint, or it is damaged.
    """
    return _stored(out, f"module/{module}/")


def _stored(out: Path, prefix: str) -> dict[str, Tensor]:
    """Tensors of a checkpoint whose names begin so, without that; no others are read."""
    path = out / CHECKPOINT
    if not path.exists():
        raise InputError(f"{out} holds no checkpoint to start from; choose another run or a model.")
    try:
        with safe_open(path, framework="pt") as file:
            keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
            return {key.removeprefix(prefix): file.get_tensor(key) for key in keys}
    except SafetensorError as error:
        raise InputError(
            f"The checkpoint {path} is damaged ({error}); choose another run or a model."
        ) from error


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }
