"""What the benchmarks share: times taken alternately, peaks of memory, fresh processes."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 3
Row = tuple[str, str, str]
"""Figure, what was measured, and its bar."""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternate(*works: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Median seconds of each work, run in turn after one warm-up."""
    for work in works:
        work()
    times = [[seconds(work) for work in works] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def peak() -> float:
    """Most memory that this process has held, MB.

    On Linux it is not ru_maxrss, which starts at the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (kilobytes,) = re.findall(r"VmHWM:\s*(\d+)", status.read_text())
        return int(kilobytes) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def output(code: str, screen: bool = False) -> str:
    """Last line that a fresh Python prints when it runs some code (under Xvfb if need be)."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    if screen and sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 1400x1000x24", *command]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]
