"""``auscult web``: its start, its refusals, TLS, and the passwords."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from monitor.config.web import WebSettings
from monitor.model.bundle import Bundle
from monitor.web.server import page_address
from monitor.web.users import Role, Users, set_password
from tests.command_line import Outcome, auscult, process_without
from tests.daemons import ROOT, Daemon, daemon
from tests.web_app import PASSWORD
from tests.web_server import web_server


@pytest.fixture
def node(tmp_path: Path, bundle: Bundle) -> Iterator[Daemon]:
    """A configuration with one machine; the daemon is not started."""
    with daemon(tmp_path / "node") as one:
        one.machine("pump-7", bundle.path, kind="simulated")
        one.web(listen="127.0.0.1:0")
        one.write()
        yield one


def users_file(node: Daemon) -> Path:
    return node.folder / "state" / "web" / "users.json"


def set_by_command(node: Daemon, password: str, *arguments: str) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(password))
        return auscult("web", "--set-password", "--config", node.config, *arguments)


def test_a_password_is_stored_for_a_user_with_a_role(node: Daemon) -> None:
    """Nobody could log in, or a viewer could change something."""
    assert set_by_command(node, f"{PASSWORD}\n", "--user", "anna").status == 0
    done = set_by_command(node, "another one\r\n", "--user", "ben", "--role", "viewer")
    assert (done.status, done.out) == (0, "")
    assert "ben may now log in as viewer" in done.err
    users = Users(users_file(node))
    anna, ben = users.check("anna", PASSWORD), users.check("ben", "another one")
    assert anna is not None
    assert ben is not None
    assert (anna.role, ben.role) == (Role.OPERATOR, Role.VIEWER)
    assert users.check("ben", PASSWORD) is None
    assert PASSWORD not in done.err


@pytest.mark.parametrize(
    ("password", "arguments", "status", "text"),
    [
        ("short\n", (), 64, "at least 8 characters"),
        ("", (), 64, "at least 8 characters"),
        (f"{PASSWORD}\n", ("--user", "a b"), 64, '"a b" cannot be the name of a user'),
        (f"{PASSWORD}\n", ("--user", "../x"), 64, "cannot be the name of a user"),
        (f"{PASSWORD}\n", ("--role", "admin"), 64, "viewer"),
    ],
)
def test_what_cannot_be_stored_is_said_in_one_line(
    node: Daemon, password: str, arguments: tuple[str, ...], status: int, text: str
) -> None:
    """A user would believe that a password is set."""
    done = set_by_command(node, password, *arguments)
    assert done.status == status
    assert text in done.err
    assert len(done.err.splitlines()) == 1
    assert not users_file(node).exists()


def test_a_user_without_a_password_is_refused(node: Daemon) -> None:
    """The page would be served, and the user believed to be stored."""
    for option in (("--user", "anna"), ("--role", "viewer")):
        done = auscult("web", "--config", node.config, *option)
        assert done.status == 64
        assert "--set-password" in done.err


def typed(node: Daemon, *passwords: str) -> tuple[int, bytes]:
    """Type the passwords at a terminal; exit status, and all that the terminal has shown."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "monitor", "web", "--set-password", "--config", node.config],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # without it, getpass uses the terminal of the tests
    )
    os.close(theirs)
    shown = b""
    for number, password in enumerate(passwords, start=1):
        while shown.count(b": ") < number:  # the prompts end in this way
            shown += os.read(ours, 1024)
        os.write(ours, password.encode() + b"\n")
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 1024):
            shown += part
    os.close(ours)
    return running.wait(30), shown


def test_at_a_terminal_the_password_is_not_shown_and_asked_twice(node: Daemon) -> None:
    """Who looks over a shoulder could read it, or a slip would lock its owner out."""
    status, shown = typed(node, PASSWORD, PASSWORD)
    assert status == 0
    assert PASSWORD.encode() not in shown
    status, shown = typed(node, PASSWORD, "a slip here")
    assert status == 64
    assert b"the two passwords are not equal" in shown
    status, shown = typed(node, "short")  # not asked a second time
    assert status == 64
    assert b"at least 8 characters" in shown


