"""Messages of the service to systemd: readiness, status and watchdog (sd_notify)."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Self

from monitor.text.escaping import one_line

_log = logging.getLogger(__name__)

_SEND_TIMEOUT_S = 1.0
_MAX_STATUS_CHARACTERS = 500


class Notifier:
    """Sends to the socket in ``NOTIFY_SOCKET``; without one every call does nothing.

    Nothing here raises: a service must not fail because nobody receives its messages.

    ``watchdog_s``: the time after which systemd ends a service that has not called
    ``watchdog``, or ``None``.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """``environ``: the variables that systemd has set; by default of this process."""
        environ = os.environ if environ is None else environ
        self._address = environ.get("NOTIFY_SOCKET") or None
        self.watchdog_s = _watchdog_s(environ)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_SEND_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()

    @property
    def active(self) -> bool:
        """Whether there is a socket to notify."""
        return self._address is not None

    @property
    def watchdog_interval_s(self) -> float | None:
        """How often to call ``watchdog``: half of the limit, or ``None`` without one."""
        return None if self.watchdog_s is None else self.watchdog_s / 2

    def ready(self, status: str = "") -> None:
        """Start-up, or a reload, is complete."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """A reload has begun; ``ready`` ends it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self, status: str = "") -> None:
        """An orderly stop has begun."""
        self._send("STOPPING=1", _status(status))

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(_status(text))

    def watchdog(self) -> None:
        """The service makes progress."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        message = "\n".join(filter(None, lines)).encode()
        if self._address is None or not message:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto(message, address)
        except (OSError, ValueError) as error:  # ValueError: a name with a null byte
            _log.debug("could not notify systemd at %s: %s", self._address, error)


def _status(text: str) -> str:
    line = one_line(" ".join(text.split()))[:_MAX_STATUS_CHARACTERS]
    return f"STATUS={line}" if line else ""


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """``WATCHDOG_USEC`` in seconds, if it is meant for this process."""
    try:
        limit_us = int(environ.get("WATCHDOG_USEC", "0"))
        process = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return limit_us / 1e6 if limit_us > 0 and process == os.getpid() else None
