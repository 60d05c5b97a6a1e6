"""The texts of messages: what they say, and that text of others stays text in each service."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from monitor.notify.child import answer
from monitor.notify.incident import Incident, alert_incident
from monitor.notify.secret_words import masked, secret_words
from monitor.notify.wording import Message, Wording
from tests.test_escaping import ANY_TEXT

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
ALERT = Incident(
    key="019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02",
    kind="alert",
    machine="pump-7",
    position=1,
    started_at="2026-11-23T02:12:30.250Z",
    ratio=2.4,
    peak_ratio=3.1,
    bands_hz=[(1800.0, 2100.0), (3950.0, 4300.0)],
    operation="running",
)
BERLIN = ZoneInfo("Europe/Berlin")
HOSTILE = "<b>x</b> *y* [z](http://evil) @everyone <!channel> <@U123> &amp; `c` _u_"


def written(*incidents: Incident, web_url: str = "", **left_out: int) -> Message:
    """A message at 05:00 in Berlin."""
    return Wording(NOW, BERLIN, web_url).message(incidents, left_out)


def test_a_new_alert_says_what_a_person_needs_first() -> None:
    """A technician at night could not decide whether to get up."""
    message = written(ALERT, web_url="https://auscult.example")
    assert message == Message(
        "pump-7: alarm since 03:12 CET",
        "Score 2.4 x the threshold, at most 3.1 x since it began\n"
        "Frequencies 1800 to 2100 Hz, 3950 to 4300 Hz\n"
        "Operation running\n"
        "https://auscult.example/alert/019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02\n"
        "Alert 019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02",
        "failure",
    )


def test_the_end_of_an_alert_says_how_long_it_lasted() -> None:
    """A person would not know whether to go there."""
    ended = replace(ALERT, ended_at="2026-11-23T03:30:00.000Z", is_sent=True, end_reason="stopped")
    message = written(ended)
    assert message.title == "pump-7: alarm ended at 04:30 CET"
    assert message.mood == "success"
    assert "Lasted 77 minutes, the machine was switched off" in message.body.splitlines()


def test_an_alert_names_the_length_of_sound_that_raised_it() -> None:
    """A person would listen for a moment to a fault that shows only over minutes."""
    alert = alert_incident("a", "pump-7", 1, {"started_at": "2026-11-23T02:12:30Z"})
    alert.take_alert("raised", 1, {"score": 3.0, "threshold": 1.0, "span_s": 900.0})
    assert "Measured over 15 minutes of sound" in written(alert).body.splitlines()
    alert.take_alert("updated", 2, {"score": 3.0, "threshold": 1.0, "span_s": "x"})
    assert "Measured over 15 minutes of sound" in written(alert).body.splitlines()
    assert "Measured" not in written(ALERT).body


def test_a_message_says_what_was_found() -> None:
    """A person would have to open the page to learn that a bearing is damaged."""
    found = [{"text": "86.0 impacts per second: fits outer race of 6205"}, {"text": "a tone"}]
    alert = alert_incident("a", "pump-7", 1, {"started_at": "2026-11-23T02:12:30Z"})
    alert.take_alert("raised", 1, {"score": 3.0, "threshold": 1.0})
    assert "Found" not in written(alert).body
    alert.take_alert("updated", 2, {"score": 3.0, "threshold": 1.0, "findings": found})
    line = "Found: 86.0 impacts per second: fits outer race of 6205"
    assert line in written(alert).body.splitlines()
    assert line in written(ALERT, alert).body.splitlines()
    damages: list[Any] = [None, [], "x", [1], [{}], [{"text": 3}], {"text": "y"}]
    for damaged in damages:
        alert.take_alert("cleared", 3, {"at": "2026-11-23T03:12:30Z", "findings": damaged})
        assert line in written(alert).body.splitlines()


def test_an_alert_of_another_day_has_its_date() -> None:
    """After days without a network, a person would go to a machine that is healthy since then."""
    old = replace(ALERT, started_at="2026-11-20T02:12:30Z", ended_at="2026-11-20T22:59:00Z")
    assert written(old).title == "pump-7: alarm from 2026-11-20 03:12 to 2026-11-20 23:59 CET"


def test_times_around_the_end_of_summer_time_have_both_zones() -> None:
    """02:30 happens twice in that night."""
    night = replace(ALERT, started_at="2026-10-25T00:30:00Z", ended_at="2026-10-25T01:30:00Z")
    now = datetime(2026, 10, 25, 2, 0, tzinfo=UTC)
    message = Wording(now, BERLIN).message([night], {})
    assert message.title == "pump-7: alarm from 02:30 CEST to 02:30 CET"


def test_an_alert_about_a_machine_that_is_off_does_not_speak_of_sound() -> None:
    """A person would search for a fault that is audible."""
    off = replace(ALERT, reason="off", ratio=None, peak_ratio=None, bands_hz=[])
    message = written(off)
    assert message.title == "pump-7: the machine is off since 03:12 CET"
    assert "core" not in message.body


def test_a_message_about_several_alerts_names_each() -> None:
    """A person would have to open a page for each of them."""
    other = replace(ALERT, key="b", machine="fan-2", ended_at="2026-11-23T03:00:00Z")
    message = written(ALERT, other, web_url="https://auscult.example", press=3)
    assert message.title == "2 alerts, 2 machines"
    assert message.body.splitlines() == [
        "pump-7: alarm since 03:12 CET (score 3.1 x threshold)",
        "Alert 019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02",
        "fan-2: alarm from 03:12 to 04:00 CET (score 3.1 x threshold)",
        "Alert b",
        "Before that, alerts that have ended: press 3.",
        "https://auscult.example/alerts",
    ]
    assert written(ALERT, replace(ALERT, key="b")).title == "2 alerts, pump-7"


@given(ANY_TEXT, ANY_TEXT)
def test_text_of_others_is_one_line_and_calls_nobody(machine: str, note: str) -> None:
    """A note could forge a line of the message, or ring the phones of a whole company."""
    hostile = replace(
        ALERT, machine=machine, operation=note or "x", remarks=[note + "@everyone<!here>"]
    )
    for message, n_lines in ((written(hostile), 5), (written(hostile, hostile), 6)):
        message.title.encode()
        message.body.encode()
        assert len(message.title.splitlines()) == 1
        assert "@everyone" not in message.body
        assert "<!here>" not in message.body
        assert len(message.body.splitlines()) == n_lines


class Answers:
    """Takes the place of the network: keeps requests, and accepts all."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.fails_with_files = False

    def request(self, *, url: str, **values: Any) -> object:
        """In place of the method of a session."""
        response = requests.Response()
        response.status_code = 400 if values.get("files") and self.fails_with_files else 200
        response._content = json.dumps(
            {"ok": True, "result": {"message_id": 1, "chat": {"id": 1}}, "id": "1"}
        ).encode()
        if "hooks.slack.com" in url:
            response._content = b"ok"
        data = values.get("data") or values.get("json") or ""
        self.texts.append(data if isinstance(data, str) else json.dumps(data))
        return response


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    root = logging.getLogger()
    before = root.handlers
    answers = Answers()
    monkeypatch.setattr(requests.Session, "request", answers.request)
    yield answers
    root.handlers = before
    logging.captureWarnings(capture=False)


