"""The engine ``local``: worker processes on this computer."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

from training.fleet.engine import ATTEMPTS, THREADS
from training.fleet.tasks import Result, Task

_PROGRAM = (sys.executable, "-m", "training.fleet.worker")
_SERVICE_LOST = 69


class LocalEngine:
    """Up to ``workers`` processes, each with one task at a time.

    They are started when they are needed, and end with this process, however it ends.
    """

    def __init__(self, workers: int) -> None:
        self._n_workers = workers
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}

    def results(self, tasks: Sequence[Task]) -> Iterator[Result]:
        """See ``Engine``."""
        waiting = deque((task, 1) for task in tasks)
        with selectors.DefaultSelector() as answers:
            while waiting or self._busy:
                while waiting and len(self._busy) < self._n_workers:
                    worker = self._idle.pop() if self._idle else _Worker()
                    worker.give(*waiting.popleft())
                    self._busy[worker.answers] = worker
                    answers.register(worker.answers, selectors.EVENT_READ)
                for key, _ in answers.select():
                    worker = self._busy[key.fd]
                    answer = worker.receive()
                    if answer is None:
                        continue
                    answers.unregister(key.fd)
                    del self._busy[key.fd]
                    if answer:
                        self._idle.append(worker)
                        yield Result.from_json(answer)
                        continue
                    status = worker.end()
                    if worker.attempt < ATTEMPTS:
                        waiting.appendleft((worker.task, worker.attempt + 1))
                    else:
                        yield Result.failed(worker.task, _why(status), _SERVICE_LOST)

    @property
    def processes(self) -> list[int]:
        """The numbers of the processes that have a task."""
        return [worker.process.pid for worker in self._busy.values()]

    def close(self) -> None:
        """See ``Engine``."""
        for worker in (*self._busy.values(), *self._idle):
            worker.end()
        self._busy.clear()
        self._idle.clear()


class _Worker:
    """A process that does one task after another.

    It ends when the pipe ``life`` is closed, which also happens if this process is killed.
    """

    def __init__(self) -> None:
        life, self._life = os.pipe()
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [*_PROGRAM, str(life)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(life,),
                env=os.environ | THREADS,
            )
        finally:
            os.close(life)
        assert self.process.stdin is not None  # noqa: S101 - both are pipes
        assert self.process.stdout is not None  # noqa: S101 - as above
        self._tasks, self.answers = self.process.stdin, self.process.stdout.fileno()
        self._received = b""
        self.task: Task
        self.attempt = 0

    def give(self, task: Task, attempt: int) -> None:
        """Let it do a task, for the ``attempt``-th time."""
        self.task, self.attempt = task, attempt
        self._received = b""
        with suppress(BrokenPipeError):  # it has ended: that shows when its answer is read
            self._tasks.write(task.to_json().encode() + b"\n")
            self._tasks.flush()

    def receive(self) -> str | None:
        """The answer; None while there is only a part of it, empty if the process has ended."""
        content = os.read(self.answers, 1 << 16)
        if not content:
            return ""
        self._received += content
        return self._received.decode() if self._received.endswith(b"\n") else None

    def end(self) -> int:
        """End the process; its exit status."""
        self.process.kill()
        with suppress(OSError):
            self._tasks.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self._life)
        return self.process.wait()


def _why(status: int) -> str:
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    hint = ": is there too little memory?" if status == -9 else ""
    return f"the worker {how}, {ATTEMPTS} times{hint}"
