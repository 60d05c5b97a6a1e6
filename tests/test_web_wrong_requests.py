"""Requests that no browser sends: each gets an answer that says what is wrong."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from pydantic import ValidationError
from starlette.routing import Route

from monitor.config.web import WebSettings
from monitor.errors import UsageError
from monitor.web.daemon_link import DaemonLink
from monitor.web.routes import routes
from monitor.web.users import FILE_NAME, Role, Users, set_password
from tests.web_app import PASSWORD, Served, served


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Served]:
    """Without a password, on the loopback address."""
    with served(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "1e400",
        "[NaN]",
        '{"a": 1e999}',
        "9" * 5000,
        "[" * 7000,
        "[" * 7000 + "]" * 7000,
    ],
    ids=lambda value: value[:12],
)
def test_a_number_that_json_does_not_have_is_a_wrong_request(local: Served, value: str) -> None:
    """Python reads NaN and 1e400 from JSON, and nothing behind it accepts them."""
    for path, key in (("mute", "for_s"), ("relearn", "collect_s"), ("mute", "note")):
        headers = {"Origin": local.url, "X-Auscult": "1"}
        body = f'{{"{key}": {value}}}'
        with local.client() as client:
            answer = client.post(f"/api/machine/pump-7/{path}", content=body, headers=headers)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["message"]
    assert local.daemon.received == []


def test_a_form_with_too_many_fields_is_a_wrong_request(tmp_path: Path) -> None:
    """Everybody can send a form to the login: none may cause an internal error."""
    with served(tmp_path, users={"anna": Role.OPERATOR}) as running, running.client() as client:
        form = {"user": "anna", "password": PASSWORD, **{f"x{number}": "y" for number in range(50)}}
        headers = {"Origin": running.url, "Content-Type": "application/x-www-form-urlencoded"}
        answer = client.post("/login", content=urlencode(form), headers=headers)
        assert answer.status_code == 400
        assert "fields" in answer.text


def test_a_connection_that_ends_in_a_request_is_not_an_error_of_the_page(
    local: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """A phone that loses its network must not leave a traceback in the log."""
    host, _, port = local.url.removeprefix("http://").rpartition(":")
    for _ in range(3):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                f"POST /api/machine/pump-7/mute HTTP/1.1\r\nHost: {host}:{port}\r\n"
                f"Origin: {local.url}\r\nX-Auscult: 1\r\nContent-Length: 100\r\n\r\n{{".encode()
            )
    with local.client() as client:  # answered later than the end of the connections is noticed
        assert all(client.get("/api/session").status_code == 200 for _ in range(20))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_password_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """A terminal with another encoding gives bytes that the form of the page could never send."""
    with pytest.raises(UsageError, match="UTF-8"):
        set_password(
            tmp_path / FILE_NAME,
            "anna",
            Role.OPERATOR,
            b"\xff\xfepassword".decode(errors="surrogateescape"),
        )


def test_passwords_that_every_user_can_read_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A copied file has other permissions than the one that the command wrote."""
    path = tmp_path / FILE_NAME
    set_password(path, "anna", Role.OPERATOR, PASSWORD)
    Users(path)
    assert caplog.records == []
    path.chmod(0o644)
    Users(path)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{path}: contains a secret, and other users of this computer can read it: its mode is "
        "0644, but must be 0600"
    )


@pytest.mark.parametrize("content", ["{", "", "[]", '{"version": 1}'])
def test_a_damaged_file_of_users_is_reported_at_the_start(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can log in, and the log says why: once, and again after another fault."""
    path = tmp_path / FILE_NAME
    path.write_text(content)
    users = Users(path)
    users.refresh()
    assert users.are_required
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: is damaged: set every password again: nobody can log in"
    ]
    path.unlink()
    set_password(path, "anna", Role.OPERATOR, PASSWORD)
    users.refresh()
    path.write_text(json.dumps({"users": []}))
    users.refresh()
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    "proxy", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example", "", "1.2.3.4:80"]
)
def test_a_proxy_is_an_address_or_a_network_but_not_everybody(proxy: str) -> None:
    """With every address as a proxy, everybody could write the headers that are believed."""
    with pytest.raises(ValidationError) as error:
        WebSettings.model_validate({"behind_proxy": True, "trusted_proxies": [proxy]})
    assert error.value.error_count() == 1
    assert "address" in str(error.value)


MACHINE_ROUTES = [
    route.path
    for route in routes()
    if isinstance(route, Route)
    and "{machine}" in route.path
    and "GET" in (route.methods or ())
    and "{operation}" not in route.path
]


@pytest.mark.parametrize("path", MACHINE_ROUTES)
def test_an_unknown_machine_does_not_exist(local: Served, path: str) -> None:
    """A slip in an address would look like a machine without a history."""
    assert len(MACHINE_ROUTES) >= 6
    answer = local.get(path.replace("{machine}", "nobody"))
    assert answer.status_code == 404
    assert "nobody" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/api/machine/x/history", "/api/machine/x/events", "/machine/x"])
def test_a_machine_is_not_denied_while_nothing_is_known(
    local: Served, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """While the daemon starts, the page of each of its machines would not exist."""

    async def silent(self: DaemonLink) -> None:
        self.trouble = "the daemon does not answer"

    monkeypatch.setattr(DaemonLink, "status", silent)
    answer = local.get(path)
    assert answer.status_code == 503
    assert "does not answer" in answer.text
