"""The output folder of a fleet: one command at a time uses it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import MissingInputError
from monitor.folder_lock import held_alone
from training.fleet.tasks import TASKS


@contextmanager
def own_output(out: Path) -> Iterator[None]:
    """Make the folder, and keep other commands out of it until this one ends in any way.

    Raises ``MissingInputError`` if it cannot be made or written, and ``ServiceUnavailableError`` if
    another command uses it. A file system without locks locks nothing.
    """
    lock = out / TASKS / "lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):  # no worker begins in a folder that is read-only
            pass
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise MissingInputError(f"--out {out}: {error.strerror}") from error
    with held_alone(
        descriptor,
        f"--out {out}: another auscult fleet uses this folder: wait until it ends, or choose "
        "another --out",
    ):
        yield
