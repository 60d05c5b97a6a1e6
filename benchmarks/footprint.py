"""Memory of the daemon with history and evidence, of the web page and of the notifications.

    python -m benchmarks.footprint [--json]

One machine at 16 kHz in real time, with the default settings, a real mosquitto and an HTTP endpoint
for messages. A fault of 20 s is raised and cleared while a viewer asks for every page and file. The
resident memory is that of the process itself, in MB (a million bytes); the processes that it starts
for a moment are not in it. It is given before the fault, at most (since the process began, as the
system counts it) and afterwards. The exit status is 1 if it was ever above the target.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks._chaos.viewer import Viewer
from tests.bundles import machine_sound, make_bundle
from tests.daemons import ROOT, Daemon, daemon
from tests.mosquitto import Mosquitto, free_port
from tests.notifications import Hook

TARGETS_MB = {"run": 100.0, "web": 70.0, "notify": 70.0}
_MEASURED_S = 10.0
_EVERY_S = 0.2
_PIECES = 2
"""Of the evidence: one of the beginning and one of the end of the alert."""
_LONGEST_S = 300.0


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """``before``, ``most`` and ``after`` in MB, of ``run``, ``web`` and ``notify``."""
    hook = Hook()
    port = free_port()
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with Mosquitto(folder / "broker") as broker, daemon(folder / "daemon", broker) as one:
        try:
            _configure(one, port, hook)
            one.start()
            one.wait_for_log("ready")
            processes = {name: _companion(one, name) for name in ("web", "notify")}
            return _watch(one, {"run": one.process, **processes}, f"http://127.0.0.1:{port}", hook)
        finally:
            for process in processes.values():
                process.send_signal(signal.SIGTERM)
                process.wait(20)
            hook.close()


def _configure(one: Daemon, port: int, hook: Hook) -> None:
    bundle = make_bundle(one.folder / "bundle").path
    fault = machine_sound(20.0, seed=2, fault=0.3)
    samples = np.concatenate([machine_sound(20.0, seed=1), fault, machine_sound(60.0, seed=3)])
    one.feed("pump", bundle, samples, speed=1)
    one.web(listen=f"127.0.0.1:{port}")
    (one.folder / "phone.url").write_text(hook.url + "\n")
    one.target(name="phone", url_file="phone.url")


def _companion(one: Daemon, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "monitor", name, "--config", str(one.config)]
    with (one.folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def _watch(
    one: Daemon, processes: dict[str, subprocess.Popen[bytes]], url: str, hook: Hook
) -> dict[str, dict[str, float]]:
    """Memory before the fault, and the most until its end was sent and looked at."""
    watched = {name: psutil.Process(process.pid) for name, process in processes.items()}
    time.sleep(_MEASURED_S)
    found = {
        name: {"before": _rss_mb(process), "most": 0.0, "after": 0.0}
        for name, process in watched.items()
    }
    viewer = Viewer(url)
    viewer.start()
    over_at_s: float | None = None
    begun_s = time.monotonic()
    while over_at_s is None or time.monotonic() < over_at_s:
        time.sleep(_EVERY_S)
        for name, process in watched.items():
            found[name]["after"] = _rss_mb(process)
            found[name]["most"] = _peak_rss_mb(process)
        is_reported = any(" ended at " in title or " from " in title for title in hook.titles)
        kept = [event for event in one.events() if event["message"] == "evidence kept"]
        if is_reported and len(kept) >= _PIECES and over_at_s is None:
            over_at_s = time.monotonic() + _MEASURED_S
        if time.monotonic() > begun_s + _LONGEST_S:
            raise SystemExit(f"the end of the alert was not sent: {one.log.read_text()[-2000:]}")
    viewer.stop()
    return found


def _rss_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def _peak_rss_mb(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def main() -> int:
    """Measure and print the table; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name))
    if arguments.json:
        print(json.dumps(found))
    else:
        print(f"{'MB':16} {'before':>8} {'most':>8} {'after':>8} {'target':>8}")
        for name, one in found.items():
            figures = " ".join(f"{one[key]:8.1f}" for key in ("before", "most", "after"))
            print(f"auscult {name:8} {figures} {TARGETS_MB[name]:8.0f}")
    return int(any(one["most"] > TARGETS_MB[name] for name, one in found.items()))


if __name__ == "__main__":
    sys.exit(main())
