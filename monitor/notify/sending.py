"""Sends a message through a child process, which is ended after a time."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from monitor.notify.wording import Message
from monitor.text.escaping import one_line

_PRIVATE_VARIABLES = ("AUSCULT_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")
"""Variables of this service that the child does not need."""
_MOST_ANSWER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Outcome:
    """``detail``: what was reported, one line without secrets. ``is_usable``: whether the address
    is one that apprise accepts. ``is_late``: there was no result within the time."""

    ok: bool
    detail: str = ""
    is_usable: bool = True
    is_late: bool = False


class Sending:
    """Sends messages, each in a child process. Any thread may use it.

    After ``stop``, running attempts have ``GRACE_S`` to end, and new ones fail.
    """

    GRACE_S: ClassVar[float] = 3.0
    _POLL_S: ClassVar[float] = 0.2
    _COMMAND: ClassVar[list[str]] = [sys.executable, "-m", "monitor.notify.child"]

    def __init__(self) -> None:
        self._stop_at_s = math.inf

    def stop(self) -> None:
        """End what runs."""
        self._stop_at_s = time.monotonic() + self.GRACE_S

    def check(self, url: str, timeout_s: float) -> Outcome:
        """Whether apprise accepts an address. Nothing is sent."""
        return self._run({"url": url}, timeout_s)

    def send(self, url: str, message: Message, picture: bytes | None, timeout_s: float) -> Outcome:
        """Send a message; it may arrive although the outcome is not ``ok``."""
        request = {
            "url": url,
            "title": message.title,
            "body": message.body,
            "mood": message.mood,
            "picture": base64.b64encode(picture).decode() if picture else None,
        }
        return self._run(request, timeout_s)

    def _run(self, request: dict[str, Any], timeout_s: float) -> Outcome:
        if self._stop_at_s < math.inf:
            return Outcome(ok=False, detail="the program stops")
        content = json.dumps(request | {"timeout_s": timeout_s}).encode()
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program
                self._COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if not k.startswith(_PRIVATE_VARIABLES)},
                cwd=Path(__file__).resolve().parents[2],
            )
        except OSError as error:
            return Outcome(ok=False, detail=f"cannot start a process: {error.strerror}")
        try:
            output = self._communicate(process, content, time.monotonic() + timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if output is None:
            return Outcome(ok=False, detail=f"no result within {timeout_s:g} s", is_late=True)
        return _outcome(output, process.returncode)

    def _communicate(
        self, process: subprocess.Popen[bytes], content: bytes, end_s: float
    ) -> bytes | None:
        """The output of the process; None if it takes too long."""
        given: bytes | None = content
        while True:
            try:
                return process.communicate(given, timeout=self._POLL_S)[0]
            except subprocess.TimeoutExpired:
                given = None  # communicate keeps the rest of the first input
            if time.monotonic() >= min(end_s, self._stop_at_s):
                return None


def _outcome(output: bytes, status: int) -> Outcome:
    try:
        found = json.loads(output[:_MOST_ANSWER_BYTES])
        return Outcome(found["ok"] is True, one_line(found["detail"]), found["is_usable"] is True)
    except (ValueError, KeyError, TypeError):
        return Outcome(ok=False, detail=f"the process that sends ended with status {status}")
