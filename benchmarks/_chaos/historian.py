"""Reads the history all the time, as other programs do, and remembers what was in it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from monitor.errors import AuscultError
from monitor.history.reader import HistoryReader
from monitor.history.records import ALERT_KINDS

_EVERY_S = 0.1
_MOST = 5000


class Historian:
    """``event_ids``: of all messages of alerts that were in the history at any time.

    ``remembered``: those that were in it at the end. ``lost_evidence``: the pieces that it
    reported as lost.
    """

    def __init__(self, path: Path) -> None:
        self.event_ids: set[str] = set()
        self.remembered: set[str] = set()
        self.lost_evidence: set[str] = set()
        self._reader = HistoryReader(path)
        self._position = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read once more, and end."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        with contextlib.suppress(AuscultError):
            events, _ = self._reader.news(0, kinds=ALERT_KINDS, limit=_MOST)
            self.remembered = {event.event_id for event in events}

    def _run(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._stop.wait(_EVERY_S)
            with contextlib.suppress(AuscultError):  # it is damaged, or there is none
                self._read()

    def _read(self) -> None:
        events, last = self._reader.news(self._position, limit=_MOST)
        if last < self._position:  # it began again
            events, _ = self._reader.news(0, limit=_MOST)
        for event in events:
            self._position = event.position
            if event.kind in ALERT_KINDS:
                self.event_ids.add(event.event_id)
            elif event.kind == "evidence" and event.value == "lost":
                self.lost_evidence.add(str(event.payload.get("evidence_id")))
