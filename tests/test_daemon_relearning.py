"""The daemon relearns a machine from a false alarm, with a real training, through a kill."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.command_line import auscult
from tests.daemons import documents
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import check_message
from tests.test_daemon_learning import TRAINED_S, LearningDaemon, newest
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


def test_a_false_alarm_is_relearned_and_is_not_raised_again(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """An operator's label would change nothing, or the machine would be monitored by nothing."""
    watched = LearningDaemon(tmp_path / "daemon", broker)
    watched.folder.mkdir()
    watched.learning = {
        "days": 1.0,
        "first_after_min": 1.5,
        "piece_s": 5.0,
        "every_s": 5.0,
        "keep": True,
    }
    with TemporaryDirectory(prefix="auscult-") as runtime, Subscriber(broker) as subscriber:
        watched.environment["RUNTIME_DIRECTORY"] = runtime
        socket = Path(runtime) / "control.sock"
        try:
            watched.start()
            arms(socket, subscriber)
            alert_id = raises_a_false_alarm(watched, subscriber, socket)
            begun = auscult("relearn", "m", "--socket", socket)
            assert "nothing changes until you accept it" in begun.out
            watched.wait_for_log("training a new bundle with")
            watched.end(signal.SIGKILL)
            watched.start()
            shown = wait_for(lambda: comparison(socket), TRAINED_S)
            (alert,) = shown["alerts"]
            assert (alert["alert_id"], alert["label"]) == (alert_id, "false-alarm")
            assert alert["alarm_before"]
            assert not alert["alarm_after"]
            printed = auscult("relearn", "m", "--socket", socket).out
            assert "a new bundle is ready. Nothing has changed yet" in printed
            assert "auscult relearn m --accept" in printed
            accepted = auscult("relearn", "m", "--accept", "--socket", socket)
            assert "uses the new bundle" in accepted.out
            new = shown["thresholds"]["after"]
            wait_for(lambda: documents(subscriber, "/m/score")[-1]["threshold"] == new)
            hears_the_same_sound_without_an_alert(watched, subscriber)
            assert watched.end() == 0
        finally:
            if watched.process.poll() is None:
                watched.end(signal.SIGKILL)
    for message in subscriber.messages():
        check_message(message.topic, message.payload)


def arms(socket: Path, subscriber: Subscriber) -> None:
    wait_for(
        lambda: newest(subscriber).get("learning", {}).get("stage") == "provisional", TRAINED_S
    )
    assert "armed" in auscult("arm", "m", "--socket", socket).out
    wait_for(lambda: newest(subscriber).get("state") == "ok")


def raises_a_false_alarm(watched: LearningDaemon, subscriber: Subscriber, socket: Path) -> str:
    """An alert that is labelled before its evidence is complete; its ``alert_id``.

    Its sound comes into the relearning set when it is kept, and not only when relearning begins:
    the evidence may be deleted before.
    """
    (watched.folder / "fault").touch()
    wait_for(lambda: subscriber.payloads("/m/alert"))
    alert_id = str(documents(subscriber, "/m/alert")[0]["alert_id"])
    labelled = auscult("label", alert_id, "false-alarm", "--socket", socket)
    assert "The sound is added to the relearning set" in labelled.out
    assert "No sound of this alert is kept so far" in labelled.out
    kept = watched.folder / "state" / "learning" / "m" / "relearn"
    wait_for(lambda: list(kept.glob(f"{alert_id}-0/*")), 60)
    (watched.folder / "fault").unlink()
    wait_for(lambda: documents(subscriber, "/m/alert")[-1]["kind"] == "cleared")
    return alert_id


def comparison(socket: Path) -> dict[str, Any]:
    """What the new bundle would change; empty before it is ready."""
    outcome = auscult("relearn", "m", "--json", "--socket", socket)
    if outcome.status == 69:  # the daemon starts
        return {}
    relearning = outcome.json["relearning"]
    assert relearning["step"] != "failed", relearning["trouble"]
    return dict(relearning["comparison"] or {})


def hears_the_same_sound_without_an_alert(watched: LearningDaemon, subscriber: Subscriber) -> None:
    alerts = len(subscriber.payloads("/m/alert"))
    scores = len(subscriber.payloads("/m/score"))
    (watched.folder / "fault").touch()
    wait_for(lambda: len(subscriber.payloads("/m/score")) > scores + 20, 60)
    assert len(subscriber.payloads("/m/alert")) == alerts
    assert newest(subscriber)["state"] == "ok"
