"""The child process that diagnoses one sound."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from monitor.learning.trainers.child import lacked_memory, limit_process
from monitor.learning.trainers.train_command import child_environment, program_folder
from monitor.text.json_objects import json_object


class FailedDiagnosisError(Exception):
    """A diagnosis gave no result. The message is a sentence for people."""


class DiagnosisProcess:
    """A new process for each question, with low priority and a limit of its memory and time."""

    COMMAND: ClassVar[tuple[str, ...]] = (sys.executable, "-m", "monitor.diagnosis.child")
    TIMEOUT_S: ClassVar[float] = 300.0
    MOST_MEMORY_MB: ClassVar[int] = 600
    """So that the daemon has enough of the ``MemoryMax`` of its unit."""
    _NICE: ClassVar[int] = 15

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._is_stopping = False

    def stop(self) -> None:
        """End the process, and start no other one. From any thread; does not wait."""
        self._is_stopping = True
        if (process := self._process) is not None:
            _kill(process)

    def result(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What the child answers, see :mod:`monitor.diagnosis.child`, which also has the question.

        Raises ``FailedDiagnosisError``.
        """
        try:
            process = subprocess.Popen(  # noqa: S603  # our own program
                self.COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                env=child_environment(),
                cwd=program_folder(),
            )
        except OSError as error:
            raise FailedDiagnosisError(f"its process cannot be started: {error}") from error
        self._process = process
        try:
            if self._is_stopping:  # ``stop`` has perhaps not seen this process
                raise FailedDiagnosisError("the daemon ends")
            asked = json.dumps({**question, "timeout_s": self.TIMEOUT_S})
            limit_process(process.pid, self._NICE, self.MOST_MEMORY_MB * 1_000_000)
            answer, errors = process.communicate(asked, self.TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise FailedDiagnosisError(f"it took more than {self.TIMEOUT_S:g} s") from None
        finally:
            _kill(process)
            process.communicate()
            self._process = None
        if process.returncode != 0:
            reason = (errors.strip().splitlines() or ["it ended early"])[-1]
            if lacked_memory(process.returncode, reason):
                reason = f"it needs more memory than {self.MOST_MEMORY_MB} MB, or than is free"
            raise FailedDiagnosisError(reason)
        return _checked(answer)


def _checked(answer: str) -> dict[str, Any]:
    """The answer: an object with ``findings``, a list of objects. Else ``FailedDiagnosisError``."""
    try:
        result = json_object(answer)  # with NaN, the alert could never be sent
    except ValueError:
        result = {}
    if "failure" in result:
        raise FailedDiagnosisError(str(result["failure"]))
    findings = result.get("findings")
    if not isinstance(findings, list) or not all(isinstance(one, dict) for one in findings):
        raise FailedDiagnosisError("its process gave no result")
    return result


def _kill(process: subprocess.Popen[str]) -> None:
    """End the process with its children. It is not reaped before, so the number is its own."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
