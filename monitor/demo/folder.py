"""The folder of the demo: every demo begins without the files of the one before."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import MissingInputError, ServiceUnavailableError, UsageError

_MARK = "auscult-demo.txt"
_CONTENT = "The files of `auscult demo`. Each demo deletes the files of the one before.\n"


@contextmanager
def demo_folder(out: Path) -> Iterator[None]:
    """``out`` as an empty folder of this demo, for the ``with`` block.

    Raises ``UsageError`` if it has files that are not of a demo, ``MissingInputError`` if it cannot
    be created or emptied, and ``ServiceUnavailableError`` if another demo uses it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark = out / _MARK
        if not mark.exists() and any(out.iterdir()):
            raise UsageError(
                f"--out {out}: has files that are not of a demo: choose a new or empty folder"
            )
        file = mark.open("a+", encoding="utf-8")
    except OSError as error:
        raise MissingInputError(f"--out {out}: cannot be created: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ServiceUnavailableError(
                f"--out {out}: another demo uses this folder: choose another one"
            ) from None
        try:
            _remove_all_but(out, mark)
            file.truncate(0)
            file.write(_CONTENT)
            file.flush()
        except OSError as error:
            raise MissingInputError(f"--out {out}: cannot be emptied: {error.strerror}") from error
        yield


def _remove_all_but(folder: Path, kept: Path) -> None:
    for path in folder.iterdir():
        if path == kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
