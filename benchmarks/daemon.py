"""Start time, memory and processor time of the daemon, and the number of streams.

    python -m benchmarks.daemon [--machines 100] [--seconds 60]

It uses a real mosquitto, the real daemon in a separate process, simulated machines with
16 kHz in real time, and the default network. The latency is the time from the last sample
of a window to its score at a subscriber, for every score. The share of the processor with
one machine is measured with sound from a program (`command`), without the simulation.
mosquitto is needed. Other programs increase the latency, so the load is printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks._machine import RATE_HZ, trained_bundle
from tests.mosquitto import free_port

SETTLE_S = 20.0
TARGETS = {"ready": "< 2 s", "memory": "< 110 MB", "share": "< 1 %", "latency": "< 250 ms"}
PACED_SOUND = """
import sys, time, random, array
noise = array.array("h", (int(random.gauss(0, 900)) for _ in range(160000)))
start, sent = time.monotonic(), 0
while True:
    at = sent % 160000
    sys.stdout.buffer.write(noise[at:at + 1600].tobytes()); sys.stdout.buffer.flush()
    sent += 1600
    time.sleep(max(0.0, start + sent / 16000 - time.monotonic()))
"""


@dataclass(slots=True)
class Scores:
    """The latencies in seconds of what a subscriber received, by machine."""

    latency_s: list[float] = field(default_factory=list)
    machines: set[str] = field(default_factory=set)

    def take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        """Record one score."""
        now = time.time()
        at = datetime.fromisoformat(json.loads(message.payload)["at"])
        self.latency_s.append(now - at.timestamp())
        self.machines.add(message.topic.split("/")[-2])


def configuration(
    folder: Path,
    port: int,
    sources: list[str],
    bundle: Path | None = None,
    base_topic: str = "bench",
) -> Path:
    """One machine for each source; every score is published. ``bundle``: None for the usual one."""
    bundle = bundle or trained_bundle()
    broker_address = f'host = "127.0.0.1"\nport = {port}\nbase_topic = "{base_topic}"'
    tables = [f"[mqtt]\n{broker_address}\nscore_interval_s = 0.1\n"]
    tables += [
        f'[[machine]]\nid = "m{number}"\nbundle = "{bundle}"\n[machine.source]\n{source}\n'
        for number, source in enumerate(sources)
    ]
    path = folder / "config.toml"
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A mosquitto on a free port."""
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
    path = os.environ["PATH"] + ":/usr/sbin"
    process = subprocess.Popen(
        ["mosquitto", "-c", config], env={**os.environ, "PATH": path}, stderr=subprocess.DEVNULL
    )
    time.sleep(0.5)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def daemon(config: Path, folder: Path) -> Iterator[tuple[psutil.Process, float]]:
    """The daemon, and the seconds until it was ready."""
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(address)
        notify.settimeout(60)
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run", "--config", config],
            env={**os.environ, "NOTIFY_SOCKET": address},
            stderr=subprocess.DEVNULL,
        )
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
            ready_s = time.perf_counter() - started
            notify.close()
            yield psutil.Process(process.pid), ready_s
        finally:
            process.terminate()
            process.wait(10)
            Path(address).unlink()


def share_of_core(process: psutil.Process, seconds: float) -> float:
    """The share of one core that a process without its children uses, over some seconds."""
    before, started = process.cpu_times(), time.perf_counter()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return used / (time.perf_counter() - started)


def one_machine(folder: Path, port: int, seconds: float) -> tuple[float, float, float]:
    """Seconds until ready, resident memory in megabytes, share of a core."""
    script = folder / "sound.py"
    script.write_text(textwrap.dedent(PACED_SOUND), encoding="utf-8")
    command = json.dumps([sys.executable, str(script)])
    source = f'kind = "command"\ncommand = {command}\nsample_rate_hz = {RATE_HZ}'
    with daemon(configuration(folder, port, [source]), folder) as (process, ready_s):
        time.sleep(SETTLE_S)
        share = share_of_core(process, seconds)
        return ready_s, process.memory_info().rss / 1e6, share


def many_machines(folder: Path, port: int, n: int, seconds: float) -> tuple[Scores, float, float]:
    """Scores of ``n`` simulated machines, share of a core, resident memory in megabytes."""
    sources = [f'kind = "simulated"\nseed = {seed}' for seed in range(n)]
    scores = Scores()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    with daemon(configuration(folder, port, sources), folder) as (process, _):
        time.sleep(SETTLE_S)
        client.on_message = scores.take
        client.connect("127.0.0.1", port)
        client.subscribe("bench/+/score")
        client.loop_start()
        share = share_of_core(process, seconds)
        client.loop_stop()
        return scores, share, process.memory_info().rss / 1e6


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as port:
        folder = Path(name)
        ready_s, one_mb, share = one_machine(folder, port, options.seconds)
        scores, load, many_mb = many_machines(folder, port, options.machines, options.seconds)
    expected = options.machines * options.seconds / 0.512
    p50, p99 = np.quantile(scores.latency_s, (0.5, 0.99)) * 1000
    rows = [
        ("start to ready, one machine", f"{ready_s:.2f} s", TARGETS["ready"]),
        ("resident memory, one machine", f"{one_mb:.0f} MB", TARGETS["memory"]),
        ("share of a core, one 16 kHz stream", f"{share:.2%}", TARGETS["share"]),
        ("streams sustained", f"{len(scores.machines)}", "100"),
        ("scores received of those due", f"{len(scores.latency_s) / expected:.1%}", "100 %"),
        ("last sample to published score, median", f"{p50:.0f} ms", ""),
        ("last sample to published score, 99th percentile", f"{p99:.0f} ms", TARGETS["latency"]),
        ("share of a core, all streams and their simulation", f"{load:.0%}", ""),
        ("resident memory, all streams", f"{many_mb:.0f} MB", ""),
        ("load of the machine, this benchmark's own included", f"{os.getloadavg()[0]:.1f}", ""),
    ]
    for what, figure, target in rows:
        print(f"{what:52} {figure:>10}   {target}")


if __name__ == "__main__":
    main()
