"""A real daemon diagnoses the sound of an alert, and a broker has what it found."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from monitor.domain import FloatArray
from monitor.evidence.folder import EvidenceFolder
from monitor.model.bundle import Bundle
from monitor.outbox.reader import read_outbox
from tests.bundles import SPEC, machine_sound
from tests.daemons import Daemon, documents
from tests.diagnosed_sounds import impacts
from tests.kept_healthy import keep_healthy
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import check_message
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

RATE_HZ = SPEC.sample_rate_hz
SHAFT_HZ = 24.5
OUTER_RACE_HZ = 3.5848 * SHAFT_HZ
"""Of a 6205, as in the table of SKF for this bearing."""


def damaged(seconds: float) -> FloatArray:
    """The machine with a damaged bearing."""
    faulty = machine_sound(seconds, seed=1) + impacts(seconds, OUTER_RACE_HZ, 3, level=0.6)
    return np.asarray(faulty, dtype=np.float32)


def feed_a_fault(watched: Daemon, bundle: Bundle) -> Path:
    """20 s of healthy sound, and 40 s of a fault that goes on. Returns the folder of evidence."""
    folder = watched.folder / "state" / "evidence"
    pieces = [machine_sound(10, seed=100 + seed) for seed in range(4)]
    keep_healthy(folder, "m", pieces, RATE_HZ)
    watched.feed(
        "m",
        bundle.path,
        np.concatenate([machine_sound(20), damaged(40)]),
        shaft={"speed_hz": SHAFT_HZ, "bearings": ["6205"]},
    )
    return folder


def test_a_subscriber_receives_what_was_found(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A person reads which frequencies are loud, and not that the outer race is damaged."""
    folder = feed_a_fault(watched, bundle)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 60)
        watched.forget_machines()
        watched.machine("other", bundle.path, kind="simulated")
        watched.write()
        watched.send(signal.SIGHUP)
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 3, 30)
        for received in subscriber.messages("/m/alert"):
            check_message(received.topic, received.payload)
        raised, found, cleared = documents(subscriber, "/m/alert")
        assert watched.end() == 0
    assert [one["kind"] for one in (raised, found, cleared)] == ["raised", "updated", "cleared"]
    assert [one["sequence"] for one in (raised, found, cleared)] == [1, 2, 3]
    assert {one["alert_id"] for one in (raised, found, cleared)} == {raised["alert_id"]}
    assert {one["channel"] for one in (raised, found, cleared)} == {"distance"}
    assert "findings" not in raised
    first = found["findings"][0]
    assert first["kind"] == "impacts"
    assert first["rate_hz"] == pytest.approx(OUTER_RACE_HZ, rel=0.005)
    assert [fit["cause"] for fit in first["fits"]] == ["outer race of 6205"]
    assert cleared["findings"] == found["findings"]
    assert found["at"] > raised["at"]
    diagnosis = EvidenceFolder(folder).pieces(raised["alert_id"])[0].metadata["diagnosis"]
    assert diagnosis["findings"][0]["text"] == first["text"]
    assert diagnosis["healthy_pieces"] == 4
    (pending,) = [read_outbox(watched.folder / "state" / "outbox.sqlite3")]
    assert not pending.alerts


@pytest.mark.parametrize(
    ("child", "why"),
    [
        ("import time; time.sleep(600)", ""),
        ("raise SystemExit('its memory is full')", "its memory is full"),
        ('print(\'{"findings": [{"rate_hz": NaN}]}\')', "its process gave no result"),
    ],
)
def test_a_diagnosis_that_fails_changes_no_alert(
    child: str, why: str, watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """An alert would wait for its explanation, or be lost with it."""
    feed_a_fault(watched, bundle)
    module = watched.folder / "replaced" / "sitecustomize.py"
    module.parent.mkdir()
    module.write_text(
        "import sys\n"
        "if 'monitor.diagnosis.child' in sys.orig_argv:\n"
        f"    {child}\n"
        "    sys.stdout.flush()\n"
        "    import os; os._exit(0)\n"
    )
    watched.environment["PYTHONPATH"] = str(module.parent)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/alert"), 60)
        (raised,) = documents(subscriber, "/m/alert")
        evidence = EvidenceFolder(watched.folder / "state" / "evidence")
        (piece,) = wait_for(lambda: evidence.pieces(raised["alert_id"]))
        if why:
            watched.wait_for_log(why)
            wait_for(lambda: "diagnosis" in evidence.pieces(raised["alert_id"])[0].metadata)
        assert watched.end(timeout_s=10) == 0
        assert [json.loads(one)["kind"] for one in subscriber.payloads("/m/alert")] == ["raised"]
    assert piece.sound_path is not None
