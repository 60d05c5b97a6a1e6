"""Debian's Chromium, driven by Playwright, for tests of the web page."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
_AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
_QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
    "--autoplay-policy=no-user-gesture-required",
)
_HARMLESS = "minor"


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """A browser with a fresh profile and more arguments; without Chromium the test skips."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*_QUIET, *arguments])
        try:
            yield browser
        finally:
            browser.close()


class Viewer:
    """A page in a window of its own, which remembers everything that went wrong in it.

    ``troubles``: errors of the console and of scripts, and requests to other hosts or to addresses
    that are not below that of the page.
    """

    def __init__(
        self, browser: Browser, url: str, window: ViewportSize = DESKTOP, *, locale: str = "en-US"
    ) -> None:
        self._url = url
        self.troubles: list[str] = []
        self._context = browser.new_context(
            viewport=window, timezone_id="Europe/Berlin", locale=locale
        )
        self.page: Page = self._context.new_page()
        self.page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        self.page.on("console", self._console)
        self.page.on("request", lambda request: self._request(request.url))

    def close(self) -> None:
        """Close the window."""
        self._context.close()

    def open(self, path: str) -> Page:
        """Load a path of the page, below its address."""
        self.page.goto(f"{self._url}/{path}")
        return self.page

    def overflow_px(self) -> int:
        """By how much the page is wider than the window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return width

    def barriers(self) -> list[str]:
        """What axe-core finds: rule, and where; without what it calls minor."""
        self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        found: list[dict[str, Any]] = self.page.evaluate("axe.run().then((all) => all.violations)")
        return [
            f"{one['id']}: {node['html']}: {node.get('failureSummary', '')}"
            for one in found
            if one["impact"] != _HARMLESS
            for node in one["nodes"]
        ]

    def clip(self, path: str) -> tuple[bytes, float]:
        """The samples (float32) and the sample rate of a sound file, decoded by the browser."""
        answer = self.page.evaluate(
            """async (url) => {
              const bytes = await (await fetch(url)).arrayBuffer();
              const decoded = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes);
              const samples = new Uint8Array(decoded.getChannelData(0).buffer);
              let binary = "";
              for (let at = 0; at < samples.length; at += 32768)
                binary += String.fromCharCode(...samples.subarray(at, at + 32768));
              return [btoa(binary), decoded.sampleRate];
            }""",
            f"{self._url}/{path}",
        )
        return base64.b64decode(answer[0]), float(answer[1])

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.troubles.append(f"console: {message.text} {json.dumps(message.location)}")

    def _request(self, url: str) -> None:
        if not url.startswith(f"{self._url}/"):
            self.troubles.append(f"request to another address: {url}")
