"""What every source is: something that yields sound, and says when it cannot."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Protocol

from monitor.domain import AudioBlock, LogMelBlock, SourceState, SourceStatus

SourceItem = AudioBlock | LogMelBlock | SourceState

BACK = SourceState(SourceStatus.OK)
"""What a source yields when it is available again."""


class Source(Protocol):
    """Where a machine's sound comes from."""

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate of the blocks, ``None`` until it is known and for log-mel."""

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """The sound, from now until ``stop`` is set or it ends.

        Blocks are mono, finite, at the source's own rate, and each begins where the
        last one ended; after audio was lost ``first_sample`` counts on by the best
        estimate and the block is ``discontinuous``. Only at a discontinuity may the
        rate change; positions then continue in the new one. ``UNAVAILABLE`` with a
        reason means that no blocks come until an ``OK``. The generator returns
        within half a second of ``stop``, and closing it ends whatever it started.

        Raises ``MissingInputError``, ``UsageError`` or ``ConfigError`` at the start;
        what goes wrong later is a state, and is tried again for ever.
        """


def unavailable(reason: str, detail: str) -> SourceState:
    """The state of a source that yields no sound until it says ``BACK``."""
    return SourceState(SourceStatus.UNAVAILABLE, reason, detail)
