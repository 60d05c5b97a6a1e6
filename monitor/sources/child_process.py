"""One running child program and its pipes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence

_READ_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20
"""Holds 5 s of mono sound at 48 kHz in floats, for pauses in reading."""
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

    def __init__(self, arguments: Sequence[str]) -> None:
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
        self._selector = selectors.DefaultSelector()
        self._pipes = [pipe for pipe in (self._process.stdout, self._process.stderr) if pipe]
        self._stdout, self._stderr = (pipe.fileno() for pipe in self._pipes)
        with contextlib.suppress(OSError):  # more than this user's limit: a smaller pipe is enough
            fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        for descriptor in (self._stdout, self._stderr):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)

    def read(self, timeout_s: float) -> bytes | None:
        """The next output, ``b""`` at its end, ``None`` when there is none within the time."""
        output: bytes | None = None
        for key, _ in self._selector.select(timeout_s):
            try:
                data = os.read(key.fd, _READ_BYTES)
            except BlockingIOError:
                continue
            if key.fd == self._stdout:
                output = data
            else:
                self._last_stderr = (self._last_stderr + data)[-_KEPT_STDERR_BYTES:]
            if not data:
                self._selector.unregister(key.fd)
        return output

    def last_lines(self, count: int = 3) -> list[str]:
        """The last lines of its standard error, the oldest first."""
        with contextlib.suppress(OSError):
            data = os.read(self._stderr, _READ_BYTES)
            self._last_stderr = (self._last_stderr + data)[-_KEPT_STDERR_BYTES:]
        text = self._last_stderr.decode("utf-8", "replace")
        return [line for line in text.replace("\r", "\n").split("\n") if line.strip()][-count:]

    def exit_status(self, wait_s: float) -> int | None:
        """Its exit status, negative for a signal, ``None`` while it runs. It is not reaped."""
        deadline_s = time.monotonic() + wait_s
        while True:
            result = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if result is not None:
                exited = result.si_code == os.CLD_EXITED
                return result.si_status if exited else -result.si_status
            if time.monotonic() >= deadline_s:
                return None
            time.sleep(_POLL_S)

    @property
    def gone(self) -> bool:
        """Whether it has ended, also some time after ``end``."""
        return self._process.poll() is not None

    def end(self) -> None:
        """End it and all its descendants: first SIGTERM, then SIGKILL.

        A process that hangs in a driver, or belongs to another user, cannot be killed. It
        continues, and ``gone`` reports when it has ended.
        """
        self._signal(signal.SIGTERM)
        self.exit_status(_TERMINATE_S)
        self._signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_S)
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
