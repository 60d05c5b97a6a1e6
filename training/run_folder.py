"""The folder of a run: a run that is refused leaves none, and one that is stopped is continued."""

from __future__ import annotations

import logging
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from monitor import __version__
from monitor.errors import MissingInputError
from monitor.folder_lock import only_writer

logger = logging.getLogger(__name__)

_VERSIONS_OF = ("torch", "numpy")


@contextmanager
def new_folder(
    folder: Path, *, resumes: bool = False, curves: Path | None = None
) -> Iterator[Path]:
    """Make the folder before the run, so that it is known to be writable.

    If the run fails, the folders that were made and are still empty are removed again. ``curves``:
    a folder in it that says nothing without the result, and is removed too. With ``resumes``, a
    run that is stopped by the user logs how to continue it. Raises ``MissingInputError`` if the
    folder cannot be made, and ``ServiceUnavailableError`` while another run uses it.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingInputError(f"--out {folder}: {error.strerror}") from error
    with only_writer(folder, f"--out {folder}"):
        try:
            yield folder
        except BaseException as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = os.fspath(folder)  # a full disk names no file
            if made and curves is not None:
                shutil.rmtree(curves, ignore_errors=True)
            for one in [*_folders_below(folder), *made] if made else []:
                with suppress(OSError):  # what holds files stays
                    one.rmdir()
            if resumes and not isinstance(error, Exception):
                logger.warning("interrupted; repeat the command to continue")
            raise


def _folders_below(folder: Path) -> list[Path]:
    """The deepest first."""
    return sorted((one for one in folder.rglob("*") if one.is_dir()), reverse=True)


def log_to_standard_error() -> None:
    """Log each step to standard error, unless logging is set up already."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger("training")
    if not root.handlers and not logging.root.handlers:
        root.addHandler(handler)
        root.setLevel(logging.INFO)


def versions(*packages: str) -> dict[str, str]:
    """The versions of Auscult, Python, and the packages, for the record of a run."""
    return {
        "auscult": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages or _VERSIONS_OF},
    }
