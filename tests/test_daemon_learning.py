"""The daemon learns a machine from nothing, also when it is killed at every step."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.bundles import SPEC, machine_sound
from tests.command_line import auscult
from tests.daemons import Daemon, documents, toml
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import check_message
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Plays 60 s of sound again and again, twenty times as fast, and a fault as long as a file is there.
PLAYER = """
import os, sys, time
parts = [open(path, "rb").read() for path in sys.argv[1:3]]
begun, played = time.monotonic(), 0
while True:
    data = parts[os.path.exists(sys.argv[3])]
    at = played % len(data)
    played += sys.stdout.buffer.write(data[at : at + 12800])
    sys.stdout.buffer.flush()
    time.sleep(max(0.0, begun + played / 4 / 16000 / 20 - time.monotonic()))
"""
TRAINED_S = 240.0
"""A training takes so long on a computer that is very busy."""
TRAINING = {
    "epochs": 1,
    "most_windows_per_epoch": 64,
    "batch_size": 16,
    "channels": [4, 8],
    "bottleneck": 4,
}


class LearningDaemon(Daemon):
    """A daemon with one machine that is learned; a day and all else is short."""

    learning: dict[str, Any]

    def write(self) -> None:
        # With the same noise, the training would leave out the one as a copy of the other.
        for name, seed, fault in (("healthy", 0, 0.0), ("faulty", 1, 0.3)):
            path = self.folder / f"{name}.f32"
            if not path.exists():
                sound = machine_sound(60, seed=seed, fault=fault)
                path.write_bytes(sound.astype("<f4").tobytes())
        files = [str(self.folder / name) for name in ("healthy.f32", "faulty.f32", "fault")]
        source = {
            "kind": "command",
            "command": [sys.executable, "-S", "-c", PLAYER, *files],
            "sample_format": "f32le",
            "sample_rate_hz": SPEC.sample_rate_hz,
            "realtime": False,
        }
        machine = f'[[machine]]\nid = "m"\n[machine.source]\n{toml(source)}'
        learning = f"[machine.learning]\n{toml(self.learning)}[training]\n{toml(TRAINING)}"
        self._machines = [machine + learning]
        super().write()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


def newest(subscriber: Subscriber) -> dict[str, Any]:
    """The newest state, or an empty one."""
    return (documents(subscriber, "/m/state") or [{}])[-1]


def test_a_machine_is_learned_and_armed_although_the_daemon_is_killed_at_every_step(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """Learning by itself would need a person, or begin again after each power cut."""
    watched = LearningDaemon(tmp_path / "daemon", broker)
    watched.folder.mkdir()
    watched.learning = {
        "days": 200 / 86_400,
        "first_after_min": 0.7,
        "piece_s": 3.0,
        "every_s": 10.0,
    }
    state = watched.folder / "state" / "learning" / "m"
    journal = state / "journal.json"
    with TemporaryDirectory(prefix="auscult-") as runtime, Subscriber(broker) as subscriber:
        watched.environment["RUNTIME_DIRECTORY"] = runtime
        try:
            learns_through_kills(watched, subscriber, state, journal)
            operators_decide(Path(runtime) / "control.sock", subscriber)
            assert watched.end() == 0
        finally:
            if watched.process.poll() is None:
                watched.end(signal.SIGKILL)
    for message in subscriber.messages():
        check_message(message.topic, message.payload)


def operators_decide(socket: Path, subscriber: Subscriber) -> None:
    """Learn again, by hand; the alert of the machine ends with its bundle."""
    assert "anomaly" in auscult("status", "--socket", socket).out
    done = auscult("learn", "m", "--socket", socket)
    assert done.out == (
        "m: the learning begins; the machine is not monitored until the first bundle is made\n"
    )
    wait_for(lambda: newest(subscriber).get("state") == "learning")
    wait_for(lambda: documents(subscriber, "/m/alert")[-1]["kind"] == "cleared")
    refused = auscult("arm", "m", "--socket", socket)
    assert refused.status == 64
    assert "has no bundle yet" in refused.err
    assert "%, day 1 of" in auscult("status", "--socket", socket).out
    back = auscult("rollback", "m", "--socket", socket)
    assert back.out.startswith("m: uses the bundle 20")
    wait_for(lambda: newest(subscriber).get("learning", {}).get("stage") == "armed")


def learns_through_kills(
    watched: Daemon, subscriber: Subscriber, state: Path, journal: Path
) -> None:
    pieces = state / "pieces"
    # Killed while it collects.
    watched.start()
    wait_for(lambda: newest(subscriber).get("state") == "learning")
    wait_for(lambda: len(list(pieces.glob("*.flac"))) >= 4)
    watched.end(signal.SIGKILL)
    kept = {path.name for path in pieces.glob("*.flac")}
    watched.start()
    wait_for(lambda: len(list(pieces.glob("*.flac"))) > len(kept))
    assert len(kept - {path.name for path in pieces.glob("*.flac")}) <= 1
    # Killed while it trains.
    watched.wait_for_log("training with")
    watched.end(signal.SIGKILL)
    assert json.loads(journal.read_bytes())["bundle"] is None
    watched.start()
    # Killed when the bundle is there.
    wait_for(lambda: json.loads(journal.read_bytes())["bundle"], TRAINED_S)
    watched.end(signal.SIGKILL)
    watched.start()
    wait_for(lambda: newest(subscriber).get("provisional"))
    wait_for(lambda: newest(subscriber).get("learning", {}).get("stage") == "armed", TRAINED_S)
    assert [path.name for path in pieces.iterdir()] == []
    assert subscriber.payloads("/m/alert") == []
    # An armed machine raises alerts.
    (watched.folder / "fault").touch()
    wait_for(lambda: subscriber.payloads("/m/alert"))
    assert documents(subscriber, "/m/alert")[0]["kind"] == "raised"
