"""Texts, files and secrets: each attack works when its protection is removed, and not with it."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from monitor.process.logs import TextFormatter
from monitor.web import evidence_files, login, password_check
from monitor.web.static_files import StaticFiles
from monitor.web.users import Role
from tests.test_web_access import every_route, filled
from tests.test_web_evidence import EVIDENCE_ID, write_piece
from tests.web_app import ALERT_ID, PASSWORD, Served, served
from tests.web_claims import BEHIND_PROXY, USERS, Claim, each

PAGE = {"Accept": "text/html"}
SECRET = "the secret of another file"  # noqa: S105 - what an attacker looks for
FORGED = "\nFORGED the alert was cleared"


def log_in_and_go(running: Served, wanted: str) -> httpx.Response:
    form = {"user": "anna", "password": PASSWORD, "next": wanted}
    with running.client() as client:
        return client.post("/login", data=form, headers={"Origin": running.url})


def lead_to_another_site(running: Served) -> bool:
    """A link with this address would lead to a copy of the page after a real login."""
    answer = log_in_and_go(running, "//evil.example/")
    return httpx.URL(running.url).join(answer.headers["location"]).host == "evil.example"


def add_a_header(running: Served) -> bool:
    """An answer with a line break in a header has the headers that an attacker wants."""
    answer = log_in_and_go(running, "x\r\nX-Evil: 1")
    return "x-evil" in answer.headers


def any_address_and_header(patch: pytest.MonkeyPatch, _running: Served) -> None:
    patch.setattr(login, "_address", lambda _request, wanted: wanted)
    patch.setattr("starlette.responses.quote", lambda text, **_: text)
    patch.setattr("h11._headers._field_value_re", re.compile(b".*", re.DOTALL))


def run_a_script(running: Served) -> bool:
    """The name of a machine that does not exist is shown."""
    answer = running.get("/machine/<script>alert(1)", headers=PAGE)
    return "<script>alert(1)" in answer.text


def no_escaping(_patch: pytest.MonkeyPatch, running: Served) -> None:
    running.context.pages._environment.autoescape = False


def read(running: Served, path: str) -> str:
    """The answer to a path as it is written here."""
    with running.client() as client:
        request = client.build_request("GET", running.url)
        request.url = request.url.copy_with(raw_path=path.encode())
        return client.send(request).text


def read_beside_the_static_files(running: Served) -> bool:
    return "ROLE" in read(running, "/static/..%2Fusers.py").upper()


def any_static_file(patch: pytest.MonkeyPatch, _running: Served) -> None:
    folder = Path(evidence_files.__file__).parent / "static"

    def response(_self: StaticFiles, _request: object, name: str) -> object:
        return Response((folder / name).read_text())

    patch.setattr(StaticFiles, "response", response)


def read_beside_the_evidence(running: Served) -> bool:
    """The name of a machine is the name of a folder."""
    write_piece(running.state_dir)
    folder = running.state_dir / "evidence"
    (folder / "healthy" / "x").mkdir(parents=True)
    for source, kind in (("json", "json"), ("flac", "flac")):
        content = (folder / ALERT_ID / f"0-raised.{source}").read_bytes()
        (folder / f"state-x.{kind}").write_bytes(SECRET.encode() if kind == "flac" else content)
    return SECRET in read(running, "/healthy/%2e%2e/x/clip.flac")


def read_through_a_link(file: str, running: Served) -> bool:
    """A program that can write the folder of evidence would publish other files of the daemon."""
    clip = write_piece(running.state_dir)
    content = clip.read_bytes()
    hidden = running.state_dir / "hidden.flac"
    hidden.write_bytes(content)
    clip.unlink()
    clip.symlink_to(hidden)
    return running.get(f"/evidence/{EVIDENCE_ID}/{file}").status_code == 200


@contextmanager
def log_of() -> Iterator[io.StringIO]:
    """What the program writes to its log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(journal=False))
    loggers = [logging.getLogger(name) for name in ("monitor", "uvicorn")]  # not those of httpx
    levels = [one.level for one in loggers]
    for one in loggers:
        one.addHandler(handler)
        one.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
            one.removeHandler(handler)


