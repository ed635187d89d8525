"""A run's folder is trained in by one at a time: one process, and in it one window or call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from napari_axongen.core.errors import InputError
from napari_axongen.core.models.store import RUN_MODEL

LOCK = ".lock"
"""File in the folder that whoever trains there has locked. It stays; the lock ends with the process
that holds it, however that ends."""

_PATIENCE = 1.0  # seconds, in which one that only looks has gone


class BusyError(InputError):
    """Another trains in the folder."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a folder to oneself; if it is missing it is made, and goes again if nothing comes of it.

    Raises
    ------
    BusyError
        Another holds it.
    InputError
        It cannot be written.
    """
    lock, made = FileLock(folder / LOCK, timeout=_PATIENCE, thread_local=False), not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BusyError(
            f"{folder} is being trained by another process or window; wait for it or stop it "
            "there, or choose another folder."
        ) from None
    except NotImplementedError:
        pass  # this file system knows no locks
    except OSError as error:
        if not (folder / RUN_MODEL).exists():  # one that is finished is only read
            raise InputError(f"The run cannot be written to {folder}: {error.strerror}.") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if made and [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether somebody trains in a folder at this moment."""
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except (NotImplementedError, OSError):
        return False
