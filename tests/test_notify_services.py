"""Services that answer wrongly: a message that did not arrive does not count as sent."""

from __future__ import annotations

import http.server
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.notify.child import answer
from tests.mosquitto import Certificates, free_port

MESSAGE = {"title": "t", "body": "b", "mood": "failure", "picture": None}
TOKEN = "secret-token"  # noqa: S105 - of this test


class Service(http.server.BaseHTTPRequestHandler):
    """Redirects ``/STATUS/...`` to ``/page``, which accepts everything."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"] or 0))
        status = self.path.split("/")[1]
        if status.isdigit():
            self.send_response(int(status))
            self.send_header("Location", "/page")
        else:
            ARRIVED.append(content)
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


ARRIVED: list[bytes] = []
"""What the page got that a redirect leads to."""


@contextmanager
def service(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a service."""
    ARRIVED.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["json", "form"])
def test_a_message_that_a_redirect_loses_is_not_sent(scheme: str, status: int) -> None:
    """An alert would be lost at a service that has moved to https: the page there answers 200."""
    with service() as port:
        found = answer({**MESSAGE, "url": f"{scheme}://127.0.0.1:{port}/{status}/{TOKEN}"})
    assert found["ok"] == any(ARRIVED), found
    assert found["ok"] == (status in {307, 308})
    if not found["ok"]:
        assert f"(status {status}), which loses the message" in found["detail"]
        assert "no answer" not in found["detail"]
    assert TOKEN not in found["detail"]


def test_a_form_may_answer_with_a_redirect() -> None:
    """A form that has the message and then shows a page would get it again and again."""
    with service() as port:
        found = answer({**MESSAGE, "url": f"form://127.0.0.1:{port}/303/x?redirect=yes"})
    assert found["ok"], found


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"AUTH": "535 5.7.8 not accepted"}, "does not accept the user and the password"),
        ({"AUTH": "454 4.7.0 try again later"}, "refuses with status 454"),
        ({"": "421 too many connections"}, "refuses with status 421"),
    ],
)
def test_a_mail_server_that_refuses_is_not_one_that_does_not_answer(
    answers: dict[str, str], expected: str
) -> None:
    """A wrong password looked like a network that fails."""

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(answers.get("", "220 mail").encode() + b"\r\n")
            while line := self.rfile.readline().decode().upper():
                word = line.split()[0]
                hello = "250-mail\r\n250 AUTH PLAIN LOGIN" if word == "EHLO" else "250 ok"
                self.wfile.write(answers.get(word, hello).encode() + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        where = f"127.0.0.1:{server.server_address[1]}"
        url = f"mailto://anna:{TOKEN}@{where}?mode=insecure&from=a@example.org&to=b@example.org"
        found = answer({**MESSAGE, "url": url})
        server.shutdown()
        thread.join()
    assert not found["ok"]
    assert found["detail"] == f"{where} {expected}"


def fault(url: str) -> str:
    found = answer({**MESSAGE, "url": url})
    assert not found["ok"]
    assert TOKEN not in found["detail"]
    return str(found["detail"]).rpartition(": ")[2]


def test_a_connection_that_fails_names_the_reason(tmp_path: Path) -> None:
    """A wrong certificate, a wrong port and a missing network would look the same."""
    files = Certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server_cert, files.server_key)
    with service(context) as port:
        text = fault(f"jsons://127.0.0.1:{port}/{TOKEN}")
        assert "certificate" in text
    with service() as port:
        assert fault(f"jsons://127.0.0.1:{port}/{TOKEN}") == "it does not use TLS at this port"
    assert fault(f"json://127.0.0.1:{free_port()}/{TOKEN}") == "it refuses connections at this port"
    assert fault(f"json://no.invalid/{TOKEN}") == "its name is not known here"
