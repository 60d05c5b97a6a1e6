"""What a target is told, when, and in which order, whatever fails and whenever it is killed."""

from __future__ import annotations

import errno
import itertools
import json
import os
from dataclasses import replace
from datetime import UTC, time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from monitor.notify.folding import Interest
from monitor.notify.incident import Incident
from monitor.notify.ledger import Ledger
from monitor.notify.ledger_file import LedgerFile
from monitor.notify.plan import Plan
from monitor.notify.quiet_hours import QuietTime
from monitor.notify.schedule import Schedule
from tests.notify_model import Alert, MemoryLedger, Told, World, told_by

MACHINES = st.sampled_from(["pump-7", "fan-2", "press-1"])
KILLS = st.sampled_from(["", "", "", "before send", "after send", "before save", "after save"])
QUIET = QuietTime(start=time(8, 30), end=time(11), zone=UTC)
"""The clock of the tests begins at 08:00."""


ALERT_ID = "019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02"


def plan(
    quiet: QuietTime | None = None, *, ended: bool = True, min_interval_s: float = 0.0
) -> Plan:
    """A plan for alerts of all machines."""
    return Plan(
        name="phone",
        interest=Interest(ended=ended),
        schedule=Schedule(quiet=quiet, min_interval_s=min_interval_s),
        zone=UTC,
    )


def titles(world: World) -> list[str]:
    """Of the messages so far."""
    return [sent.message.title for sent in world.sent]


class Notifications(RuleBasedStateMachine):
    """Alerts come and go; the target fails and comes back; the process is killed anywhere."""

    world: World

    @initialize(
        ended=st.booleans(),
        min_interval_s=st.sampled_from([0.0, 600.0]),
        quiet=st.sampled_from([None, QUIET, replace(QUIET, alarms=True)]),
    )
    def begin(self, ended: bool, min_interval_s: float, quiet: QuietTime | None) -> None:
        self.world = World(plan(quiet, ended=ended, min_interval_s=min_interval_s))

    @rule(machine=MACHINES)
    def raise_or_update(self, machine: str) -> None:
        alert = self.world.open_alert(machine)
        if alert is not None:
            self.world.happens("updated", alert)
            return
        self.world.raised(machine)

    @rule(machine=MACHINES)
    def clear(self, machine: str) -> None:
        alert = self.world.open_alert(machine)
        if alert is not None:
            self.world.happens("cleared", alert)

    @rule(kill=KILLS)
    def turn(self, kill: str) -> None:
        self.world.turn(kill)

    @rule()
    def fail_or_recover(self) -> None:
        self.world.is_down = not self.world.is_down

    @rule(minutes=st.integers(1, 200))
    def wait(self, minutes: int) -> None:
        self.world.clock.now_s += 60.0 * minutes

    @rule(set_by_s=st.sampled_from([0.0, -1e6, 1e6]))
    @precondition(lambda self: self.world.plan.schedule.quiet is None)
    def set_the_clock(self, set_by_s: float) -> None:
        self.world.clock.set_by_s = set_by_s

    @invariant()
    def nothing_is_told_in_the_quiet_hours(self) -> None:
        quiet = self.world.plan.schedule.quiet
        if quiet is None:
            return
        for sent in self.world.sent:
            alarm = quiet.alarms and sent.message.mood == "failure"
            assert alarm or not quiet.covers(sent.unix_s)

    @invariant()
    def there_is_an_interval_between_messages(self) -> None:
        least_s = self.world.plan.schedule.min_interval_s
        for before, sent in itertools.pairwise(self.world.sent):
            assert sent.after_kill or sent.steady_s - before.steady_s >= least_s

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.clock.set_by_s = 0.0
        world.is_down = False
        for _ in range(5):  # through the quiet hours
            world.settle()
            world.clock.now_s += 3600.0
        world.settle()
        assert not _untold(world)
        _check_order(world)


def _lines(world: World) -> list[list[Told]]:
    return [told_by(sent.message, sent.unix_s) for sent in world.sent]


def _untold(world: World) -> list[Alert]:
    """The alerts whose last state was not told."""
    lines = [line for lines in _lines(world) for line in lines]
    begins = {(line.machine, line.begin) for line in lines}
    ends = {(line.machine, line.end) for line in lines}
    untold = []
    for alert in world.alerts:
        begin_told = (alert.machine, alert.begin) in begins
        end_told = (alert.machine, alert.end) in ends
        needs_end = alert.end is not None and world.plan.interest.ended
        if not begin_told or (needs_end and not end_told):
            untold.append(alert)
    return untold


def _check_order(world: World) -> None:
    """Of each machine, messages tell what happened in its order; only a kill repeats a message."""
    for machine in {alert.machine for alert in world.alerts}:
        before: list[Told] = []
        for told, sent in zip(_lines(world), world.sent, strict=True):
            lines = [line for line in told if line.machine == machine]
            times = [line.newest for line in lines]
            assert times == sorted(times)
            if not lines:
                continue
            if before and sent.after_kill:
                assert times[0] >= before[0].newest
            elif before:
                assert times[0] > before[-1].newest
            before = lines


