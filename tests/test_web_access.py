"""Who may use the web page: each attack works when its protection is removed, and not with it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from monitor.config.web import WebSettings
from monitor.errors import ConfigError
from monitor.web import access
from monitor.web.assembly import check_exposure
from monitor.web.login_limit import LoginLimit
from monitor.web.password_check import PasswordCheck, TooManyError
from monitor.web.routes import routes
from monitor.web.sessions import Sessions
from monitor.web.users import Role, Users, set_password
from tests.web_app import ALERT_ID, PASSWORD, Served, served

USERS = {"anna": Role.OPERATOR, "victor": Role.VIEWER}
OPEN_TO_ALL = {("/login", "GET"), ("/login", "POST"), ("/static/{name:path}", "GET")}
"""The only routes that need no session."""
CHANGES = [
    ("/api/machine/pump-7/mute", {"for_s": 60}),
    ("/api/machine/pump-7/unmute", {}),
    ("/api/machine/pump-7/learn", {}),
    ("/api/machine/pump-7/arm", {}),
    ("/api/machine/pump-7/rollback", {}),
    (f"/api/alert/{ALERT_ID}/acknowledge", {"note": "on my way"}),
    (f"/api/alert/{ALERT_ID}/label", {"label": "fault"}),
]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Without a password, on the loopback address. No test of this file changes anything."""
    with served(tmp_path_factory.mktemp("local")) as running:
        yield running


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[Served]:
    """With an operator and a viewer."""
    with served(tmp_path, users=USERS) as running:
        yield running


def filled(path: str) -> str:
    """A route with values in place of its parameters."""
    values = {"machine": "pump-7", "alert_id": ALERT_ID, "evidence_id": f"{ALERT_ID}-0"}
    return re.sub(r"\{(\w+)(:path)?\}", lambda found: values.get(found[1], "x"), path)


def every_route() -> list[tuple[str, str]]:
    """Path and method of each route of the application."""
    found = []
    for route in routes():
        assert isinstance(route, Route)
        found += [
            (route.path, method) for method in sorted(route.methods or ()) if method != "HEAD"
        ]
    return found


# A page of another site that uses the page of this computer.


@pytest.mark.parametrize(
    "host",
    ["", "127.0.0.1.evil.example", "127.0.0.1:8737@evil.example", "localhost.", "a b", "[::"],
)
def test_no_form_of_a_foreign_host_is_accepted(local: Served, host: str) -> None:
    """A name that only looks like an own one would pass."""
    assert local.get("/api/overview", headers={"Host": host}).status_code in {400, 421}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8737"])
def test_the_names_of_this_computer_are_accepted(local: Served, host: str) -> None:
    """Nobody could open the page."""
    assert local.get("/api/overview", headers={"Host": host}).status_code == 200


