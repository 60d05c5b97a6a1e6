"""The real web page as a separate process, for tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemons import ROOT
from tests.waiting import wait_for


class WebServer:
    """`auscult web` with a configuration; ``url`` is the address of its page."""

    def __init__(
        self, config: Path, environment: dict[str, str] | None = None, log: str = "web.log"
    ) -> None:
        self.log = config.with_name(log)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "web", "--config", str(config)],
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stderr=self.log.open("wb"),
            stdout=subprocess.DEVNULL,
        )
        self.url = wait_for(self._address, 30.0, "the page is served")

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> int:
        """Send a signal and wait; the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(timeout_s)

    def _address(self) -> str:
        """Without the slash at its end; empty before it is printed."""
        text = self.log.read_text(encoding="utf-8")
        assert self._process.poll() is None, text
        found = re.search(r"the page is at (\S+)/", text)
        return found[1] if found else ""


@contextmanager
def web_server(
    config: Path, environment: dict[str, str] | None = None, log: str = "web.log"
) -> Iterator[WebServer]:
    """The page of the daemon with this configuration, on a free port.

    The configuration must have ``listen = "127.0.0.1:0"``.
    """
    server = WebServer(config, environment, log)
    try:
        yield server
    finally:
        server.end(signal.SIGKILL)
