"""Running hours and starts of one machine, kept across restarts of the daemon."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.detection.operation import OperationChange, OperationStatus

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Counts:
    """What is kept in the file. ``day``: the local date that ``today_...`` counts."""

    bundle_sha256: str
    day: str
    running_s: float = 0.0
    starts: int = 0
    today_running_s: float = 0.0
    today_starts: int = 0


_FILE = TypeAdapter(_Counts)


class OperationRecord:
    """Counts running time and starts, today and since the bundle was put into use.

    ``path``: where the counts are kept, None for memory only. They are written once a minute and
    at each change, so a kill loses at most a minute of running time. A disk that cannot be
    written is reported once.
    """

    WRITE_INTERVAL_S: ClassVar[float] = 60.0

    def __init__(self, path: Path | None, bundle_sha256: str) -> None:
        self._path = path
        self._status: OperationStatus | None = None
        self._since_s = SYSTEM_CLOCK.steady_s()
        self._write_due_s = time.monotonic() + self.WRITE_INTERVAL_S
        self._is_complaint_made = False
        self._counts = self._read(bundle_sha256)

    def changed(self, change: OperationChange) -> None:
        """The state of the machine has changed."""
        self._turn_the_day()
        if change.status is not self._status:
            self._status = change.status
            self._since_s = SYSTEM_CLOCK.steady_s()
        if change.is_start:
            self._counts.starts += 1
            self._counts.today_starts += 1
        self._write()

    def passed(self, seconds: float, status: OperationStatus | None) -> None:
        """``seconds`` of sound in this state were processed."""
        self._turn_the_day()
        if status is OperationStatus.RUNNING:
            self._counts.running_s += seconds
            self._counts.today_running_s += seconds
        if time.monotonic() >= self._write_due_s:
            self._write()

    def payload(self) -> dict[str, Any] | None:
        """``BASE/<machine>/operation``; None before the state is known."""
        if self._status is None:
            return None
        self._turn_the_day()
        counts = self._counts
        return {
            "operation": self._status.value,
            "since": rfc3339(SYSTEM_CLOCK.unix_at(self._since_s)),
            "running_s": round(counts.running_s, 1),
            "starts": counts.starts,
            "today": {
                "running_s": round(counts.today_running_s, 1),
                "starts": counts.today_starts,
            },
        }

    @property
    def off_s(self) -> float:
        """For how long the machine has been off, 0 if it is not."""
        if self._status is not OperationStatus.OFF:
            return 0.0
        return SYSTEM_CLOCK.steady_s() - self._since_s

    def _turn_the_day(self) -> None:
        today = date.today().isoformat()  # noqa: DTZ011 - the day of the people at the machine
        if today != self._counts.day:
            self._counts.day = today
            self._counts.today_running_s, self._counts.today_starts = 0.0, 0

    def _read(self, bundle_sha256: str) -> _Counts:
        fresh = _Counts(bundle_sha256, "")
        if self._path is None:
            return fresh
        try:
            counts = _FILE.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return fresh
        except (OSError, ValidationError) as error:
            self._complain(f"counts begin again: {error}")
            return fresh
        return counts if counts.bundle_sha256 == bundle_sha256 else fresh

    def _write(self) -> None:
        self._write_due_s = time.monotonic() + self.WRITE_INTERVAL_S
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".part")
            partial.write_text(json.dumps(asdict(self._counts)), encoding="utf-8")
            partial.replace(self._path)
        except OSError as error:
            self._complain(str(error))

    def _complain(self, reason: str) -> None:
        if not self._is_complaint_made:
            self._is_complaint_made = True
            log.warning("%s: running hours and starts: %s", self._path, reason)
