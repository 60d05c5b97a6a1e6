"""One request to the running daemon."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.control.address import GROUP, check_length
from monitor.control.messages import (
    MAX_RESPONSE_BYTES,
    OtherDaemonError,
    Request,
    Response,
)
from monitor.errors import (
    AuscultError,
    BadInputError,
    ConfigError,
    MissingInputError,
    ServiceUnavailableError,
    UsageError,
)

TIMEOUT_S = 10.0
_BUSY_PAUSE_S = 0.05

_ERRORS: dict[int, type[AuscultError]] = {
    kind.exit_status: kind
    for kind in (
        UsageError,
        BadInputError,
        MissingInputError,
        ServiceUnavailableError,
        ConfigError,
    )
}


class NoDaemonError(ServiceUnavailableError):
    """No daemon listens on any of the paths."""


class _NobodyListensError(Exception):
    """No daemon listens on a path."""


class _NoPermissionError(ServiceUnavailableError):
    """The user may not use a socket."""


def ask(
    paths: Sequence[Path],
    command: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    config: Path | None = None,
    timeout_s: float = TIMEOUT_S,
    on_behalf_of: str = "",
) -> dict[str, Any]:
    """The result of a command, from the daemon that listens on the first of ``paths``.

    With ``config``, only a daemon that runs with this file answers. ``on_behalf_of``: the person
    who asks, if it is not the user of this process. Raises the error with which
    the daemon refuses, ``UsageError`` for arguments that it could not read, and
    ``ServiceUnavailableError`` if no daemon runs (``NoDaemonError``), if the user may not use
    the socket, or if there is no valid answer within ``timeout_s``.
    """
    request = Request.of(
        command,
        arguments or {},
        str(config.absolute()) if config else None,
        on_behalf_of or None,
    )
    deadline_s = time.monotonic() + timeout_s
    problem: ServiceUnavailableError | None = None
    for path in paths:
        try:
            return _ask_one(path, request, deadline_s)
        except _NobodyListensError:
            continue
        except (_NoPermissionError, OtherDaemonError) as error:
            problem = problem or error
    raise problem or NoDaemonError(
        "no daemon is running: start it with `auscult run` or `sudo systemctl start auscult` "
        f"(no daemon listens on {', '.join(map(str, paths))})"
    )


def _ask_one(path: Path, request: Request, deadline_s: float) -> dict[str, Any]:
    with _connect(path, deadline_s) as connection:
        try:
            connection.sendall(request.encode())
            response = Response.parse(_line(connection, deadline_s))
        except TimeoutError:
            raise ServiceUnavailableError(
                f"{path}: the daemon did not answer within {TIMEOUT_S:g} s"
            ) from None
        except (OSError, ValueError):
            raise ServiceUnavailableError(
                f"{path}: the answer is not valid: use the same release of auscult as the daemon"
            ) from None
    if response.error is not None:
        if response.error.other_daemon:
            raise OtherDaemonError(response.error.message)
        refused = _ERRORS.get(response.error.status, AuscultError)
        raise refused(response.error.message, kind=response.error.kind)
    return dict(response.result or {})


def _connect(path: Path, deadline_s: float) -> socket.socket:
    """A connection to the daemon that listens on ``path``."""
    check_length(path)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _await_connection(connection, path, deadline_s)
    except PermissionError:
        connection.close()
        raise _NoPermissionError(
            f"{path}: no permission: only root and members of the group {GROUP} may use it. "
            f"Add your user with: sudo usermod -aG {GROUP} $USER, then log in again"
        ) from None
    except OSError:  # no such file, or nothing listens on it
        connection.close()
        raise _NobodyListensError from None
    return connection


def _await_connection(connection: socket.socket, path: Path, deadline_s: float) -> None:
    """Connect. If the daemon has too many clients, try again until the deadline."""
    while (left_s := deadline_s - time.monotonic()) > 0:
        connection.settimeout(left_s)
        try:
            connection.connect(str(path))
        except BlockingIOError:  # as many clients as the system lets wait
            time.sleep(_BUSY_PAUSE_S)
        else:
            return
    raise ServiceUnavailableError(f"{path}: the daemon is busy with other clients")


def _line(connection: socket.socket, deadline_s: float) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(65536)
        if not part or len(received) > MAX_RESPONSE_BYTES:
            raise ValueError("not a complete response")
        received += part
    return bytes(received)
