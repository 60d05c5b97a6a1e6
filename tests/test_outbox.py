"""The outbox keeps alerts: in order, within its limits, after restarts and kills."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from monitor.alerts import Alert, AlertDraft, AlertKind
from monitor.clock import rfc3339
from monitor.errors import BadInputError, ConfigError, MissingInputError, ServiceUnavailableError
from monitor.outbox.lock import lock_path
from monitor.outbox.queue import Outbox
from monitor.outbox.reader import read_outbox
from tests.alert_drafts import draft
from tests.clocks import FakeClock
from tests.disks import folder_in_memory
from tests.waiting import wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite3"


def test_returns_alerts_in_order_until_acknowledged(path: Path) -> None:
    """An alert is delivered twice, in a wrong order, or never."""
    with Outbox(path) as outbox:
        alerts = [outbox.append(draft(kind)) for kind in ("raised", "updated", "cleared")]
        assert outbox.pending() == alerts
        assert outbox.depth() == 3
        outbox.acknowledge(alerts[1].event_id)
        outbox.acknowledge(alerts[1].event_id)
        outbox.acknowledge("unknown")
        assert outbox.pending() == [alerts[0], alerts[2]]
        assert outbox.depth() == 2
        assert outbox.pending(limit=1) == [alerts[0]]


def test_one_alert_id_from_raised_to_cleared(path: Path) -> None:
    """A subscriber does not know which alert has ended."""
    with Outbox(path) as outbox:
        first = [outbox.append(draft(kind)) for kind in ("raised", "updated", "cleared")]
        second = outbox.append(draft("raised"))
    assert len({alert.alert_id for alert in first}) == 1
    assert second.alert_id != first[0].alert_id
    assert len({alert.event_id for alert in [*first, second]}) == 4


def test_findings_are_a_message_of_the_open_alert_only(path: Path) -> None:
    """What was found too late would open an alert that has ended, or be said of another one."""
    found = [{"kind": "tone", "text": "a tone"}]
    with Outbox(path) as outbox:
        raised = outbox.append(draft("raised"))
        assert outbox.diagnosed("other", raised.alert_id, found) is None
        assert outbox.diagnosed(raised.machine, "another alert", found) is None
        assert outbox.diagnosed(raised.machine, raised.alert_id, found) is not None
        outbox.append(draft("cleared"))
        assert outbox.diagnosed(raised.machine, raised.alert_id, found) is None
        again = outbox.append(draft("raised"))
        assert outbox.diagnosed(raised.machine, raised.alert_id, found) is None
        sent = outbox.pending()
    assert [one.kind for one in sent] == ["raised", "updated", "cleared", "raised"]
    assert [one.sequence for one in sent] == [1, 2, 3, 4]
    assert [len(one.findings) for one in sent] == [0, 1, 1, 0]
    assert sent[-1] == again


def test_findings_of_a_muted_machine_are_in_the_next_message(path: Path) -> None:
    """The end of the alert would not state what was wrong, because it was found in a mute."""
    found = [{"kind": "tone", "text": "a tone"}]
    with Outbox(path) as outbox:
        raised = outbox.append(draft("raised"))
        diagnosed = outbox.diagnosed(raised.machine, raised.alert_id, found, is_muted=True)
        assert diagnosed is None
    with Outbox(path) as outbox:
        outbox.append(draft("cleared"))
        sent = outbox.pending()
    assert [(one.kind, one.sequence) for one in sent] == [("raised", 1), ("cleared", 2)]
    assert sent[-1].findings == tuple(found)


@pytest.mark.parametrize("set_by_s", [-45 * 86_400.0, 0.0, 45 * 86_400.0])
def test_a_clock_that_is_set_while_an_alert_waits_for_the_disk(path: Path, set_by_s: float) -> None:
    """The alert would have a date of weeks ago, or in the future: it was dated before it waited."""
    clock = FakeClock()
    with Outbox(path, clock=clock) as outbox:
        at_s = clock.unix_s()
        waiting = replace(draft("raised"), at=rfc3339(at_s), clock_offset_s=clock.offset_s())
        clock.set_by_s = set_by_s
        raised = outbox.append(waiting)
        found = outbox.diagnosed(raised.machine, raised.alert_id, [{"text": "a tone"}])
    assert found is not None
    assert raised.at == found.at == rfc3339(at_s + set_by_s)
    assert raised.clock_offset_s is None


def test_open_alert_survives_and_is_continued(path: Path) -> None:
    """A daemon that was killed during an alert raises it again and never clears the old one."""
    with Outbox(path) as outbox:
        raised = outbox.append(draft("raised", score=50.0))
    with Outbox(path) as outbox:
        opened = outbox.open_alert("pump-7")
        assert opened is not None
        assert opened == raised
        again = outbox.append(draft("raised", score=20.0))
        assert (again.kind, again.alert_id) == ("updated", raised.alert_id)
        assert again.peak_score == 50.0
        cleared = outbox.append(opened.cleared("2026-11-23T11:00:00.000Z", score=1.0))
        assert cleared.alert_id == raised.alert_id
        assert outbox.open_alert("pump-7") is None


def test_sequence_continues_after_all_alerts_are_acknowledged(path: Path) -> None:
    """A number is given twice, so a lost alert is not seen as a gap."""
    for expected in (1, 2, 3):
        with Outbox(path) as outbox:
            alert = outbox.append(draft())
            assert alert.sequence == expected
            outbox.acknowledge(alert.event_id)
            assert outbox.append(draft(machine=f"other-{expected}")).sequence == 1


def test_second_daemon_is_refused(path: Path) -> None:
    """Two daemons with one outbox send every alert twice."""
    with Outbox(path), pytest.raises(ServiceUnavailableError, match="another Auscult process"):
        Outbox(path)
    Outbox(path).close()


def test_second_daemon_is_refused_after_the_lock_was_deleted(path: Path) -> None:
    """Users delete the file of a lock that they take for an old one."""
    with Outbox(path):
        lock_path(path).unlink()
        for _ in range(2):
            with pytest.raises(ServiceUnavailableError, match="another Auscult process"):
                Outbox(path)
    Outbox(path).close()


@pytest.mark.parametrize("is_moved", [False, True])
def test_second_daemon_is_refused_after_the_state_folder_was_deleted(
    path: Path, tmp_path: Path, is_moved: bool
) -> None:
    """Two daemons publish the same machines, and their alerts have the same numbers."""
    with Outbox(path) as outbox:
        alert = outbox.append(draft("raised"))
        path.parent.rename(tmp_path / "old")
        if not is_moved:
            shutil.rmtree(tmp_path / "old")
        outbox.keep_place()
        with pytest.raises(ServiceUnavailableError, match="another Auscult process"):
            Outbox(path)
        assert read_outbox(path).alerts == [alert]
    Outbox(path).close()


def test_an_outbox_whose_folder_another_daemon_has_taken_writes_nothing_there(path: Path) -> None:
    """A state folder is deleted, and the daemon is started a second time within a second."""
    with Outbox(path) as outbox:
        shutil.rmtree(path.parent)
        with Outbox(path):
            alert = outbox.append(draft("raised"))
            assert outbox.pending() == [alert]
            assert "another Auscult process" in outbox.health().detail
            assert read_outbox(path).alerts == []

        def is_written() -> bool:
            outbox.keep_place()
            return outbox.health().state == "ok"

        wait_for(is_written)
        assert read_outbox(path).alerts == [alert]


def test_a_folder_that_others_lock_does_not_stop_the_daemon(path: Path) -> None:
    """Every user who may read the folder could prevent the monitoring."""
    Outbox(path).close()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with Outbox(path) as outbox:
            assert outbox.health().state == "ok"
    finally:
        os.close(folder)


def test_file_of_a_later_version_is_left_alone(path: Path) -> None:
    """An older version of the program destroys waiting alerts."""
    Outbox(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError, match="99"):
        Outbox(path)
    with pytest.raises(BadInputError, match="99"):
        read_outbox(path)


def test_another_process_can_read_while_it_is_written(path: Path) -> None:
    """``auscult outbox`` fails, or disturbs the daemon."""
    with pytest.raises(MissingInputError, match="does not exist"):
        read_outbox(path)
    with Outbox(path) as outbox:
        alert = outbox.append(draft())
        code = (
            "import sys; from pathlib import Path; from monitor.outbox.reader import read_outbox;"
            "print([a.event_id for a in read_outbox(Path(sys.argv[1])).alerts])"
        )
        seen = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
        )
        assert seen.stdout.strip() == f"['{alert.event_id}']"
        outbox.append(draft("cleared"))
    before = sorted(entry.name for entry in path.parent.iterdir())
    assert len(read_outbox(path).alerts) == 2
    assert sorted(entry.name for entry in path.parent.iterdir()) == before


def test_oldest_updates_are_dropped_first_and_counted(path: Path) -> None:
    """The disk becomes full while the broker is down for a month."""
    with Outbox(path, max_alerts=10) as outbox:
        raised = outbox.append(draft("raised"))
        updates = [outbox.append(draft("updated")) for _ in range(15)]
        assert outbox.pending() == [raised, *updates[-9:]]
        for _ in range(20):
            outbox.append(draft("cleared"))
            outbox.append(draft("raised"))
        assert {alert.kind for alert in outbox.pending()} == {"raised", "cleared"}
        assert outbox.depth() == 10
        dropped = outbox.health().dropped
        assert dropped["updated"] == 15
        assert sum(dropped.values()) == 46
    with Outbox(path) as outbox:
        assert outbox.health().dropped == dropped
    assert read_outbox(path).dropped == dropped


def test_limits_can_be_changed_while_it_is_open(path: Path) -> None:
    """A reload with lower limits has no effect before a restart."""
    clock = FakeClock()
    with Outbox(path, clock=clock) as outbox:
        outbox.append(draft())
        for _ in range(20):
            outbox.append(draft("updated"))
        outbox.set_limits(max_alerts=10, max_age_days=30)
        assert outbox.depth() == 10
        assert outbox.pending(1)[0].kind == "raised"
    clock.reboot("boot-2")
    clock.now_s += 2 * 86_400
    with Outbox(path, clock=clock) as outbox:
        assert outbox.machines_waiting() == ["pump-7"]
        outbox.set_limits(max_alerts=10, max_age_days=1)
        assert outbox.machines_waiting() == []
        assert outbox.health().dropped == {"raised": 1, "updated": 20}


def test_machines_of_earlier_runs_are_known(path: Path) -> None:
    """The retained state of a machine that was removed while the daemon was stopped stays."""
    with Outbox(path) as outbox:
        assert outbox.watch(["pump-7", "fan-2"]) == []
        outbox.append(draft(machine="old"))
    with Outbox(path) as outbox:
        assert set(outbox.watch(["fan-2", "new"])) == {"pump-7", "old"}
        assert outbox.append(draft(machine="fan-2")).sequence == 1
        assert outbox.append(draft(machine="old")).sequence == 2


def test_old_alerts_of_earlier_boots_are_dropped_by_age(path: Path) -> None:
    """A node that was offline for a year sends all its old alerts."""
    clock = FakeClock()
    with Outbox(path, max_age_days=2, clock=clock) as outbox:
        outbox.append(draft())
        clock.now_s += 86_400
        outbox.append(draft("updated"))
    clock.reboot("boot-2")
    clock.now_s += 1.5 * 86_400
    with Outbox(path, max_age_days=2, clock=clock) as outbox:
        young = outbox.append(draft("cleared"))
        outbox.machines_waiting()
        assert [alert.kind for alert in outbox.pending()] == ["updated", "cleared"]
        assert outbox.health().dropped == {"raised": 1}
    clock.reboot("boot-3")
    clock.now_s += 86_400
    with Outbox(path, max_age_days=2, clock=clock) as outbox:
        outbox.machines_waiting()
        assert [alert.event_id for alert in outbox.pending()] == [young.event_id]


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["wait", "set", "restart", "reboot"]), st.floats(-1e8, 1e8)),
        max_size=6,
    )
)
def test_a_clock_that_is_set_drops_nothing_and_dates_nothing_in_the_future(
    steps: list[tuple[str, float]],
) -> None:
    """A board boots 45 days behind, raises an alert, gets the time, and drops the alert."""
    with folder_in_memory() as folder:
        follow_clock(steps, folder / "outbox.sqlite3")


def follow_clock(steps: list[tuple[str, float]], path: Path) -> None:
    """Check one alert and its end while the clock is set and the node restarts."""
    clock, boots = FakeClock(), 1

    def opened() -> Outbox:
        return Outbox(path, max_age_days=365, clock=clock)  # longer than all steps together

    def dated(kind: AlertKind = "raised") -> AlertDraft:
        now = rfc3339(clock.unix_s())
        return replace(draft(kind), at=now, started_at=now)

    outbox = opened()
    first = outbox.append(dated())
    appended_s, same_boot = clock.now_s, True
    for what, by_s in steps:
        if what == "wait":
            clock.now_s += abs(by_s) % 1e6
        elif what == "set":
            clock.set_by_s += by_s
        elif what == "restart":
            outbox.close()
            clock.now_s += abs(by_s) % 1e6
            outbox = opened()
        else:
            boots += 1
            outbox.close()
            clock.reboot(f"boot-{boots}")
            outbox, same_boot = opened(), False
        outbox.machines_waiting()
        alerts = outbox.pending()
        assert [alert.event_id for alert in alerts] == [first.event_id]
        if same_boot:
            true_s = clock.unix_s() - (clock.now_s - appended_s)
            assert unix_s(alerts[0].at) == pytest.approx(true_s, abs=1.1)
        assert alerts[0].started_at <= alerts[0].at <= rfc3339(clock.unix_s())
    cleared = outbox.append(dated("cleared"))
    assert cleared.alert_id == first.alert_id
    assert cleared.started_at <= cleared.at <= rfc3339(clock.unix_s())
    outbox.close()


def test_a_clock_that_ran_ahead_before_a_reboot_dates_nothing_in_the_future(path: Path) -> None:
    """An alert that waited through the reboot is delivered with a date 45 days ahead."""
    clock = FakeClock()
    clock.set_by_s = 45 * 86_400.0
    with Outbox(path, clock=clock) as outbox:
        now = rfc3339(clock.unix_s())
        outbox.append(replace(draft(), at=now, started_at=now))
    clock.reboot("boot-2")
    clock.set_by_s = 0.0
    with Outbox(path, clock=clock) as outbox:
        opened = outbox.open_alert("pump-7")
        assert opened is not None
        for alert in (*outbox.pending(), opened):
            assert alert.started_at <= alert.at <= rfc3339(clock.unix_s())


def test_the_time_of_a_recording_stays_when_the_clock_is_set(path: Path) -> None:
    """An alert about last night would be moved by what the clock was wrong this morning."""
    clock = FakeClock()
    recorded = replace(
        draft(), at="2026-11-20T06:00:10.000Z", started_at="2026-11-20T06:00:04.000Z"
    )
    with Outbox(path, clock=clock) as outbox:
        alert = outbox.append(replace(recorded, dated_by_clock=False))
    clock.set_by_s -= 10_800.0
    with Outbox(path, clock=clock) as outbox:
        assert outbox.pending() == [alert]
        assert outbox.open_alert("pump-7") == alert


def test_the_time_of_a_recording_is_not_in_the_future_when_the_clock_was_set_back(
    path: Path,
) -> None:
    """A subscriber would receive an alert about tomorrow."""
    clock = FakeClock()
    at, started_at = rfc3339(clock.unix_s()), rfc3339(clock.unix_s() - 60)
    with Outbox(path, clock=clock) as outbox:
        outbox.append(replace(draft(), at=at, started_at=started_at, dated_by_clock=False))
        clock.set_by_s -= 3600.0
        waiting = outbox.pending()[0]
        assert unix_s(waiting.at) == pytest.approx(clock.unix_s(), abs=0.002)
        assert unix_s(waiting.started_at) == pytest.approx(clock.unix_s() - 60, abs=0.002)


def test_the_previous_version_can_go_on_with_the_file(path: Path) -> None:
    """After a return to the previous version, alerts would be kept in memory only."""
    with Outbox(path, clock=FakeClock()) as outbox:
        outbox.append(draft())
    connection = sqlite3.connect(path)  # what version 0.1.0 does with each alert
    connection.execute(
        "INSERT INTO machines VALUES (?, ?, ?) ON CONFLICT (machine) DO UPDATE SET"
        " last_sequence = excluded.last_sequence, open_alert = excluded.open_alert",
        ("pump-7", 2, None),
    )
    body = connection.execute("SELECT body FROM alerts").fetchone()[0]
    connection.execute(
        "INSERT OR IGNORE INTO alerts (event_id, machine, kind, appended_unix_s, body)"
        " VALUES (?, ?, ?, ?, ?)",
        ("another", "pump-7", "cleared", 1e9, body.replace('"sequence":1', '"sequence":2')),
    )
    connection.commit()
    connection.close()
    with Outbox(path, clock=FakeClock()) as outbox:
        assert [alert.sequence for alert in outbox.pending()] == [1, 2]
        assert outbox.append(draft()).sequence == 3


def unix_s(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def test_a_file_of_the_previous_version_gets_its_columns(path: Path) -> None:
    """Alerts that wait during an update could not be read, or would be dropped."""
    previous = Path(__file__).parent / "previous_version" / "outbox"
    path.parent.mkdir()
    shutil.copy(next(previous.glob("*.sqlite3")), path)
    listed = read_outbox(path).alerts  # reads without changing the file
    assert listed
    clock = FakeClock()
    clock.set_by_s = 365 * 86_400.0  # after the alerts were written
    with Outbox(path, max_age_days=1, clock=clock) as outbox:
        outbox.machines_waiting()
        assert outbox.pending(1000) == listed
    clock.reboot("boot-2")
    clock.now_s += 2 * 86_400
    with Outbox(path, max_age_days=1, clock=clock) as outbox:
        outbox.machines_waiting()
        assert outbox.pending() == []


def test_threads_share_it(path: Path) -> None:
    """Alerts are lost when machines append while the publisher acknowledges."""
    sent: dict[str, list[int]] = {}
    with Outbox(path) as outbox:
        producers = [
            threading.Thread(
                target=lambda name=f"m{number}": [
                    outbox.append(draft("raised" if i % 2 == 0 else "cleared", name))
                    for i in range(25)
                ]
            )
            for number in range(4)
        ]
        for thread in producers:
            thread.start()
        while any(thread.is_alive() for thread in producers) or outbox.depth():
            for machine in outbox.machines_waiting():
                for alert in outbox.pending(1, machine):
                    sent.setdefault(machine, []).append(alert.sequence)
                    outbox.acknowledge(alert.event_id)
    assert sent == {f"m{number}": list(range(1, 26)) for number in range(4)}


_APPENDER = """
import sys
from pathlib import Path
from monitor.outbox.queue import Outbox
from tests.alert_drafts import draft
from tests.clocks import FakeClock

