"""Alerts that the broker has and that the disk does not accept into the history."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.alerts import Alert, AlertKind
from monitor.errors import AuscultError
from monitor.history.pending import Pending
from monitor.history.reader import HistoryReader
from monitor.history.store import HistoryStore
from monitor.history.writer import HistoryWriter
from monitor.mqtt.payloads import schema
from monitor.outbox.queue import Outbox
from monitor.outbox.reader import read_outbox
from monitor.outbox.unrecorded import Unrecorded
from monitor.service.history_feed import HistoryFeed
from monitor.service.recorded_outbox import RecordedOutbox
from tests.alert_drafts import draft
from tests.clocks import START_UNIX_S
from tests.daemons import ROOT
from tests.histories import alert
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again sooner than in real life."""
    monkeypatch.setattr(HistoryWriter, "RETRY_S", 0.05)


@pytest.fixture
def outbox_path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """Where no history can be written, because it is a folder."""
    path = tmp_path / "history.sqlite3"
    path.mkdir()
    return path


@contextlib.contextmanager
def recorded(outbox_path: Path) -> Iterator[RecordedOutbox]:
    feed = HistoryFeed(outbox_path.with_name("history.sqlite3"))
    with RecordedOutbox(outbox_path, feed) as outbox:
        yield outbox
    feed.close()


def in_history(path: Path) -> list[str]:
    """The messages in the order in which a reader gets them."""
    with contextlib.suppress(AuscultError):  # there is none, or it is just being made
        return [one.event_id for one in HistoryReader(path).news(0, limit=9999)[0]]
    return []


KINDS: tuple[AlertKind, ...] = ("raised", "updated", "cleared")


def settles(outbox: RecordedOutbox, but: int = 0) -> bool:
    outbox.turn()
    return outbox.health().unrecorded == but


DELIVERS = """
import os, sys
from pathlib import Path
from monitor.service.history_feed import HistoryFeed
from monitor.service.recorded_outbox import RecordedOutbox
from tests.alert_drafts import draft
folder = Path(sys.argv[1])
outbox = RecordedOutbox(folder / "outbox.sqlite3", HistoryFeed(folder / "history.sqlite3"))
for kind in ("raised", "updated", "cleared"):
    alert = outbox.append(draft(kind))
    outbox.acknowledge(alert.event_id)
    print(alert.event_id, flush=True)
os.kill(os.getpid(), 9)
"""


def test_an_alert_that_was_delivered_before_a_kill_comes_into_the_history(
    outbox_path: Path, refused: Path
) -> None:
    """Nobody would be notified of it: the messages to people are made of the history alone."""
    command = [sys.executable, "-c", DELIVERS, str(outbox_path.parent)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, len(ran.stdout.split())) == (-9, 3), ran.stderr
    with recorded(outbox_path) as outbox:  # the disk still refuses it
        assert outbox.pending() == []
        assert outbox.health().unrecorded == 3
        refused.rmdir()
        wait_for(lambda: settles(outbox))
    assert in_history(refused) == ran.stdout.split()
    with recorded(outbox_path) as outbox:
        assert outbox.health().unrecorded == 0
    assert in_history(refused) == ran.stdout.split()


def test_an_alert_that_was_written_before_a_kill_is_not_added_twice(outbox_path: Path) -> None:
    """A person would be woken twice by one alert."""
    with Outbox(outbox_path) as plain:
        sent = plain.append(draft())
        plain.acknowledge(sent.event_id, is_recorded=False)
    for _ in range(2):
        with recorded(outbox_path) as outbox:
            wait_for(lambda: settles(outbox))
        with Outbox(outbox_path) as plain:  # as if it had been killed before it was removed
            plain._memory.unrecorded.put(sent, plain._disk._clock.now())
            plain._disk.flush()
    assert in_history(outbox_path.with_name("history.sqlite3")) == [sent.event_id]


