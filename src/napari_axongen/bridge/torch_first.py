"""Load torch in a thread without holding up the window."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

_LIBRARIES = (("libtorch_global_deps.so", True), ("libtorch.so", False))
"""In the order in which torch loads them, and whether their symbols are for all."""


def load_torch() -> None:
    """Import torch.

    Python's ``import`` loads torch's libraries without letting another thread have the interpreter:
    a window stands still for a second. A call of the system's own loader does let it, and finds
    them loaded when ``import`` asks. Where that is not known to work (not on Linux, or another
    layout of torch's files), it is a plain import.
    """
    spec = importlib.util.find_spec("torch")
    if "torch" not in sys.modules and sys.platform == "linux" and spec and spec.origin:
        load = ctypes.CDLL(None).dlopen
        load.restype = ctypes.c_void_p
        for name, for_all in _LIBRARIES:
            path = Path(spec.origin).parent / "lib" / name
            if path.exists():  # what cannot be loaded here, torch loads, or says why not
                load(os.fsencode(path), os.RTLD_LAZY | (os.RTLD_GLOBAL if for_all else 0))
    importlib.import_module("torch")
