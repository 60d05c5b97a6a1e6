"""The lock of a state folder: only one process writes its outbox."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from monitor.errors import ServiceUnavailableError


def lock_path(path: Path) -> Path:
    """The file that is locked while a process writes the outbox ``path``; it is never deleted."""
    return path.with_name(path.name + ".lock")


def locked(path: Path) -> IO[bytes] | None:
    """Lock ``path`` until the returned file is closed or the process ends in any way.

    ``None`` if the file can neither be made nor opened: then a second process cannot
    write on this disk either. Raises ``ServiceUnavailableError`` when another process
    holds the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
    file = os.fdopen(descriptor, "rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ServiceUnavailableError(
            f"{path.parent}: another Auscult process is using this state folder ({path.name} is "
            "locked); give each daemon its own"
        ) from error
    return file