def test_messages_that_the_history_lost_come_from_the_outbox(
    outbox_path: Path, refused: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerts that wait for the broker and for the disk would be missing in the history."""
    monkeypatch.setattr(Pending, "MOST_ALERT_EVENTS", 4)
    monkeypatch.setattr(RecordedOutbox, "_AT_ONCE", 4)
    with recorded(outbox_path) as outbox:
        alerts = [outbox.append(draft(machine=f"m{number}")) for number in range(20)]
        wait_for(lambda: not outbox._history.accepts_alerts())
        refused.rmdir()

        def is_whole() -> bool:
            outbox.turn()
            return len(in_history(refused)) == 20

        wait_for(is_whole)
        assert outbox.depth() == 20
    assert sorted(in_history(refused)) == sorted(one.event_id for one in alerts)


def test_a_history_that_is_broken_for_ever_does_not_fill_the_outbox(
    outbox_path: Path,
    refused: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The disk would be filled, or alerts would disappear without a report."""
    monkeypatch.setattr(Unrecorded, "MOST", 10)
    kept: list[Alert] = []
    with recorded(outbox_path) as outbox:
        for number in range(8):
            for kind in ("raised", "updated", "cleared"):
                sent = outbox.append(draft(kind, machine=f"m{number}"))
                outbox.acknowledge(sent.event_id)
                kept += [sent] if kind != "updated" else []
        health = outbox.health()
        assert (health.depth, health.unrecorded, health.unrecorded_dropped) == (0, 10, 14)
        assert {*vars(type(health))["__slots__"]} == {*_properties("outbox")}
    assert "the oldest are dropped: 14" in caplog.text
    refused.rmdir()
    with recorded(outbox_path) as outbox:
        wait_for(lambda: settles(outbox))
    assert in_history(refused) == [one.event_id for one in kept[-10:]]


def _properties(name: str) -> dict[str, object]:
    found: dict[str, object] = schema("health")["properties"][name]["properties"]
    return found


def test_an_outbox_of_an_earlier_version_is_taken_over(outbox_path: Path, refused: Path) -> None:
    """After an upgrade the daemon would not start, or lose the alerts that wait."""
    with Outbox(outbox_path) as plain:
        waiting = plain.append(draft("raised"))
    with contextlib.closing(sqlite3.connect(outbox_path)) as connection:
        connection.execute("DROP TABLE unrecorded")
        connection.commit()
    assert read_outbox(outbox_path).alerts == [waiting]
    with recorded(outbox_path) as outbox:
        assert outbox.pending() == [waiting]
        outbox.acknowledge(waiting.event_id)
        assert (outbox.depth(), outbox.health().unrecorded) == (0, 1)
    assert read_outbox(outbox_path).alerts == []
    refused.rmdir()
    with recorded(outbox_path) as outbox:
        wait_for(lambda: settles(outbox))
    assert in_history(refused) == [waiting.event_id]


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("how", ["damaged", "deleted"])
def test_a_file_that_is_replaced_keeps_what_is_not_recorded(how: str, outbox_path: Path) -> None:
    """A bad block of the disk would lose the notification."""
    with recorded(outbox_path) as outbox:
        sent = outbox.append(draft())
        outbox.acknowledge(sent.event_id)
        if how == "damaged":
            with outbox_path.open("r+b") as file:
                file.write(bytes(100))
        else:
            for file_path in outbox_path.parent.glob(f"{outbox_path.name}*"):
                if not file_path.name.endswith(".lock"):
                    file_path.unlink()
        outbox.append(draft("updated"))
        assert [one.event_id for one in outbox.unrecorded(10)] == [sent.event_id]
        assert outbox.health().recoveries == int(how == "damaged")
    with Outbox(outbox_path) as plain:
        assert [one.event_id for one in plain.unrecorded(10)] == [sent.event_id]


def test_a_message_that_comes_late_does_not_open_an_alert_again(tmp_path: Path) -> None:
    """The page would show an alert for ever, because its beginning was written after its end."""
    path = tmp_path / "history.sqlite3"
    messages = [
        replace(one, payload=one.payload | {"sequence": number})
        for number, one in enumerate(
            alert(kind, START_UNIX_S + 60 * at, peak=3.0 + at)
            for at, kind in enumerate(("raised", "updated", "cleared"))
        )
    ]
    store = HistoryStore(path)
    for one in reversed(messages):
        store.write({}, [one], durable=True)
    store.close()
    (found,) = HistoryReader(path).alerts()
    assert found.cleared_at == messages[2].at
    assert (found.raised_at, found.n_updates) == (messages[0].at, 1)
    assert found.payload == messages[2].payload


def test_findings_are_in_the_history_too(outbox_path: Path) -> None:
    """The page and the messages to people would not have them."""
    with recorded(outbox_path) as outbox:
        raised = outbox.append(draft("raised"))
        outbox.diagnosed(raised.machine, raised.alert_id, [{"text": "a tone"}])
    events = HistoryReader(outbox_path.with_name("history.sqlite3")).events(kinds=["updated"])
    assert [one.payload["findings"] for one in events] == [[{"text": "a tone"}]]


def test_an_alert_is_kept_until_its_evidence_is_settled(outbox_path: Path) -> None:
    """If the history is destroyed before a kill, nobody would know of its evidence."""
    with recorded(outbox_path) as outbox:
        sent = [outbox.append(replace(draft(kind), evidence_number=0)) for kind in KINDS]
        for one in sent:
            outbox.acknowledge(one.event_id)
        other = outbox.append(draft("raised", machine="other"))
        outbox.acknowledge(other.event_id)
        wait_for(lambda: settles(outbox, but=len(sent)))
        assert [one.event_id for one in outbox.unrecorded(9)] == [one.event_id for one in sent]
        assert {one.evidence.id for one in sent if one.evidence} == {f"{sent[0].alert_id}-0"}
        outbox.settle(f"{sent[0].alert_id}-0")
        wait_for(lambda: settles(outbox))
        late = outbox.append(replace(draft("updated"), evidence_number=0))
        assert late.evidence is not None


def test_evidence_that_is_never_settled_is_not_waited_for(
    outbox_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delivered alerts would fill the outbox."""
    monkeypatch.setattr(RecordedOutbox, "LONGEST_PROMISE_S", 0.05)
    with recorded(outbox_path) as outbox:
        sent = outbox.append(replace(draft("raised"), evidence_number=0))
        outbox.acknowledge(sent.event_id)
        wait_for(lambda: settles(outbox))