def test_configured_names_are_accepted(tmp_path: Path) -> None:
    """The page could not be used under its own name."""
    with served(tmp_path, url="https://auscult.example/page", hosts=["Node-2.local"]) as running:
        for host, status in (
            ("auscult.example", 200),
            ("node-2.local:8737", 200),
            ("other.example", 421),
        ):
            assert running.get("/api/overview", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("origin", ["", "null", "http://127.0.0.1", "https://127.0.0.1:{port}"])
def test_a_change_needs_the_very_origin_of_the_page(local: Served, origin: str) -> None:
    """A page of another port of the same computer could change something."""
    origin = origin.format(port=local.url.rpartition(":")[2])
    answer = local.change("/api/machine/pump-7/mute", {"for_s": 60}, Origin=origin)
    assert answer.status_code == 403
    assert local.daemon.received == []


def test_a_post_of_another_site_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any page that is open in the browser of the node could mute its machines."""
    attack = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    with served(tmp_path) as running, running.client() as client:

        def statuses() -> set[int]:
            return {
                client.post(path, json=body, headers=attack).status_code for path, body in CHANGES
            }

        assert statuses() == {403}
        monkeypatch.setattr(access, "has_origin", lambda *_: True)
        assert statuses() == {403}
        assert running.daemon.received == []
        monkeypatch.setattr(access, "_check_change", lambda *_: None)
        assert statuses() == {200}
        assert len(running.daemon.received) == len(CHANGES)


# Passwords.


def test_every_route_needs_a_session(protected: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A route could have been forgotten: it would be open to everybody."""

    def get_in(path: str, method: str) -> bool:
        headers = {"X-Auscult": "1", "Origin": protected.url}
        with (
            protected.client() as stranger,
            stranger.stream(method, filled(path), headers=headers, json={}) as answer,
        ):
            # A stream that is open has no end. A page has all texts.
            is_page = answer.headers.get("content-type", "").startswith("text/html")
            return answer.status_code != 401 or is_page or b"Log in first" not in answer.read()

    found = {(path, method): get_in(path, method) for path, method in every_route()}
    assert {route for route, is_open in found.items() if is_open} == OPEN_TO_ALL
    assert not get_in("/no/such/page", "GET")
    monkeypatch.setattr(Users, "are_required", False)
    assert all(get_in(path, method) for path, method in every_route())


def test_a_browser_is_led_to_the_login_and_back(protected: Served) -> None:
    """A link in a message would end at the overview."""
    page = {"Accept": "text/html"}
    with protected.client() as client:
        asked = client.get("/machine/pump-7?x=1", headers=page)
        assert asked.status_code == 303
        form = client.get(asked.headers["location"], headers=page)
        wanted = re.findall(r'name="next" value="([^"]*)"', form.text)
        assert wanted == ["machine/pump-7?x=1"]
        done = client.post(
            "/login",
            data={"user": "anna", "password": PASSWORD, "next": wanted[0]},
            headers={"Origin": protected.url},
        )
        assert (done.status_code, done.headers["location"]) == (303, "/machine/pump-7?x=1")
        assert client.get("/machine/pump-7", headers=page).status_code == 200


def test_a_login_leads_to_no_other_site(protected: Served) -> None:
    """A link with this address would lead to a copy of the page after a real login."""
    for site in ("//evil.example", "/\\evil.example", "https://evil.example", "\t//evil.example"):
        with protected.client() as client:
            done = client.post(
                "/login",
                data={"user": "anna", "password": PASSWORD, "next": site},
                headers={"Origin": protected.url},
            )
        assert done.status_code == 303
        landed = httpx.URL(protected.url).join(done.headers["location"])
        assert str(landed).startswith(protected.url + "/"), site


def test_a_cookie_without_a_session_is_worth_nothing(protected: Served) -> None:
    """Anybody could write a cookie and be an operator."""
    for token in ("", "x", "0" * 43):
        cookie = {protected.context.password_check.sessions.cookie: token}
        with protected.client(cookies=cookie) as client:
            assert client.get("/api/overview").status_code == 401


def test_the_cookie_is_closed_to_scripts_and_other_sites(protected: Served) -> None:
    """A script could read the session, or another site could use it."""
    with protected.client() as client:
        answer = client.post(
            "/login",
            data={"user": "anna", "password": PASSWORD},
            headers={"Origin": protected.url},
        )
    parts = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(parts)
    assert "Secure" not in parts


def test_a_log_out_ends_only_its_own_session(protected: Served) -> None:
    """A person who logs out on a phone would be logged out at the desk."""
    with protected.logged_in() as one, protected.logged_in() as other:
        answer = one.post("/logout", headers={"X-Auscult": "1", "Origin": protected.url})
        assert answer.status_code == 200
        assert other.get("/api/overview").status_code == 200


def test_a_viewer_changes_nothing_and_an_operator_does(protected: Served) -> None:
    """Everybody who may look could mute a machine, or nobody could."""
    headers = {"X-Auscult": "1", "Origin": protected.url}
    with protected.logged_in("victor") as viewer:
        assert viewer.get("/api/overview").status_code == 200
        for path, body in CHANGES:
            assert viewer.post(path, json=body, headers=headers).status_code == 403, path
    assert protected.daemon.received == []
    with protected.logged_in("anna") as operator:
        for path, body in CHANGES:
            assert operator.post(path, json=body, headers=headers).status_code == 200, path
    assert len(protected.daemon.received) == len(CHANGES)
    assert all(re.fullmatch(r"anna \(\S+\)", by) for _, _, by in protected.daemon.received)


async def guesses(password_check: PasswordCheck, number: int) -> int | None:
    """Try passwords from one address; which one was right."""
    for guess in range(number):
        password = PASSWORD if guess == number - 1 else f"guess {guess}"
        with contextlib.suppress(TooManyError):
            if await password_check.check("203.0.113.7", "anna", password) is not None:
                return guess
    return None


def test_ten_thousand_logins_find_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short password would be found by trying. The claims try fewer through the server."""
    checked: list[str] = []

    def check(self: Users, name: str, password: str) -> object:
        checked.append(password)
        return self.get(name) if password == PASSWORD else None

    monkeypatch.setattr(Users, "check", check)  # argon2 would need minutes without the limit
    set_password(tmp_path / "users.json", "anna", Role.OPERATOR, PASSWORD)
    users = Users(tmp_path / "users.json")
    password_check = PasswordCheck(users, Sessions(users, 12.0))
    assert asyncio.run(guesses(password_check, 10_000)) is None
    assert len(checked) < 100
    monkeypatch.setattr(LoginLimit, "try_once", lambda *_: 0.0)
    assert asyncio.run(guesses(password_check, 1000)) == 999


def test_the_lock_of_an_address_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator who cannot log in, or an attack, would not be in the log."""
    monkeypatch.setattr(Users, "check", lambda *_: None)
    users = Users(tmp_path / "users.json")
    now_s = [0.0]
    password_check = PasswordCheck(users, Sessions(users, 12.0), LoginLimit(lambda: now_s[0]))
    for n_locks in (1, 1, 2):  # the second one after a minute, the third one after all are regained
        asyncio.run(guesses(password_check, 20))
        locks = [one for one in caplog.records if "too many wrong passwords" in one.message]
        assert [vars(one)["address"] for one in locks] == n_locks * ["203.0.113.7"]
        assert 0 < vars(locks[-1])["next_in_s"] <= LoginLimit.REGAIN_S
        now_s[0] += LoginLimit.REGAIN_S * (1 if n_locks == 1 and now_s[0] == 0.0 else 20)


def test_the_limit_of_logins_needs_little_memory_and_regains() -> None:
    """An attacker with many addresses could fill the memory, or an operator be locked out."""
    now_s = [0.0]
    limit = LoginLimit(lambda: now_s[0])
    for number in range(LoginLimit.TRIES):
        assert limit.try_once("10.0.0.1") == 0.0, number
    assert 0.0 < limit.try_once("10.0.0.1") <= LoginLimit.REGAIN_S
    assert limit.try_once("10.0.0.2") == 0.0
    for number in range(LoginLimit.TRIES):
        assert limit.try_once(f"2001:db8::{number:x}") == 0.0
    assert limit.try_once("2001:db8::ffff") > 0.0
    now_s[0] += LoginLimit.REGAIN_S
    assert limit.try_once("10.0.0.1") == 0.0
    assert limit.try_once("10.0.0.1") > 0.0
    for number in range(30_000):
        limit.try_once(f"10.1.{number >> 8}.{number & 255}")
    assert len(limit._buckets) <= LoginLimit.MOST_ADDRESSES


def test_a_damaged_or_deleted_file_of_users_opens_nothing(protected: Served) -> None:
    """A full disk or a slip would open the page to everybody."""
    path = protected.state_dir / "web" / "users.json"
    path.write_text("{")
    assert protected.get("/api/overview").status_code == 401
    path.unlink()
    assert protected.get("/api/overview").status_code == 401


# Addresses and proxies.


@pytest.mark.parametrize(
    ("settings", "has_password", "missing"),
    [
        ({}, False, "a password"),
        ({}, True, "web.tls_cert"),
        ({"tls_cert": "c", "tls_key": "k"}, False, "a password"),
        ({"tls_cert": "c", "tls_key": "k"}, True, None),
        ({"behind_proxy": True, "trusted_proxies": ["10.0.0.1"]}, False, None),
    ],
)
@pytest.mark.parametrize("listen", ["0.0.0.0:8737", "192.168.1.5:8737", "[::]:8737"])
def test_a_page_for_other_computers_needs_password_and_tls(
    listen: str, settings: dict[str, object], has_password: bool, missing: str | None
) -> None:
    """Everybody on the network could use the page, or read passwords on the way."""
    web = WebSettings.model_validate({"listen": listen} | settings)
    if missing is None:
        check_exposure(web, has_password=has_password)
        return
    with pytest.raises(ConfigError, match=missing) as refused:
        check_exposure(web, has_password=has_password)
    assert len(refused.value.lines) == 1
    assert "web.listen" in refused.value.lines[0]


@pytest.mark.parametrize("listen", ["127.0.0.1:8737", "localhost:1", "[::1]:8737", "127.9.9.9:1"])
def test_the_loopback_address_needs_nothing(listen: str) -> None:
    """The page could not be tried."""
    check_exposure(WebSettings(listen=listen), has_password=False)


FORWARDED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Host": "auscult.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/forged",
    "X-Ingress-Path": "/forged",
}


