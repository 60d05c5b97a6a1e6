"""Mutes: which alerts are held back, and that none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerts import AlertKind
from monitor.clock import rfc3339
from monitor.control.operator_log import OperatorLog
from monitor.control.operator_store import Entry
from monitor.outbox.queue import Outbox
from monitor.service.muting import Muting
from tests.alert_drafts import draft
from tests.clocks import FakeClock
from tests.scripted_machines import RecordingOutlet

HOUR_S = 3600.0
OK = {"state": "ok", "reason": "", "detail": ""}


class Node:
    """One machine with its outbox, its operator log and its mutes, which can be restarted."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self._folder = folder
        self.clock = clock
        self.start()

    def start(self) -> None:
        self.outbox = Outbox(self._folder / "outbox.sqlite3", clock=self.clock)
        self.outlet = RecordingOutlet(self.outbox)
        self.operators = OperatorLog(self._folder / "operators.sqlite3", self.clock)
        self.muting = Muting(self.outlet, self.operators)

    def kill(self) -> None:
        """End without an orderly stop, and start again."""
        self.outbox.close()
        self.operators._disconnect()
        self.start()

    def stop(self) -> None:
        self.operators.close()
        self.outbox.close()

    def decide(self, kind: AlertKind, score: float = 41.2) -> None:
        self.muting.alert(draft(kind, score=score))

    def mute(self, for_s: float = HOUR_S) -> None:
        self.muting.mute("pump-7", for_s, "oil change", "anna")
        self.operators.flush()

    def state(self, name: str = "ok") -> dict[str, object]:
        self.muting.state("pump-7", OK | {"state": name})
        return self.outlet.last_state("pump-7")

    @property
    def published(self) -> list[str]:
        """The kinds of the alerts that were published since the last start."""
        return [alert.kind for alert in self.outlet.alerts]

    @property
    def detector_is_raised(self) -> bool:
        """What a new stream of this machine continues with."""
        return self.muting.open_alert("pump-7") is not None


@contextmanager
def running(folder: Path) -> Iterator[Node]:
    node = Node(folder, FakeClock())
    try:
        yield node
    finally:
        node.stop()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as one:
        yield one


def test_without_a_mute_every_alert_is_published(node: Node) -> None:
    """The daemon would not do its main task."""
    for kind in ("raised", "updated", "cleared"):
        node.decide(kind)
    assert node.published == ["raised", "updated", "cleared"]


def test_an_alert_that_begins_and_ends_in_a_mute_is_only_counted(node: Node) -> None:
    """Work on the machine would alert everybody, or nobody could see what was suppressed."""
    node.mute()
    for kind in ("raised", "updated", "cleared", "raised", "cleared"):
        node.decide(kind)
    assert node.published == []
    assert node.state()["muted_alerts"] == 2
    node.clock.now_s += HOUR_S
    assert node.muting.turn() == ["pump-7"]
    assert node.published == []


def test_an_alert_that_is_still_there_at_the_end_is_raised(node: Node) -> None:
    """A fault that begins during a mute would never be reported."""
    node.mute()
    node.decide("raised", score=40.0)
    node.decide("updated", score=60.0)
    node.decide("updated", score=50.0)
    node.clock.now_s += HOUR_S - 1.0
    assert (node.muting.turn(), node.published) == ([], [])
    node.clock.now_s += 1.0
    assert node.muting.turn() == ["pump-7"]
    (alert,) = node.outlet.alerts
    assert (alert.kind, alert.score, alert.peak_score) == ("raised", 50.0, 60.0)
    assert alert.started_at == draft().started_at
    assert alert.at == rfc3339(node.clock.unix_s())
    node.decide("cleared")
    assert node.published == ["raised", "cleared"]
    assert node.outlet.alerts[1].alert_id == alert.alert_id


def test_an_alert_from_before_the_mute_stays_open_and_is_cleared(node: Node) -> None:
    """Subscribers would show an alert for ever that ended during a mute."""
    node.decide("raised")
    node.mute()
    node.decide("updated")
    assert node.published == ["raised"]
    assert node.state("anomaly")["alert_id"] == node.outlet.alerts[0].alert_id
    node.decide("cleared")
    assert node.published == ["raised", "cleared"]
    node.decide("raised")
    assert node.published == ["raised", "cleared"]
    assert node.muting.unmute("pump-7") == 1
    assert node.published == ["raised", "cleared", "raised"]


def test_a_longer_mute_keeps_what_is_held_and_counted(node: Node) -> None:
    """A second mute would lose the alert that the first one holds."""
    node.mute(600.0)
    node.decide("raised")
    node.mute(2 * HOUR_S)
    node.clock.now_s += HOUR_S
    assert node.muting.turn() == []
    assert node.state()["muted_alerts"] == 1
    node.mute(60.0)
    node.clock.now_s += 61.0
    node.muting.turn()
    assert node.published == ["raised"]