SERVICES = {
    "telegram": "tgram://123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/12345",
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "mattermost": "mmost://chat.example/3ccdd113474722377935511fc85d3dd4",
    "ntfy": "ntfy://ntfy.example/topic",
    "pushover": "pover://uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "gotify": "gotify://gotify.example/abcdefghijklmno",
    "teams": "workflows://host.example/643a8f1c8b1e4b3f/abcdefghijklmnop",
}


@pytest.mark.parametrize("service", SERVICES)
def test_text_of_others_is_no_markup_in_any_service(service: str, network: Answers) -> None:
    """A note could show a wrong link or call everybody in a chat."""
    incident = replace(ALERT, machine=HOSTILE, remarks=[HOSTILE])
    message = written(incident)
    request = {
        "url": SERVICES[service],
        "title": message.title,
        "body": message.body,
        "mood": message.mood,
    }
    result = answer(request)
    assert result["ok"], result
    sent = "".join(network.texts)
    assert "everyone" in sent
    assert "@everyone" not in sent
    assert "<!channel" not in sent
    assert "<@U123" not in sent
    assert "<b>x" not in sent
    assert "[z](http" not in sent
    if service == "telegram":
        assert "&lt;" in sent


def test_a_picture_that_is_refused_does_not_hold_the_message_back(network: Answers) -> None:
    """An alarm would never arrive at a service that accepts no pictures of this size."""
    network.fails_with_files = True
    request = {
        "url": SERVICES["discord"],
        "title": "t",
        "body": "b",
        "mood": "failure",
        "picture": "iVBORw0KGgo=",
    }
    result = answer(request)
    assert result["ok"]
    assert "without the picture" in result["detail"]
    assert not answer(request | {"url": "nosuch://a"})["is_usable"]


