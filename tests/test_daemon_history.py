"""The history that a real daemon writes."""

from __future__ import annotations

import signal

import pytest

from monitor.history.reader import HistoryReader
from monitor.model.bundle import Bundle
from tests.daemons import Daemon, documents, fault_and_back
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def reader(daemon: Daemon) -> HistoryReader:
    return HistoryReader(daemon.folder / "state" / "history.sqlite3")


def test_what_happens_is_in_the_history(watched: Daemon, broker: Mosquitto, bundle: Bundle) -> None:
    """Nobody could see what a machine did before."""
    watched.feed("m", bundle.path, fault_and_back())
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 20)
        raised, cleared = documents(subscriber, "/m/alert")
        assert watched.end(signal.SIGTERM) == 0
        wait_for(lambda: subscriber.payloads("/status")[-1:] == [b"stopped"])
        coverage = documents(subscriber, "/m/state")[-1]["coverage"]
    history = reader(watched)
    assert history.machines() == ["m"]
    minutes = history.minutes("m", 0, 4e9)
    received_s = coverage["monitored_s"] + coverage["degraded_s"]
    assert sum(one.received_s for one in minutes) == pytest.approx(received_s, abs=0.5)
    assert sum(one.scored_s for one in minutes) == pytest.approx(coverage["monitored_s"], abs=0.5)
    assert max(one.ratio_max or 0 for one in minutes) == pytest.approx(
        cleared["peak_score"] / cleared["threshold"], abs=1e-3
    )
    [alert] = history.alerts()
    assert (alert.alert_id, alert.raised_at) == (raised["alert_id"], raised["at"])
    assert alert.cleared_at == cleared["at"]
    assert alert.payload == cleared
    states = [one.value for one in history.events(kinds=["state"], newest_first=False)]
    assert states[-3:] == ["anomaly", "ok", "unavailable"]
    assert [one.value for one in history.events(kinds=["bundle"])] == [bundle.sha256]


def test_an_alert_is_in_the_history_before_the_outbox_forgets_it(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A notification would be lost when the daemon is killed after the broker has the alert."""
    watched.feed("m", bundle.path, fault_and_back())
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/alert"), 20)
        watched.wait_for_log("alert cleared")
        watched.end(signal.SIGKILL)
        known = {one["event_id"] for one in documents(subscriber, "/m/alert")}
        watched.forget_machines()
        watched.feed("n", bundle.path, fault_and_back()[:16_000])
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) >= 2, 20)
        known |= {one["event_id"] for one in documents(subscriber, "/m/alert")}
        watched.end(signal.SIGTERM)
    events = reader(watched).events(kinds=["raised", "updated", "cleared"], machine="m")
    assert {one.event_id for one in events} >= known
    assert len(events) == len({one.event_id for one in events})
