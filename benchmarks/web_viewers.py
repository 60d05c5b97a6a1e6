"""Processor time of the web page and of the daemon while people look.

    python -m benchmarks.web_viewers [--machines 50] [--browsers 5] [--seconds 40] [--json]

A real daemon monitors simulated machines in real time, and `auscult web` serves them. First nobody
looks, then so many browsers show the overview with live data, then they show the live sound of one
machine, then nobody looks again. The figures are shares of one core. The exit status is 1 if the
page takes more than 10 %, or if the daemon takes more than two percentage points more than without
viewers (the larger of the two times, because the simulation alone varies by more than the viewers
cost). The columns of one machine are measured alone: their share is too small to be seen here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from monitor.domain import AudioBlock, LogMelWindow
from monitor.live.feed import LiveFeed
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.daemons import Daemon, daemon
from tests.web_server import WebServer, web_server

MOST_WEB = 0.10
MOST_DAEMON_MORE = 0.02
MOST_COLUMNS = 0.001
_SETTLE_S = 20.0


def measure(
    folder: Path, n_machines: int, n_browsers: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Shares of a core of ``daemon`` and ``web``, by what is looked at."""
    bundle = make_bundle(folder / "bundle").path
    with tempfile.TemporaryDirectory() as runtime, daemon(folder / "daemon") as one:
        one.environment["RUNTIME_DIRECTORY"] = runtime
        one.web(listen="127.0.0.1:0")
        one.mqtt(score_interval_s=1.0)
        for number in range(n_machines):
            one.machine(f"machine-{number:02}", bundle, kind="simulated", seed=number)
        one.start()
        one.wait_for_log("ready", 120.0)
        with web_server(one.config, one.environment) as page:
            time.sleep(_SETTLE_S)
            found = {"nobody": _shares(one, page, seconds)}
            for name, path in (
                ("overview", "/api/live/overview"),
                ("sound of a machine", "/api/live/machine/machine-00"),
            ):
                with _browsers(page, path, n_browsers):
                    found[name] = _shares(one, page, seconds)
            time.sleep(_SETTLE_S)
            found["nobody again"] = _shares(one, page, seconds)
            return found


@contextmanager
def _browsers(page: WebServer, path: str, number: int) -> Iterator[None]:
    """So many clients that read a stream."""
    stop = threading.Event()

    def read() -> None:
        with httpx.Client(timeout=30) as client, client.stream("GET", page.url + path) as answer:
            for _ in answer.iter_raw():
                if stop.is_set():
                    return

    threads = [threading.Thread(target=read) for _ in range(number)]
    for thread in threads:
        thread.start()
    time.sleep(_SETTLE_S)
    yield
    stop.set()
    for thread in threads:
        thread.join()


def _shares(one: Daemon, page: WebServer, seconds: float) -> dict[str, float]:
    processes = {"daemon": psutil.Process(one.process.pid), "web": psutil.Process(page.pid)}
    before = {name: _cpu_s(process) for name, process in processes.items()}
    begun_s = time.monotonic()
    time.sleep(seconds)
    passed_s = time.monotonic() - begun_s
    return {
        name: (_cpu_s(process) - before[name]) / passed_s for name, process in processes.items()
    }


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def columns(folder: Path, bundle: Bundle | None, seconds: int = 60) -> float:
    """The share of a core for the columns of one machine, with or without a bundle."""
    samples = machine_sound(float(seconds))
    blocks = [
        AudioBlock(samples[at : at + 1600], SPEC.sample_rate_hz, at)
        for at in range(0, len(samples), 1600)
    ]
    feed = LiveFeed("m", folder / "m.ring")
    windows: list[list[LogMelWindow]] = [[] for _ in blocks]
    if bundle is not None:
        pipeline, network = Pipeline(bundle), Network(bundle)
        windows = [pipeline.push(block).windows for block in blocks]
        feed.use(SPEC, bundle.sha256, network.reconstruct)
    spent_s = 0.0
    for block, completed in zip(blocks, windows, strict=True):
        feed.watch(60.0)
        begun_s = time.thread_time()
        feed.push(block, completed, ratio=None, scored=bundle is not None)
        spent_s += time.thread_time() - begun_s
    feed.end()
    return spent_s / seconds


def main() -> int:
    """Run with the given arguments; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--machines", type=int, default=50)
    parser.add_argument("--browsers", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bundle = make_bundle(folder / "columns")
        alone = {
            "columns with a bundle": columns(folder, bundle),
            "columns without a bundle": columns(folder, None),
        }
        found = measure(folder, arguments.machines, arguments.browsers, arguments.seconds)
    if arguments.json:
        print(json.dumps({**found, **alone}))
    else:
        for name, shares in found.items():
            print(f"{name:20} daemon {shares['daemon']:.1%}  web {shares['web']:.1%}")
        for name, share in alone.items():
            print(f"{name:26} {share:.3%}")
    idle = max(found[name]["daemon"] for name in ("nobody", "nobody again"))
    is_good = (
        max(shares["web"] for shares in found.values()) <= MOST_WEB
        and max(shares["daemon"] for shares in found.values()) <= idle + MOST_DAEMON_MORE
        and max(alone.values()) <= MOST_COLUMNS
    )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
