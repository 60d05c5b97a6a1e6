"""The interface of every source: it yields sound, and reports when it cannot."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Protocol, runtime_checkable

from monitor.domain import AudioBlock, LogMelBlock, SourceState, SourceStatus

SourceItem = AudioBlock | LogMelBlock | SourceState

BACK = SourceState(SourceStatus.OK)
"""The state that a source yields when it is available again."""


class Source(Protocol):
    """Where a machine's sound comes from."""

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate of the blocks, ``None`` until it is known and for log-mel."""

    @property
    def data_timeout_s(self) -> float | None:
        """How long the source waits for data before it reports ``UNAVAILABLE``, in seconds.

        ``0`` if it never has to wait, ``None`` if it may wait for any time without a report.
        """

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """The sound, from now until ``stop`` is set or it ends.

        Each call begins a new stream at position 0. Blocks are mono, finite and at the
        source's own rate, and each begins where the last one ended. After audio was lost,
        ``first_sample`` continues by the best estimate and the block is ``discontinuous``.
        The rate may change only at a discontinuity; positions then continue at the new
        rate. After ``UNAVAILABLE`` with a reason no blocks come until an ``OK``. The
        generator returns within half a second of ``stop``. Closing it ends every process
        that it started.

        Raises ``MissingInputError``, ``UsageError`` or ``ConfigError`` at the start.
        Later errors are states, and the source tries again without end.
        """


@runtime_checkable
class RereadableSource(Protocol):
    """A source that can give sound again after a restart."""

    def set_needed(self, seconds: float) -> None:
        """How much of the sound given so far a new process needs, to decide as this one does.

        0 if everything is decided: an alert is open, or was just raised or cleared. Called
        before ``blocks``, and after each block has been processed.
        """


def unavailable(reason: str, detail: str) -> SourceState:
    """The state of a source that yields no sound until it yields ``BACK``."""
    return SourceState(SourceStatus.UNAVAILABLE, reason, detail)
