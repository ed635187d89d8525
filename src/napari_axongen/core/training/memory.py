"""How much memory training takes, and what it says when there is no more."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import torch

_SIGNS = (
    "out of memory",
    "not enough memory",
    "allocate memory",
    "alloc_failed",
    "bad_alloc",
    "could not create a primitive",  # oneDNN gives no reason, and has no other
)


def ran_out(error: BaseException) -> bool:
    """Whether an error of torch, on whatever device, means that memory ran out."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(s in str(error).lower() for s in _SIGNS)


def free() -> None:
    """Give back what is no longer needed."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def held(device: torch.device) -> int | None:
    """Memory in use, bytes; None where it cannot be known.

    Of a GPU the most that was allocated at once, of a CPU what the process holds.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    try:  # Linux; pages: all, resident, ...
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):
        return None


def used(device: torch.device) -> str:
    """Memory in use, for a progress message: ``, 1.2 GB``; nothing where it cannot be known."""
    count = held(device)
    return "" if count is None else f", {count / 2**30:.1f} GB"
