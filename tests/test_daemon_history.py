"""The history that a real daemon writes."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import soundfile

from monitor.history.reader import HistoryReader
from monitor.model.bundle import Bundle
from tests.bundles import SPEC, machine_sound
from tests.command_line import Outcome, auscult
from tests.daemons import Daemon, documents, fault_and_back, healthy_then_faulty
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
        # It may have been killed between the delivery and the answer of the broker.
        wait_for(lambda: [one["message"] for one in watched.events()].count("ready") == 2, 30)
        wait_for(lambda: len(subscriber.payloads("/m/alert")) >= 2, 20)
        known |= {one["event_id"] for one in documents(subscriber, "/m/alert")}
        watched.end(signal.SIGTERM)
    events = reader(watched).events(kinds=["raised", "updated", "cleared"], machine="m")
    assert {one.event_id for one in events} >= known
    assert len(events) == len({one.event_id for one in events})


def ask(watched: Daemon, *arguments: str) -> Outcome:
    """Run a command for this daemon."""
    return auscult(*arguments, "--config", watched.config)


def test_what_operators_do_is_in_the_history(
    watched: Daemon, broker: Mosquitto, bundle: Bundle, tmp_path: Path
) -> None:
    """Nobody would know who muted a machine, or what an alert was."""
    watched.environment["RUNTIME_DIRECTORY"] = str(tmp_path / "run")
    watched.feed("m", bundle.path, healthy_then_faulty(), speed=10)
    socket = tmp_path / "run" / "control.sock"
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/alert"), 20)
        alert_id = documents(subscriber, "/m/alert")[0]["alert_id"]
        for arguments in (
            ("acknowledge", alert_id, "--note", "on my way"),
            ("label", alert_id, "false-alarm", "--note", "door"),
            ("mute", "m", "--for", "1s", "--note", "cleaning"),
        ):
            assert auscult(*arguments, "--socket", socket).status == 0
        wait_for(lambda: reader(watched).events(kinds=["unmute"]), 20)
        status = auscult("status", "--socket", socket, "--json").json["daemon"]["history"]
        assert (status["trouble"], status["n_lost"]) == ("", 0)
        [record] = reader(watched).alerts()
        assert (record.acknowledged, record.label, record.note) == (True, "false-alarm", "door")
        kinds = ["acknowledge", "label", "mute", "unmute"]
        events = reader(watched).events(kinds=kinds, newest_first=False)
        assert [one.kind for one in events] == kinds
        assert all(one.user for one in events[:3])
        assert not events[3].user  # its time was over
        shown = ask(watched, "history", "m").out
        assert f"alert {alert_id} labelled false-alarm by {events[0].user}: door" in shown
        assert f"muted for 1 second by {events[0].user}: cleaning" in shown


def test_recordings_are_at_their_own_time(
    watched: Daemon, broker: Mosquitto, bundle: Bundle, tmp_path: Path
) -> None:
    """What a machine did in the night would be shown at the time of the import."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    watched.machine("m", bundle.path, kind="folder", path=str(folder), settle_s=0.2)
    name = folder / "fan_20260105T101530Z"
    soundfile.write(name, fault_and_back(), SPEC.sample_rate_hz, format="WAV")
    name.rename(name.with_suffix(".wav"))
    began_s = datetime(2026, 1, 5, 10, 15, 30, tzinfo=UTC).timestamp()
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        wait_for(lambda: documents(subscriber, "/m/state")[-1]["state"] == "ok", 30)
        assert watched.end() == 0
        wait_for(lambda: subscriber.payloads("/status")[-1:] == [b"stopped"])
        seconds = documents(subscriber, "/m/state")[-1]["coverage"]["monitored_s"]
    first, *others = reader(watched).minutes("m", began_s - 60, began_s + seconds + 60)
    assert first.start_s == began_s - 30
    assert sum(one.received_s for one in (first, *others)) == pytest.approx(seconds, abs=0.5)
    states = reader(watched).events(since_s=began_s, until_s=began_s + seconds, kinds=["state"])
    assert "anomaly" in {one.value for one in states}


def reloads(watched: Daemon, number: int) -> bool:
    return watched.log.read_text().count("reloaded") >= number


def more_scores(subscriber: Subscriber, number: int) -> bool:
    return len(subscriber.payloads("/m/score")) > number


def test_a_reload_ends_and_begins_the_history(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """Keeping nothing would need a restart, which interrupts the monitoring."""
    watched.feed("m", bundle.path, machine_sound(600), speed=1)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/score"), 20)
        before = reader(watched).last_position()
        text = watched.config.read_text()
        for number, enabled in enumerate(("false", "true"), start=1):
            watched.config.write_text(f"{text}[history]\nenabled = {enabled}\n")
            watched.send(signal.SIGHUP)
            wait_for(partial(reloads, watched, number), 30)
            wait_for(partial(more_scores, subscriber, len(subscriber.payloads("/m/score")) + 5), 30)
        assert reader(watched).last_position() >= before
        assert watched.end() == 0
    minutes = reader(watched).minutes("m", 0, 4e9)
    coverage = documents(subscriber, "/m/state")[-1]["coverage"]
    assert 0 < sum(one.received_s for one in minutes) < coverage["monitored_s"]


def test_kills_lose_minutes_and_count_none_twice(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A restart after a crash would show more sound than there was."""
    received_s = 0.0
    for _ in range(4):
        watched.forget_machines()
        # Slow enough for several scores: they are published at most so many times a second.
        watched.feed("m", bundle.path, machine_sound(40), speed=4)
        with Subscriber(broker) as subscriber:
            watched.start()
            wait_for(partial(more_scores, subscriber, 3), 60)
            watched.end(signal.SIGKILL)
        received_s += 40.0
    assert sum(one.received_s for one in reader(watched).minutes("m", 0, 4e9)) <= received_s
