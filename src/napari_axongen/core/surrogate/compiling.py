"""Loops that numba compiles, for the CPU: loaded in the background while torch and NumPy serve.

The one place that says which of the two ways is gone; both make the same images. Compiling takes a
core some ten seconds, once: a process of its own does it and leaves the result beside Python's own
compiled files. Where numba is missing or fails, the loops are never ready.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

_KERNELS = ("drawing_kernels", "exposure_kernels", "growth_kernels")
_MADE_OF = (
    *_KERNELS,
    *("acquisition", "cells", "kernels", "line_kernels", "occupancy", "random", "raster", "render"),
)
_DONE = "complete"  # a file that says so
_REST = 1.0  # seconds: what takes no longer is not to be held up by the loading
_SINGLE = 4  # images
_LONG = 1 << 26  # pixels, which take torch some ten seconds


@dataclass(frozen=True)
class Kernels:
    """The loops, see `drawing_kernels`, `exposure_kernels` and `growth_kernels`."""

    draw: Callable[..., None]
    expose: Callable[..., tuple[float, float]]
    digitise: Callable[..., None]
    grow: Callable[..., None]
    keep_apart: Callable[..., None]
    find_room: Callable[..., None]


_made: Kernels | None = None
_asked = 0
_starting, _in_llvm = threading.Lock(), threading.Lock()
_hurry, _leaving = threading.Event(), threading.Event()


def kernels() -> Kernels | None:
    """The loops, or None while they are not ready."""
    return _made


def expect(images: int, pixels: int) -> None:
    """Have the loops loaded where they are worth it: some seconds of a core and 110 MB.

    That is where somebody waits for single images, a little later as it may have been the last,
    and in long jobs.

    Parameters
    ----------
    images, pixels
        How many are to be made now.
    """
    global _asked
    _asked += pixels
    if images <= _SINGLE or _asked > _LONG:
        _start()


def wait() -> bool:
    """Wait for them; whether they are ready."""
    _hurry.set()
    _start()
    _loader.join()
    return _made is not None


def _start() -> None:
    with _starting:
        if _loader.ident is None:
            atexit.register(_leave)
            _loader.start()


def _serve() -> None:
    """Have them compiled if need be, and load them."""
    global _made
    _hurry.wait(_REST)
    with contextlib.suppress(Exception):
        if _leaving.is_set() or importlib.util.find_spec("numba") is None:
            return
        if not (_folder() / _DONE).exists():
            _compile_apart()
        _made = _load()


_loader = threading.Thread(target=_serve, name="axongen kernels", daemon=True)


def _leave() -> None:
    """Python must not end while LLVM works."""
    with _in_llvm:
        _leaving.set()
    _hurry.set()


def _load() -> Kernels:
    made: dict[str, Any] = {}
    with _caching():
        modules = [importlib.import_module(f".{name}", __package__) for name in _KERNELS]
    for module in modules:
        for kernel, signatures in module.SIGNATURES.items():
            for signature in signatures:
                with _in_llvm:
                    if _leaving.is_set():
                        raise InterruptedError
                    kernel.compile(signature)
            kernel.disable_compile()  # other types are a mistake, not one more thing to compile
            made[kernel.__name__] = kernel
    return Kernels(**made)


@contextlib.contextmanager
def _caching() -> Iterator[None]:
    """What is decorated meanwhile is kept in the folder."""
    import numba

    if numba.config.DISABLE_JIT:
        raise RuntimeError("numba is switched off")
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(_folder())
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def _folder() -> Path:
    """Where the compiled loops are kept, named by all they are made of."""
    digest = hashlib.sha256(importlib.metadata.version("numba").encode())
    for name in _MADE_OF:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    name = f"{_family()}{digest.hexdigest()[:16]}"
    beside = Path(importlib.util.cache_from_source(__file__)).parent
    if (beside / name / _DONE).exists() or os.access(beside, os.W_OK):
        return beside / name
    return user_cache_path("napari-axongen") / name


def _family() -> str:
    return f"kernels.{sys.implementation.cache_tag}."


def _compile_apart() -> None:
    """In a process of its own, as compiling would hold up what else Python does."""
    if getattr(sys, "frozen", False) or not Path(sys.executable or "").stem.startswith("python"):
        raise RuntimeError("there is no Python to call")
    subprocess.run(
        [sys.executable, "-m", __name__],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _compile_here() -> None:
    with contextlib.suppress(AttributeError):  # Windows has none
        os.nice(10)
    folder = _folder()
    _load()
    (folder / _DONE).touch()
    for older in folder.parent.glob(f"{_family()}*"):
        if older != folder:
            shutil.rmtree(older, ignore_errors=True)


if __name__ == "__main__":
    _compile_here()
