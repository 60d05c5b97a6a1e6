"""One process per state folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from monitor.errors import ServiceUnavailableError


def lock_file(path: Path) -> IO[bytes] | None:
    """Hold ``path`` until the returned file is closed or the process ends, however it ends.

    ``None`` where the file can neither be made nor opened: on a disk like that nothing
    can be written by a second process either. Raises ``ServiceUnavailableError`` when
    another process holds it.
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
