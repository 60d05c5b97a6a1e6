"""Mail servers that refuse some recipients, for a time or for good."""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from monitor.notify.child import answer

pytestmark = pytest.mark.slow

ANNA, BEN = "anna@example.org", "ben@example.org"
UNKNOWN_USER, LATER = "550 5.1.1 unknown user", "451 4.7.1 try again later"
MESSAGE = {"title": "pump: alarm", "body": "text", "mood": "failure", "timeout_s": 20}
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(4000)).decode()

Rule = Callable[[str], str]
"""The reply to a recipient or to a mail; empty: it is accepted."""


def accept(_: str) -> str:
    return ""


@dataclass
class Mail:
    """An SMTP server. ``received``: the recipients of each mail that it accepted."""

    port: int = 0
    rcpt: Rule = accept
    content: Rule = accept
    received: list[list[str]] = field(default_factory=list)

    def send(self, to: str, query: str = "", **request: Any) -> dict[str, Any]:
        """The answer of the process that sends."""
        url = f"mailto://user:open-sesame@127.0.0.1:{self.port}?mode=insecure&from={ANNA}&to={to}"
        return answer({**MESSAGE, "url": url + query, **request})


@contextmanager
def mail_server(rcpt: Rule = accept, content: Rule = accept) -> Iterator[Mail]:
    mail = Mail(rcpt=rcpt, content=content)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            names: list[str] = []
            self._say("220 mail")
            while line := self.rfile.readline().decode():
                word = line.split()[0].upper()
                if word == "EHLO":
                    self._say("250-mail\r\n250 AUTH PLAIN")
                elif word == "MAIL":
                    names = []
                    self._say("250 ok")
                elif word == "RCPT":
                    reply = mail.rcpt(line)
                    names += [] if reply else [line.partition("<")[2].partition(">")[0]]
                    self._say(reply or "250 ok")
                elif word == "DATA":
                    self._say("354 go on")
                    reply = mail.content(self._content())
                    mail.received += [] if reply else [names]
                    self._say(reply or "250 accepted")
                else:
                    self._say({"AUTH": "235 ok", "QUIT": "221 bye"}.get(word, "250 ok"))

        def _content(self) -> str:
            lines = []
            while (line := self.rfile.readline()) not in {b".\r\n", b""}:
                lines.append(line)
            return b"".join(lines).decode()

        def _say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        mail.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield mail
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """apprise waits for seconds between two mails."""
    monkeypatch.setattr("apprise.plugins.email.base.NotifyEmail.request_rate_per_sec", 0)


def refusing(name: str, reply: str) -> Rule:
    return lambda line: reply if name in line else ""


@pytest.mark.parametrize("query", [f",{BEN}", f"&cc={BEN}", f"&bcc={BEN}"])
def test_a_mailbox_that_is_gone_does_not_repeat_the_message_for_others(query: str) -> None:
    """Anna would get the same alarm every few minutes for ever, and Ben's reason was hidden."""
    with mail_server(refusing(BEN, UNKNOWN_USER)) as mail:
        found = mail.send(ANNA, query)
    assert (found["ok"], mail.received) == (True, [[ANNA]])
    assert "550" in found["detail"]


@pytest.mark.parametrize("reply", [LATER, "421 4.3.2 closing"])
def test_a_recipient_that_is_refused_for_now_gets_the_message_later(reply: str) -> None:
    """Greylisting refuses the first attempt of each sender: Ben would never know."""
    with mail_server(refusing(BEN, reply)) as mail:
        found = mail.send(f"{ANNA},{BEN}")
        assert not found["ok"]
        assert f"refuses with status {reply[:3]}" in found["detail"]
        mail.rcpt = accept
        assert mail.send(f"{ANNA},{BEN}")["ok"]
    assert [BEN] in mail.received


@pytest.mark.parametrize("reply", [UNKNOWN_USER, LATER])
def test_nobody_has_a_message_that_all_are_refused(reply: str) -> None:
    """The alarm would count as sent."""
    with mail_server(lambda _: reply) as mail:
        found = mail.send(f"{ANNA},{BEN}")
    assert not found["ok"]
    assert f"refuses with status {reply[:3]}" in found["detail"]


def test_a_mail_that_is_too_large_is_sent_without_its_picture_to_those_who_lack_it() -> None:
    """Anna would get the message twice, or Ben not at all."""

    def small_mailbox(text: str) -> str:
        return "552 5.3.4 too large" if len(text) > 4000 and f"To: {BEN}" in text else ""

    with mail_server(content=small_mailbox) as mail:
        found = mail.send(f"{ANNA},{BEN}", picture=PICTURE)
    assert found["ok"], found
    assert sorted(mail.received) == [[ANNA], [BEN]]


def test_a_recipient_without_an_at_sign_is_reported() -> None:
    """The second person would never get a message, and nothing would say so."""
    with mail_server() as mail:
        found = mail.send(f"{ANNA},ben.example.org")
    assert (found["ok"], mail.received) == (True, [[ANNA]])
    assert "to= of the address has a part that is no mail address" in found["detail"]
