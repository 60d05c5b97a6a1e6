"""A source that is read in a separate thread, as in the daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import numpy as np
import pytest

from monitor.domain import AudioBlock, FloatArray, LogMelBlock, SourceState, SourceStatus
from monitor.sources.protocol import SourceItem
from monitor.sources.registry import open_source
from monitor.sources.settings import SourceSettings


class SourceReader:
    """Collects what a source yields until it is stopped; use as a context manager.

    ``ended_s``: how long it took to end after it was asked to.
    """

    def __init__(self, settings: SourceSettings) -> None:
        self.source = open_source(settings)
        self.stop = threading.Event()
        self.ended_s = 0.0
        self._items: list[tuple[float, SourceItem]] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        """Start to read."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and check that the source stops."""
        begun_s = time.monotonic()
        self.stop.set()
        self._thread.join(5.0)
        self.ended_s = time.monotonic() - begun_s
        assert not self._thread.is_alive(), "the source did not stop"
        if self._error is not None:
            raise self._error

    def items(self) -> list[SourceItem]:
        return [item for _, item in self._items]

    def blocks(self) -> list[AudioBlock]:
        return [item for item in self.items() if isinstance(item, AudioBlock)]

    def log_mel_blocks(self) -> list[LogMelBlock]:
        return [item for item in self.items() if isinstance(item, LogMelBlock)]

    def states(self) -> list[SourceState]:
        return [item for item in self.items() if isinstance(item, SourceState)]

    def samples(self) -> FloatArray:
        return np.concatenate([np.empty(0, np.float32), *(b.samples for b in self.blocks())])

    def n_samples(self) -> int:
        return sum(len(block.samples) for block in self.blocks())

    def silent_s(self, index: int) -> float:
        """The time between the arrival of block ``index - 1`` and that of ``index``."""
        times = [at_s for at_s, item in self._items if isinstance(item, AudioBlock)]
        return times[index] - times[index - 1]

    def wait(self, until: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
        """Wait until something is true, or the source has ended."""
        deadline_s = time.monotonic() + timeout_s
        while not until():
            if self._error is not None:
                raise self._error
            if time.monotonic() > deadline_s or not self._thread.is_alive():
                pytest.fail(f"{what} did not come; states: {self.states()[-3:]}")
            time.sleep(0.01)

    def wait_for_samples(self, count: int) -> None:
        self.wait(lambda: self.n_samples() >= count, f"{count} samples")

    def wait_for_state(self, status: SourceStatus = SourceStatus.UNAVAILABLE) -> SourceState:
        """Wait for a state of that status, and return the first one."""
        self.wait(lambda: any(s.status is status for s in self.states()), f"state {status}")
        return next(state for state in self.states() if state.status is status)

    def wait_for_end(self) -> None:
        """Wait until the source ends by itself."""
        self._thread.join(30.0)
        assert not self._thread.is_alive(), "the source has no end"

    def _read(self) -> None:
        try:
            for item in self.source.blocks(self.stop):
                self._items.append((time.monotonic(), item))
        except BaseException as error:  # noqa: BLE001  # handed to the test's own thread
            self._error = error
