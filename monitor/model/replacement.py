"""Replacing a bundle: the previous bundle is kept next to it."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from monitor.durable import sync
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
    for number in count(1):
        target = here.with_name(f"{here.name}.previous-{number}")
        if target.exists():
            continue
        try:
            with complete_folder(target) as folder:
                copy_files(here, folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # another command was faster
                raise
        else:
            break
    return path.with_name(target.name) if path.name else target


@contextmanager
def complete_folder(target: Path) -> Iterator[Path]:
    """A new folder to fill. It is renamed to ``target`` when it is complete and on the disk.

    Raises ``MissingInputError`` where the folder cannot be written.
    """
    folder = target.with_name(f"{target.name}.part-{threading.get_native_id()}")
    try:
        _remove_abandoned(target)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
        _write_to_disk(folder)
        folder.rename(target)
        sync(target.parent)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise MissingInputError(f"{error.filename}: cannot be used: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(target: Path) -> None:
    """Remove the unfinished folders of commands that were killed."""
    for folder in target.parent.glob(f"{glob.escape(target.name)}.part-*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    """Whether the thread whose number ends the name has ended."""
    thread = path.name.rpartition("-")[2]
    return thread.isdecimal() and not Path("/proc", thread).exists()


def replace_files(folder: Path, contents: Mapping[str, bytes], last: str) -> None:
    """Replace files of ``folder`` when all new ones are on the disk; the one named ``last`` last.

    Raises ``OSError`` where the disk is full or fails; the files are then as they were.
    """
    new = {name: folder / f"{name}.new-{threading.get_native_id()}" for name in contents}
    try:
        for path in folder.glob("*.new-*"):
            if _is_abandoned(path):
                path.unlink(missing_ok=True)  # another command may be faster
        for name, content in contents.items():
            new[name].write_bytes(content)
            sync(new[name])
        for name in sorted(contents, key=lambda one: one == last):
            new[name].replace(folder / name)
        sync(folder)
    finally:
        for path in new.values():
            path.unlink(missing_ok=True)


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
            sync(Path(parent, name))
        sync(Path(parent))
