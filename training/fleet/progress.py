"""How far a fleet is: a line on a terminal, or a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import Self

import typer

from monitor.text.escaping import one_line
from monitor.text.wording import counted, duration, rounded
from training.fleet.tasks import Result

_EVERY_S = 60.0
"""In a log, a line as often as this, and one at the end."""


class Progress:
    """Prints how many of the tasks are done, how fast, and the time left. A context manager."""

    def __init__(self, what: str) -> None:
        """``what``: a task, in the singular."""
        self._what = what
        self._is_terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        self._started = self._printed = time.monotonic()
        self._failed = 0
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._is_terminal:
            typer.echo("\r\x1b[K", nl=False, err=True)

    def update(self, done: int, total: int, result: Result) -> None:
        """A task has ended."""
        self._failed += bool(result.error)
        now = time.monotonic()
        is_due = now - self._printed >= _EVERY_S or done == total
        if not (self._is_terminal or is_due):
            return
        self._printed = now
        line = progress_line(self._what, done, total, self._failed, now - self._started)
        if self._is_terminal:
            typer.echo(f"\r\x1b[K{line}  {one_line(result.machine)}", nl=False, err=True)
        else:
            typer.echo(line, err=True)


def progress_line(what: str, done: int, total: int, failed: int, seconds: float) -> str:
    """``12 of 1000 machines, 1 failed, 3.2 a minute, 5 hours left``."""
    parts = [f"{done} of {counted(total, what)}"]
    if failed:
        parts.append(f"{failed} failed")
    if seconds > 0:
        parts.append(f"{rounded(done / seconds * 60.0, 2)} a minute")
    if done < total:
        parts.append(f"{duration(seconds / done * (total - done))} left")
    return ", ".join(parts)
