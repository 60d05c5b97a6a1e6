"""The evidence that a real daemon keeps: messages, kills, restarts and disks that fail."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from typing import Any

import numpy as np
import pytest
import soundfile

from monitor.domain import FloatArray
from monitor.errors import AuscultError
from monitor.evidence.folder import EvidenceFolder, Piece
from monitor.history.reader import HistoryReader
from monitor.history.records import ALERT_KINDS
from monitor.model.bundle import Bundle
from monitor.outbox.reader import read_outbox
from tests.bundles import SPEC, machine_sound
from tests.daemons import Daemon, documents
from tests.disks import FlashCard, fill, small_disk_at
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import check_message
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

RATE_HZ = SPEC.sample_rate_hz


def as_16_bit(*parts: FloatArray) -> FloatArray:
    samples = np.concatenate(parts)
    return (np.rint(samples * 32768).clip(-32768, 32767) / 32768).astype(np.float32)


def faulty(after_s: float = 15.0) -> FloatArray:
    """20 s of healthy sound and 15 s of a fault, which raise an alert, and ``after_s`` more."""
    return as_16_bit(machine_sound(20), machine_sound(15 + after_s, seed=1, fault=0.3))


def fault_and_back() -> FloatArray:
    return as_16_bit(faulty(), machine_sound(35, seed=2))


def pieces(watched: Daemon, alert: dict[str, Any]) -> list[Piece]:
    return EvidenceFolder(watched.folder / "state" / "evidence").pieces(alert["alert_id"])


def assert_is_in(piece: Piece, samples: FloatArray) -> FloatArray:
    """Fail unless the sound of the piece is a part of ``samples``, bit by bit."""
    assert piece.sound_path is not None
    played, rate_hz = soundfile.read(piece.sound_path, dtype="float32")
    assert rate_hz == RATE_HZ
    places = np.flatnonzero(samples[: len(samples) - len(played) + 1] == played[0])
    assert any(np.array_equal(samples[at : at + len(played)], played) for at in places)
    return np.asarray(played, dtype=np.float32)


def noted(watched: Daemon) -> list[tuple[str, str]]:
    """What the history says of evidence, oldest first: kept or lost, and why."""
    reader = HistoryReader(watched.folder / "state" / "history.sqlite3")
    events = reader.events(kinds=["evidence"], newest_first=False)
    return [(event.value, event.note) for event in events]


def logged_ready(watched: Daemon) -> int:
    """How often the daemon was started."""
    return sum(event["message"] == "ready" for event in watched.events())


def test_a_subscriber_finds_the_sound_of_an_alert(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """The message of an alert would name sound that is not there."""
    samples = fault_and_back()
    watched.feed("m", bundle.path, samples)
    watched.table("web", url="https://node.example")
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        for received in subscriber.messages("/m/alert"):
            check_message(received.topic, received.payload)
        raised, cleared = documents(subscriber, "/m/alert")
        wait_for(lambda: len(pieces(watched, raised)) == 2)
        assert watched.end() == 0
    assert [one["evidence"]["id"][-2:] for one in (raised, cleared)] == ["-0", "-1"]
    for message, piece in zip((raised, cleared), pieces(watched, raised), strict=True):
        assert piece.evidence_id == message["evidence"]["id"]
        assert message["evidence"]["url"] == f"https://node.example/alert/{raised['alert_id']}"
        assert piece.metadata["incomplete"] is None
        assert len(assert_is_in(piece, samples)) == 30 * RATE_HZ
    assert noted(watched) == [("kept", ""), ("kept", "")]


def test_the_picture_of_an_alert_is_published(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A person with Home Assistant would receive a message without a picture."""
    watched.feed("m", bundle.path, fault_and_back())
    watched.mqtt(publish_picture=True)
    with Subscriber(broker) as subscriber:
        watched.start()
        (picture,) = wait_for(lambda: subscriber.messages("/m/picture"))
        check_message(picture.topic, picture.payload)
        raised = documents(subscriber, "/m/alert")[0]
        wait_for(lambda: pieces(watched, raised))
        assert watched.end() == 0
    path = pieces(watched, raised)[0].picture_path
    assert path is not None
    assert path.read_bytes() == picture.payload


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (signal.SIGKILL, "the daemon was killed before the end of the sound"),
        (signal.SIGTERM, "the monitoring was stopped"),
    ],
)
def test_a_restart_in_the_middle_keeps_what_there_is(
    ending: signal.Signals, reason: str, watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """The sound before an alert would be lost when the computer is started again."""
    samples = faulty(after_s=0.0)
    watched.feed("m", bundle.path, samples)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/alert"), 30)
        (raised,) = documents(subscriber, "/m/alert")
        folder = watched.folder / "state" / "evidence" / raised["alert_id"]
        wait_for((folder / "0-raised.flac.part").exists)
        wait_for(lambda: not list(folder.glob("*.flac")))
        assert pieces(watched, raised) == []
        watched.end(ending)
        watched.forget_machines()
        watched.feed("m", bundle.path, samples[: 3 * RATE_HZ])
        watched.start()
        wait_for(lambda: logged_ready(watched) == 2)
        wait_for(lambda: pieces(watched, raised))
        assert watched.end() == 0
    (piece,) = pieces(watched, raised)
    assert piece.metadata["incomplete"] == reason
    played = assert_is_in(piece, samples)
    assert len(played) >= 15 * RATE_HZ
    assert set(piece.images()) == {"log_mel", "reconstruction", "residual"}
    assert noted(watched) == [("kept", reason)]
    assert sorted(path.suffix for path in folder.iterdir()) == [".bin", ".flac", ".json", ".png"]


def test_a_kill_before_the_first_write_is_reported(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """An alert would name evidence that never existed, and nobody would know why."""
    watched.feed("m", bundle.path, fault_and_back())
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        _, cleared = documents(subscriber, "/m/alert")
        wait_for(lambda: len(noted(watched)) == 2)
        watched.end(signal.SIGKILL)
        # As if it had been killed some milliseconds after the alert was cleared.
        folder = watched.folder / "state" / "evidence" / cleared["alert_id"]
        for path in folder.glob("1-*"):
            path.unlink()
        with contextlib.closing(
            sqlite3.connect(watched.folder / "state" / "history.sqlite3")
        ) as history:
            history.execute(
                "DELETE FROM events WHERE kind = 'evidence' AND payload LIKE '%cleared%'"
            )
            history.commit()
        for starts in (2, 3):
            watched.forget_machines()
            watched.feed("m", bundle.path, machine_sound(3))
            watched.start()
            wait_for(lambda: logged_ready(watched) == starts)  # noqa: B023 - called at once
            wait_for(lambda: len(noted(watched)) == 2)
            assert watched.end() == 0
    reason = "the daemon was killed before the sound was written"
    assert noted(watched) == [("kept", ""), ("lost", reason)]
    assert pieces(watched, cleared)[1].metadata["lost"] == reason


def test_what_the_disk_refused_before_a_kill_is_known_after_it(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """Nobody would be notified of the alert, and nobody would know that its sound is lost."""
    state = watched.folder / "state"
    (state / "history.sqlite3").mkdir(parents=True)  # a folder cannot be used as a database
    (state / "evidence").write_text("a file cannot be used as a folder")
    watched.feed("m", bundle.path, fault_and_back())
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        alerts = documents(subscriber, "/m/alert")
        wait_for(lambda: not read_outbox(state / "outbox.sqlite3").alerts)
        watched.end(signal.SIGKILL)
    (state / "history.sqlite3").rmdir()
    (state / "evidence").unlink()
    watched.forget_machines()
    watched.feed("m", bundle.path, machine_sound(3))
    watched.start()

    def is_known() -> bool:
        with contextlib.suppress(AuscultError):  # the history is just being made
            return len(noted(watched)) == 2
        return False

    wait_for(is_known)
    assert watched.end() == 0
    events = HistoryReader(state / "history.sqlite3").news(0, kinds=ALERT_KINDS)[0]
    assert [event.event_id for event in events] == [alert["event_id"] for alert in alerts]
    assert {what for what, _ in noted(watched)} == {"lost"}


def test_a_full_disk_costs_no_alert_and_no_time(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """An alert would wait for its sound, or the loss of the sound would not be reported."""
    watched.feed("m", bundle.path, fault_and_back())
    with small_disk_at(watched.folder / "state") as disk, Subscriber(broker) as subscriber:
        filler = fill(disk)
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        raised, _ = documents(subscriber, "/m/alert")
        watched.wait_for_log("evidence is lost")
        filler.unlink()
        assert watched.end() == 0
        assert pieces(watched, raised) == []


def test_evidence_is_kept_again_when_the_disk_works_again(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A flash card that was replaced would not be used; nobody would know what is missing."""
    watched.feed("m", bundle.path, fault_and_back(), speed=12)
    with FlashCard(watched.folder / "state") as card, Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/score"), 20)
        card.wear_out()
        wait_for(lambda: subscriber.payloads("/m/alert"), 30)
        watched.wait_for_log("evidence is lost")
        card.replace()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        raised, _ = documents(subscriber, "/m/alert")
        wait_for(lambda: len(pieces(watched, raised)) == 2)
        assert watched.end() == 0
        lost, kept = pieces(watched, raised)
        assert "Read-only" in lost.metadata["lost"]
        assert kept.metadata["lost"] is None
        assert [what for what, _ in noted(watched)] == ["lost", "kept"]


def test_a_reload_switches_evidence_off(watched: Daemon, broker: Mosquitto, bundle: Bundle) -> None:
    """Somebody asks that nothing is kept, and it would be kept until a restart."""
    watched.feed("m", bundle.path, fault_and_back(), speed=12)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/score"), 20)
        watched.table("evidence", keep="off")
        watched.write()
        watched.send(signal.SIGHUP)
        watched.wait_for_log("1 unchanged; evidence: off, no new sound is kept; history: kept")
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        assert watched.end() == 0
    assert [alert.get("evidence") for alert in documents(subscriber, "/m/alert")] == [None, None]
    folder = watched.folder / "state" / "evidence"
    assert [path.name for path in folder.iterdir()] == ["state.json"]


def test_an_alert_is_not_later_because_of_its_evidence(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """The message would wait until the sound is on a slow card."""
    samples = fault_and_back()
    watched.feed("m", bundle.path, samples, speed=8)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/alert"), 30)
        arrived = time.monotonic()
        (raised,) = documents(subscriber, "/m/alert")
        assert pieces(watched, raised) == []
        wait_for(lambda: pieces(watched, raised))
        assert time.monotonic() - arrived > 0.5  # 15 s of sound at 8 times real time
        watched.end()
