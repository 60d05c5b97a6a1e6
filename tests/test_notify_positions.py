"""What is sent once, although the history or the ledger is new, damaged or replaced."""

from __future__ import annotations

import errno
import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.history.opening import opened_to_read
from monitor.history.reader import HistoryReader
from monitor.history.store import HistoryStore
from monitor.notify.folding import Interest
from monitor.notify.incident import Incident
from monitor.notify.intake import Intake
from monitor.notify.ledger import Ledger
from monitor.notify.ledger_file import LedgerFile
from monitor.outbox.waiting import WaitingAlerts
from tests.clocks import START_UNIX_S, FakeClock
from tests.histories import alert as alert_event
from tests.notify_model import MemoryLedger, World, plan, titles


@pytest.fixture
def world() -> World:
    """One target without quiet hours."""
    return World(plan())


def test_what_was_before_the_first_start_is_not_sent(world: World) -> None:
    """A new target would get every alert of the last year."""
    old = world.raised("pump-7")
    world.settle()
    world.sent.clear()
    world.ledger = MemoryLedger()
    world.start()
    world.settle()
    assert world.sent == []
    world.happens("updated", old)
    world.settle()
    assert titles(world) == ["pump-7: alarm since 08:01 UTC"]


def test_an_alert_between_the_start_and_the_first_turn_is_sent(world: World) -> None:
    """It would be lost for a target that notes its place later, also after a kill."""
    world.raised("pump-7")
    world.start()
    world.settle()
    assert titles(world) == ["pump-7: alarm since 08:01 UTC"]


def test_a_history_that_appears_later_is_sent_from_the_start_of_the_target() -> None:
    """Alerts that are raised while a daemon starts would be lost, or old ones sent."""
    world = World(plan(), exists=False)
    world.raised("pump-7", minutes_ago=100)
    world.raised("fan-2")
    world.history.exists = True
    world.settle()
    assert titles(world) == ["fan-2: alarm since 08:02 UTC"]


def test_a_new_history_is_sent_and_a_restored_one_is_not_sent_again(world: World) -> None:
    """After a damaged disk, alerts would be lost, or a year of them sent again."""
    alert = world.raised("pump-7")
    world.settle()
    for _ in range(5):
        world.happens("updated", alert)
    world.settle()
    kept = world.history.written[:2]
    world.history.written = kept
    world.settle()
    assert len(world.sent) == 1
    world.happens("cleared", alert)
    world.settle()
    assert titles(world)[1:] == ["pump-7: alarm ended at 08:07 UTC"]
    world.history.written = []
    world.raised("fan-2")
    world.settle()
    assert titles(world)[2:] == ["fan-2: alarm since 08:08 UTC"]


