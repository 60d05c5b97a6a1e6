"""Checks passwords, within limits."""

from __future__ import annotations

import asyncio
import logging
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


class Doorkeeper:
    """Checks passwords: for each address a few, and one at a time, because each needs memory."""

    MOST_WAITING: ClassVar[int] = 8
    _BUSY_S: ClassVar[float] = 2.0

    def __init__(self, users: Users, sessions: Sessions, limit: LoginLimit | None = None) -> None:
        self.users = users
        self.sessions = sessions
        self._limit = limit or LoginLimit()
        self._thread = ThreadPoolExecutor(1, "password")
        self._n_waiting = 0

    async def check(self, address: str, name: str, password: str) -> User | None:
        """The user, if the password is right. Raises ``TooManyError``."""
        if self._n_waiting >= self.MOST_WAITING:
            raise TooManyError(self._BUSY_S)
        if wait_s := self._limit.try_once(address):
            raise TooManyError(wait_s)
        self._n_waiting += 1
        try:
            loop = asyncio.get_running_loop()
            user = await loop.run_in_executor(self._thread, self.users.check, name, password)
        finally:
            self._n_waiting -= 1
        if user is None:
            log.warning(
                "login refused", extra={"address": one_line(address), "user": one_line(name)[:64]}
            )
        else:
            self._limit.give_back(address)
        return user
