"""A viewer of the page, which asks for everything again and again."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

_PAGES = (
    *("/", "/api/overview", "/api/alerts", "/api/health", "/alerts", "/health"),
    *("/api/machine/m0", "/api/machine/m0/history", "/api/machine/m1/events", "/machine/m2"),
)
_FILES = ("clip.flac", "picture.png", "arrays.bin", "metadata.json")
_PAUSE_S = 0.3
_ANSWERS_WITHIN_S = 20.0
_UNAVAILABLE = 503
"""The page says so while the history or the daemon is not available."""


class Viewer:
    """``answers``: how often each status was received; ``failures``: what must not be answered.

    No connection counts as 0: ``auscult web`` is killed now and then.
    """

    def __init__(self, url: str) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_ANSWERS_WITHIN_S)

    def is_answered(self, timeout_s: float) -> bool:
        """Whether the first page is answered within a time."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if self._get("/"):
                return True
            time.sleep(_PAUSE_S)
        return False

    def _run(self) -> None:
        while True:
            for path in (*_PAGES, *self._of_newest_alert()):
                if self._stop.wait(_PAUSE_S):
                    return
                self._get(path)

    def _of_newest_alert(self) -> list[str]:
        try:
            alerts: list[dict[str, Any]] = json.loads(self._get("/api/alerts"))["alerts"]
            alert_id = alerts[0]["alert_id"]
        except (ValueError, KeyError, IndexError, TypeError):
            return []
        files = [f"/evidence/{alert_id}-0/{file}" for file in _FILES]
        return [f"/alert/{alert_id}", f"/api/alert/{alert_id}", *files]

    def _get(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(self._url + path, timeout=_ANSWERS_WITHIN_S) as answer:  # noqa: S310 - our own page
                self.answers[answer.status] += 1
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            self.answers[error.code] += 1
            if error.code >= 500 and error.code != _UNAVAILABLE:
                self.failures.append(f"{path}: status {error.code}")
        except TimeoutError:
            self.failures.append(f"{path}: no answer within {_ANSWERS_WITHIN_S:g} s")
        except (OSError, http.client.HTTPException):  # killed, perhaps in the middle of a file
            self.answers[0] += 1
        return b""
