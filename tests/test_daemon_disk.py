"""The daemon as a process, on a disk that is full, read-only or damaged."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from monitor.model.bundle import Bundle
from monitor.outbox.queue import Outbox
from tests.alert_drafts import draft
from tests.daemons import Daemon, documents, fault_and_back, notification
from tests.disks import FlashCard, fill, small_disk_at
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def health(subscriber: Subscriber) -> dict[str, Any]:
    return (
        documents(subscriber, "/health")[-1]["outbox"] if documents(subscriber, "/health") else {}
    )


def test_a_full_disk_is_reported_and_the_daemon_recovers(
    watched: Daemon, broker: Mosquitto, bundle: Bundle, manager: socket.socket
) -> None:
    """A disk full of log files would end the monitoring, or lose alerts without a report."""
    watched.feed("m", bundle.path, fault_and_back(), speed=15)
    with small_disk_at(watched.folder / "state") as disk, Subscriber(broker) as subscriber:
        filler = fill(disk)
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        assert health(subscriber)["state"] == "memory"
        assert "full" in health(subscriber)["detail"]
        assert watched.has_logged("alerts are kept in memory")
        assert "in memory" in notification(manager, "in memory")
        filler.unlink()
        wait_for(lambda: health(subscriber)["state"] == "ok", 15)
        assert watched.has_logged("the disk accepts alerts again")
        assert health(subscriber)["unwritten"] == 0
        assert watched.end() == 0
    sequences = [alert["sequence"] for alert in documents(subscriber, "/m/alert")]
    assert sequences[1] == sequences[0] + 1


def test_the_daemon_recovers_from_a_disk_that_became_read_only(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A flash card that became read-only would end the monitoring."""
    watched.feed("m", bundle.path, fault_and_back(), speed=8)
    with FlashCard(watched.folder / "state") as card, Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/score"), 20)
        card.wear_out()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        wait_for(lambda: health(subscriber)["state"] == "memory")
        assert watched.has_logged("alerts are kept in memory")
        card.replace()
        wait_for(lambda: health(subscriber)["state"] == "ok", 15)
        assert watched.end() == 0
        raised, cleared = documents(subscriber, "/m/alert")
        assert (raised["sequence"], cleared["sequence"]) == (1, 2)
        with Outbox(watched.folder / "state" / "outbox.sqlite3") as outbox:
            assert outbox.append(draft(machine="m")).sequence == 3


def test_a_damaged_database_is_replaced_while_it_runs(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """One bad sector would end the monitoring or the delivery."""
    watched.feed("m", bundle.path, fault_and_back(), speed=8)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/score"), 20)
        database = watched.folder / "state" / "outbox.sqlite3"
        database.write_bytes(b"\xaa" * database.stat().st_size)
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        wait_for(lambda: health(subscriber).get("recoveries") == 1)
        assert health(subscriber)["state"] == "ok"
        assert watched.has_logged("was damaged")
        assert watched.end() == 0
    raised, cleared = documents(subscriber, "/m/alert")
    assert (raised["sequence"], cleared["sequence"]) == (1, 2)
    assert list(database.parent.glob("outbox.sqlite3.damaged-*"))