TestNotifications = pytest.mark.slow(Notifications.TestCase)
TestNotifications.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.fixture
def world() -> World:
    """One target without quiet hours."""
    return World(plan())


def test_an_alert_is_one_message_at_its_beginning_and_one_at_its_end(world: World) -> None:
    """A phone would ring at each update, or a person would not know that it is over."""
    alert = world.raised("pump-7", score=30.0, peak_score=30.0, threshold=10.0)
    world.settle()
    for _ in range(5):
        world.happens("updated", alert, score=20.0, peak_score=40.0, threshold=10.0)
        world.settle()
    world.happens("cleared", alert, score=5.0, peak_score=40.0, threshold=10.0)
    world.settle()
    assert titles(world) == [
        "pump-7: alarm since 08:01 UTC",
        "pump-7: alarm ended at 08:07 UTC",
    ]
    assert "Score 3.0 x the threshold" in world.sent[0].message.body
    assert "Score at most 4.0 x the threshold" in world.sent[1].message.body
    assert "Lasted 6 minutes" in world.sent[1].message.body


def test_an_alert_that_ends_while_the_target_is_down_is_one_message(world: World) -> None:
    """After a failure of the network, a person would get alarms that are long over."""
    world.is_down = True
    alert = world.raised("pump-7")
    world.turn()
    world.happens("cleared", alert)
    world.turn()
    world.is_down = False
    world.settle()
    assert titles(world) == ["pump-7: alarm from 08:01 to 08:02 UTC"]


def test_a_fault_that_comes_back_before_its_end_is_told_continues(world: World) -> None:
    """A person would be told that it ended, although it is there."""
    alert = world.raised("pump-7")
    world.settle()
    world.is_down = True
    world.happens("cleared", alert, reason="stopped")
    world.turn()
    world.happens("raised", alert)
    world.turn()
    world.is_down = False
    world.settle()
    assert titles(world) == ["pump-7: alarm since 08:01 UTC"]
    world.happens("cleared", alert)
    world.settle()
    assert titles(world)[1:] == ["pump-7: alarm ended at 08:04 UTC"]
    assert "It came back 1 time after a stop" in world.sent[1].message.body


def test_pauses_between_attempts_grow(world: World) -> None:
    """A service that is overloaded would be asked again at once, and for ever."""
    world.is_down = True
    world.raised("pump-7")
    pauses = []
    for _ in range(12):
        pause_s = world.turn()
        assert pause_s
        pauses.append(pause_s)
        world.clock.now_s += pause_s
    assert 3.75 <= pauses[0] <= 5.0
    assert all(450.0 <= pause_s <= 600.0 for pause_s in pauses[-3:])


def test_many_alerts_are_one_message(world: World) -> None:
    """After a power failure, a phone would ring for every machine."""
    world.is_down = True
    for number in range(30):
        world.raised(f"pump-{number}")
    world.turn()
    world.is_down = False
    world.settle()
    (sent,) = world.sent
    assert sent.message.title == "30 alerts, 30 machines"
    lines = sent.message.body.splitlines()
    assert len(lines) == 21
    assert lines[-1].startswith("And 10 more: pump-20 1, pump-21 1")


def test_too_many_that_wait_are_counted(world: World) -> None:
    """A machine that is between healthy and faulty would fill the memory."""
    world.is_down = True
    for _ in range(600):
        world.happens("cleared", world.raised("pump-7"))
    world.raised("fan-2")
    world.turn()
    world.is_down = False
    world.settle()
    (sent,) = world.sent
    assert sent.message.title == "500 alerts, 2 machines"
    assert "Before that, alerts that have ended: pump-7 101." in sent.message.body


def test_quiet_hours_send_together_at_their_end() -> None:
    """A phone would ring at night, or many times in the morning."""
    world = World(plan(QUIET))
    world.clock.now_s += 45 * 60
    first = world.raised("pump-7")
    world.turn()
    world.raised("fan-2")
    world.turn()
    world.happens("cleared", first)
    assert world.turn() == 30.0
    assert world.sent == []
    world.clock.now_s += 2 * 3600
    world.settle()
    (sent,) = world.sent
    assert sent.message.title == "2 alerts, 2 machines"
    assert sent.message.body.splitlines() == [
        "pump-7: alarm from 08:46 to 08:48 UTC",
        "fan-2: alarm since 08:47 UTC",
    ]


def test_an_alarm_may_pass_in_quiet_hours_with_what_waited_for_its_machine() -> None:
    """The messages of a machine would arrive in another order than it happened."""
    world = World(plan(replace(QUIET, alarms=True)))
    first, other = world.raised("pump-7"), world.raised("fan-2")
    world.settle()
    world.sent.clear()
    world.clock.now_s += 45 * 60
    world.happens("cleared", first)
    world.happens("cleared", other)
    world.turn()
    assert world.sent == []
    world.raised("pump-7")
    world.turn()
    (sent,) = world.sent
    assert sent.message.body.splitlines() == [
        "pump-7: alarm ended at 08:48 UTC",
        "pump-7: alarm since 08:50 UTC",
    ]
    assert world.turn() == 30.0