with Outbox(Path(sys.argv[1])) as outbox:
    while True:
        for kind in ("raised", "updated", "cleared"):
            alert = outbox.append(draft(kind))
            print(alert.sequence, alert.event_id, flush=True)
"""


def test_kill_loses_nothing_that_append_returned(path: Path) -> None:
    """An alert is lost when the daemon is killed."""
    returned: list[str] = []
    for lines in (1, 7, 20):
        child = subprocess.Popen(
            [sys.executable, "-c", _APPENDER, path],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert child.stdout is not None
        returned += [child.stdout.readline().strip() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        returned += [line.strip() for line in child.stdout if line.endswith("\n")]
        child.wait()
        child.stdout.close()
    with Outbox(path) as outbox:
        kept = [f"{alert.sequence} {alert.event_id}" for alert in outbox.pending(100_000)]
        sequences = [alert.sequence for alert in outbox.pending(100_000)]
    assert set(returned) <= set(kept)
    assert sequences == list(range(1, len(sequences) + 1))


class OutboxMachine(RuleBasedStateMachine):
    """The outbox compared with a list, with restarts at any moment."""

    @initialize()
    def begin(self) -> None:
        self.files = ExitStack()
        self.path = self.files.enter_context(folder_in_memory()) / "outbox.sqlite3"
        self.outbox = Outbox(self.path)
        self.waiting: list[Alert] = []
        self.sequences: dict[str, int] = {}

    @rule(kind=st.sampled_from(["raised", "updated", "cleared"]), machine=st.sampled_from("ab"))
    def append(self, kind: AlertKind, machine: str) -> None:
        opened = self.outbox.open_alert(machine)
        alert = self.outbox.append(draft(kind, machine))
        self.sequences[machine] = self.sequences.get(machine, 0) + 1
        assert alert.sequence == self.sequences[machine]
        assert (opened is not None) <= (opened is not None and alert.alert_id == opened.alert_id)
        assert (self.outbox.open_alert(machine) is None) == (kind == "cleared")
        self.waiting.append(alert)

    @rule(index=st.integers(0, 5))
    def acknowledge(self, index: int) -> None:
        if index < len(self.waiting):
            self.outbox.acknowledge(self.waiting.pop(index).event_id)

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = Outbox(self.path)

    @invariant()
    def holds_exactly_what_waits(self) -> None:
        if hasattr(self, "outbox"):
            assert self.outbox.pending(1000) == self.waiting
            assert self.outbox.depth() == len(self.waiting)
            assert set(self.outbox.machines_waiting()) == {a.machine for a in self.waiting}

    def teardown(self) -> None:
        self.outbox.close()
        self.files.close()


TestOutboxMachine = OutboxMachine.TestCase


TestOutboxMachine.settings = settings(
    max_examples=10,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
