"""Who has logged in, and until when: kept in memory, so that a restart ends every session."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.web.users import Role, User, Users


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. ``name``: empty without a password."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class _Session:
    name: str
    password_hash: str
    ends_s: float


class Sessions:
    """The sessions of all users. A session ends after ``hours``, also while it is used.

    It also ends when its user is removed, or gets another password.
    """

    MOST: ClassVar[int] = 1000

    def __init__(
        self, users: Users, hours: float, clock: Clock = SYSTEM_CLOCK, *, cookie: str = "auscult"
    ) -> None:
        """``cookie``: the name of the cookie. Browsers send it to all ports of a computer."""
        self.cookie = cookie
        self._users = users
        self.lasts_s = hours * 3600.0
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}

    def begin(self, user: User) -> str:
        """A new session; the token that its cookie has."""
        token = secrets.token_urlsafe(32)
        now_s = self._clock.steady_s()
        for digest in [one for one, found in self._sessions.items() if found.ends_s <= now_s]:
            del self._sessions[digest]
        while len(self._sessions) >= self.MOST:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_digest(token)] = _Session(
            user.name, user.password_hash, now_s + self.lasts_s
        )
        return token

    def viewer(self, token: str) -> Viewer | None:
        """Whose session it is; None for one that has ended or never was."""
        found = self._sessions.get(_digest(token))
        if found is None:
            return None
        user = self._users.get(found.name)
        is_over = found.ends_s <= self._clock.steady_s()
        if is_over or user is None or user.password_hash != found.password_hash:
            self.end(token)
            return None
        return Viewer(user.name, user.role)

    def end(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    """Sessions are found by a hash: the time of a comparison does not reveal a token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
