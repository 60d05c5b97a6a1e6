"""Starts and follows the process that scores recordings with two bundles."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import ClassVar, Protocol

from monitor.learning.relearning.scoring import Scores, ScoringJob, read_result, write_job
from monitor.learning.trainers.abandoned import end_abandoned_child, remember_child
from monitor.learning.trainers.train_command import PROGRAM, empty, start_program


class Scoring(Protocol):
    """Does one job at a time."""

    @property
    def is_running(self) -> bool:
        """Whether a job was started and has no result yet."""

    def start(self, job: ScoringJob) -> None:
        """Begin. Raises ``OSError`` where that is not possible."""

    def poll(self) -> Scores | str | None:
        """The result or what went wrong, once; None while there is neither. Does not wait."""

    def stop(self) -> None:
        """End the job; it has no result."""


class ScoringProcess:
    """A child process with low priority. ``work``: a folder of its own, emptied at each start."""

    _NICE: ClassVar[int] = 15
    _STOP_S: ClassVar[float] = 0.5

    def __init__(self, work: Path) -> None:
        self._work = work
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """See ``Scoring``."""
        return self._process is not None

    def start(self, job: ScoringJob) -> None:
        """See ``Scoring``."""
        self.stop()
        end_abandoned_child(self._work)
        empty(self._work)
        write_job(self._work, job)
        command = [*PROGRAM, "score-for-relearning", str(self._work)]
        self._process = start_program(command, self._work)
        remember_child(self._work, self._process.pid)
        with contextlib.suppress(OSError):  # it has ended already, or the system forbids it
            os.setpriority(os.PRIO_PROCESS, self._process.pid, self._NICE)

    def poll(self) -> Scores | str | None:
        """See ``Scoring``."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        self._process = None
        result = read_result(self._work) if status == 0 else None
        return result or self._last_line() or f"exit status {status}"

    def stop(self) -> None:
        """See ``Scoring``."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self._STOP_S)

    def _last_line(self) -> str:
        lines = (self._work / "stderr").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
