"""Gives each request to the handler of its command, and returns the response."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.control.messages import Arguments, OtherDaemonError, Request, done, refused
from monitor.errors import AuscultError, UsageError
from monitor.text.escaping import one_line
from monitor.text.regular_files import real_path

log = logging.getLogger(__name__)

Handler = Callable[[Any, str], Mapping[str, Any]]
"""Takes the arguments and the name of the user, gives the result. Raises ``AuscultError``."""


@dataclass(frozen=True, slots=True)
class _Command:
    arguments: type[Arguments]
    handler: Handler


class Dispatcher:
    """The commands that a daemon accepts.

    ``config``: the configuration file of the daemon.
    """

    def __init__(self, config: Path) -> None:
        self._config = config.absolute()
        self._commands: dict[str, _Command] = {}

    def register(self, command: str, arguments: type[Arguments], handler: Handler) -> None:
        """Handle ``command``; a later registration replaces an earlier one."""
        self._commands[command] = _Command(arguments, handler)

    def answer(self, line: bytes, by: str) -> bytes:
        """The response to a request of user ``by``, as a line. Raises nothing."""
        try:
            return done(dict(self._handle(Request.parse(line), by)))
        except AuscultError as error:
            return refused(error)
        except Exception as error:  # a bug in a command must not end the socket
            log.exception("internal error in a request of %s", by)
            return refused(AuscultError(f"internal error of the daemon: {error!r}"))

    def _handle(self, request: Request, by: str) -> Mapping[str, Any]:
        if request.config is not None and not _same_file(Path(request.config), self._config):
            raise OtherDaemonError(
                f"no daemon runs with {request.config}; the daemon that answers runs with "
                f"{self._config}"
            )
        command = self._commands.get(request.command)
        if command is None:
            known = ", ".join(sorted(self._commands))
            raise UsageError(f'"{one_line(request.command)}" is not a command; known: {known}')
        if request.on_behalf_of:
            by = f"{one_line(request.on_behalf_of)} ({by})"
        return command.handler(command.arguments.parse(request.command, request.arguments), by)


def _same_file(one: Path, other: Path) -> bool:
    return real_path(one) == real_path(other)
