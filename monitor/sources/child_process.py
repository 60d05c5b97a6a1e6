"""One running child program and its pipes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence

from monitor.sources.waiting import Wait

_STDERR_BYTES = 1 << 16
_LEAST_PIPE_BYTES, _MOST_PIPE_BYTES = 1 << 16, 1 << 20
_PIPE_S = 4.0
"""A pipe should hold so much sound, for pauses in reading. All pipes of a user together may hold
``/proc/sys/fs/pipe-user-pages-soft`` pages, so none is larger than it needs to be."""
_KEPT_STDERR_BYTES = 4096
_TERMINATE_S = 0.2
_KILL_S = 0.2
_POLL_S = 0.01
# Variables of this service that configured programs must not get.
_PRIVATE_VARIABLES = ("AUSCULT_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")


class ChildProcess:
    """A program without input, in its own process group, whose output is read here.

    Raises ``OSError`` or ``ValueError`` when it cannot be started. ``end`` must be
    called. Until then the process is not reaped, so that no other process group gets
    its number.
    """

    def __init__(self, arguments: Sequence[str], bytes_per_s: int = 0) -> None:
        """``bytes_per_s``: how much it writes in a second; 0 if that is not known."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_PRIVATE_VARIABLES)}
        self._process = subprocess.Popen(  # noqa: S603  # the configured command, without a shell
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env=environment,
        )
        self._last_stderr = b""
        self._is_ended = False
        self._pipes = [pipe for pipe in (self._process.stdout, self._process.stderr) if pipe]
        self._stdout, self._stderr = (pipe.fileno() for pipe in self._pipes)
        self.descriptors: tuple[int, ...] = (self._stdout, self._stderr)
        """Those that still give output or errors."""
        self.pipe_bytes = _pipe_of(self._stdout, bytes_per_s)
        """How much output may wait."""
        for descriptor in self.descriptors:
            os.set_blocking(descriptor, False)

    def read(self) -> bytes | None:
        """The output that is there, ``b""`` at its end, ``None`` when there is none."""
        if self._stderr in self.descriptors:
            errors = _available(self._stderr, _STDERR_BYTES)
            self._last_stderr = (self._last_stderr + (errors or b""))[-_KEPT_STDERR_BYTES:]
            self._ended(self._stderr, errors)
        if self._stdout not in self.descriptors:
            return None
        output = _available(self._stdout, self.pipe_bytes)
        self._ended(self._stdout, output)
        return output

    def _ended(self, descriptor: int, data: bytes | None) -> None:
        """Its end would be reported again and again."""
        if data is not None and not data:
            self.descriptors = tuple(one for one in self.descriptors if one != descriptor)

    def last_lines(self, count: int = 3) -> list[str]:
        """The last lines of its standard error, the oldest first."""
        with contextlib.suppress(OSError):
            data = os.read(self._stderr, _STDERR_BYTES)
            self._last_stderr = (self._last_stderr + data)[-_KEPT_STDERR_BYTES:]
        text = self._last_stderr.decode("utf-8", "replace")
        return [line for line in text.replace("\r", "\n").split("\n") if line.strip()][-count:]

    def exit_status(self) -> int | None:
        """Its exit status, negative for a signal, ``None`` while it runs. It is not reaped."""
        result = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return None
        exited = result.si_code == os.CLD_EXITED
        return result.si_status if exited else -result.si_status

    def exits_within(self, seconds: float) -> Iterator[Wait]:
        """The waits until it has exited, at most for ``seconds``."""
        deadline_s = time.monotonic() + seconds
        while self.exit_status() is None and (now_s := time.monotonic()) < deadline_s:
            yield Wait(min(deadline_s, now_s + _POLL_S))

    @property
    def gone(self) -> bool:
        """Whether it has ended, also some time after ``end``."""
        return self._process.poll() is not None

    def ending(self) -> Iterator[Wait]:
        """End it and all its descendants: first SIGTERM, then SIGKILL.

        A process that hangs in a driver, or belongs to another user, cannot be killed. It
        continues, and ``gone`` reports when it has ended.
        """
        self._signal(signal.SIGTERM)
        yield from self.exits_within(_TERMINATE_S)
        self._signal(signal.SIGKILL)
        yield from self.exits_within(_KILL_S)
        self._process.poll()
        for pipe in self._pipes:
            pipe.close()
        self._is_ended = True

    def end(self) -> None:
        """As ``ending``, at once, unless that is done."""
        if not self._is_ended:
            for wait in self.ending():
                time.sleep(max(0.0, wait.until_s - time.monotonic()))

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _pipe_of(descriptor: int, bytes_per_s: int) -> int:
    """Make a pipe as large as it should be, if that is allowed; its size."""
    wanted = round(_PIPE_S * bytes_per_s) if bytes_per_s else _MOST_PIPE_BYTES
    wanted = min(_MOST_PIPE_BYTES, max(_LEAST_PIPE_BYTES, wanted))
    with contextlib.suppress(OSError):  # more than this user's limit
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, wanted)
    return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)


def _available(descriptor: int, most_bytes: int) -> bytes | None:
    """What a descriptor gives now, ``b""`` at its end, ``None`` when there is nothing."""
    try:
        return os.read(descriptor, most_bytes)
    except BlockingIOError:
        return None
