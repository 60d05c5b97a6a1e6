"""A child program that writes sound to its standard output, kept running.

Used for the microphone and for any other program. The program runs in its own
process group, is read with a time limit, is ended with all its descendants, and is
started again with growing pauses.
"""

from __future__ import annotations

import logging
import signal
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.sources.child_process import ChildProcess
from monitor.sources.waiting import Steps, Wait
from monitor.text.masking import Masking
from monitor.text.repetition import event_of, pattern_of

log = logging.getLogger(__name__)

_TERMINATE_S = 0.2
_MAX_LINE_CHARS = 200
_USUAL_BYTES_PER_S = 4 * 48_000
_LEAST_HELD_S = 0.5
_FULL = 0.6
"""Of a pipe; pieces that are not whole pages fill it before it holds all its bytes."""


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """The child has ended. ``reason``: ``exited``, ``stalled`` or ``not_started``.

    ``detail``: one line for people with the last output of the child, without
    secrets. ``exit_status``: ``None`` unless it exited by itself.
    """

    reason: str
    detail: str
    exit_status: int | None = None

    def repeats(self, other: ChildEnded | None) -> bool:
        """Whether both ended in the same way, without regard to addresses, times and counts."""
        return (
            other is not None
            and (self.reason, self.exit_status) == (other.reason, other.exit_status)
            and event_of(self.detail) == event_of(other.detail)
        )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


class SupervisedChild:
    """Runs a program again and again and yields its output.

    ``arguments``: the program and its arguments, without a shell. ``timeout_s``: a
    child that writes nothing for this time is ended; ``first_timeout_s``: the same
    before its first output. ``bytes_per_s``: how much it writes in a second. ``quoted_lines``:
    how many of its last lines on standard error are reported.
    """

    HEALTHY_AFTER_S: ClassVar[float] = 2.0
    """After a child has written data for this time, the next pause is the shortest one."""
    REPORT_INTERVAL_S: ClassVar[float] = 60.0
    """The same end is logged again after this time if there was data in between."""
    MAX_VARIANTS: ClassVar[int] = 5
    """So many ends that differ in words with digits are logged in this time."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        name: str,
        timeout_s: float,
        backoff: Backoff,
        first_timeout_s: float | None = None,
        quoted_lines: int = 3,
        bytes_per_s: int = _USUAL_BYTES_PER_S,
    ) -> None:
        self._arguments = list(arguments)
        self._name = name
        self._timeout_s = timeout_s
        self._first_timeout_s = timeout_s if first_timeout_s is None else first_timeout_s
        self._quoted_lines = quoted_lines
        self._bytes_per_s = bytes_per_s
        self._is_pipe_reported = False
        self._backoff = backoff
        self._masking = Masking(arguments)
        self._left_behind: ChildProcess | None = None
        self._variants: Counter[str] = Counter()
        self._variants_since_s = 0.0
        self._flowed_s = 0.0
        """How long the present child has written data, without the time of the caller."""
        self._pipe_bytes = 0

    def has_filled_pipe(self, data: bytes) -> bool:
        """Whether the child may have waited or lost sound, because the pipe was full."""
        return len(data) > _FULL * self._pipe_bytes

    def steps(self) -> Steps[bytes | ChildEnded]:
        """The output of the child as it comes, how it ended each time, and what is waited for.

        Starts it again after each ``ChildEnded``, without end. The child ends with this
        generator.
        """
        last: ChildEnded | None = None
        reported_s = 0.0
        while True:
            self._flowed_s = 0.0
            ended = yield from self._run_once()
            now_s = time.monotonic()
            if self._flowed_s >= self.HEALTHY_AFTER_S:
                self._backoff.reset()
                if now_s - reported_s >= self.REPORT_INTERVAL_S:
                    last = None
            # The same error is not repeated every few seconds.
            if ended.repeats(last) or self._is_one_of_many(ended, now_s):
                log.debug("%s", ended.detail)
            else:
                log.warning("%s", ended.detail)
                reported_s = now_s
            last = ended
            yield ended
            yield from _pause(self._backoff.next_s())

    def _is_one_of_many(self, ended: ChildEnded, now_s: float) -> bool:
        """Whether the end differs only in numbers or names from others that were logged."""
        if now_s - self._variants_since_s >= self.REPORT_INTERVAL_S:
            self._variants.clear()
            self._variants_since_s = now_s
        pattern = pattern_of(ended.detail)
        self._variants[pattern] += 1
        return self._variants[pattern] > self.MAX_VARIANTS

    def _run_once(self) -> Generator[bytes | Wait, None, ChildEnded]:
        """The output of one run of the program; returns how it ended."""
        if self._left_behind is not None and not self._left_behind.gone:
            # A new child would hang in the same driver.
            return ChildEnded("stalled", f"{self._name} hangs and cannot be killed")
        try:
            child = ChildProcess(self._arguments, self._bytes_per_s)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not a command line"
            return ChildEnded("not_started", f"{self._name} cannot be started: {why}")
        try:
            ended = yield from self._read(child)
            yield from child.ending()
            return ended
        finally:
            child.end()
            self._left_behind = None if child.gone else child

    def _read(self, child: ChildProcess) -> Generator[bytes | Wait, None, ChildEnded]:
        last_data_s, timeout_s = time.monotonic(), self._first_timeout_s
        any_data = False
        self._pipe_bytes = child.pipe_bytes
        held_s = child.pipe_bytes / self._bytes_per_s
        if held_s < _LEAST_HELD_S and not self._is_pipe_reported:
            self._is_pipe_reported = True
            log.warning(
                "the pipe of %s holds only %.2f s of sound: while the computer is busy, sound may "
                "be lost; raise /proc/sys/fs/pipe-user-pages-soft",
                self._name,
                held_s,
            )
        while True:
            data = child.read()
            if data:
                if any_data:
                    self._flowed_s += time.monotonic() - last_data_s
                any_data = True
                yield data
                # The caller's time is not the child's.
                last_data_s, timeout_s = time.monotonic(), self._timeout_s
            elif data is not None:
                return (yield from self._exited(child))
            elif time.monotonic() - last_data_s > timeout_s:
                detail = f"{self._name} gave no data for {timeout_s:g} s"
                return ChildEnded("stalled", self._quoting(detail, child))
            else:
                yield Wait(last_data_s + timeout_s, child.descriptors, longest_s=held_s / 3)

    def _exited(self, child: ChildProcess) -> Generator[Wait, None, ChildEnded]:
        yield from child.exits_within(_TERMINATE_S)
        status = child.exit_status()
        if status is None:
            detail = f"{self._name} closed its output"
        elif status < 0:
            detail = f"{self._name} was killed by {_signal_name(-status)}"
        else:
            detail = f"{self._name} ended with status {status}"
        return ChildEnded("exited", self._quoting(detail, child), status)

    def _quoting(self, detail: str, child: ChildProcess) -> str:
        """``detail`` with the child's last lines, secrets masked."""
        lines = [
            self._masking(line)[:_MAX_LINE_CHARS] for line in child.last_lines(self._quoted_lines)
        ]
        quoted = " / ".join(line for line in lines if line)
        return f"{detail}: {quoted}" if quoted else detail


def _pause(seconds: float) -> Iterator[Wait]:
    due_s = time.monotonic() + seconds
    while time.monotonic() < due_s:
        yield Wait(due_s)
