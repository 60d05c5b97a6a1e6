"""A new alarm is a message of its own, with all that a person needs, and in its order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.notify.folding import Interest
from tests.notify_model import ALERT_ID, QUIET, World, keep_picture, plan, titles

OTHER_ID = "019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d03"
LOUD: dict[str, Any] = {
    "score": 30.0,
    "peak_score": 30.0,
    "threshold": 10.0,
    "bands_hz": [[1800.0, 2100.0]],
}


@pytest.fixture
def night(tmp_path: Path) -> World:
    """A target in quiet hours that let alarms pass."""
    world = World(plan(replace(QUIET, alarms=True)), evidence=tmp_path)
    world.clock.now_s += 45 * 60
    return world


def with_evidence(alert_id: str) -> dict[str, Any]:
    """What a message of an alert has that keeps evidence."""
    return LOUD | {"evidence": {"id": f"{alert_id}-0"}}


def test_every_alarm_of_a_machine_is_a_full_message_in_quiet_hours(
    night: World, tmp_path: Path
) -> None:
    """At night, a person would get a line without picture, frequencies and alert id."""
    first = night.raised("pump-7", **LOUD)
    night.turn()
    night.happens("cleared", first)
    assert night.turn() == 30.0
    keep_picture(tmp_path, ALERT_ID)
    second = night.raised("pump-7", **with_evidence(ALERT_ID))
    night.turn()
    assert titles(night) == ["pump-7: alarm since 08:46 UTC", "pump-7: alarm since 08:48 UTC"]
    sent = night.sent[1]
    assert sent.picture == b"picture of " + ALERT_ID.encode()
    assert sent.message.mood == "failure"
    assert sent.message.body.splitlines() == [
        "Score 3.0 x the threshold",
        "Frequencies 1800 to 2100 Hz",
        f"Alert {second.alert_id}",
        "Before that:",
        "pump-7: alarm ended at 08:47 UTC (score 3.0 x threshold)",
        f"Alert {first.alert_id}",
    ]
    assert night.turn() is None


def test_alarms_of_several_machines_are_a_message_each_in_quiet_hours(night: World) -> None:
    """A target that was down for a minute would get lines instead of alarms."""
    night.is_down = True
    for number in range(5):
        night.raised(f"pump-{number}", **LOUD)
    night.turn()
    night.is_down = False
    for _ in range(20):
        night.clock.now_s += night.turn() or 0.0
    assert titles(night) == [f"pump-{n}: alarm since 08:4{6 + n} UTC" for n in range(4)] + [
        "pump-4: alarm since 08:50 UTC"
    ]
    night.sent.clear()
    night.is_down = True
    for number in range(6):
        night.raised(f"fan-{number}", **LOUD)
    night.turn()
    night.is_down = False
    for _ in range(20):
        night.clock.now_s += night.turn() or 0.0
    assert titles(night) == ["6 alerts, 6 machines"]


def test_what_waits_for_other_machines_stays_together_after_an_alarm(night: World) -> None:
    """In the morning, a phone would ring for each of them."""
    for name in ("fan-2", "press-1"):
        night.happens("cleared", night.raised(name, **LOUD))
    night.turn()
    assert night.sent == []
    night.clock.now_s += timedelta(hours=3).total_seconds()
    night.raised("pump-7", **LOUD)
    night.settle()
    assert [title.partition(" ")[0] for title in titles(night)] == ["pump-7:", "2"]


def test_an_alarm_that_is_over_does_not_pass_in_quiet_hours(night: World) -> None:
    """A phone would ring at night for nothing that can be done."""
    night.happens("cleared", night.raised("pump-7"))
    assert night.turn() == 30.0
    assert night.sent == []


def test_an_alarm_is_a_full_message_although_others_of_its_machine_waited(
    tmp_path: Path,
) -> None:
    """With a least time between messages, or after a failure, an alarm would be a line only."""
    world = World(plan(min_interval_s=3600.0), evidence=tmp_path)
    world.happens("cleared", world.raised("fan-2"))
    world.settle()
    keep_picture(tmp_path, OTHER_ID)
    for _ in range(6):
        world.happens("cleared", world.raised("pump-7", **LOUD))
    world.raised("pump-7", **with_evidence(OTHER_ID))
    world.settle()
    sent = world.sent[1]
    assert sent.message.title == "pump-7: alarm since 08:15 UTC"
    assert "Frequencies 1800 to 2100 Hz" in sent.message.body.splitlines()
    assert sent.message.body.count("pump-7: alarm from") == 6
    assert sent.picture is not None


def test_the_picture_of_the_only_new_alarm_is_sent_with_several_alerts(tmp_path: Path) -> None:
    """After quiet hours, a person would not see what the open alarm looks like."""
    world = World(plan(QUIET), evidence=tmp_path)
    world.clock.now_s += 45 * 60
    keep_picture(tmp_path, ALERT_ID)
    world.happens("cleared", world.raised("fan-2"))
    world.raised("pump-7", **with_evidence(ALERT_ID))
    world.turn()
    assert world.sent == []
    world.clock.now_s += 3 * 3600
    world.settle()
    (sent,) = world.sent
    assert sent.message.title == "2 alerts, 2 machines"
    assert sent.picture is not None


def test_an_alarm_that_is_soon_over_has_its_picture(tmp_path: Path) -> None:
    """A person would not see what a short alarm looks like."""
    world = World(plan(), evidence=tmp_path)
    alert = world.raised("pump-7", **with_evidence(ALERT_ID))
    assert world.turn() == 1.0
    world.clock.now_s -= 55.0
    world.happens("cleared", alert)
    assert world.turn() == 1.0
    keep_picture(tmp_path, ALERT_ID)
    world.settle()
    (sent,) = world.sent
    assert sent.message.title.startswith("pump-7: alarm from")
    assert sent.picture is not None


def test_nobody_looks_all_night_for_a_picture_that_does_not_come(tmp_path: Path) -> None:
    """An alarm that waits for the end of the quiet hours would wake the computer each second."""
    world = World(plan(QUIET), evidence=tmp_path)
    world.clock.now_s += 45 * 60
    world.raised("pump-7", **with_evidence(ALERT_ID))
    assert world.turn() == 1.0
    world.clock.now_s += 60.0
    assert world.turn() == 30.0


def test_what_comes_after_an_alarm_waits_with_it_for_its_picture(tmp_path: Path) -> None:
    """A person would read of a warning, and a minute later of the alarm before it."""
    wanted = Interest(kinds=frozenset({"alert", "warning"}), least_s=0.0)
    world = World(replace(plan(), interest=wanted), evidence=tmp_path)
    alert = world.raised("pump-7", **with_evidence(ALERT_ID))
    assert world.turn() == 1.0
    world.clock.now_s -= 55.0
    world.state("pump-7", "warning")
    world.clock.now_s -= 55.0
    world.state("fan-2", "warning")
    assert world.turn() == 0.0
    assert titles(world) == ["fan-2: warning since 08:01 UTC"]
    assert world.turn() == 1.0
    world.clock.now_s += 60.0
    world.settle()
    assert titles(world)[1:] == [
        "pump-7: alarm since 08:01 UTC",
        "pump-7: warning since 08:01 UTC",
    ]
    assert alert.alert_id in world.sent[1].message.body


def test_an_alarm_does_not_wait_for_a_warning_that_may_soon_be_over() -> None:
    """An alarm would come an hour late."""
    wanted = Interest(kinds=frozenset({"alert", "warning"}), least_s=3600.0)
    world = World(replace(plan(), interest=wanted))
    world.state("pump-7", "warning")
    world.raised("pump-7")
    world.turn()
    assert titles(world) == ["pump-7: alarm since 08:02 UTC"]
