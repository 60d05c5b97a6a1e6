"""A daemon with healthy and faulty machines, and its page, for tests in a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from monitor.domain import FloatArray
from tests.bundles import machine_sound, make_bundle
from tests.daemons import Daemon, daemon, healthy_then_faulty
from tests.mosquitto import Mosquitto
from tests.waiting import wait_for
from tests.web_server import WebServer, web_server

SUB_PATH = "/hall-2/auscult"
FAULT_HZ = 3000.0
"""The tone of the fault in ``machine_sound``."""
OPEN, ENDED = "pump-7", "pump-8"
"""A machine whose fault stays, and one whose fault has ended."""
HEALTHY = "fan-2"
LIVE = "mill-3"
"""A machine with a fault, whose sound arrives as it is made."""
WAITING = ("press-1", "press-2")
"""Machines that become faulty when a test calls ``break_machine``."""

# Writes a file, waits until there is another one, and writes this one.
TWO_FILES = """
import os, sys, time
for path in sys.argv[1:]:
    while not os.path.exists(path):
        time.sleep(0.02)
    sys.stdout.buffer.write(open(path, "rb").read())
    sys.stdout.buffer.flush()
time.sleep(3600)
"""


@dataclass(frozen=True)
class Site:
    """``plain`` and ``below_path`` are two pages of the same daemon."""

    plain: WebServer
    below_path: WebServer
    watched: Daemon
    broker: Mosquitto

    def break_machine(self, name: str) -> None:
        """The sound of a fault arrives."""
        path = _second(self.watched.folder, name)
        partial = path.with_suffix(".part")
        partial.write_bytes(machine_sound(15, seed=1, fault=0.3).astype("<f4").tobytes())
        partial.rename(path)


@contextmanager
def watched_site(folder: Path) -> Iterator[Site]:
    """The daemon runs, both pages are served, and the history has both faults."""
    folder.mkdir(parents=True)
    bundle = folder / "bundle"
    # Few false alarms: the ratio of healthy sound is low, so that healthy sound is kept.
    make_bundle(bundle, false_alarms_per_week=0.01)
    with (
        TemporaryDirectory(prefix="auscult-") as runtime,
        Mosquitto(folder / "broker") as broker,
        daemon(folder / "daemon", broker) as watched,
    ):
        watched.environment["RUNTIME_DIRECTORY"] = runtime
        watched.web(listen="127.0.0.1:0")
        watched.feed(HEALTHY, bundle, machine_sound(30), speed=10)
        watched.feed(OPEN, bundle, healthy_then_faulty(), speed=10)
        watched.feed(ENDED, bundle, healthy_faulty_healthy(), speed=20)
        watched.feed(LIVE, bundle, machine_sound(240, seed=3, fault=0.3), speed=1)
        for name in WAITING:
            _add_waiting(watched, name, bundle)
        watched.start()
        sub_path = watched.environment | {"AUSCULT_WEB__PATH": SUB_PATH}
        with (
            web_server(watched.config, watched.environment) as plain,
            web_server(watched.config, sub_path, log="below-path.log") as below_path,
        ):
            wait_for(lambda: _faults_are_known(plain.url), 60.0, "the alerts of the faults")
            yield Site(plain, below_path, watched, broker)


def healthy_faulty_healthy() -> FloatArray:
    """80 s healthy, so that healthy sound is kept, then 20 s of a fault, then 25 s healthy."""
    parts = [machine_sound(80), machine_sound(20, seed=1, fault=0.3), machine_sound(25, seed=2)]
    return np.concatenate(parts)


def _faults_are_known(url: str) -> bool:
    alerts = httpx.get(f"{url}/api/alerts", timeout=20).json()["alerts"]
    ended = {alert["machine"]: alert["cleared_at"] is not None for alert in alerts}
    return OPEN in ended and ended.get(ENDED, False)


def _add_waiting(watched: Daemon, name: str, bundle: Path) -> None:
    first = watched.folder / f"{name}-healthy.f32"
    first.write_bytes(machine_sound(12).astype("<f4").tobytes())
    watched.machine(
        name,
        bundle,
        kind="command",
        command=[sys.executable, "-S", "-c", TWO_FILES, str(first),
                 str(_second(watched.folder, name))],
        sample_format="f32le",
        sample_rate_hz=16_000,
        silence_timeout_s=600,
        restart=False,
        realtime=False,
    )  # fmt: skip


def _second(folder: Path, name: str) -> Path:
    return folder / f"{name}-faulty.f32"
