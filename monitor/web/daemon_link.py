"""What the running daemon says, asked for at most once in a while for all viewers together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal

from monitor.control.address import possible_paths
from monitor.control.client import NoDaemonError, ask
from monitor.errors import AuscultError
from monitor.web.texts import Sentence, as_sentence, known_sentence


class DaemonLink:
    """The control socket of the daemon that runs with ``config``. Used in the event loop.

    ``trouble``: why there is no status, in one line; empty if there is one.
    """

    LEAST_INTERVAL_S: ClassVar[float] = 1.0
    TIMEOUT_S: ClassVar[float] = 5.0
    MOST_QUESTIONS: ClassVar[int] = 4
    """Questions at the same time; the daemon has 16 places for clients."""

    def __init__(self, config: Path, state_dir: Path) -> None:
        self._config = config.absolute()
        self._state_dir = state_dir
        self._status: dict[str, Any] | None = None
        self._asked_s = float("-inf")
        self._lock = asyncio.Lock()
        self._threads = ThreadPoolExecutor(self.MOST_QUESTIONS, "daemon")
        self.trouble = ""
        self.monitoring: Literal["running", "stopped", "unknown"] = "unknown"
        """Whether a daemon runs; unknown if it does not answer."""

    async def status(self) -> dict[str, Any] | None:
        """The newest ``status`` of the daemon; None if it does not answer."""
        async with self._lock:
            if time.monotonic() - self._asked_s >= self.LEAST_INTERVAL_S:
                try:
                    self._status = await self.ask("status")
                    self.trouble, self.monitoring = "", "running"
                except AuscultError as error:
                    has_stopped = isinstance(error, NoDaemonError)
                    self._status = None
                    self.monitoring = "stopped" if has_stopped else "unknown"
                    self.trouble = error.args[0]  # a sentence stays one, unlike in error.lines
                self._asked_s = time.monotonic()
            return self._status

    async def ask(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        on_behalf_of: str = "",
    ) -> dict[str, Any]:
        """The result of a user's command. Raises as ``monitor.control.client.ask``, with sentences.

        Without a daemon, the message names no paths: who looks at the page has another computer.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._ask, command, dict(arguments or {}), on_behalf_of
        )

    def forget(self) -> None:
        """Something was changed: the next status is a new one."""
        self._asked_s = float("-inf")

    def _ask(self, command: str, arguments: Mapping[str, Any], on_behalf_of: str) -> dict[str, Any]:
        try:
            return ask(
                possible_paths(self._state_dir, instances=True),
                command,
                arguments,
                config=self._config,
                timeout_s=self.TIMEOUT_S,
                on_behalf_of=on_behalf_of,
            )
        except NoDaemonError:
            raise NoDaemonError(Sentence("banner.stopped")) from None
        except AuscultError as error:
            error.args = tuple(_worded(error.kind, line) for line in error.lines)
            raise


def _worded(kind: str, line: str) -> str:
    """Why the daemon refuses, in the words of the page if it knows this kind."""
    return known_sentence(f"refused.{kind}", line) if kind else as_sentence(line)