@pytest.mark.parametrize(
    ("keys", "listens", "address"),
    [
        ({}, "127.0.0.1", "http://127.0.0.1:80/"),
        ({"path": "/auscult"}, "::1", "http://[::1]:80/auscult/"),
        ({"url": "https://plant.example/auscult"}, "0.0.0.0", "https://plant.example/auscult/"),  # noqa: S104  # nothing is bound
        ({"hosts": ("hall-2.example", "b")}, "0.0.0.0", "http://hall-2.example:80/"),  # noqa: S104  # nothing is bound
        ({"hosts": ("[fe80::1]",)}, "::", "http://[fe80::1]:80/"),
        ({"tls_cert": "c", "tls_key": "k"}, "::", "https://localhost:80/"),
    ],
)
def test_the_address_of_the_page_can_be_opened(
    keys: dict[str, Any], listens: str, address: str
) -> None:
    """A browser cannot open https://0.0.0.0."""
    assert page_address(WebSettings(**keys), listens, 80) == address


def test_a_page_for_the_network_without_a_password_is_refused_in_one_line(node: Daemon) -> None:
    """Everybody on the network could mute machines."""
    node.web(listen="0.0.0.0:0")
    node.write()
    done = auscult("web", "--config", node.config)
    assert done.status == 78
    (line,) = done.err.splitlines()
    assert "web.listen" in line
    assert "--set-password" in line
    assert "web.tls_cert" in line


def test_a_port_that_is_used_is_said_in_one_line(node: Daemon) -> None:
    """A second page would end with a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        node.web(listen=f"127.0.0.1:{taken.getsockname()[1]}")
        node.write()
        done = auscult("web", "--config", node.config)
    assert done.status == 69
    assert "choose another address or port" in done.err
    assert len(done.err.splitlines()) == 1


def test_without_the_extra_the_command_says_how_to_install_it(node: Daemon) -> None:
    """A user would see a missing module."""
    done = process_without("starlette", "web", "--config", node.config)
    assert done.returncode == 69
    assert "needs the extra 'web'" in done.stderr
    assert "[web]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("tls_cert", "missing.crt", "no such file"),
        ("trusted_proxies", ["10.0.0.1"], "behind_proxy"),
        ("listen", "somewhere", "an address and a port"),
        ("listen", "example.org:80", "IP address"),
        ("url", "ftp://x", "must be a URL"),
        ("path", "//x", "must be a path"),
        ("hosts", ["*"], "behind_proxy"),
        ("hosts", ["a b"], "host name"),
    ],
)
def test_a_wrong_setting_is_said_in_one_line(
    node: Daemon, key: str, value: object, text: str
) -> None:
    """A mistake would be found by somebody who cannot open the page."""
    more = {"tls_key": "missing.key"} if key == "tls_cert" else {}
    node.web(**{key: value}, **more)
    node.write()
    done = auscult("web", "--config", node.config)
    assert done.status in {66, 78}
    assert text in done.err
    assert len(done.err.splitlines()) == 1


def make_certificate(folder: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", "web.key", "-out", "web.crt"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def test_with_a_certificate_the_page_is_encrypted_and_its_cookie_stays_so(node: Daemon) -> None:
    """Passwords and sessions could be read on the network."""
    make_certificate(node.folder)
    node.web(listen="0.0.0.0:0", tls_cert="web.crt", tls_key="web.key")
    node.write()
    set_password(users_file(node), "anna", Role.OPERATOR, PASSWORD)
    trusted = ssl.create_default_context(cafile=str(node.folder / "web.crt"))
    with web_server(node.config, node.environment) as page:
        assert page.url.startswith("https://localhost:")
        url = f"https://127.0.0.1:{page.url.rpartition(':')[2]}"
        with httpx.Client(base_url=url, verify=trusted, timeout=20) as client:
            form = {"user": "anna", "password": PASSWORD}
            answer = client.post("/login", data=form, headers={"Origin": url})
            assert answer.status_code == 303
            assert "Secure" in answer.headers["set-cookie"].split("; ")
            assert client.get("/api/session").json() == {"user": "anna", "role": "operator"}
            other = client.get("/api/session", headers={"Host": "evil.example"})
            assert other.status_code == 421
        with pytest.raises(httpx.HTTPError):
            httpx.get(url.replace("https", "http") + "/", timeout=5)


def test_a_key_that_does_not_fit_is_said_in_one_line(node: Daemon) -> None:
    """A wrong file would end with a traceback."""
    make_certificate(node.folder)
    (node.folder / "web.key").write_text("no key")
    node.web(tls_cert="web.crt", tls_key="web.key")
    node.write()
    done = auscult("web", "--config", node.config)
    assert done.status == 78
    assert "in PEM" in done.err
    assert len(done.err.splitlines()) == 1


def test_the_key_comes_from_systemd_where_there_is_one(node: Daemon, tmp_path: Path) -> None:
    """The key would have to be readable for the service."""
    make_certificate(node.folder)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (node.folder / "web.key").rename(credentials / "web_web.key")
    node.web(tls_cert="web.crt", tls_key="web.key")
    node.write()
    node.environment["CREDENTIALS_DIRECTORY"] = str(credentials)
    with web_server(node.config, node.environment) as page:
        assert page.url.startswith("https://")


def test_the_page_needs_less_than_70_mb(node: Daemon) -> None:
    """A small node would have no memory left for its machines."""
    with web_server(node.config, node.environment) as page:
        for path in ("/", "/api/overview", "/api/health", "/metrics", "/alerts"):
            assert httpx.get(page.url + path, timeout=20).status_code == 200
        assert psutil.Process(page.pid).memory_info().rss < 70e6


def test_the_file_of_users_names_its_format(node: Daemon) -> None:
    """A later version could not read the passwords."""
    set_password(users_file(node), "anna", Role.OPERATOR, PASSWORD)
    document = json.loads(users_file(node).read_text())
    assert document["version"] == 1
    assert list(document["users"]) == ["anna"]


# As a service: /etc/auscult and /var/lib.


@pytest.fixture
def service(node: Daemon, tmp_path: Path) -> Iterator[Path]:
    """The folder of the services' states. ``node`` has the configuration of a service."""
    states = tmp_path / "var"
    with pytest.MonkeyPatch.context() as patch:
        for module in ("monitor.config.state_folder", "monitor.commands.web"):
            patch.setattr(f"{module}.SERVICE_CONFIGS", node.folder)
        patch.setattr("monitor.config.state_folder.SERVICE_STATES", states)
        patch.delenv("STATE_DIRECTORY", raising=False)
        yield states


