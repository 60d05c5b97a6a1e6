"""Trains in a child process of the daemon."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import weakref
from pathlib import Path
from typing import ClassVar

from monitor.learning.trainers.abandoned import end_abandoned_child, remember_child
from monitor.learning.trainers.protocol import Job, Result
from monitor.learning.trainers.train_command import OUT, empty, result_of, start_command

_NO_MEMORY = (
    "MemoryError",
    "bad_alloc",
    "lost sys.stderr",
    "without exception set",
    "without setting an exception",
)
"""What a process of Python writes last without memory: it may lose its output, and packages written
in C may fail without a reason, those in C++ with ``std::bad_alloc``."""


def limit_process(pid: int, nice: int, memory_bytes: int) -> None:
    """Give a process a low priority, and limit its memory."""
    with contextlib.suppress(OSError):  # it has ended already, or the system forbids it
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    with contextlib.suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def lacked_memory(status: int, message: str) -> bool:
    """Whether a process of Python ended because it had no memory.

    ``status``: negative if a signal ended it. ``message``: its last line.
    """
    return status == -signal.SIGKILL or any(one in message for one in _NO_MEMORY)


class ChildTrainer:
    """A child process with low priority, one thread, and a limit of its memory.

    ``work``: a folder of its own, emptied at each start. In a daemon, one machine is trained at a
    time: otherwise, machines that began together would need many times the memory.
    """

    _trains: ClassVar[weakref.WeakSet[ChildTrainer]] = weakref.WeakSet()

    _NICE: ClassVar[int] = 15
    _STOP_S: ClassVar[float] = 0.5

    def __init__(self, work: Path, memory_mb: float) -> None:
        self._work = work
        self._memory_bytes = round(memory_mb * 1e6)
        self._process: subprocess.Popen[bytes] | None = None

    advice = ""
    waits_for_a_person = False

    @property
    def can_start(self) -> bool:
        """See ``Trainer``."""
        return not any(other.is_running for other in self._trains)

    @property
    def is_running(self) -> bool:
        """See ``Trainer``."""
        return self._process is not None

    def start(self, job: Job) -> None:
        """See ``Trainer``."""
        end_abandoned_child(self._work)
        empty(self._work)
        process = start_command(job.arguments(self._work / OUT), self._work)
        self._process = process
        self._trains.add(self)
        remember_child(self._work, process.pid)
        limit_process(process.pid, self._NICE, self._memory_bytes)

    def poll(self) -> Result | None:
        """See ``Trainer``."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        self._process = None
        result = result_of(status, self._work)
        if lacked_memory(status, result.error):
            megabytes = f"{self._memory_bytes / 1e6:.0f}"
            return Result(error=f"it needs more memory than memory_mb = {megabytes}, or is free")
        return result

    def stop(self) -> None:
        """See ``Trainer``."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self._STOP_S)

    def close(self) -> None:
        """See ``Trainer``."""
        self.stop()
