"""Reading files in places where something else may have their name.

Opening a FIFO waits for a writer, for ever, and reading a device may have no end.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def real_path(path: Path) -> Path:
    """The path without links; ``path`` itself, absolute, if it can name nothing.

    Unlike ``Path.resolve``, which raises ``RuntimeError`` for a link to itself.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a null byte
        return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps "..", as realpath does not


def open_regular(path: Path, *, follow_links: bool = True) -> int:
    """A descriptor to read a regular file. Raises ``OSError``, also if it is something else."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags | (0 if follow_links else os.O_NOFOLLOW))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    text = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file"
    raise OSError(number, text, os.fspath(path))


MOST_STATE_BYTES = 64 << 20
"""Of a file in which a program keeps its own state."""


def read_regular(path: Path, most_bytes: int, *, follow_links: bool = True) -> bytes:
    """The content of a regular file. Raises ``OSError``, and ``ValueError`` if it is larger."""
    with os.fdopen(open_regular(path, follow_links=follow_links), "rb") as file:
        # As much memory as asked for would be taken at once.
        content = file.read(min(most_bytes, os.fstat(file.fileno()).st_size) + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{path}: is larger than {most_bytes} bytes")
    return content
