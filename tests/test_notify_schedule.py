"""When a target gets a message, what waits, and what is sent together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.notify.folding import Interest
from tests.notify_model import ALERT_ID, QUIET, World, keep_picture, plan, titles


@pytest.fixture
def world() -> World:
    """One target without quiet hours."""
    return World(plan())


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
    second = world.raised("fan-2")
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
        f"Alert {first.alert_id}",
        "fan-2: alarm since 08:47 UTC",
        f"Alert {second.alert_id}",
    ]


def test_what_quiet_hours_held_stays_together_after_a_kill() -> None:
    """A message that had arrived would arrive again as one for each alert."""
    world = World(plan(QUIET))
    world.clock.now_s += 45 * 60
    for name in ("pump-7", "fan-2"):
        world.happens("cleared", world.raised(name))
    world.turn()
    world.clock.now_s += 3 * 3600
    world.turn(kill="after send")
    world.settle()
    assert titles(world) == ["2 alerts, 2 machines"] * 2


def test_a_message_waits_for_its_picture_but_not_for_ever(tmp_path: Path) -> None:
    """The picture would be missing, or an alarm would wait for one that never comes."""
    world = World(plan(), evidence=tmp_path)
    alert = world.raised("pump-7", evidence={"id": f"{ALERT_ID}-0"})
    assert world.turn() == 1.0
    world.clock.now_s += 30.0
    assert world.turn() == 1.0
    keep_picture(tmp_path, ALERT_ID)
    world.turn()
    assert world.sent[0].picture == b"picture of " + ALERT_ID.encode()
    world.happens("cleared", alert)
    world.settle()
    assert world.sent[1].picture is None
    world.raised("fan-2", evidence={"id": f"{ALERT_ID}-1"})
    assert world.turn() == 1.0
    world.clock.now_s += 60.0
    world.turn()
    assert len(world.sent) == 3


def test_an_alarm_arrives_also_where_the_network_is_too_slow_for_its_picture(
    tmp_path: Path,
) -> None:
    """It would be tried with its picture for ever, and never arrive."""
    world = World(plan(), evidence=tmp_path)
    world.is_slow = True
    world.raised("pump-7", evidence={"id": f"{ALERT_ID}-0"})
    keep_picture(tmp_path, ALERT_ID)
    world.settle()
    assert [one.picture for one in world.sent] == [None]
    world.is_slow = False
    world.raised("fan-2", evidence={"id": f"{ALERT_ID}-0"})
    world.settle()
    assert world.sent[1].picture is not None


@pytest.mark.parametrize("is_over", [True, False])
def test_a_new_alert_waits_for_what_is_found_in_its_sound(is_over: bool, tmp_path: Path) -> None:
    """A person would read at the end of the alert what was wrong, and not at its beginning."""
    world = World(replace(plan(), waits_for_findings=True), evidence=tmp_path)
    alert = world.raised("pump-7", evidence={"id": f"{ALERT_ID}-0"})
    if is_over:
        world.happens("cleared", alert)
    world.turn()
    keep_picture(tmp_path, ALERT_ID)
    world.turn()
    assert world.sent == []
    found = {"findings": [{"text": "86.0 impacts per second"}]}
    keep_picture(tmp_path, ALERT_ID, diagnosis=found)
    world.turn()
    assert "Found: 86.0 impacts per second" in world.sent[0].message.body.splitlines()


@pytest.mark.parametrize("diagnosis", [None, "x", {"findings": []}, {"findings": "x"}])
def test_a_diagnosis_without_findings_is_not_waited_for(diagnosis: object, tmp_path: Path) -> None:
    """An alarm would wait for an explanation that never comes."""
    world = World(replace(plan(), waits_for_findings=True), evidence=tmp_path)
    world.raised("pump-7", evidence={"id": f"{ALERT_ID}-0"})
    keep_picture(tmp_path, ALERT_ID, diagnosis=diagnosis)
    world.turn()
    assert [one.picture is not None for one in world.sent] == [True]
    assert "Found" not in world.sent[0].message.body


def test_a_diagnosis_that_does_not_come_delays_an_alert_by_seconds(tmp_path: Path) -> None:
    """An alarm would wait for a process that was killed."""
    world = World(replace(plan(), waits_for_findings=True), evidence=tmp_path)
    world.raised("pump-7", evidence={"id": f"{ALERT_ID}-0"})
    keep_picture(tmp_path, ALERT_ID)
    assert world.turn() == 1.0
    world.clock.now_s += 19.0
    assert world.turn() == 1.0
    world.clock.now_s += 1.0
    world.turn()
    assert len(world.sent) == 1


@pytest.mark.parametrize("lost", ["0", "1"])
def test_a_message_does_not_wait_for_evidence_that_is_lost(lost: str) -> None:
    """On a full disk, each alarm would wait a minute for a picture that cannot be written."""
    world = World(plan())
    alert = world.raised("pump-7", evidence={"id": f"{ALERT_ID}-0"})
    world.noted("evidence", alert, value="lost", payload={"evidence_id": f"{ALERT_ID}-{lost}"})
    world.turn()
    assert len(world.sent) == (1 if lost == "0" else 0)  # another piece of the alert is lost
    world.settle()
    assert len(world.sent) == 1


@pytest.mark.parametrize("set_by_s", [-1800 * 86_400.0, 1800 * 86_400.0])
def test_a_short_trouble_stays_short_when_the_clock_is_corrected(set_by_s: float) -> None:
    """Each start of a board without a battery would report a microphone that was gone for years."""
    wanted = Interest(kinds=frozenset({"alert", "source"}), least_s=120.0)
    world = World(replace(plan(), interest=wanted))
    world.clock.set_by_s = set_by_s
    minutes_ago = -round(set_by_s / 60)
    world._write("state", "pump-7", "", minutes_ago, value="unavailable")
    world.turn()
    world.clock.set_by_s = 0.0
    world.turn()
    world.state("pump-7", "ok")
    world.settle()
    assert world.sent == []


def test_a_trouble_from_before_a_reboot_keeps_its_beginning() -> None:
    """It would be dated by the clock that was wrong after the reboot."""
    wanted = Interest(kinds=frozenset({"alert", "source"}), least_s=120.0)
    world = World(replace(plan(), interest=wanted))
    world.state("pump-7", "unavailable")
    for set_by_s in (-1800 * 86_400.0, 0.0, 1800 * 86_400.0, 0.0):
        world.clock.set_by_s = set_by_s
        world.turn()
    world.clock.now_s += 120.0
    world.settle()
    assert titles(world) == ["pump-7: its sound cannot be judged since 08:01 UTC"]


def test_a_source_that_fails_is_sent_if_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody would know that a machine is not monitored, or each unplugged cable would ring."""
    wanted = Interest(kinds=frozenset({"alert", "source"}), least_s=120.0)
    world = World(replace(plan(), interest=wanted))
    for state in ("no_signal", "warming", "ok"):
        world.state("pump-7", state)
        world.turn()
    assert world.sent == []
    world.state("pump-7", "unavailable", detail="no microphone found")
    with caplog.at_level("INFO"):
        pause_s = world.turn()
    assert 'phone: "no microphone found" of pump-7 is sent if it continues for 120 s' in caplog.text
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
