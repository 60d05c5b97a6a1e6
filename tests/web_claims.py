"""A claim about the access to the page: an attack that works only without its protection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.web.users import Role
from tests.web_app import PASSWORD, Served, served

USERS = {"anna": Role.OPERATOR, "victor": Role.VIEWER}
MUTE = "/api/machine/pump-7/mute"
BEHIND_PROXY: Mapping[str, Any] = {
    "behind_proxy": True,
    "trusted_proxies": ["127.0.0.1"],
    "hosts": ["*"],
}


@dataclass(frozen=True)
class Claim:
    """``attack``: whether it succeeds. ``remove``: take the protection away, at one point.

    ``settings``: of ``[web]``. ``users``: without any, the page needs no login.
    """

    name: str
    attack: Callable[[Served], bool]
    remove: Callable[[pytest.MonkeyPatch, Served], None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    users: Mapping[str, Role] = field(default_factory=lambda: USERS)

    def check(self, folder: Path) -> None:
        """The attack succeeds without the protection, and only then."""
        for is_removed in (True, False):
            with (
                served(folder / str(is_removed), users=self.users, **self.settings) as running,
                pytest.MonkeyPatch.context() as patch,
            ):
                if is_removed:
                    self.remove(patch, running)
                assert self.attack(running) is is_removed, f"protection removed: {is_removed}"


def each(claims: list[Claim]) -> pytest.MarkDecorator:
    """Parametrise a test with the claims."""
    return pytest.mark.parametrize("claim", claims, ids=lambda claim: claim.name)


def log_in(client: httpx.Client, user: str = "anna", password: str = PASSWORD) -> httpx.Response:
    """Send the form of the login."""
    origin = str(client.base_url).rstrip("/")
    form = {"user": user, "password": password}
    return client.post("/login", data=form, headers={"Origin": origin})


def may_look(client: httpx.Client) -> bool:
    """Whether the machines are shown to this client."""
    return client.get("/api/overview").status_code == 200
