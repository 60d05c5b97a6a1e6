"""Checks passwords, within limits."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import math
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from monitor.text.escaping import one_line
from monitor.web.login_limit import LoginLimit
from monitor.web.sessions import Sessions
from monitor.web.users import User, Users

log = logging.getLogger(__name__)


class TooManyError(Exception):
    """A password is not checked now. ``wait_s``: when to try again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class PasswordCheck:
    """Checks passwords: for each address a few, and one at a time, because each needs memory."""

    MOST_WAITING: ClassVar[int] = 8
    MOST_BASIC: ClassVar[int] = 100
    BASIC_S: ClassVar[float] = 600.0
    _BUSY_S: ClassVar[float] = 2.0

    def __init__(self, users: Users, sessions: Sessions, limit: LoginLimit | None = None) -> None:
        self.users = users
        self.sessions = sessions
        self._limit = limit or LoginLimit()
        self._thread = ThreadPoolExecutor(1, "password")
        self._n_waiting = 0
        self._key = secrets.token_bytes(32)
        self._basic: dict[bytes, tuple[User, float]] = {}

    async def check(self, address: str, name: str, password: str) -> User | None:
        """The user, if the password is right. Raises ``TooManyError``."""
        if self._n_waiting >= self.MOST_WAITING:
            raise TooManyError(self._BUSY_S)
        if wait_s := self._limit.try_once(address):
            if self._limit.is_first_refusal(address):
                log.warning(
                    "too many wrong passwords of one address: it can try one each minute",
                    extra={"address": one_line(address), "next_in_s": math.ceil(wait_s)},
                )
            raise TooManyError(wait_s)
        self._n_waiting += 1
        try:
            loop = asyncio.get_running_loop()
            user = await loop.run_in_executor(self._thread, self.users.check, name, password)
        finally:
            self._n_waiting -= 1
        if user is None:
            log.warning(
                "login refused",
                extra={"address": one_line(address), "user": _loggable(self.users, name)},
            )
        else:
            self._limit.give_back(address)
        return user

    async def basic(self, address: str, header: str) -> User | None:
        """The user of a header ``Authorization``, if the password is right.

        Prometheus sends it every few seconds, so a right one is remembered for ``BASIC_S``, as a
        keyed hash. Raises ``TooManyError``.
        """
        kind, _, encoded = header.partition(" ")
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode()
        except ValueError:
            return None
        name, colon, password = text.partition(":")
        if kind.lower() != "basic" or not colon:
            return None
        digest = hmac.digest(self._key, text.encode(), "sha256")
        known, until_s = self._basic.get(digest, (None, 0.0))
        if known is not None and until_s > time.monotonic() and self.users.get(name) == known:
            return known
        user = await self.check(address, name, password)
        if user is not None:
            while len(self._basic) >= self.MOST_BASIC:
                del self._basic[next(iter(self._basic))]
            self._basic[digest] = user, time.monotonic() + self.BASIC_S
        return user


def _loggable(users: Users, name: str) -> str:
    """The name of a user. Another one is not logged: somebody may have typed a password there."""
    return one_line(name) if users.get(name) is not None else "unknown"
