"""Replacing a bundle: the bundle before is kept beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from monitor.errors import MissingInputError


def keep_previous(path: Path) -> Path:
    """Copy the bundle at ``path`` beside it, before it is replaced; the path of the copy.

    ``pump.bundle`` is kept as ``pump.bundle.previous-1``, the next time as ``-2``: the highest
    number is the newest. The copy gets its name when it is complete and on the disk, and the
    bundle at ``path`` is only read. ``auscult calibrate --in-place`` and ``auscult train audio
    --overwrite`` call this when the new bundle is ready to be written, and report the path.

    Raises ``MissingInputError`` where the copy cannot be written, and ``OSError`` where the disk
    is full or fails.
    """
    here = path.absolute()
    numbered = (here.with_name(f"{here.name}.previous-{number}") for number in count(1))
    target = next(one for one in numbered if not one.exists())
    with complete_folder(target) as folder:
        copy_files(here, folder)
    return path.with_name(target.name) if path.name else target


@contextmanager
def complete_folder(target: Path) -> Iterator[Path]:
    """A new folder to fill. It is renamed to ``target`` when it is complete and on the disk.

    Raises ``MissingInputError`` where the folder cannot be written.
    """
    folder = target.with_name(target.name + ".part")
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a command that was killed
        folder.mkdir(parents=True)
        yield folder
        _write_to_disk(folder)
        folder.rename(target)
        _sync(target.parent)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise MissingInputError(f"{error.filename}: cannot be used: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_files(source: Path, target: Path) -> None:
    """Copy everything below the folder ``source`` into the folder ``target``."""
    for parent, _, names in os.walk(source):
        folder = target / Path(parent).relative_to(source)
        folder.mkdir(exist_ok=True)
        for name in names:
            shutil.copy2(Path(parent, name), folder / name)


def _write_to_disk(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
