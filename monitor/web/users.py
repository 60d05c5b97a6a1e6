"""The users of the page and their passwords, in one file that only ``auscult web`` reads."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import argon2

from monitor.durable import sync
from monitor.errors import BadInputError, ServiceUnavailableError, UsageError
from monitor.process.secret_files import warn_of_readers
from monitor.text.regular_files import read_regular

log = logging.getLogger(__name__)

FILE_NAME = "users.json"
LEAST_CHARACTERS = 8
MOST_BYTES = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_MOST_FILE_BYTES = 1024 * 1024

# 19 MiB and two passes: the least that OWASP recommends for Argon2id. More would not fit beside
# the page in the memory of a small node.
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""Compared for a user who does not exist, so that an answer takes as long as for one who does."""


class Role(StrEnum):
    """What a viewer may do. An operator may also change something."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class User:
    """A user. ``password_hash``: of argon2id."""

    name: str
    role: Role
    password_hash: str


class Users:
    """The file with the users. It is read again after it was replaced.

    If the file exists but cannot be read, and also if it disappears while the page is served,
    nobody can log in: a fault must not open the page to everybody.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}
        self._was_there = False
        self._trouble = ""
        self.refresh()

    @property
    def are_required(self) -> bool:
        """Whether viewers must log in."""
        return self._was_there

    def refresh(self) -> None:
        """Read the file if it has changed."""
        try:
            about = self.path.stat()
        except FileNotFoundError:
            if self._seen is not None:
                log.error("%s: was deleted: nobody can log in until a restart", self.path)
            self._seen, self._users = None, {}
            return
        except OSError as error:
            self._refuse_all(f"{self.path}: {error.strerror or error!r}")
            return
        seen = (about.st_mtime_ns, about.st_ino, about.st_size)
        if seen == self._seen:
            return
        self._seen, self._was_there = seen, True
        try:
            self._users, self._trouble = read_users(self.path), ""
            warn_of_readers(self.path)
        except BadInputError as error:
            self._refuse_all(str(error))
        except OSError as error:
            self._refuse_all(f"{self.path}: {error.strerror or error!r}")

    def get(self, name: str) -> User | None:
        """The user with this name."""
        return self._users.get(name)

    def check(self, name: str, password: str) -> User | None:
        """The user, if the password is right. Takes some 20 ms and 19 MiB: use a thread."""
        user = self._users.get(name)
        is_right = verify(user.password_hash if user else _NOBODY, password)
        return user if is_right else None

    def _refuse_all(self, reason: str) -> None:
        if reason != self._trouble:
            log.error("%s: nobody can log in", reason)
        self._users, self._was_there, self._trouble = {}, True, reason


def verify(password_hash: str, password: str) -> bool:
    """Whether the hash is that of the password."""
    if len(password.encode(errors="replace")) > MOST_BYTES:
        return False
    try:
        return _HASHER.verify(password_hash, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    except UnicodeEncodeError:  # a lone surrogate
        return False


def read_users(path: Path) -> dict[str, User]:
    """The users by name. Raises ``OSError``, and ``BadInputError`` if the file is damaged."""
    try:
        content = read_regular(path, _MOST_FILE_BYTES)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    try:
        document = json.loads(content)
        return {
            name: User(name, Role(about["role"]), str(about["password_hash"]))
            for name, about in document["users"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadInputError(f"{path}: is damaged: set every password again") from None


def set_password(path: Path, name: str, role: Role, password: str) -> None:
    """Add a user, or give one a new password and role. Logins of this user end.

    Raises ``UsageError`` for a name or a password that cannot be used, ``BadInputError`` if the
    file is damaged and ``ServiceUnavailableError`` if it cannot be written.
    """
    check_name(name)
    check_password(password)
    try:
        users = read_users(path) if path.exists() else {}
        users[name] = User(name, role, _HASHER.hash(password))
        _make_folder(path.parent)
        _write(path, users)
    except OSError as error:
        raise ServiceUnavailableError(f"{path}: cannot be written: {error.strerror}") from error


def check_name(name: str) -> None:
    """Raise ``UsageError`` if it cannot be the name of a user."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot be the name of a user: use at most 64 letters, digits and _ . @ -'
        )


def check_password(password: str) -> None:
    """Raise ``UsageError`` if it cannot be a password."""
    if len(password) < LEAST_CHARACTERS:
        raise UsageError(f"a password has at least {LEAST_CHARACTERS} characters")
    if not _is_text(password):
        raise UsageError("a password is text in UTF-8")
    if len(password.encode()) > MOST_BYTES:
        raise UsageError(f"a password has at most {MOST_BYTES} bytes")


def _is_text(password: str) -> bool:
    """False for bytes of the terminal that are not UTF-8: the form could never send them."""
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    """With the owner of the folder above it: root makes it for the service."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, mode=0o700)
    _give_to_owner_of(folder.parent, folder)


def _give_to_owner_of(folder: Path, path: Path) -> None:
    about = folder.stat()
    with contextlib.suppress(PermissionError):  # only root can give it away
        os.chown(path, about.st_uid, about.st_gid)


def _write(path: Path, users: dict[str, User]) -> None:
    document: dict[str, Any] = {
        "version": 1,
        "users": {
            user.name: {"role": user.role, "password_hash": user.password_hash}
            for user in users.values()
        },
    }
    partial = path.with_suffix(".part")
    partial.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(partial, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    _give_to_owner_of(path.parent, partial)
    partial.replace(path)
    sync(path.parent)
