"""The booted system of the tests of deploy/, the example broker on it, and its simulated pump."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from monitor.domain import AudioBlock, FloatArray
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.sources.simulated.source import SimulatedSource
from tests.bundles import make_bundle
from tests.mosquitto import Subscriber, free_port
from tests.nspawn import BootedSystem, skip_unless_possible

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - of the test's own broker
OPERATOR = "reads-everything"
CERTIFICATES = "/etc/mosquitto/auscult"
REPOSITORY = "/srv/repository"
INSTALL = f"{REPOSITORY}/deploy/install.sh"
FAULT_ONSET_S = 6.0
# Shorter times only: the rest of the unit is the installed one.
QUICKER = "[Service]\nWatchdogSec=6\nTimeoutAbortSec=1\nRestartSec=1\n"


def pump_sound(seconds: float, *, fault: bool = False) -> FloatArray:
    """Sound of the simulated pump at 16 kHz, healthy or with a bearing fault."""
    faults = (SimulatedFault(kind="bearing"),) if fault else ()
    settings = SimulatedSettings(realtime=False, duration_s=seconds, faults=faults)
    blocks = SimulatedSource(settings).blocks(threading.Event())
    return np.concatenate([block.samples for block in blocks if isinstance(block, AudioBlock)])


def configuration(port: int, *, fault_s: float | None = FAULT_ONSET_S) -> str:
    """The node's config.toml: one simulated pump with a bearing fault from ``fault_s`` on."""
    faults = "" if fault_s is None else f'faults = [{{ kind = "bearing", onset_s = {fault_s} }}]'
    return f"""
[mqtt]
host = "localhost"
port = {port}
tls = true
ca_file = "{CERTIFICATES}/ca.crt"
username = "hall-2"
base_topic = "auscult/hall-2"
reconnect_max_s = 2.0

[[machine]]
id = "pump-7"
bundle = "bundles/pump-7"
[machine.source]
kind = "simulated"
{faults}
"""


def repository(folder: Path) -> Path:
    """This checkout as a repository with one commit; skips the test if it is no checkout of git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    who = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "-m", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedSystem]:
    """One booted system for all tests that need one, with the checkout in ``/srv/repository``.

    Auscult is not installed at first. It is installed by the first test that needs it; later
    runs of ``install.sh`` then have little to do.
    """
    skip_unless_possible()
    folder = tmp_path_factory.mktemp("system")
    with BootedSystem(folder, {repository(folder / "repository"): REPOSITORY}) as system:
        for left in ("/opt/auscult", "/etc/auscult", "/usr/local/bin/auscult"):
            system.run(["rm", "-rf", left])
        yield system


class Node:
    """The booted system with the service and the broker."""

    def __init__(self, system: BootedSystem, port: int) -> None:
        self.system = system
        self.port = port
        self._subscribers = 0

    def set_up_broker(self) -> None:
        """Do the steps of deploy/README.md, with the port of this node."""
        run = self.system.run
        shutil.copytree(ROOT / "deploy" / "mosquitto", self.system.root / "root" / "mosquitto")
        listener = (ROOT / "deploy" / "mosquitto" / "auscult.conf").read_text(encoding="utf-8")
        listener = listener.replace("listener 8883", f"listener {self.port} localhost")
        self.system.write("/etc/mosquitto/conf.d/auscult.conf", listener)
        run(["/root/mosquitto/make-certificates.sh", CERTIFICATES, "localhost"])
        run(["cp", "/root/mosquitto/acl", CERTIFICATES])
        passwords = f"{CERTIFICATES}/passwords"
        run(["mosquitto_passwd", "-c", "-b", passwords, "hall-2", PASSWORD])
        run(["mosquitto_passwd", "-b", passwords, "operator", OPERATOR])
        run(["sh", "-c", f"rm {CERTIFICATES}/ca.key; chmod 0755 {CERTIFICATES}"])
        run(["sh", "-c", f"chown -R mosquitto: {CERTIFICATES}; chmod 0600 {CERTIFICATES}/acl"])
        run(["systemctl", "start", "mosquitto.service"])

    def configure(self, text: str) -> None:
        self.system.write("/etc/auscult/config.toml", text)

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.system.run(["systemctl", *arguments], check=check)

    def show(self, field: str, unit: str = "auscult.service") -> str:
        return self.system.unit(unit, field)

    def pid(self) -> int:
        """The daemon's process id inside the system; 0 if it does not run."""
        return int(self.show("MainPID"))

    def signal(self, name: str) -> None:
        self.system.run(["kill", f"-{name}", str(self.pid())])

    def subscriber(self) -> Subscriber:
        """A subscriber to all topics, over TLS."""
        self._subscribers += 1
        return Subscriber(
            SimpleNamespace(host="localhost", port=self.port),  # type: ignore[arg-type]  # all it uses
            "auscult/#",
            username="operator",
            password=OPERATOR,
            ca=self.system.root / CERTIFICATES.lstrip("/") / "ca.crt",
            client_id=f"operator-{self._subscribers}",
        )

    def stop(self) -> None:
        """Stop the service and delete its state."""
        self.systemctl("stop", "auscult.service", check=False)
        self.systemctl("reset-failed", check=False)
        self.system.run(["rm", "-rf", "/var/lib/private/auscult"])


@pytest.fixture(scope="session")
def installed(booted: BootedSystem, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A booted system after deploy/install.sh, with the broker, a bundle and the password."""
    if shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path_factory.mktemp("node")
    healthy = pump_sound(160.0)
    bundle = folder / "pump-7"
    make_bundle(bundle, np.array_split(healthy, 8))
    booted.run([INSTALL], timeout_s=300)
    shutil.copytree(bundle, booted.root / "etc" / "auscult" / "bundles" / "pump-7")
    node = Node(booted, free_port())
    node.set_up_broker()
    booted.write("/etc/auscult/mqtt_password", PASSWORD + "\n", mode=0o600)
    booted.write("/etc/systemd/system/auscult.service.d/quicker.conf", QUICKER)
    booted.run(["systemctl", "daemon-reload"])
    return node


@pytest.fixture
def node(installed: Node) -> Iterator[Node]:
    """The installed system with the service stopped and without state."""
    installed.stop()
    installed.systemctl("start", "mosquitto.service")
    installed.configure(configuration(installed.port))
    yield installed
    print(installed.system.journal("auscult.service"))  # pytest shows it for a failed test
    installed.stop()


def pump_alerts(subscriber: Subscriber, kind: str | None = None) -> list[dict[str, Any]]:
    """The received alerts in order, all of them or those of one kind."""
    found = [json.loads(payload) for payload in subscriber.payloads("/pump-7/alert")]
    return [alert for alert in found if kind in (None, alert["kind"])]