def test_old_alerts_of_a_restored_history_are_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person would get the alerts of a year, all at once."""
    monkeypatch.setattr(Ledger, "MOST_DONE", 1)
    for _ in range(4):
        world.happens("cleared", world.raised("pump-7"))
    world.settle()
    n_sent = len(world.sent)
    del world.history.written[6:]
    world.settle()
    world.raised("pump-7")
    world.settle()
    assert len(world.sent) == n_sent + 1


def test_a_history_of_which_a_new_daemon_counts_from_one_is_sent(world: World) -> None:
    """If somebody deletes the state folder, all new alerts would be taken for old ones."""
    for _ in range(5):
        world.happens("cleared", world.raised("pump-7"))
    world.settle()
    world.sent.clear()
    world.history.written = []
    world.forget_sequences()
    world.raised("pump-7")
    world.settle()
    assert titles(world) == ["pump-7: alarm since 08:11 UTC"]


def test_what_waits_is_sent_before_the_events_of_a_new_history() -> None:
    """After a clock was set back and the history was lost, an end would come after a new alarm."""
    ledger = Ledger(position=1_800_000_001)
    for position in (1_800_000_000, 1_800_000_001):
        key = f"old {position}"
        ledger.incidents[key] = Incident(
            key=key, kind="alert", machine="pump-7", position=position, started_at="", ended_at="x"
        )
    ledger.begin_again(1_700_000_000)
    ledger.incidents["new"] = Incident(
        key="new", kind="alert", machine="pump-7", position=1_700_000_000, started_at=""
    )
    expected = ["old 1800000000", "old 1800000001", "new"]
    assert [one.key for one in ledger.pending()] == expected
    ledger.begin_again(1_600_000_000)
    assert [one.key for one in ledger.pending()] == expected


def test_events_that_do_not_matter_are_not_read_again(world: World) -> None:
    """A target without alerts would read a whole history every second."""
    for _ in range(3):
        world.state("pump-7", "ok")
        world.settle()
        world.settle()
    assert world.history.asked == [0, 1, 2]


def test_an_event_that_is_written_late_or_twice_is_not_sent(world: World) -> None:
    """An alert that has ended would be raised again, and never end."""
    alert = world.raised("pump-7")
    late = world.history.written[-1]
    world.happens("cleared", alert)
    world.settle()
    assert len(world.sent) == 1
    world.history.written.append(replace(late, position=100))
    world.settle()
    assert len(world.sent) == 1


def test_a_damaged_ledger_is_replaced_and_loses_nothing(world: World, tmp_path: Path) -> None:
    """A power failure would end the messages of a target for ever."""
    path = tmp_path / "phone.json"
    path.write_bytes(b"\x00\x00")
    os.utime(path, (world.clock.unix_s(), world.clock.unix_s()))
    world.ledger = LedgerFile(path)
    world.raised("pump-7")
    world.start()
    world.settle()
    assert titles(world) == ["pump-7: alarm since 08:01 UTC"]
    assert path.with_suffix(".damaged").read_bytes() == b"\x00\x00"
    world.start()
    world.settle()
    assert len(world.sent) == 1


def test_a_ledger_of_an_earlier_version_repeats_nothing(world: World) -> None:
    """After an upgrade, everybody would be called again for each alert that is open."""
    alert = world.raised("pump-7")
    world.settle()
    ledger = world.ledger
    assert isinstance(ledger, MemoryLedger)
    assert ledger.content is not None
    earlier = ledger.content.replace(b'"is_sent":true', b'"is_told":true')
    assert earlier != ledger.content
    ledger.content = earlier
    world.start()
    world.settle()
    world.happens("cleared", alert)
    world.settle()
    assert len(titles(world)) == 2
    assert "alarm ended at" in titles(world)[1]


def test_a_full_disk_stops_no_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm would not arrive because of a file that is not about it."""

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(world.ledger, "save", full)
    alert = world.raised("pump-7")
    world.settle()
    world.happens("cleared", alert)
    world.settle()
    assert len(world.sent) == 2
    monkeypatch.undo()
    world.raised("fan-2")
    world.settle()
    world.start()
    world.settle()
    assert len(world.sent) == 3


@pytest.mark.parametrize("blind", range(4))
def test_an_end_is_sent_although_one_look_at_the_history_does_not_show_it(
    tmp_path: Path, blind: int
) -> None:
    """The place in the history would be behind an end that was never read, and never sent."""
    raised, cleared = (
        replace(one, payload={**one.payload, "at": one.at, "sequence": number})
        for number, one in enumerate(
            [alert_event("raised", START_UNIX_S), alert_event("cleared", START_UNIX_S + 9)], 1
        )
    )
    files = {"whole": [raised, cleared], "without its log": [raised]}
    for name, events in files.items():
        store = HistoryStore(tmp_path / name)
        store.write({}, events, durable=True)
        store.close()
    looks = (("whole", "without its log")[number == blind] for number in itertools.count())
    intake = Intake(
        "phone",
        Interest(),
        history=HistoryReader(tmp_path, lambda: opened_to_read(tmp_path / next(looks))),
        outbox=WaitingAlerts(tmp_path / "none"),
        ledger=LedgerFile(tmp_path / "phone.json"),
        clock=FakeClock(),
    )
    ledger = Ledger()
    for _ in range(5):
        intake.take(ledger)
    assert [one.has_ended for one in ledger.incidents.values()] == [True]