def test_only_the_proxy_may_connect(tmp_path: Path) -> None:
    """Who reaches the page without the proxy would need no password."""
    with served(tmp_path, behind_proxy=True, trusted_proxies=["192.0.2.1"]) as running:
        answer = running.get("/api/overview", headers=FORWARDED)
    assert answer.status_code == 403
    assert "only the proxy" in answer.text


def test_headers_of_a_trusted_proxy_are_believed(tmp_path: Path) -> None:
    """Behind a proxy, all viewers would have one address and no page its right links."""
    settings: dict[str, Any] = {
        "behind_proxy": True,
        "trusted_proxies": ["127.0.0.1"],
        "hosts": ["auscult.example"],
    }
    with served(tmp_path, users=USERS, **settings) as running, running.client() as client:
        headers = FORWARDED | {"X-Forwarded-Prefix": "/other", "X-Ingress-Path": "/ingress/x"}
        asked = client.get("/alerts", headers=headers | {"Accept": "text/html"})
        assert asked.headers["location"] == "/ingress/x/login?next=alerts"
        assert "frame-ancestors 'self'" in asked.headers["content-security-policy"]
        done = client.post(
            "/login",
            data={"user": "anna", "password": PASSWORD},
            headers=headers | {"Origin": "https://auscult.example"},
        )
        assert done.headers["location"] == "/ingress/x/"
        assert {"Secure", "Path=/ingress/x"} <= set(done.headers["set-cookie"].split("; "))
        buckets = running.context.password_check._limit._buckets
        assert list(buckets) == ["203.0.113.7"]


NO_PATHS = (
    "//evil.example",
    "/a/../b",
    '/"><script>',
    "/a b",
    "javascript:x",
    "/" + "a" * 300,
    "/a\\b",
)


def test_a_prefix_that_is_no_path_is_refused(tmp_path: Path) -> None:
    """Links of the page would lead to another site, or run a script."""
    settings: dict[str, Any] = {
        "behind_proxy": True,
        "trusted_proxies": ["127.0.0.1"],
        "hosts": ["*"],
    }
    with served(tmp_path, **settings) as running:
        for header in ("X-Ingress-Path", "X-Forwarded-Prefix"):
            for prefix in NO_PATHS:
                assert running.get("/", headers={header: prefix}).status_code == 400, prefix


def test_every_answer_limits_what_a_browser_does_with_it(protected: Served) -> None:
    """A text of others could become a script, or the page be shown in a frame of another site."""
    for path in ("/login", "/api/overview", "/nothing", "/static/auscult.css", "/alerts"):
        answer = protected.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
    assert protected.get("/", headers={"Host": "x.example"}).headers["x-frame-options"] == "DENY"
