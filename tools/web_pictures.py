"""Take the pictures of the web page for the README, from the running demo.

Usage: .venv/bin/python tools/web_pictures.py [--out docs/images]

It starts `auscult demo --web`, waits until healthy sound and an alert are kept, and takes pictures
with Chromium. It takes about seven minutes, because the history has one value a minute.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
WINDOW: ViewportSize = {"width": 1200, "height": 800}
CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
]
COLOURS = 256
MARGIN_PX = 16
SETTLE_MS = 3000
LATEST_S = 900.0


def wait_for(what: str, condition: Callable[[], Any]) -> Any:
    """The first true value of the condition."""
    deadline_s = time.monotonic() + LATEST_S
    while time.monotonic() < deadline_s:
        if found := condition():
            return found
        time.sleep(1.0)
    raise SystemExit(f"did not happen within {LATEST_S:g} s: {what}")


def document(address: str, path: str) -> Any:
    """The JSON document at a path of the page."""
    with urllib.request.urlopen(address + path, timeout=20) as answer:  # noqa: S310 - of the demo
        return json.load(answer)


def alert_to_show(address: str) -> str:
    """The id of an open alert with its sound and with healthy sound to compare; or empty."""
    for alert in document(address, "api/alerts")["alerts"]:
        details = document(address, f"api/alert/{alert['alert_id']}")
        if alert["cleared_at"] is None and details["pieces"] and details["healthy"]:
            return str(alert["alert_id"])
    return ""


def save(page: Page, path: Path, until: str) -> None:
    """The page up to the end of an element, with few colours, so that it is small."""
    bottom: float = page.locator(until).evaluate(
        "(element) => element.getBoundingClientRect().bottom + window.scrollY"
    )
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as picture:
        upper = picture.convert("RGB").crop((0, 0, WINDOW["width"], round(bottom) + MARGIN_PX))
        few = upper.quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def take(browser: Browser, address: str, out: Path) -> None:
    """The three pictures. The live sound is that from before the fault until its alert."""
    machine, page = (
        browser.new_page(viewport=WINDOW, timezone_id="Europe/Berlin") for _ in range(2)
    )
    machine.goto(f"{address}machine/demo-pump")
    machine.get_by_role("button", name="1 h").click()
    for _ in range(2):
        machine.get_by_role("button", name="Zoom in").click()
    print("waiting for an alert with healthy sound to compare")
    alert_id = wait_for("an alert with its sound", lambda: alert_to_show(address))
    save(machine, out / "web-machine.png", until="#history-chart")
    page.goto(address)
    page.wait_for_timeout(SETTLE_MS)
    save(page, out / "web-overview.png", until="#others")
    page.goto(f"{address}alert/{alert_id}")
    page.wait_for_timeout(SETTLE_MS)
    save(page, out / "web-alert.png", until=".alert-label")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)  # before the minutes of waiting
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "demo.log")
        command = [sys.executable, "-m", "monitor", "demo", "--web"]
        command += ["--listen", "127.0.0.1:0", "--out", f"{folder}/demo"]
        with log.open("wb") as output:
            demo = subprocess.Popen(command, cwd=ROOT, stdout=output)  # noqa: S603 - this program
        try:
            found = wait_for(
                "the page is served", lambda: re.search(r"page is at (\S+)", log.read_text())
            )
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
                take(browser, found[1], out)
                browser.close()
        finally:
            demo.terminate()
            demo.wait(30)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
