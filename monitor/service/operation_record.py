"""Running hours and starts of one machine, kept across restarts of the daemon."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter, ValidationError

from monitor.clock import SYSTEM_CLOCK, Clock, StepWatch, local_time, rfc3339
from monitor.detection.operation import OperationChange, OperationStatus
from monitor.service.write_behind import WRITE_BEHIND
from monitor.text.regular_files import MOST_STATE_BYTES, read_regular

log = logging.getLogger(__name__)

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Number = Annotated[int, Field(ge=0)]
_WRONG_DATE_S = 43_200.0
"""A larger step of the clock means that the date was wrong before it."""


@dataclass(slots=True)
class _Count:
    running_s: _Seconds = 0.0
    starts: _Number = 0

    def add(self, running_s: float = 0.0, starts: int = 0) -> None:
        self.running_s = max(0.0, self.running_s + running_s)
        self.starts = max(0, self.starts + starts)


@dataclass(slots=True)
class _Counts:
    """The content of the file: the counts since the bundle is in use, and by local date.

    ``off_s``: of the machine that is off, since it last ran.
    """

    bundle_sha256: str
    running_s: _Seconds = 0.0
    starts: _Number = 0
    off_s: _Seconds = 0.0
    days: dict[str, _Count] = field(default_factory=dict)


_FILE = TypeAdapter(_Counts)


class OperationRecord:
    """Counts running time and starts, today and since the bundle was put into use.

    ``path``: the file of the counts, None for memory only. It is written once a minute and at
    each change, so a kill loses at most a minute of running time. A disk that cannot be written
    is reported once. Today is the local date. The counts of a few dates are kept, so that nothing
    is lost when the clock is set forward and back. What was counted under a wrong date is moved
    when the clock is corrected. Every method may be called from any thread.
    """

    WRITE_INTERVAL_S: ClassVar[float] = 60.0
    LONGEST_SAVE_S: ClassVar[float] = 0.5
    KEPT_DAYS: ClassVar[int] = 4

    def __init__(self, path: Path | None, bundle_sha256: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._guard = threading.Lock()
        self._path = path
        self._clock = clock
        self._steps = StepWatch(clock)
        self._status: OperationStatus | None = None
        self._since_s = clock.steady_s()
        self._write_due_s = self._clock.steady_s() + self.WRITE_INTERVAL_S
        self._is_complaint_made = False
        self._counts = self._read(bundle_sha256)
        self._day = self._local_date()
        self._own = _Count()
        """What this process has counted under ``_day``."""

    def changed(self, change: OperationChange) -> None:
        """The state of the machine has changed."""
        with self._guard:
            if change.status is not self._status:
                self._status = change.status
                self._since_s = self._clock.steady_s()
            if change.status is OperationStatus.RUNNING:
                self._counts.off_s = 0.0
            if change.is_start:
                self._add(starts=1)
            self._write()

    def passed(self, seconds: float, status: OperationStatus | None) -> None:
        """``seconds`` of sound in this state were processed."""
        with self._guard:
            if status is OperationStatus.RUNNING:
                self._add(running_s=seconds)
            elif status is OperationStatus.OFF:
                self._counts.off_s += seconds
            if self._clock.steady_s() >= self._write_due_s:
                self._write()

    def save(self) -> None:
        """Write the counts now, because counting ends. A disk that hangs is not waited for."""
        with self._guard:
            if self._status is not None:
                self._write()
        if self._path is not None:
            WRITE_BEHIND.flush(self._path, self.LONGEST_SAVE_S)

    def payload(self) -> dict[str, Any] | None:
        """``BASE/<machine>/operation``; None before the state is known."""
        with self._guard:
            if self._status is None:
                return None
            counts, today = self._counts, self._today()
            return {
                "operation": self._status.value,
                "since": rfc3339(self._clock.unix_at(self._since_s)),
                "running_s": round(counts.running_s, 1),
                "starts": counts.starts,
                "today": {"running_s": round(today.running_s, 1), "starts": today.starts},
            }

    @property
    def off_s(self) -> float:
        """Seconds of sound of the machine that is off since it last ran, also before a restart."""
        return self._counts.off_s

    def _add(self, running_s: float = 0.0, starts: int = 0) -> None:
        self._counts.running_s += running_s
        self._counts.starts += starts
        self._today().add(running_s, starts)
        self._own.add(running_s, starts)

    def _today(self) -> _Count:
        """The counts of the present local date."""
        day, step_s = self._local_date(), self._steps.step_s()
        days = self._counts.days
        if day != self._day:
            if abs(step_s) >= _WRONG_DATE_S and self._day in days:
                days[self._day].add(-self._own.running_s, -self._own.starts)
                days.setdefault(day, _Count()).add(self._own.running_s, self._own.starts)
            else:
                self._own = _Count()
            self._day = day
        today = days.setdefault(day, _Count())
        if len(days) > self.KEPT_DAYS:
            del days[next(one for one in days if one != day)]
        return today

    def _local_date(self) -> str:
        return local_time(self._clock.unix_s()).date().isoformat()

    def _read(self, bundle_sha256: str) -> _Counts:
        fresh = _Counts(bundle_sha256)
        if self._path is None:
            return fresh
        WRITE_BEHIND.flush(self._path, self.LONGEST_SAVE_S)  # those of the bundle before
        try:
            counts = _FILE.validate_json(read_regular(self._path, MOST_STATE_BYTES))
        except FileNotFoundError:
            return fresh
        except (OSError, ValueError) as error:
            reason = "the file is damaged" if isinstance(error, ValidationError) else error
            self._complain(f"they begin again at 0: {reason}")
            return fresh
        if counts.bundle_sha256 != bundle_sha256:
            fresh.days, fresh.off_s = counts.days, counts.off_s
            return fresh
        return counts

    def _write(self) -> None:
        self._write_due_s = self._clock.steady_s() + self.WRITE_INTERVAL_S
        if self._path is None:
            return
        content = json.dumps(asdict(self._counts)).encode()
        WRITE_BEHIND.put(self._path, content, self._not_written)

    def _not_written(self, error: OSError) -> None:
        self._complain(f"they are kept only in memory: {error}")

    def _complain(self, reason: str) -> None:
        if not self._is_complaint_made:
            self._is_complaint_made = True
            log.warning("%s: running hours and starts: %s", self._path, reason)