def test_a_password_by_hand_protects_the_page_of_the_service(node: Daemon, service: Path) -> None:
    """It would be in a file that no page reads: the page stays open to everybody."""
    done = set_by_command(node, f"{PASSWORD}\n", "--user", "anna")
    path = service / "auscult-web" / "web" / "users.json"
    assert (done.status, path.is_file()) == (0, True)
    assert done.err.splitlines() == [
        f"anna may now log in as operator ({path}, read by auscult-web.service)"
    ]
    machines = node.folder / "machines"
    machines.mkdir()
    other = machines / "pump-8.toml"
    other.write_text(node.config.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        done = auscult("web", "--set-password", "--config", other)
    assert "auscult-web@pump-8.service" in done.err
    assert (service / "auscult-web-pump-8" / "web" / "users.json").is_file()


def test_a_password_in_a_folder_without_a_configuration_is_for_the_service(
    service: Path, tmp_path: Path
) -> None:
    """The other commands find the service, and this one would refuse to work."""
    with pytest.MonkeyPatch.context() as patch:
        (tmp_path / "empty").mkdir()
        patch.chdir(tmp_path / "empty")
        patch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        done = auscult("web", "--set-password")
        assert "read by auscult-web.service" in done.err
        assert (service / "auscult-web" / "web" / "users.json").is_file()
        for module in ("monitor.config.state_folder", "monitor.commands.web"):
            patch.setattr(f"{module}.SERVICE_CONFIGS", tmp_path / "etc")
        done = auscult("web", "--set-password")
    assert done.status == 66
    assert "--config FILE" in done.err


def test_passwords_in_a_place_that_the_page_does_not_read_are_reported(
    node: Daemon, service: Path, tmp_path: Path
) -> None:
    """A user would believe that the page is protected by them."""
    stale = users_file(node)
    set_password(stale, "ben", Role.VIEWER, PASSWORD)
    assert f"warning: {stale} also has passwords, which are not used here" in (
        set_by_command(node, f"{PASSWORD}\n").err
    )
    stale.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(tmp_path / "elsewhere"))
        done = set_by_command(node, f"{PASSWORD}\n")
    assert "read by auscult web --config" in done.err
    assert f"warning: auscult-web.service reads {service}/auscult-web/web/users.json" in done.err
    with pytest.MonkeyPatch.context() as patch:
        for module in ("monitor.config.state_folder", "monitor.commands.web"):
            patch.setattr(f"{module}.SERVICE_CONFIGS", tmp_path / "etc")
        done = set_by_command(node, f"{PASSWORD}\n")
    assert f"({stale}, read by auscult web --config {node.config}" in done.err
    assert "warning: auscult-web.service reads" in done.err
