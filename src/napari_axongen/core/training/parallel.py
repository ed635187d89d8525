"""One run in several processes, one for each GPU or machine, as ``torchrun`` starts them.

Every process draws a batch of its own and computes its gradients; these are averaged before an
optimiser takes its step, so that the weights are the same everywhere: N processes train as one does
whose batch is N times as large. Only batch normalisation and the soft Dice coefficient, which look
at a batch as a whole, see the part of one process.

The first process leads: it alone measures, writes and tells. The others wait for its word before
each step. With one process every function here does nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from napari_axongen.core.errors import InputError

PATIENCE = timedelta(minutes=30)
"""How long a process waits for another: longer than any validation takes."""

_NAMED = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


class PartedError(InputError):
    """Another process of the run has ended."""


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if count() > 1 else 0


def share(batch: int) -> range:
    """Indices, within the batch of all processes, of the crops that this one draws.

    Parameters
    ----------
    batch
        Crops of one process, as recipes count them.
    """
    return range(rank() * batch, (rank() + 1) * batch)


def generator(seed: int, step: int) -> np.random.Generator:
    """What a process draws a whole batch by; that of the first is keyed by (seed, step) alone."""
    return np.random.default_rng((seed, step, rank()))


@contextlib.contextmanager
def processes(device: str) -> Iterator[None]:
    """Join the other processes of this run, if ``torchrun`` started any.

    Parameters
    ----------
    device
        As asked for. Where it is a GPU, each process of a machine gets its own.

    Raises
    ------
    InputError
        The others cannot be reached.
    """
    together = os.environ.keys() >= _NAMED and int(os.environ["WORLD_SIZE"]) > 1
    if not together or count() > 1:
        yield
        return
    if not dist.is_available():
        raise InputError("This build of torch trains in one process only; leave out --devices.")
    backend, local = "gloo", int(os.environ.get("LOCAL_RANK", 0))
    if device in ("auto", "cuda") and torch.cuda.is_available():
        gpus = torch.cuda.device_count()
        torch.cuda.set_device(local % gpus)
        if int(os.environ.get("LOCAL_WORLD_SIZE", 1)) <= gpus:
            backend = "nccl"  # it refuses two processes on one GPU
    with _together():
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def average_gradients(optimiser: torch.optim.Optimizer) -> None:
    """Replace the gradients that an optimiser is about to follow by their mean over all processes.

    As in DistributedDataParallel (Li et al. 2020, section 2.2), but by one call on all of them.
    """
    parameters = (p for group in optimiser.param_groups for p in group["params"])
    _average([p.grad for p in parameters if p.grad is not None])


def average_buffers(modules: Iterable[nn.Module]) -> None:
    """Replace running statistics by their mean over all processes.

    Those of a moving average of weights too: the mean of the averages is the average of the means.
    """
    _average([b for module in modules for b in module.buffers() if b.is_floating_point()])


def average_losses(losses: dict[str, float]) -> dict[str, float]:
    """Mean over all processes of what each measured, the same names everywhere."""
    if count() == 1:
        return losses
    values = torch.tensor(list(losses.values()), dtype=torch.float64, device=_device())
    _average([values])
    return dict(zip(losses, values.tolist(), strict=True))


def as_first(value: int) -> int:
    """What the first process says: the others wait for it."""
    if count() == 1:
        return value
    said = torch.tensor([value], device=_device())
    with _together():
        dist.broadcast(said, 0)
    return int(said.item())


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """What the first process does while the others wait: if it fails or is stopped, they end."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(PartedError):
            as_first(False)
        raise


def _average(tensors: list[Tensor]) -> None:
    if count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    there = flat.to(_device())
    with _together():
        dist.all_reduce(there)
    flat = (there / count()).to(flat.device)
    for tensor, mean in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.detach().copy_(mean.view(tensor.shape))


def _device() -> torch.device:
    """Where what is exchanged must lie."""
    nccl = count() > 1 and dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")


@contextlib.contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # of many kinds, by backend
        raise PartedError(
            "Another process of this run has ended or cannot be reached; see what it said, and go "
            "on with --resume."
        ) from error
