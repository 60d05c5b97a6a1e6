"""The lock of a state folder: only one process writes its outbox."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from monitor.errors import ServiceUnavailableError
from monitor.folder_lock import FolderLock, lock_folder_of


def lock_path(path: Path) -> Path:
    """The file that is locked while a process writes the outbox ``path``; it is never deleted."""
    return path.with_name(path.name + ".lock")


def lock_of(path: Path) -> FolderLock:
    """Lock the state folder of the outbox ``path``.

    Raises ``ServiceUnavailableError`` when another process holds the lock, also after its file was
    deleted.
    """
    lock = lock_path(path)
    return FolderLock(lock, lambda: _locked(lock))


def _locked(path: Path) -> tuple[int, ...]:
    """Lock ``path`` and its folder until the returned descriptors are closed or the process ends.

    None are returned if neither the file nor the folder can be opened: then a second process cannot
    write on this disk either.
    """
    flags = os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO may have its name, or a folder
    descriptor: int | None = None
    is_new = False
    try:
        is_new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    except OSError:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        folder = lock_folder_of(path, descriptor, is_new=is_new)
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        raise ServiceUnavailableError(
            f"{path.parent}: another Auscult process is using this state folder; give each daemon "
            "its own"
        ) from error
    return tuple(one for one in (descriptor, folder) if one is not None)
