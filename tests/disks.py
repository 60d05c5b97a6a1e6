"""Disks for tests: small ones, which can be filled or made to fail, and one in memory.

Only root can mount the small ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108  # the tests make folders with random names in it


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder in which the many waits of a database for the disk take no time."""
    is_there = os.access(MEMORY, os.W_OK)
    with tempfile.TemporaryDirectory(dir=MEMORY if is_there else None) as folder:
        yield Path(folder)


def _mount(*arguments: object) -> None:
    """Mount, or skip the calling test with the reason."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(
        ["mount", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")


@contextmanager
def small_disk_at(folder: Path) -> Iterator[Path]:
    """A file system of 6 MB at ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", "size=6m", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk of ``folder``; returns the file to remove to have space again."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"\xaa" * 4096):
            pass
    return filler


class FlashCard:
    """An ext4 file system of 8 MB at ``folder`` that can wear out; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images = [folder.with_name(folder.name + ".img")]

    def __enter__(self) -> FlashCard:
        make = shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/sbin:/usr/sbin")
        if make is None:
            pytest.skip("mkfs.ext4 is not installed (e2fsprogs)")
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._images[0].open("wb") as file:
            file.truncate(8 << 20)
        subprocess.run([make, "-q", self._images[0]], check=True)
        self._insert()
        return self

    def __exit__(self, *_: object) -> None:
        for _image in self._images:
            subprocess.run(["umount", "-l", self._folder], check=True)

    def wear_out(self) -> None:
        """Make it read-only, as the kernel does after an I/O error."""
        subprocess.run(["mount", "-o", "remount,abort", self._folder], check=True)

    def replace(self) -> None:
        """Mount another card with a copy of the files."""
        copy = self._images[-1].with_suffix(".copy")
        shutil.copy(self._images[-1], copy)
        self._images.append(copy)
        self._insert()

    def _insert(self) -> None:
        _mount("-o", "loop,errors=remount-ro", self._images[-1], self._folder)
