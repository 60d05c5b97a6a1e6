"""Addresses, proxies, tries: each attack works when its protection is removed, and not with it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from starlette.types import Scope

from monitor.config.web import WebSettings, address_of
from monitor.errors import ConfigError
from monitor.web import access, callers, login_limit
from monitor.web.callers import Callers
from monitor.web.login_limit import LoginLimit
from monitor.web.server import listening
from monitor.web.users import Users
from tests.web_app import PASSWORD, Served, served
from tests.web_claims import BEHIND_PROXY, USERS, Claim, each, log_in, may_look

EVIL_HOST = {"Host": "evil.example"}
PAGE = {"Accept": "text/html"}
PASSWORD_SENT = f"password={PASSWORD.replace(' ', '+')}".encode()
MANY = LoginLimit.TRIES + 2


def look_with(running: Served, **headers: str) -> bool:
    with running.client(headers={name.replace("_", "-"): headers[name] for name in headers}) as one:
        return may_look(one)


def rebind_a_name(running: Served) -> bool:
    return look_with(running, Host="evil.example")


def believe_every_host(patch: pytest.MonkeyPatch, _running: Served) -> None:
    patch.setattr(Callers, "_checked_host", lambda _self, _scope, host, _scheme: host)


def trust_everybody(_patch: pytest.MonkeyPatch, running: Served) -> None:
    """Believe the headers of a proxy from every address."""
    app = running.app
    assert isinstance(app, access.Access)
    believed = WebSettings.model_validate(
        {"behind_proxy": True, "trusted_proxies": ["127.0.0.0/8"]}
    )
    names = ("behind_proxy", "trusted_proxies")
    update = {name: getattr(believed, name) for name in names}
    app._callers._settings = running.context.settings.model_copy(update=update)


def forge_the_host(running: Served) -> bool:
    """DNS rebinding: a script may set any header for its own host."""
    forged = {"X-Forwarded-Host": running.url.removeprefix("http://")}
    with running.logged_in() as client:
        return client.get("/api/overview", headers=EVIL_HOST | forged).status_code == 200


def forge_the_path(header: str, running: Served) -> bool:
    """Links of the page would lead elsewhere on the same host."""
    return 'href="/forged/' in running.get("/login", headers=PAGE | {header: "/forged"}).text


def forge_the_ingress(running: Served) -> bool:
    """The page could be shown in a frame."""
    answer = running.get("/login", headers=PAGE | {"X-Ingress-Path": "/forged"})
    return "frame-ancestors 'self'" in answer.headers["content-security-policy"]


def forge_the_scheme(running: Served) -> bool:
    """A cookie that is only for TLS would never come back: nobody could log in."""
    with running.client(headers={"X-Forwarded-Proto": "https"}) as client:
        form = {"user": "anna", "password": PASSWORD}
        origin = {"Origin": running.url.replace("http:", "https:")}
        answer = client.post("/login", data=form, headers=origin)
        return "Secure" in answer.headers.get("set-cookie", "")


def tries(running: Served, headers: list[dict[str, str]], *, by_program: bool = False) -> int:
    """How many wrong passwords are checked."""
    checked = 0
    with running.client() as client:
        for one in headers:
            if by_program:
                answer = client.get("/metrics", auth=("anna", "wrong horse"), headers=one)
            else:
                form = {"user": "anna", "password": "wrong horse"}
                answer = client.post("/login", data=form, headers={"Origin": running.url} | one)
            checked += answer.status_code == 401
    return checked


def no_argon2(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Users, "check", lambda *_: None)  # some 20 ms each


def try_many_passwords(running: Served) -> bool:
    return tries(running, [{}] * MANY) > LoginLimit.TRIES


def try_many_passwords_by_program(running: Served) -> bool:
    return tries(running, [{}] * MANY, by_program=True) > LoginLimit.TRIES


def forwarded(template: str, number: int = MANY) -> list[dict[str, str]]:
    """One header for each try, with another address each time."""
    return [{"X-Forwarded-For": template.format(one + 1)} for one in range(number)]


def try_with_forged_addresses(running: Served) -> bool:
    return tries(running, forwarded("203.0.113.{}")) > LoginLimit.TRIES


def try_with_forged_addresses_at_a_proxy(running: Served) -> bool:
    """The proxy adds the true address after the forged one."""
    return tries(running, forwarded("203.0.113.{}, 198.51.100.7")) > LoginLimit.TRIES


def try_from_a_network_of_ipv6(running: Served) -> bool:
    """Each subscriber has 2^64 addresses."""
    return tries(running, forwarded("2001:db8::{:x}")) > LoginLimit.TRIES


def lock_others_out(running: Served) -> bool:
    """With the address of the proxy as that of everybody, one attacker would lock all out."""
    tries(running, [{"X-Forwarded-For": "203.0.113.7"}] * MANY)
    with running.client(headers={"X-Forwarded-For": "198.51.100.7"}) as client:
        return log_in(client).status_code == 429


def believe_the_first_address(patch: pytest.MonkeyPatch, _running: Served) -> None:
    def first(_self: Callers, scope: Scope, _peer: str) -> str:
        return callers._one(scope, b"x-forwarded-for").split(",")[0]

    patch.setattr(Callers, "_forwarded_for", first)


def no_limit(patch: pytest.MonkeyPatch, _running: Served) -> None:
    patch.setattr(LoginLimit, "try_once", lambda *_: 0.0)


def link_to_another_site(running: Served) -> bool:
    """A proxy that passes on what a browser has sent would make links to another site."""
    answer = running.get("/alerts", headers=PAGE | {"X-Forwarded-Prefix": "//evil.example"})
    return 'href="//evil.example/' in answer.text


CLAIMS = [
    Claim("a name that leads to this computer", rebind_a_name, believe_every_host, users={}),
    Claim("a forged X-Forwarded-Host", forge_the_host, trust_everybody),
    *(
        Claim(f"a forged {header}", partial(forge_the_path, header),
              trust_everybody)
        for header in ("X-Forwarded-Prefix", "X-Ingress-Path")
    ),
    Claim("a frame by a forged X-Ingress-Path", forge_the_ingress, trust_everybody),
    Claim("a forged X-Forwarded-Proto", forge_the_scheme, trust_everybody),
    Claim("a forged X-Forwarded-For", try_with_forged_addresses, trust_everybody),
    Claim(
        "a proxy that nobody has configured",
        lambda running: look_with(running, X_Forwarded_For="203.0.113.7"),
        lambda patch, _: patch.setattr(callers, "FORWARDING", ()),
        users={},
    ),
    Claim(
        "a connection past the proxy",
        lambda running: look_with(running, X_Forwarded_For="203.0.113.7"),
        lambda patch, _: patch.setattr(callers, "_is_in", lambda *_: True),
        settings={"behind_proxy": True, "trusted_proxies": ["192.0.2.1"]},
        users={},
    ),
    Claim(
        "a path that is another site",
        link_to_another_site,
        lambda patch, _: patch.setattr(callers, "_prefix", lambda value: value),
        settings=BEHIND_PROXY,
        users={},
    ),
    Claim("many passwords", try_many_passwords, no_limit),
    Claim("many passwords of a program", try_many_passwords_by_program, no_limit),
    Claim(
        "many passwords behind a proxy",
        try_with_forged_addresses_at_a_proxy,
        believe_the_first_address,
        settings=BEHIND_PROXY,
    ),
    Claim(
        "many passwords from one network of IPv6",
        try_from_a_network_of_ipv6,
        lambda patch, _: patch.setattr(login_limit, "network_of", lambda address: address),
        settings=BEHIND_PROXY,
    ),
    Claim(
        "an attacker who locks others out",
        lock_others_out,
        lambda patch, _: patch.setattr(Callers, "_forwarded_for", lambda _self, _scope, peer: peer),
        settings=BEHIND_PROXY,
    ),
]  # fmt: skip


@each(CLAIMS)
def test_the_attack_works_only_without_its_protection(
    claim: Claim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A protection that does nothing would go unnoticed."""
    if "passwords" in claim.name or "Forwarded-For" in claim.name:
        no_argon2(monkeypatch)
    claim.check(tmp_path)


