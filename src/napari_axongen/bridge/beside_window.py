"""Compute beside a window without its standing still."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterator

from .torch_first import load_torch

SWITCH_INTERVAL = 0.0001
"""Seconds after which a thread that computes in Python makes way for the window."""


class _Beside:
    """How many threads compute beside the window, and what was usual before the first of them."""

    lock = threading.Lock()
    count = 0
    usual = (0, 0.0)


@contextlib.contextmanager
def beside_a_window() -> Iterator[None]:
    """Leave a processor to the window, where there are several, and the interpreter when it asks.

    A window that is drawn asks for the interpreter some hundred times; Python lets it wait up to
    5 ms each time by default, while the steps between two calls of torch are made here. And it has
    hundreds of thousands of objects: to look through them all for garbage takes Python some tenths
    of a second, in which nothing else is done, so what is there now is left out of that meanwhile.
    """
    load_torch()
    import torch

    with _Beside.lock:
        if _Beside.count == 0:
            _Beside.usual = torch.get_num_threads(), sys.getswitchinterval()
        _Beside.count += 1
        torch.set_num_threads(max(1, min(_Beside.usual[0], _processors() - 1)))
        sys.setswitchinterval(min(_Beside.usual[1], SWITCH_INTERVAL))
        gc.freeze()
    try:
        yield
    finally:
        with _Beside.lock:
            _Beside.count -= 1
            if _Beside.count == 0:
                torch.set_num_threads(_Beside.usual[0])
                sys.setswitchinterval(_Beside.usual[1])
                gc.unfreeze()


def _processors() -> int:
    """How many this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