@pytest.mark.parametrize("port", [1, 64123])
def test_a_failed_connection_names_the_host_and_the_port(port: int) -> None:
    """A person would not know which of two servers does not answer."""
    request = {"url": f"json://anna:open-sesame@127.0.0.1:{port}/hook", "timeout_s": 5}
    result = answer(request | {"title": "t", "body": "b", "mood": "info"})
    why = "it refuses connections at this port"
    assert result["detail"] == f"no answer from 127.0.0.1:{port}: {why}"


def test_a_message_that_is_too_long_is_cut(network: Answers) -> None:
    """A service that accepts short messages only would refuse the same alarm for ever."""
    request = {
        "url": SERVICES["pushover"],
        "title": "t",
        "body": "first line\n" + "x" * 5000,
        "mood": "failure",
    }
    assert answer(request)["ok"]
    assert "first line" in network.texts[-1]
    assert len(network.texts[-1]) < 1500


ADDRESS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=30
).filter(lambda text: len(set(text)) > 3)


@given(ADDRESS, ADDRESS)
def test_no_part_of_an_address_is_left_in_a_text(first: str, second: str) -> None:
    """A token would be in the journal."""
    url = f"tgram://{first}/{second}?x={first}"
    text = masked(f"error with {url} and {first} and {second}", secret_words(url))
    assert url not in text
    for part in (first, second):
        if not set(part) & set("/:?&=@#,;%+*"):
            assert part not in text.removeprefix("error with ")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("dbus://", "dbus:// (this computer lacks what dbus:// needs)"),
        ("dbus://dbus/secret-word", "dbus://*** (this computer lacks what dbus:// needs)"),
        ("nosuch://", "nosuch:// (it has no service for nosuch://)"),
        ("tgram://", "tgram:// (a part after tgram:// is missing or wrong)"),
        ("TGRAM://secret-word", "TGRAM://*** (a part after tgram:// is missing or wrong)"),
        ("secret word://secret-word", "***://*** (it has no service for ***://)"),
    ],
)
def test_a_refused_address_is_named_without_its_secrets(url: str, says: str) -> None:
    """A person would not know which address to correct, or the journal would show a password."""
    found = answer({"url": url, "timeout_s": 5})
    assert found["detail"] == f"apprise does not accept this address: {says}"
    assert not found["is_usable"]


def test_the_host_of_an_address_may_be_shown() -> None:
    """A person would not know which server does not answer."""
    words = secret_words("mailto://anna:open-sesame@mail.example", "mail.example")
    assert masked("mail.example refuses open-sesame", words) == "mail.example refuses ***"


def test_a_broken_clock_does_not_stop_a_message() -> None:
    """A time that is no time would end the messages."""
    odd = replace(ALERT, started_at="yesterday", ended_at=(NOW + timedelta(1)).isoformat())
    assert written(odd).title == "pump-7: alarm from yesterday to 2026-11-24 05:00 CET"
