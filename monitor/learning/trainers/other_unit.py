"""Trains in another unit of systemd: the daemon writes a request, the unit writes the result.

``auscult-train.path`` waits for requests, and ``auscult-train.service`` trains them.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from monitor.learning.trainers.protocol import Job, Result
from monitor.learning.trainers.train_command import OUT, empty, result_of, start_command

log = logging.getLogger(__name__)

_RESULT = "result.json"
_JOB = TypeAdapter(Job)


class OtherUnit:
    """Writes a request, and reads the result from the folder ``work``.

    The hardening of the daemon's unit forbids its children the memory that torch needs.
    """

    def __init__(self, work: Path, requests: Path, machine: str) -> None:
        self._work = work
        self._request = requests / f"{machine}.json"
        self._is_running = self._request.exists()

    advice = ""
    waits_for_a_person = False

    @property
    def is_running(self) -> bool:
        """See ``Trainer``."""
        return self._is_running

    def start(self, job: Job) -> None:
        """See ``Trainer``."""
        empty(self._work)
        partial = self._work / "request.part"
        partial.write_text(json.dumps(asdict(replace(job, work=str(self._work)))))
        self._request.parent.mkdir(exist_ok=True)
        partial.rename(self._request)
        self._is_running = True

    def poll(self) -> Result | None:
        """See ``Trainer``."""
        try:
            done = json.loads((self._work / _RESULT).read_bytes())
            status = int(done["status"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            status = -1
            log.warning("%s: cannot be read: %s", self._work / _RESULT, error)
        self.stop()
        return result_of(status, self._work)

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


def run_requests(requests: Path, run: Callable[[list[str], Path], int]) -> int:
    """Train every request in the folder ``requests``; how many there were.

    ``run`` runs ``auscult train audio`` with arguments and writes ``stdout`` and ``stderr`` into
    a folder; it returns the exit status. A request is removed when its result is there.
    """
    number = 0
    for path in sorted(requests.glob("*.json")):
        try:
            job = _JOB.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            log.warning("%s: not a request: %s", path, error)
            path.unlink(missing_ok=True)
            continue
        work = Path(job.work)
        shutil.rmtree(work / OUT, ignore_errors=True)
        status = run(job.arguments(work / OUT), work)
        partial = work / "result.part"
        partial.write_text(json.dumps({"status": status}))
        if path.exists():  # otherwise the daemon has withdrawn the request
            partial.rename(work / _RESULT)
        path.unlink(missing_ok=True)
        number += 1
    return number


def train_here(arguments: list[str], work: Path) -> int:
    """Run ``auscult train audio`` as a child; see ``run_requests``."""
    with start_command(arguments, work, new_session=False) as process:
        return process.wait()
