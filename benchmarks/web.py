"""Weight and speed of the web page in a browser, and memory of `auscult web`.

    python -m benchmarks.web [--machines 50]

It uses a real mosquitto, the real daemon with simulated machines in real time, the real
`auscult web`, and Chromium. The weight is the size of everything that a browser loads for a page
the first time, without live data. The first contentful paint is what the browser reports, as the
largest of three loads. The memory is that after all loads. mosquitto and Chromium are needed.
The page of an alert is loaded for the first machine, which has a fault: with its three pictures of
30 s, for a trained bundle, and before its sound is played. `benchmarks.web_viewers` measures the
processor time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from playwright.sync_api import Browser

from benchmarks.daemon import SETTLE_S, broker, configuration, daemon
from tests.browser import DESKTOP, chromium
from tests.mosquitto import free_port

PATHS = {"overview": "", "machine": "machine/m0", "alerts": "alerts", "health": "health"}
FAULTY = """kind = "simulated"
seed = 0
[[machine.source.faults]]
kind = "rub"
severity = 1.0
onset_s = 30.0
end_s = 50.0
"""
ALERT_S = 180.0
"""How long to wait for the sound around its alert."""
LOADS = 3
LOADED_S = 3.0
TARGETS = {"weight": "< 300 kB", "paint": "< 1 s", "memory": "< 70 MB"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading a page for the first time needs."""

    kilobytes: float
    n_requests: int
    paint_s: float


@contextmanager
def web(config: Path) -> Iterator[psutil.Process]:
    """`auscult web` as a process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "monitor", "web", "--config", config], stderr=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def load(browser: Browser, url: str) -> Loaded:
    """Load a page in a browser that has nothing of it yet."""
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    finished: list[Any] = []

    def record(request: Any) -> None:
        finished.append(request)

    page.on("requestfinished", record)
    page.goto(url)
    page.wait_for_timeout(1000.0 * LOADED_S)
    n_bytes = sum(request.sizes()["responseBodySize"] for request in finished)
    paint_ms: float = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    context.close()
    return Loaded(n_bytes / 1000.0, len(finished), paint_ms / 1000.0)


def wait_until_served(url: str) -> None:
    """Wait for the first answer."""
    for _ in range(300):
        try:
            httpx.get(url, timeout=5)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def alert_with_sound(url: str) -> str:
    """The path of the page of an alert, when everything about it is kept."""
    end_s = time.monotonic() + ALERT_S
    while time.monotonic() < end_s:
        for alert in httpx.get(url + "api/alerts", timeout=20).json()["alerts"]:
            path = f"alert/{alert['alert_id']}"
            pieces = httpx.get(f"{url}api/{path}", timeout=20).json()["pieces"]
            if any(piece["has_images"] for piece in pieces):
                return path
        time.sleep(1.0)
    raise SystemExit(f"no alert with its sound after {ALERT_S:.0f} s")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=50)
    options = parser.parse_args()
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as port:
        folder = Path(name)
        others = range(1, options.machines)
        sources = [FAULTY, *(f'kind = "simulated"\nseed = {seed}' for seed in others)]
        config = configuration(folder, port, sources)
        url = f"http://127.0.0.1:{(web_port := free_port())}/"
        text = f'[web]\nlisten = "127.0.0.1:{web_port}"\n{config.read_text(encoding="utf-8")}'
        config.write_text(text, encoding="utf-8")
        with daemon(config, folder), web(config) as server, chromium() as browser:
            wait_until_served(url)
            time.sleep(SETTLE_S)
            for page, path in {**PATHS, "alert": alert_with_sound(url)}.items():
                loads = [load(browser, url + path) for _ in range(LOADS)]
                weight = f"{loads[0].kilobytes:.0f} kB in {loads[0].n_requests} requests"
                paint_s = max(one.paint_s for one in loads)
                rows.append((f"{page}: weight", weight, TARGETS["weight"]))
                rows.append(
                    (f"{page}: first contentful paint", f"{paint_s:.2f} s", TARGETS["paint"])
                )
            memory = f"{server.memory_info().rss / 1e6:.0f} MB"
    rows.append(("memory of auscult web", memory, TARGETS["memory"]))
    rows.append(("load of the computer", f"{os.getloadavg()[0]:.1f}", ""))
    for what, figure, target in rows:
        print(f"{what:52} {figure:>26}   {target}")


if __name__ == "__main__":
    main()
