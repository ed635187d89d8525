"""Work on several things at once: one core each beats all cores on each.

torch splits an operation among its threads and waits for all of them; for thousands of short
operations the waiting costs more than it gains.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


class _OneThreadEach:
    """While entered, torch's operations stay in the thread that calls them.

    The setting is the process's: the last to leave restores what the first found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 1

    def __enter__(self) -> int:
        with self._lock:
            if not self._inside:
                self._before = torch.get_num_threads()
                torch.set_num_threads(1)
            self._inside += 1
            return self._before

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.set_num_threads(self._before)


_one_thread_each = _OneThreadEach()


def each_apart(work: Callable[[T], None], things: Sequence[T]) -> None:
    """Work on each thing, in as many threads as torch may use; the first error is raised."""
    if len(things) < 2:
        for thing in things:
            work(thing)
        return
    with _one_thread_each as threads, ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, things):
            pass
