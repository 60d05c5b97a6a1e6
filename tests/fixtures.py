"""Fixtures of several files: a bundle, a broker, an outbox, a daemon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.outbox.queue import Outbox
from tests.bundles import make_bundle
from tests.daemons import Daemon, daemon, notify_socket
from tests.disks import folder_in_memory
from tests.mosquitto import Mosquitto
from tests.scripted_machines import RecordingOutlet


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle for ``machine_sound``. A test that changes a bundle makes its own."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "pump bundle")


@pytest.fixture(scope="session")
def network(bundle: Bundle) -> Network:
    """The network of ``bundle``."""
    return Network(bundle)


@pytest.fixture(scope="module")
def few_bootstraps() -> Iterator[None]:
    """Thresholds from a tenth of the usual bootstraps, which need most of a short training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.calibration.tail._BOOTSTRAPS", 20)
        yield


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker."""
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    """An empty outbox."""
    with folder_in_memory() as folder, Outbox(folder / "outbox.sqlite3") as opened:
        yield opened


@pytest.fixture
def record(outbox: Outbox) -> RecordingOutlet:
    """An outlet that keeps everything that a machine publishes."""
    return RecordingOutlet(outbox)


@pytest.fixture
def watched(tmp_path: Path, broker: Mosquitto) -> Iterator[Daemon]:
    """A daemon of the broker. It is not started yet."""
    with daemon(tmp_path / "daemon", broker) as one:
        yield one


@pytest.fixture
def manager(watched: Daemon) -> Iterator[socket.socket]:
    """The socket on which systemd would receive the messages of the daemon."""
    with notify_socket(watched) as receiver:
        yield receiver
