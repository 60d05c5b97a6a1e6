"""The lock of a folder that one process at a time may write."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from monitor.errors import ServiceUnavailableError


@contextlib.contextmanager
def only_writer(folder: Path, name: str) -> Iterator[None]:
    """Keep other commands from writing into ``folder`` until this one ends in any way.

    Nothing is written into the folder. ``name``: of the folder in messages. A file system without
    locks locks nothing. Raises ``ServiceUnavailableError`` while another command writes into it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # the writer reports why it is refused
        yield
        return
    with held_alone(
        descriptor,
        f"{name}: another command writes into this folder: wait until it ends, or name another "
        "folder",
    ):
        yield


@contextlib.contextmanager
def held_alone(descriptor: int, refusal: str) -> Iterator[None]:
    """Lock an open file or folder, and close it in the end. A file system without locks locks none.

    Raises ``ServiceUnavailableError`` with the text ``refusal`` while another process holds it.
    """
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceUnavailableError(refusal) from None
        except OSError:  # the file system has no locks
            pass
        yield
    finally:
        os.close(descriptor)


class FolderLock:
    """A lock of a folder that is taken again after somebody has deleted or replaced the folder.

    State: the descriptors of what is locked, of ``path`` or its folder or both.
    """

    def __init__(self, path: Path, take: Callable[[], tuple[int, ...]]) -> None:
        """``take`` makes the folder if needed, locks and returns the descriptors, or raises."""
        self._path = path
        self._take = take
        self._held = take()

    def is_lost(self) -> bool:
        """Whether somebody has deleted or replaced what is locked: another process can lock it."""
        names = (self._path, self._path.parent)
        return bool(self._held) and not any(
            _is_same(one, name) for one in self._held for name in names
        )

    def take_again(self) -> None:
        """Lock what has the name now. Raises as ``take``, and then keeps what it has."""
        held = self._take()
        self.close()
        self._held = held

    def close(self) -> None:
        """End the lock."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held = ()


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def lock_folder_of(path: Path, descriptor: int | None, *, is_new: bool) -> int | None:
    """Lock the file ``path``, which is open as ``descriptor``, and its folder.

    Both are locked until their descriptors are closed or the process ends in any way. Returns the
    descriptor of the folder, ``None`` if it cannot be opened. Raises ``BlockingIOError`` when
    another process holds the lock.

    ``is_new``: whether the file did not exist before. Somebody may have taken it for one that a
    killed process left, and deleted it while it was locked. Therefore the folder must be free as
    well if the file is new, or cannot be opened (``descriptor`` is ``None``). Otherwise the lock
    of the file decides: every user who may read the folder can lock it.
    """
    try:
        folder: int | None = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        folder = None
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder is not None:
            _lock_folder(folder, path, must_be_free=is_new or descriptor is None)
    except BaseException:
        if folder is not None:
            os.close(folder)
        raise
    return folder


def _lock_folder(folder: int, path: Path, *, must_be_free: bool) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if must_be_free:
            with contextlib.suppress(OSError):  # the next attempt must be refused as well
                path.unlink()
            raise
    except OSError:  # some network file systems cannot lock a folder
        pass
