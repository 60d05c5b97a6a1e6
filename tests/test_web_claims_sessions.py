"""Sessions, roles, changes: each attack works when its protection is removed, and not with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.clock import Clock
from monitor.web import access
from monitor.web.sessions import Sessions, Viewer
from monitor.web.users import Role, Users, set_password
from tests.clocks import FakeClock
from tests.web_app import PASSWORD, Served
from tests.web_claims import MUTE, Claim, each, log_in, may_look

PLANTED = "p" * 43
HOUR_S = 3600.0
SOON_S = 11 * HOUR_S
LATER_S = 13 * HOUR_S
"""A session lasts 12 hours."""


def sessions_of(running: Served) -> Sessions:
    return running.context.password_check.sessions


def forge_a_cookie(running: Served) -> bool:
    with running.client(cookies={sessions_of(running).cookie: "x" * 43}) as client:
        return may_look(client)


def plant_a_cookie(running: Served) -> bool:
    """The attacker gives the victim a cookie, and uses it after the victim has logged in."""
    name = sessions_of(running).cookie
    with running.client(cookies={name: PLANTED}) as victim:
        log_in(victim)
    with running.client(cookies={name: PLANTED}) as attacker:
        return may_look(attacker)


def use_after_log_out(running: Served) -> bool:
    with running.logged_in() as client:
        token = client.cookies[sessions_of(running).cookie]
        client.post("/logout", headers={"X-Auscult": "1", "Origin": running.url})
    with running.client(cookies={sessions_of(running).cookie: token}) as thief:
        return may_look(thief)


def use_after_a_new_password(running: Served) -> bool:
    with running.logged_in() as thief:
        path = running.context.password_check.users.path
        set_password(path, "anna", Role.OPERATOR, "another password")
        return may_look(thief)


def use_a_program_after_a_new_password(running: Served) -> bool:
    """A right password of a program is remembered for some minutes."""
    with running.client(auth=("anna", PASSWORD)) as program:
        assert program.get("/metrics").status_code == 200
        path = running.context.password_check.users.path
        set_password(path, "anna", Role.OPERATOR, "another password")
        return program.get("/metrics").status_code == 200


def change_after_a_lower_role(running: Served) -> bool:
    with running.logged_in() as client:
        path = running.context.password_check.users.path
        set_password(path, "anna", Role.VIEWER, "another password")
        return changes(running, client)


def use_after_its_time(running: Served) -> bool:
    clock = sessions_of(running)._clock = FakeClock()
    with running.logged_in() as thief:
        clock.now_s += LATER_S
        return may_look(thief)


def set_the_clock_back(running: Served) -> bool:
    """A person who sets the time of the node would keep a session for ever."""
    clock = FakeClock()
    install(running, clock)
    with running.logged_in() as thief:
        clock.now_s += LATER_S
        clock.set_by_s = -LATER_S
        return may_look(thief)


def set_the_clock_forward(running: Served) -> bool:
    """A time server that corrects the clock would log everybody out."""
    clock = FakeClock()
    install(running, clock)
    with running.logged_in() as client:
        clock.set_by_s = 30 * 24 * HOUR_S
        clock.now_s += SOON_S
        return not may_look(client)


def install(running: Served, clock: Clock) -> None:
    """Keep the way in which the sessions read their clock."""
    sessions = sessions_of(running)
    sessions._clock = clock if not hasattr(sessions._clock, "reads_wall_time") else WallTime(clock)


class WallTime(Clock):
    """A clock whose steady time is the system clock: what a careless program would use."""

    reads_wall_time = True

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock.unix_s, clock.unix_s)


def use_wall_time(_patch: pytest.MonkeyPatch, running: Served) -> None:
    sessions_of(running)._clock = WallTime(sessions_of(running)._clock)


def changes(running: Served, client: Any, **headers: str) -> bool:
    """Whether a client can mute a machine."""
    sent = {"X-Auscult": "1", "Origin": running.url} | headers
    sent = {name: value for name, value in sent.items() if value}
    client.post(MUTE, json={"for_s": 60}, headers=sent)
    return bool(running.daemon.received)


def change_as_a_viewer(running: Served) -> bool:
    with running.logged_in("victor") as client:
        return changes(running, client)


def change_without_the_header(running: Served) -> bool:
    """A form that somebody brings into a page of this site can set no header."""
    with running.logged_in() as client:
        return changes(running, client, **{"X-Auscult": ""})


def change_without_an_origin(running: Served) -> bool:
    with running.logged_in() as client:
        return changes(running, client, Origin="")


def change_from_another_origin(running: Served) -> bool:
    with running.logged_in() as client:
        return changes(running, client, Origin="https://evil.example")


def log_a_victim_in_as_the_attacker(running: Served) -> bool:
    """The victim would work, and write notes, under the name of somebody else."""
    form = {"user": "victor", "password": PASSWORD}
    with running.client() as client:
        client.post("/login", data=form, headers={"Origin": "https://evil.example"})
        return may_look(client)


def read_the_password_in_the_file(running: Served) -> bool:
    """Backups are read by others."""
    return PASSWORD in running.context.password_check.users.path.read_text()


def store_passwords_as_they_are(patch: pytest.MonkeyPatch, running: Served) -> None:
    class Plain:
        def hash(self, password: str) -> str:
            return password

    patch.setattr("monitor.web.users._HASHER", Plain())
    set_password(running.context.password_check.users.path, "anna", Role.OPERATOR, PASSWORD)


def delete_the_users(running: Served) -> bool:
    """A person who can delete a file would open the page to everybody."""
    running.context.password_check.users.path.unlink()
    with running.client() as client:
        return may_look(client)


def believe_every_cookie(patch: pytest.MonkeyPatch, _running: Served) -> None:
    viewer = Viewer("x", Role.OPERATOR)
    patch.setattr(access.Access, "_viewer", lambda _self, _scope: viewer)


CLAIMS = [
    Claim("a cookie without a session", forge_a_cookie, believe_every_cookie),
    Claim(
        "a session that the attacker has chosen",
        plant_a_cookie,
        lambda patch, _: patch.setattr("secrets.token_urlsafe", lambda _n: PLANTED),
    ),
    Claim(
        "a session after the log out",
        use_after_log_out,
        lambda patch, _: patch.setattr(Sessions, "end", lambda *_: None),
    ),
    Claim(
        "a session after a new password",
        use_after_a_new_password,
        lambda patch, _: patch.setattr(Users, "refresh", lambda _self: None),
    ),
    Claim(
        "a program after a new password",
        use_a_program_after_a_new_password,
        lambda patch, _: patch.setattr(Users, "refresh", lambda _self: None),
    ),
    Claim(
        "the role before a new one",
        change_after_a_lower_role,
        lambda patch, _: patch.setattr(Users, "refresh", lambda _self: None),
    ),
    Claim(
        "a session after its time",
        use_after_its_time,
        lambda patch, running: patch.setattr(sessions_of(running), "lasts_s", 1e12),
    ),
    Claim("the system clock set back", set_the_clock_back, use_wall_time),
    Claim("the system clock set forward", set_the_clock_forward, use_wall_time),
    Claim(
        "a change of a viewer",
        change_as_a_viewer,
        lambda patch, _: patch.setattr(access, "_check_change", lambda *_: None),
    ),
    Claim(
        "a change without the header",
        change_without_the_header,
        lambda patch, _: patch.setattr(access, "_check_change", lambda *_: None),
    ),
    Claim(
        "a change without an origin",
        change_without_an_origin,
        lambda patch, _: patch.setattr(access, "has_origin", lambda *_: True),
    ),
    Claim(
        "a change of another site",
        change_from_another_origin,
        lambda patch, _: patch.setattr(access, "has_origin", lambda *_: True),
    ),
    Claim(
        "a login of another site",
        log_a_victim_in_as_the_attacker,
        lambda patch, _: patch.setattr(access, "has_origin", lambda *_: True),
    ),
    Claim("passwords in the file", read_the_password_in_the_file, store_passwords_as_they_are),
    Claim(
        "a deleted file of users",
        delete_the_users,
        lambda patch, _: patch.setattr(Users, "are_required", property(lambda self: self._users)),
    ),
]


@each(CLAIMS)
def test_the_attack_works_only_without_its_protection(claim: Claim, tmp_path: Path) -> None:
    """A protection that does nothing would go unnoticed."""
    claim.check(tmp_path)
