"""Files with secrets: whether other users of the computer can read them."""

from __future__ import annotations

import contextlib
import logging
import stat
from pathlib import Path

log = logging.getLogger(__name__)

_GROUP_AND_OTHERS = stat.S_IRGRP | stat.S_IROTH


def warn_of_broker_secrets(password_file: Path | None, client_key: Path | None) -> None:
    """``warn_of_readers`` for what logs in to the broker."""
    if password_file is not None:
        warn_of_readers(password_file)
    if client_key is not None:
        warn_of_readers(client_key, group_may_read=True)


def warn_of_readers(path: Path, *, group_may_read: bool = False) -> None:
    """Log what ``readers_of`` finds."""
    if found := readers_of(path, group_may_read=group_may_read):
        log.warning("%s", found)


def readers_of(path: Path, *, group_may_read: bool = False) -> str:
    """A sentence if others than its owner can read the file, or empty. It need not exist.

    ``group_may_read``: its group may read it too, as is usual for the key of a certificate.
    """
    with contextlib.suppress(OSError):
        about = path.stat()
        right = about.st_mode & 0o700
        right = right | 0o040 if group_may_read else right
        if stat.S_ISREG(about.st_mode) and about.st_mode & _GROUP_AND_OTHERS & ~right:
            return (
                f"{path}: contains a secret, and other users of this computer can read it: its "
                f"mode is {stat.S_IMODE(about.st_mode):04o}, but must be {right:04o}"
            )
    return ""
