"""Reading files in threads: the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

T = TypeVar("T")


class BusyError(Exception):
    """Too many others wait already."""


class Workers:
    """A few threads. At most ``MOST_WAITING`` calls wait for them."""

    MOST_WAITING: ClassVar[int] = 100

    def __init__(self, n_threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(n_threads, name)
        self._n_waiting = 0

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """What the function returns or raises; ``BusyError`` if too many calls wait."""
        if self._n_waiting >= self.MOST_WAITING:
            raise BusyError
        self._n_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, function, *arguments
            )
        finally:
            self._n_waiting -= 1