def test_the_end_is_noticed_without_a_turn(node: Node) -> None:
    """An alert right after the end would be held by a mute that is over."""
    node.mute()
    node.decide("raised")
    node.clock.now_s += HOUR_S
    node.decide("updated")
    assert node.published == ["raised", "updated"]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_during_a_mute_changes_nothing(node: Node, how: str) -> None:
    """A restart would end the mute, or lose the alert that it holds."""
    node.mute()
    node.decide("raised", score=60.0)
    node.clock.now_s += 600.0
    if how == "stop":
        node.stop()
        node.start()
    else:
        node.kill()
    held = node.muting.open_alert("pump-7")
    assert held is not None
    assert held.peak_score == 60.0
    state = node.state("anomaly")
    assert (state["state"], state["muted_alerts"]) == ("muted", 1)
    node.decide("updated", score=30.0)
    assert node.state()["muted_alerts"] == 1
    node.clock.now_s += HOUR_S - 600.0
    node.muting.turn()
    assert [alert.peak_score for alert in node.outlet.alerts] == [60.0]


def test_a_mute_that_ends_while_the_daemon_is_down(node: Node) -> None:
    """The alert that it held would be lost."""
    node.mute()
    node.decide("raised")
    node.stop()
    node.clock.now_s += 2 * HOUR_S
    node.start()
    node.muting.monitored(["pump-7"])
    assert node.state("warming")["muted_until"] is None
    assert node.published == ["raised"]
    assert node.detector_is_raised


@pytest.mark.parametrize("set_by_s", [-40 * 365 * 86_400.0, 40 * 365 * 86_400.0, -30.0, 7200.0])
def test_the_system_clock_does_not_move_the_end(node: Node, set_by_s: float) -> None:
    """A board that gets its time during a mute would end it at once, or never."""
    node.mute()
    node.decide("raised")
    node.clock.set_by_s = set_by_s
    node.kill()
    node.clock.now_s += HOUR_S - 1.0
    node.muting.turn()
    until = node.state()["muted_until"]
    assert until == rfc3339(round(node.clock.unix_s() + 1.0))
    assert node.published == []
    node.clock.now_s += 1.0
    node.muting.turn()
    (alert,) = node.outlet.alerts
    moved_s = set_by_s if abs(set_by_s) >= 1.0 else 0.0
    assert alert.at == rfc3339(node.clock.unix_s())
    assert (alert.started_at != draft().started_at) == bool(moved_s)


def test_after_a_start_of_the_computer_the_mute_goes_on(node: Node) -> None:
    """A power cut with a clock that is wrong at the start would end the mute early, or never."""
    node.mute()
    node.clock.now_s += 1800.0
    node.muting.turn()
    node.stop()
    node.clock.reboot("boot-2", off_s=86_400.0)
    node.clock.set_by_s = -40 * 365 * 86_400.0
    node.start()
    node.clock.now_s = 1799.0
    assert node.muting.turn() == []
    assert node.state()["state"] == "muted"
    node.clock.now_s = 1800.0
    assert node.muting.turn() == ["pump-7"]


def test_each_power_cut_costs_at_most_a_minute(node: Node) -> None:
    """With many power cuts, a mute would never end."""
    node.clock.now_s = 1e6  # the computer has run longer than it will after each power cut
    node.mute()
    for boot in range(4):
        for _ in range(90):
            node.clock.now_s += 10.0
            assert node.muting.turn() == []
        node.clock.reboot(f"boot-{boot + 2}")
        node.kill()
    until_s = node.operators.mutes["pump-7"].remaining_s(node.clock)
    assert until_s <= 4 * node.muting.REFRESH_S
    node.clock.now_s += until_s
    assert node.muting.turn() == ["pump-7"]


def test_the_times_of_a_recording_stay(node: Node) -> None:
    """An alert of a recording would get the time of the clock."""
    node.mute()
    node.muting.alert(replace(draft(), dated_by_clock=False))
    node.clock.set_by_s = 1e6
    node.muting.unmute("pump-7")
    (alert,) = node.outlet.alerts
    assert (alert.at, alert.started_at) == (draft().at, draft().started_at)


def test_an_alert_continues_only_one_that_was_published(node: Node) -> None:
    """Two faults would have one alert_id, because the machine stopped during a mute."""
    stopped, again = replace(draft("cleared"), reason="stopped"), replace(draft(), continues=True)
    node.decide("raised")
    node.muting.alert(stopped)
    node.mute()
    node.muting.alert(again)
    node.muting.unmute("pump-7")
    assert len({alert.alert_id for alert in node.outlet.alerts}) == 1
    node.muting.alert(stopped)
    node.mute()
    node.decide("raised")
    node.muting.alert(stopped)
    node.muting.alert(again)
    node.muting.unmute("pump-7")
    assert node.published == ["raised", "cleared", "raised", "cleared", "raised"]
    assert len({alert.alert_id for alert in node.outlet.alerts}) == 2


