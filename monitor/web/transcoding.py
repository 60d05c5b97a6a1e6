"""Clips as Opus, made when somebody wants them, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from pathlib import Path
from typing import ClassVar

from monitor.errors import ServiceUnavailableError
from monitor.web.file_answer import OpenFile, open_file
from monitor.web.texts import Sentence

log = logging.getLogger(__name__)


Band = tuple[float, float]
"""The lowest and the highest frequency, in hertz."""


class Transcoder:
    """Keeps the newest results in memory, up to a limit."""

    TIMEOUT_S: ClassVar[float] = 20.0
    MOST_WAITING: ClassVar[int] = 8
    MOST_KEPT_BYTES: ClassVar[int] = 4 * 1024 * 1024

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, Band | None], bytes] = {}
        self._lock = asyncio.Lock()
        self._n_waiting = 0

    async def opus(self, path: Path, band_hz: Band | None = None) -> bytes:
        """The clip as Ogg Opus; only the frequencies of ``band_hz``, made louder, if it is given.

        Raises ``MissingInputError`` if it is not there, and ``ServiceUnavailableError`` if it
        cannot be converted now.
        """
        if self._n_waiting >= self.MOST_WAITING:
            raise ServiceUnavailableError(Sentence("refusal.converting"))
        self._n_waiting += 1
        try:
            async with self._lock:
                return await self._opus(path, band_hz)
        finally:
            self._n_waiting -= 1

    async def _opus(self, path: Path, band_hz: Band | None) -> bytes:
        file = await asyncio.to_thread(open_file, path)
        try:
            key = str(path), file.tag, band_hz
            found = self._kept.pop(key, None)
            if found is None:
                found = await self._converted(path, file, band_hz)
        finally:
            file.close()
        self._kept[key] = found
        while sum(map(len, self._kept.values())) > self.MOST_KEPT_BYTES:
            del self._kept[next(iter(self._kept))]
        return found

    async def _converted(self, path: Path, file: OpenFile, band_hz: Band | None) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor.web.opus"),
            *map(str, band_hz or ()),
            stdin=file.descriptor,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(self.TIMEOUT_S):
                content, _ = await process.communicate()
        except TimeoutError:
            content = b""
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if not content:
            log.warning("a clip could not be converted: %s", path.name)
            raise ServiceUnavailableError(Sentence("refusal.not_converted"))
        return content