def refused(running: Served, user: str) -> str:
    """The log after a login that is refused."""
    with log_of() as stream, running.client() as client:
        form = {"user": user, "password": "wrong horse"}
        client.post("/login", data=form, headers={"Origin": running.url})
        return stream.getvalue()


def type_the_password_as_the_name(running: Served) -> bool:
    """Who is one field too early writes the password into the log."""
    return PASSWORD in refused(running, PASSWORD)


def forge_a_line(running: Served) -> bool:
    """Somebody who reads the log would believe another line."""
    return any(line.startswith("FORGED") for line in refused(running, f"x{FORGED}").splitlines())


def any_text_in_the_log(patch: pytest.MonkeyPatch, _running: Served) -> None:
    patch.setattr(password_check, "_loggable", lambda _users, name: name)
    patch.setattr("monitor.process.logs.one_line", str)
    patch.setattr("monitor.process.logs._bare", str)


CLAIMS = [
    Claim(
        "an address to go to that is another site",
        lead_to_another_site,
        lambda patch, _: patch.setattr(login, "_address", lambda _request, wanted: wanted),
    ),
    Claim("a header in an address to go to", add_a_header, any_address_and_header),
    Claim("a script in a name", run_a_script, no_escaping, users={}),
    Claim("a file beside the static files", read_beside_the_static_files, any_static_file),
    Claim(
        "a file beside the evidence",
        read_beside_the_evidence,
        lambda patch, _: patch.setattr("monitor.evidence.folder.is_machine_id", lambda _name: True),
        users={},
    ),
    *(
        Claim(
            f"a link in place of {file}",
            partial(read_through_a_link, file),
            lambda patch, _: patch.setattr(os, "O_NOFOLLOW", 0),
            users={},
        )
        for file in ("clip.flac", "clip.opus")
    ),
    Claim(
        "a password as the name of a user",
        type_the_password_as_the_name,
        lambda patch, _: patch.setattr(password_check, "_loggable", lambda _users, name: name),
    ),
    Claim("a line break in the log", forge_a_line, any_text_in_the_log),
]


@each(CLAIMS)
def test_the_attack_works_only_without_its_protection(claim: Claim, tmp_path: Path) -> None:
    """A protection that does nothing would go unnoticed."""
    claim.check(tmp_path)


def shown_by(running: Served, user: str) -> str:
    """Everything that an operator or viewer, and everybody, receives, with the log."""
    found: list[str] = []
    with log_of() as stream, running.logged_in(user) as client, running.client() as stranger:
        token = client.cookies[running.context.password_check.sessions.cookie]
        for path, method in every_route():
            if "/live/" in path:  # the same documents as in api/overview and api/machine
                continue
            for one in (client, stranger):
                headers = {"X-Auscult": "1", "Origin": running.url, **PAGE}
                body: dict[str, Any] = {} if method == "GET" else {"json": {"for_s": "x"}}
                if path != "/logout":
                    answer = one.request(method, filled(path), headers=headers, **body)
                    found += [answer.text, str(answer.headers)]
        found.append(stream.getvalue())
        return "".join(found).replace(token, "TOKEN")


@pytest.mark.parametrize("user", ["anna", "victor"])
def test_no_answer_and_no_line_of_the_log_has_a_secret(tmp_path: Path, user: str) -> None:
    """A viewer could log in as an operator, or use the broker."""
    with served(tmp_path, users=USERS, **BEHIND_PROXY) as running:
        write_piece(running.state_dir)
        users = running.context.password_check.users
        secrets = {
            PASSWORD,
            "$argon2id$",
            "TOKEN",
            *(users._users[one].password_hash for one in USERS),
        }
        shown = shown_by(running, user)
        assert "pump-7" in shown
        assert {one for one in secrets if one in shown} == set()
        running.daemon.machines[0]["state"]["detail"] = users._users["anna"].password_hash
        running.context.daemon.forget()
        assert "$argon2id$" in shown_by(running, user)  # a secret would be found


def test_the_role_is_that_of_the_user_and_not_of_the_browser(tmp_path: Path) -> None:
    """The page of a viewer that is changed in the browser could change machines."""
    with served(tmp_path, users=USERS) as running, running.logged_in("victor") as client:
        assert client.get("/api/session").json()["role"] == Role.VIEWER
