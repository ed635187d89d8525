"""Which processor to compute on, and why."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import device as TorchDevice
from torch import memory_format as MemoryFormat

from .errors import InputError

if TYPE_CHECKING:
    from .cluster import Cluster

DeviceName: TypeAlias = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Device:
    """A torch device with the reason it was chosen, as shown in the dock's device chip.

    The workers of a cluster, where there is one, compute the tiles of what has several.
    """

    torch: TorchDevice
    reason: str
    cluster: Cluster | None = None

    def __str__(self) -> str:
        return str(self.torch)

    @property
    def memory_format(self) -> MemoryFormat:
        """Layout for 4-D tensors: channels last doubles a CPU's and a tensor core's throughput."""
        return torch.contiguous_format if self.torch.type == "mps" else torch.channels_last

    def mixed_precision(self) -> AbstractContextManager[None]:
        """Context in which convolutions compute in bfloat16, where the device is made for it.

        On a CPU and on MPS it changes nothing.
        """
        able = self.torch.type == "cuda" and torch.cuda.is_bf16_supported()
        context: AbstractContextManager[None] = torch.autocast(
            self.torch.type, torch.bfloat16, enabled=able
        )
        return context


def _cpu(why: str) -> Device:
    threads = torch.get_num_threads()
    said = "1 thread" if threads == 1 else f"{threads} threads"
    return Device(torch.device("cpu"), f"CPU: {why}, {said}")


def _cuda_reason() -> str:
    return f"CUDA: {torch.cuda.get_device_name()}"


def choose_device(name: DeviceName | str = "auto") -> Device:
    """Choose the device.

    Parameters
    ----------
    name
        ``auto`` takes CUDA, then Apple's MPS, then the CPU; a name demands that device.

    Raises
    ------
    InputError
        The device asked for is not a device of this machine.

    Notes
    -----
    MPS has no float64: everything in this package that reaches a device is float32 or smaller.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        if cuda:
            return Device(torch.device("cuda"), _cuda_reason())
        if mps:
            return Device(torch.device("mps"), "MPS: Apple GPU")
        return _cpu("no GPU found")
    if name == "cpu":
        return _cpu("as asked")
    if name == "cuda" and cuda:
        return Device(torch.device("cuda"), _cuda_reason())
    if name == "mps" and mps:
        return Device(torch.device("mps"), "MPS: Apple GPU, as asked")
    if name in ("cuda", "mps"):
        raise InputError(
            f"Device '{name}' was asked for, but this machine has none that torch can use; "
            "choose 'auto' or 'cpu'."
        )
    raise InputError(f"Device '{name}' is unknown; choose auto, cpu, cuda or mps.")
