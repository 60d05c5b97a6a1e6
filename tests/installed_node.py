"""A booted system with the installed service and the example broker, and its simulated pump."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from monitor.domain import AudioBlock, FloatArray
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.sources.simulated.source import SimulatedSource
from tests.mosquitto import Subscriber
from tests.nspawn import BootedSystem

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - of the test's own broker
OPERATOR = "reads-everything"
CERTIFICATES = "/etc/mosquitto/auscult"
FAULT_ONSET_S = 12.0


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


def snapshot(folder: Path) -> Path:
    """A copy of the files that are installed; changes in the checkout do not affect it."""
    names = ["pyproject.toml", "LICENSE", "README.md", "constraints.txt", "config.toml"]
    folder.mkdir()
    for name in [*names, "monitor", "training", "tools", "deploy"]:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


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
