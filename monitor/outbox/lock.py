"""The lock of a state folder: only one process writes its outbox."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from monitor.errors import ServiceUnavailableError


def lock_path(path: Path) -> Path:
    """The file that is locked while a process writes the outbox ``path``; it is never deleted."""
    return path.with_name(path.name + ".lock")


def locked(path: Path) -> int | None:
    """Lock ``path`` until the returned descriptor is closed or the process ends in any way.

    ``None`` if the file can neither be made nor opened: then a second process cannot
    write on this disk either. Raises ``ServiceUnavailableError`` when another process
    holds the lock.
    """
    flags = os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO may have its name, or a folder
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    except OSError:
        try:
            descriptor = os.open(path, os.O_RDONLY | flags)
        except OSError:
            return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ServiceUnavailableError(
            f"{path.parent}: another Auscult process is using this state folder ({path.name} is "
            "locked); give each daemon its own"
        ) from error
    return descriptor
