"""The control socket: it is made with the right permissions, for one daemon only."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import logging
import os
import socket
from pathlib import Path

from monitor.control.address import check_length
from monitor.errors import ServiceUnavailableError

log = logging.getLogger(__name__)

_WAITING_CLIENTS = 64


class ListeningSocket:
    """A Unix socket for its user and ``group``, if the system has this group and allows it."""

    def __init__(self, path: Path, group: str) -> None:
        self._path = path
        self._group = group
        self._unfinished = path.with_name(path.name + ".new")
        self._lock: int | None = None
        self._inode = 0

    def open(self) -> socket.socket:
        """Listen. A socket that a killed daemon left is replaced.

        Raises ``ServiceUnavailableError`` if the socket cannot be made or another daemon uses it.
        """
        check_length(self._unfinished)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = self._locked()
            return self._listen()
        except OSError as error:
            self._unlock()
            raise ServiceUnavailableError(
                f"{self._path}: the socket cannot be made: {error.strerror or error}"
            ) from error

    def close(self) -> None:
        """Remove the socket, unless another one has replaced it."""
        with contextlib.suppress(OSError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()
        self._unlock()

    def is_removed(self) -> bool:
        """Whether somebody has removed the socket, and nothing has its name."""
        return not os.path.lexists(self._path)

    def _locked(self) -> int:
        """The lock that shows that a running process uses the socket."""
        path = self._path.with_name(self._path.name + ".lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise ServiceUnavailableError(
                f"{self._path}: another daemon uses this socket; give each daemon its own "
                "$RUNTIME_DIRECTORY or service.state_dir"
            ) from None
        return lock

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _listen(self) -> socket.socket:
        """Listen under another name first: under its final name, the permissions are set."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._unfinished.unlink(missing_ok=True)
            listener.bind(str(self._unfinished))
            self._give_to_group()
            self._unfinished.chmod(0o660)
            listener.listen(_WAITING_CLIENTS)
            self._unfinished.rename(self._path)
            self._inode = self._path.lstat().st_ino
        except BaseException:
            listener.close()
            raise
        return listener

    def _give_to_group(self) -> None:
        try:
            group_id = grp.getgrnam(self._group).gr_gid
        except KeyError:
            return
        if self._unfinished.lstat().st_gid == group_id:
            return
        try:
            os.chown(self._unfinished, -1, group_id)
        except PermissionError:
            log.info(
                "%s: only root and the user of the daemon may use it, because this user is not in "
                "the group %s",
                self._path,
                self._group,
            )
