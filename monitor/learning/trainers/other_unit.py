"""Trains in another unit of systemd: the daemon writes a request, the unit writes the result.

``auscult-train.path`` waits for requests, and ``auscult-train.service`` trains them. The folder
``work`` of a request has the file ``begun`` once its training has begun.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import TypeAdapter, ValidationError

from monitor.learning.trainers.protocol import Job, Result
from monitor.learning.trainers.train_command import OUT, empty, result_of, start_command

log = logging.getLogger(__name__)

_RESULT = "result.json"
_BEGUN = "begun"


@cache
def _job() -> TypeAdapter[Job]:
    return TypeAdapter(Job)


_SEE_LOG = "see journalctl -u auscult-train"


class OtherUnit:
    """Writes a request, and reads the result from the folder ``work``.

    The hardening of the daemon's unit forbids its children the memory that torch needs.
    """

    LATE_S: ClassVar[float] = 1800.0
    """After this time, a request that nobody has begun is reported."""

    def __init__(self, work: Path, requests: Path, machine: str) -> None:
        self._work = work
        self._request = requests / f"{machine}.json"
        self._is_running = self._request.exists()
        self._since_s = time.monotonic()

    can_start = True
    waits_for_a_person = False

    @property
    def is_running(self) -> bool:
        """See ``Trainer``."""
        return self._is_running

    @property
    def advice(self) -> str:
        """See ``Trainer``."""
        is_late = self._is_running and time.monotonic() - self._since_s > self.LATE_S
        if not is_late or (self._work / _BEGUN).exists():
            return ""
        return (
            "the requested training has not begun: run `systemctl status auscult-train.path "
            "auscult-train.service`"
        )

    def start(self, job: Job) -> None:
        """See ``Trainer``."""
        empty(self._work)
        partial = self._work / "request.part"
        partial.write_text(json.dumps(asdict(replace(job, work=str(self._work)))))
        self._request.parent.mkdir(exist_ok=True)
        partial.rename(self._request)
        self._is_running = True
        self._since_s = time.monotonic()

    def poll(self) -> Result | None:
        """See ``Trainer``."""
        is_requested = self._request.exists()  # before: the unit writes the result, then removes it
        error = ""
        try:
            done = json.loads((self._work / _RESULT).read_bytes())
            status, error = int(done["status"]), str(done.get("error", ""))
        except FileNotFoundError:
            if is_requested or not self._is_running:
                return None
            status, error = -1, f"it ended without a result: {_SEE_LOG}"
        except (OSError, ValueError, KeyError, TypeError) as fault:
            status = -1
            log.warning("%s: cannot be read: %s", self._work / _RESULT, fault)
        self.stop()
        if status == -signal.SIGKILL and not error:
            error = "it was killed, perhaps because it needs more memory than its unit allows"
        return Result(error=error) if error else result_of(status, self._work)

    def stop(self) -> None:
        """See ``Trainer``."""
        self._is_running = False
        self._request.unlink(missing_ok=True)
        (self._work / _RESULT).unlink(missing_ok=True)

    def close(self) -> None:
        """See ``Trainer``. The other unit continues; its result is used after the next start."""


def requests_folder(state_dir: Path) -> Path:
    """Where requests are: one file for each machine."""
    return state_dir / "training"


Run = Callable[[list[str], Path, Callable[[], bool]], int]


def run_requests(requests: Path, run: Run) -> int:
    """Train every request in the folder ``requests``; how many there were.

    ``run`` runs ``auscult train audio`` with arguments and writes ``stdout`` and ``stderr`` into
    a folder; it returns the exit status. It may end the training when the function that it is
    given returns False: the daemon has withdrawn the request. A request is removed when its result
    is there, and also if its result cannot be written: ``auscult-train.path`` would start this
    again at once.
    """
    number = 0
    for path in sorted(requests.glob("*.json")):
        try:
            identity = _identity(path)
            job = _job().validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            log.warning("%s: not a request: %s", path, error)
            path.unlink(missing_ok=True)
            continue

        def is_wanted(path: Path = path, identity: object = identity) -> bool:
            return _identity(path) == identity

        try:
            _train(job, run, is_wanted)
        except OSError as error:
            log.error("%s: %s", path, error)
        if is_wanted():  # otherwise it is the next request
            path.unlink(missing_ok=True)
        number += 1
    return number


def _train(job: Job, run: Run, is_wanted: Callable[[], bool]) -> None:
    """Train a request and write its result. Raises ``OSError``."""
    work = Path(job.work)
    begun = work / _BEGUN
    if begun.exists():  # this process was ended, perhaps for lack of memory: it would be again
        result: dict[str, object] = {"status": -1, "error": f"it was ended early: {_SEE_LOG}"}
    else:
        begun.touch()
        shutil.rmtree(work / OUT, ignore_errors=True)
        result = {"status": run(job.arguments(work / OUT), work, is_wanted)}
    partial = work / "result.part"
    partial.write_text(json.dumps(result))
    if is_wanted():
        partial.rename(work / _RESULT)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which request a file is; None if there is none any more."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def train_here(arguments: list[str], work: Path, is_wanted: Callable[[], bool]) -> int:
    """Run ``auscult train audio`` as a child; see ``run_requests``."""
    with start_command(arguments, work) as process:
        while True:
            try:
                return process.wait(1.0)
            except subprocess.TimeoutExpired:
                if is_wanted():
                    continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
