"""The messages of one alert, from its beginning to its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.notify.folding import Interest
from tests.notify_model import QUIET, World, plan, titles


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


def test_the_length_is_by_the_clock_that_was_corrected(world: World) -> None:
    """An alert that began before the clock of a board was right would have lasted 20 000 days."""
    alert = world.raised("pump-7", started_at="1970-01-01T00:01:58.000Z")
    world.settle()
    world.happens("cleared", alert)
    world.settle()
    assert "Lasted 60 s" in world.sent[1].message.body


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


def test_a_fault_that_comes_back_before_its_end_is_sent_continues(world: World) -> None:
    """A person would read that it ended, although it is there."""
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


def test_a_target_of_some_machines_gets_these_only() -> None:
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


def test_what_operators_note_is_in_a_message_about_several_alerts(world: World) -> None:
    """After a failure of the network, two people would go to the same machine."""
    world.is_down = True
    alerts = [world.raised(f"pump-{number}") for number in range(30)]
    world.noted("acknowledge", alerts[3], user="anna", note="I go there")
    world.noted("label", alerts[28], value="fault", user="ben")
    world.turn()
    world.is_down = False
    world.settle()
    (sent,) = world.sent
    lines = sent.message.body.splitlines()
    assert lines[lines.index("Acknowledged by anna: I go there") - 1].startswith("pump-3: alarm")
    assert lines[lines.index("Labelled fault by ben") - 1].startswith("pump-28: alarm")
    assert lines[-1].startswith("And 9 more: pump-20 1")


def test_what_was_noted_about_an_earlier_alert_is_in_the_next_alarm() -> None:
    """A technician at night would not know what was found an hour ago."""
    world = World(plan(replace(QUIET, alarms=True)))
    world.clock.now_s += 45 * 60
    first = world.raised("pump-7")
    world.turn()
    world.noted("label", first, value="fault", user="anna", note="bearing")
    world.happens("cleared", first)
    world.raised("pump-7")
    world.turn()
    lines = world.sent[1].message.body.splitlines()
    assert "Labelled fault by anna: bearing" in lines[lines.index("Before that:") :]