def answers(listen: str) -> bool:
    """Whether another address of this computer reaches what listens there."""
    with listening(WebSettings(listen=listen)) as listener, socket.socket() as other:
        other.settimeout(5)
        return other.connect_ex(("127.0.0.2", listener.getsockname()[1])) == 0


def test_only_this_computer_reaches_the_page_by_default() -> None:
    """The page of a node that was just installed would be open to its network."""
    host, _ = address_of(WebSettings().listen)
    assert answers("0.0.0.0:0")
    assert not answers(f"{host}:0")


def looks_without_a_password(folder: Path) -> bool:
    """Whether a page for the network starts, and shows the machines to everybody."""
    try:
        with served(folder, listen="0.0.0.0:0") as running, running.client() as client:
            return may_look(client)
    except ConfigError:
        return False


@contextmanager
def recorded_relay(url: str) -> Iterator[tuple[str, bytearray]]:
    """The address of a relay on the way to a page, and what it gets from the browser."""
    passed = bytearray()
    listener = socket.create_server(("127.0.0.1", 0))

    def relay() -> None:
        browser, _ = listener.accept()
        with browser, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as page:
            while PASSWORD_SENT not in passed and (part := browser.recv(65_536)):
                passed.extend(part)
            page.sendall(passed)
            browser.sendall(page.recv(65_536))

    thread = threading.Thread(target=relay)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", passed
    thread.join(10)
    listener.close()


def password_is_recorded(folder: Path) -> bool:
    """Whether a page for the network without a certificate starts, and takes a password."""
    try:
        with (
            served(folder, listen="0.0.0.0:0", users=USERS) as running,
            recorded_relay(running.url) as (relay, passed),
            httpx.Client(base_url=relay, headers={"Connection": "close"}) as client,
        ):
            log_in(client)
            return PASSWORD_SENT in passed
    except ConfigError:
        return False


@pytest.mark.parametrize("attack", [looks_without_a_password, password_is_recorded])
def test_a_page_for_the_network_is_refused_without_password_or_certificate(
    attack: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody on the network could use the page, or read its passwords on the way."""
    assert callable(attack)
    assert not attack(tmp_path / "protected")
    monkeypatch.setattr("monitor.web.assembly.check_exposure", lambda *_, **_k: None)
    assert attack(tmp_path / "removed")
