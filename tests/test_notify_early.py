"""Alerts that the outbox has and the history does not: sent soon, in order, and once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from monitor.errors import BadInputError
from monitor.notify.early import EarlyAlerts
from monitor.notify.ledger import Ledger
from tests.notify_model import MemoryLedger, World, plan, titles


@pytest.fixture
def world() -> World:
    """One target without quiet hours."""
    return World(plan())


def test_an_alert_that_the_history_refuses_is_sent_within_seconds(world: World) -> None:
    """A full disk would delay an alarm to people until somebody makes space."""
    world.refuses = True
    began_s = world.clock.now_s
    alert = world.raised("pump-7")
    world.settle()
    assert titles(world) == ["pump-7: alarm since 08:01 UTC"]
    assert world.clock.now_s - began_s <= 60.0 + EarlyAlerts.GRACE_S + 0.1
    world.happens("cleared", alert)
    world.settle()
    assert titles(world)[1:] == ["pump-7: alarm ended at 08:02 UTC"]
    world.accept()
    world.settle()
    assert len(world.sent) == 2


def test_the_history_is_first_if_it_has_the_alert_in_time(world: World) -> None:
    """An alarm would be sent before the trouble of the source that came before it."""
    world.refuses = True
    world.raised("pump-7")
    world.turn()
    world.clock.now_s += EarlyAlerts.GRACE_S / 2
    world.turn()
    assert world.sent == []
    world.accept()
    world.turn()
    assert len(world.sent) == 1
    world.settle()
    assert len(world.sent) == 1


@pytest.mark.parametrize("kill", ["before send", "after send", "before save", "after save"])
def test_a_kill_repeats_at_most_one_message(kill: str, world: World) -> None:
    """What was sent from the outbox would be sent again from the history."""
    world.refuses = True
    for machine in ("pump-7", "fan-2", "press-1"):
        world.raised(machine)
        world.settle()
    world.happens("cleared", world.alerts[0])
    world.turn()
    world.clock.now_s += EarlyAlerts.GRACE_S
    world.turn(kill)
    world.settle()
    world.accept()
    world.settle()
    assert len(world.sent) in {4, 5}
    assert set(titles(world)[3:]) == {"pump-7: alarm ended at 08:04 UTC"}


def test_alerts_are_known_until_the_history_has_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a long time with a full disk, a hundred old alarms would be sent again."""
    monkeypatch.setattr(Ledger, "MOST_DONE", 3)
    world.refuses = True
    for _ in range(20):
        world.happens("cleared", world.raised("pump-7"))
        world.settle()
    assert len(world.sent) == 20
    world.start()
    world.accept()
    world.settle()
    assert len(world.sent) == 20
    world.happens("cleared", world.raised("pump-7"))
    world.settle()
    assert len(world.sent) == 21
    ledger = world.ledger.load()
    assert ledger is not None
    assert (len(ledger.done), ledger.early) == (3, {})


def test_a_history_that_cannot_be_read_delays_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file would keep alarms from people, or all alerts of the outbox be sent again."""
    monkeypatch.setattr(Ledger, "MOST_DONE", 2)
    world.broker_is_down = True
    for _ in range(10):
        world.happens("cleared", world.raised("pump-7"))
        world.settle()
    n_sent = len(world.sent)
    world.history.exists = False
    world.start()
    world.raised("pump-7")
    _turns(world, lambda: len(world.sent) > n_sent)
    _turns(world)
    assert titles(world)[n_sent:] == ["pump-7: alarm since 08:21 UTC"]
    assert world.target.status == "phone: 0 waiting, no history"
    world.history.exists = True
    world.settle()
    assert len(world.sent) == n_sent + 1
    assert world.target.status == "phone: ok"


def test_a_target_that_begins_without_a_history_gets_new_alerts() -> None:
    """With a disk that is full from the beginning, nobody would ever be called."""
    world = World(plan(), exists=False)
    world.refuses = True
    world.broker_is_down = True
    world.raised("pump-7")
    _turns(world)
    assert titles(world) == ["pump-7: alarm since 08:01 UTC"]
    world.history.exists = True
    world.accept()
    world.settle()
    assert len(world.sent) == 1


def test_a_new_target_gets_no_old_alerts_of_the_outbox() -> None:
    """A new person would get all that the broker did not get since a week."""
    world = World(plan())
    world.refuses = True
    world.raised("pump-7")
    world.settle()
    world.sent.clear()
    world.ledger = MemoryLedger()
    world.start()
    world.settle()
    assert world.sent == []
    world.happens("updated", world.alerts[0])
    world.settle()
    assert titles(world) == ["pump-7: alarm since 08:01 UTC"]


def test_an_outbox_that_cannot_be_read_delays_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged outbox would keep alarms from people that the history has."""

    def damaged() -> list[str]:
        raise BadInputError("outbox x: is damaged")

    monkeypatch.setattr(world.outbox, "event_ids", damaged)
    world.raised("pump-7")
    world.settle()
    assert titles(world) == ["pump-7: alarm since 08:01 UTC"]


def test_a_history_that_gets_the_newest_first_changes_no_order(world: World) -> None:
    """The end of an alarm would come after the next alarm of the machine."""
    world.refuses = True
    world.happens("cleared", world.raised("pump-7"))
    world.raised("pump-7")
    held = list(world.outbox.kept)
    world.target.turn()
    world.accept(newest_first=True)
    del world.history.written[1:]  # only the new alarm is there; the outbox has the others
    world.turn()
    world.settle()
    assert len(held) == 3
    assert titles(world) == [
        "pump-7: alarm from 08:01 to 08:02 UTC",
        "pump-7: alarm since 08:03 UTC",
    ]


def _turns(world: World, until: Callable[[], bool] = lambda: False) -> None:
    """As ``settle``, for a target that looks for the history from time to time."""
    for _ in range(20):
        if until():
            return
        pause_s = world.turn()
        world.clock.now_s += max(pause_s or 0.0, 0.001)
