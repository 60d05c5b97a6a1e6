"""The daemon as a process on a folder of recordings: kills, restarts and disks that fail."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from monitor.domain import FloatArray
from monitor.model.bundle import Bundle
from tests.bundles import SPEC
from tests.daemons import Daemon, daemon, documents, fault_and_back, healthy_then_faulty
from tests.disks import FlashCard, fill, small_disk_at
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def watched(tmp_path: Path, folder: Path, broker: Mosquitto, bundle: Bundle) -> Iterator[Daemon]:
    with daemon(tmp_path / "daemon", broker) as one:
        one.machine("m", bundle.path, kind="folder", path=str(folder), settle_s=0.2)
        yield one


def record(path: Path, samples: FloatArray) -> None:
    soundfile.write(path.with_suffix(".part"), samples, SPEC.sample_rate_hz, format="WAV")
    path.with_suffix(".part").rename(path)


def reasons(subscriber: Subscriber) -> list[str]:
    return [state["reason"] for state in documents(subscriber, "/m/state")]


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_raises_no_alert_of_an_old_recording_again(
    ending: signal.Signals, watched: Daemon, broker: Mosquitto, folder: Path
) -> None:
    """Every restart would report the same fault as a new one."""
    record(folder / "1.wav", fault_and_back())
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        wait_for(lambda: documents(subscriber, "/m/state")[-1]["state"] == "ok", 30)
        watched.end(ending)
        (folder / "1.wav").rename(folder / "0.wav")
        record(folder / "2.wav", healthy_then_faulty())
        (folder / "3.wav").write_text("no sound")
        watched.start()
        wait_for(lambda: "bad_input" in reasons(subscriber), 30)  # after all others
        assert watched.end() == 0
        received = documents(subscriber, "/m/alert")
    # A kill before the broker's answer is read sends the last message again, with its event_id.
    alerts = list({alert["event_id"]: alert for alert in received}.values())
    assert [alert["kind"] for alert in alerts] == ["raised", "cleared", "raised"]
    assert len({alert["alert_id"] for alert in alerts}) == 2


def test_a_full_state_folder_does_not_end_the_monitoring(
    watched: Daemon, broker: Mosquitto, folder: Path
) -> None:
    """The list of what was read cannot be written, and the machine would not be monitored."""
    record(folder / "1.wav", fault_and_back())
    with small_disk_at(watched.folder / "state") as disk, Subscriber(broker) as subscriber:
        fill(disk)
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        assert watched.has_logged("after a restart the files of the folder are read again")
        record(folder / "2.wav", healthy_then_faulty())
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 3, 30)
        assert watched.end() == 0


def test_a_state_folder_that_becomes_read_only_does_not_end_the_monitoring(
    watched: Daemon, broker: Mosquitto, folder: Path
) -> None:
    """A worn flash card would end the monitoring of a folder."""
    record(folder / "1.wav", fault_and_back())
    with FlashCard(watched.folder / "state") as card, Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        card.wear_out()
        record(folder / "2.wav", fault_and_back())
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 4, 30)
        assert watched.has_logged("after a restart the files of the folder are read again")
        watched.end(signal.SIGKILL)