def test_an_alarm_that_is_over_does_not_pass_in_quiet_hours() -> None:
    """A phone would ring at night for nothing that can be done."""
    world = World(plan(replace(QUIET, alarms=True)))
    world.clock.now_s += 45 * 60
    world.happens("cleared", world.raised("pump-7"))
    assert world.turn() == 30.0
    assert world.sent == []


def test_what_was_before_the_first_start_is_not_told(world: World) -> None:
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


def test_a_history_that_appears_later_is_told_from_the_start_of_the_target() -> None:
    """Alerts that are raised while a daemon starts would be lost, or old ones told."""
    world = World(plan(), exists=False)
    world.raised("pump-7", minutes_ago=100)
    world.raised("fan-2")
    world.history.exists = True
    world.settle()
    assert titles(world) == ["fan-2: alarm since 08:02 UTC"]


def test_a_new_history_is_told_and_a_restored_one_is_not_told_again(world: World) -> None:
    """After a damaged disk, alerts would be lost, or a year of them told again."""
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


def test_old_alerts_of_a_restored_history_are_not_told_again(
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


def test_a_history_of_which_a_new_daemon_counts_from_one_is_told(world: World) -> None:
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


def test_what_waits_is_told_before_the_events_of_a_new_history() -> None:
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


def test_an_event_that_is_written_late_or_twice_is_not_told(world: World) -> None:
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


def test_a_target_of_some_machines_is_told_about_these_only() -> None:
    """A person would get alarms of machines that are not theirs."""
    wanted = replace(plan(), interest=Interest(machines=frozenset({"fan-2"})))
    world = World(wanted)
    world.raised("pump-7")
    world.raised("fan-2")
    world.settle()
    assert titles(world) == ["fan-2: alarm since 08:02 UTC"]
    world.plan = replace(plan(), interest=Interest(machines=frozenset({"pump-7"})))
    world.is_down = True
    world.raised("fan-2")
    world.start()
    world.is_down = False
    world.settle()
    assert len(world.sent) == 1


def test_what_operators_note_is_in_the_message(world: World) -> None:
    """Two people would go to the same machine."""
    world.is_down = True
    alert = world.raised("pump-7")
    world.turn()
    world.noted("acknowledge", alert, user="anna", note="I go\nthere")
    world.noted("label", alert, value="fault", user="ben")
    world.turn()
    world.is_down = False
    world.settle()
    lines = world.sent[0].message.body.splitlines()
    assert "Acknowledged by anna: I go there" in lines
    assert "Labelled fault by ben" in lines


def test_a_message_waits_for_its_picture_but_not_for_ever(tmp_path: Path) -> None:
    """The picture would be missing, or an alarm would wait for one that never comes."""
    world = World(plan(), evidence=tmp_path)
    alert = world.raised("pump-7", evidence={"id": f"{ALERT_ID}-0"})
    assert world.turn() == 1.0
    world.clock.now_s += 30.0
    assert world.turn() == 1.0
    piece = tmp_path / ALERT_ID
    piece.mkdir()
    (piece / "0-raised.png").write_bytes(b"picture")
    metadata = {"machine": "pump-7", "moment": "raised", "at": "", "starts_at": ""}
    (piece / "0-raised.json").write_text(json.dumps(metadata))
    world.turn()
    assert world.sent[0].picture == b"picture"
    world.happens("cleared", alert)
    world.settle()
    assert world.sent[1].picture is None
    world.raised("fan-2", evidence={"id": f"{ALERT_ID}-1"})
    assert world.turn() == 1.0
    world.clock.now_s += 60.0
    world.turn()
    assert len(world.sent) == 3


def test_a_source_that_fails_is_told_if_it_lasts() -> None:
    """Nobody would know that a machine is not monitored, or each unplugged cable would ring."""
    wanted = Interest(kinds=frozenset({"alert", "source"}), least_s=120.0)
    world = World(replace(plan(), interest=wanted))
    for state in ("no_signal", "warming", "ok"):
        world.state("pump-7", state)
        world.turn()
    assert world.sent == []
    world.state("pump-7", "unavailable", detail="no microphone found")
    pause_s = world.turn()
    assert pause_s == 120.0
    world.clock.now_s += pause_s
    world.settle()
    world.state("pump-7", "ok")
    world.settle()
    assert titles(world) == [
        "pump-7: its sound cannot be judged since 08:04 UTC",
        "pump-7: its sound can be judged again since 08:07 UTC",
    ]
    assert world.sent[0].message.body.splitlines()[0] == "no microphone found"
    assert world.sent[0].message.mood == "warning"