def test_a_machine_that_is_removed_raises_nothing(node: Node) -> None:
    """An alert would stay open for ever for a machine that nobody monitors."""
    node.mute()
    node.decide("raised")
    node.muting.forget("pump-7")
    node.muting.unmute("pump-7")
    assert node.published == []
    assert node.outlet.forgotten == ["pump-7"]


def test_a_machine_that_was_removed_while_the_daemon_was_down(node: Node) -> None:
    """An alert would stay open for ever for a machine that nobody monitors."""
    node.mute()
    node.decide("raised")
    node.stop()
    node.start()
    node.muting.monitored(["fan-2"])
    node.clock.now_s += HOUR_S
    node.muting.turn()
    assert node.published == []


def test_muted_since_is_when_the_mute_began(node: Node) -> None:
    """ "Muted since" would be the time since when the machine was healthy, hours before."""
    before = rfc3339(node.clock.unix_s())
    node.clock.now_s += HOUR_S
    began = rfc3339(node.clock.unix_s())

    def mute() -> None:
        now = node.clock.now()
        node.operators.add(Entry(now, "anna", "mute", "pump-7", value=f"{HOUR_S:g}"))
        node.mute()

    def since() -> object:
        node.muting.state("pump-7", OK | {"since": before})
        return node.outlet.last_state("pump-7")["since"]

    assert since() == before
    mute()
    assert since() == began
    node.clock.now_s += 1800.0
    mute()  # with another end
    assert since() == began
    node.kill()
    node.clock.now_s += 60.0
    assert since() == began
    node.clock.set_by_s = 7200.0
    assert since() == rfc3339(node.clock.unix_s() - 1860.0)
    node.clock.set_by_s = 0.0
    node.operators.add(Entry(node.clock.now(), "anna", "unmute", "pump-7"))
    node.muting.unmute("pump-7")
    assert since() == before
    node.clock.now_s += 60.0
    mute()
    node.kill()
    assert since() == rfc3339(node.clock.unix_s())


@pytest.mark.parametrize("name", ["ok", "anomaly", "warming", "no_signal", "unavailable", "off"])
def test_the_state_goes_on_beside_the_mute(node: Node, name: str) -> None:
    """A dead microphone would not be noticed during a mute."""
    node.mute()
    state = node.state(name)
    if name in {"ok", "anomaly"}:
        assert (state["state"], state["state_without_mute"]) == ("muted", name)
    else:
        assert state["state"] == name
        assert "state_without_mute" not in state
    assert state["muted_until"] == rfc3339(round(node.clock.unix_s() + HOUR_S))
    node.muting.score("pump-7", {"score": 3.0})
    assert node.outlet.scores == [("pump-7", {"score": 3.0})]


def test_a_held_alert_that_cannot_be_read_is_raised_again_by_the_detector(node: Node) -> None:
    """Another version of the program would not start with the file of this one."""
    node.mute()
    node.decide("raised")
    node.operators.mutes["pump-7"].held = '{"kind": "raised"}'
    assert not node.detector_is_raised
    node.decide("raised")
    node.muting.unmute("pump-7")
    assert node.published == ["raised"]


def _do(node: Node, event: str, *, raised: bool) -> bool:
    """Let something happen; returns whether the detector is raised then."""
    decisions: dict[str, tuple[AlertKind, bool, bool]] = {
        "raise": ("raised", False, True),
        "update": ("updated", True, True),
        "clear": ("cleared", True, False),
    }
    if event in decisions:
        kind, needs_raised, then_raised = decisions[event]
        if raised == needs_raised:
            node.decide(kind)
            return then_raised
    elif event == "kill":
        node.kill()
        node.muting.monitored(["pump-7"])
    elif event == "wait":
        node.clock.now_s += 600.0
    elif event == "set":
        node.clock.set_by_s += 1e8
    elif event == "unmute":
        node.muting.unmute("pump-7")
    else:
        node.mute(HOUR_S if event == "mute" else 1.0)
    return raised


EVENTS = ["raise", "update", "clear", "mute", "short mute", "unmute", "wait", "kill", "set"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(EVENTS), max_size=20))
def test_no_alert_is_lost_and_none_stays_open(events: list[str]) -> None:
    """Some order of decisions, mutes, restarts and set clocks would lose an alert."""
    with TemporaryDirectory() as folder, running(Path(folder)) as node:
        node.muting.monitored(["pump-7"])
        raised = False
        for event in events:
            raised = _do(node, event, raised=raised)
            node.muting.turn()
            assert node.detector_is_raised == raised
            is_open = node.outbox.open_alert("pump-7") is not None
            if node.state("ok")["muted_until"] is None:
                assert is_open == raised
            else:
                assert raised or not is_open
        kinds = [alert.kind for alert in node.outbox.pending()]
        for one, following in pairwise(kinds):
            assert (following == "raised") == (one == "cleared")
