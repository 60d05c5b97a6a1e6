"""UUIDs of version 7 (RFC 9562, section 5.7): unique, and sorted by their time of creation."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable

_COUNTER_BITS = 42
_TAIL_BITS = 32


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Uuid7Generator:
    """Makes strictly increasing UUIDv7, also within a millisecond and after a clock step back.

    The 12 bits of ``rand_a`` and the first 30 of ``rand_b`` are a counter that starts
    at a random number in each millisecond (RFC 9562, section 6.2, method 1); the last
    32 are random. May be called from any thread.
    """

    def __init__(self, clock_ms: Callable[[], int] = _unix_ms) -> None:
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._last_ms = -1
        self._counter = 0

    def __call__(self) -> uuid.UUID:
        with self._lock:
            now_ms = self._clock_ms()
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # The top bit starts as 0, so that the counter does not overflow at once.
                self._counter = secrets.randbits(_COUNTER_BITS - 1)
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._last_ms += 1
                    self._counter = secrets.randbits(_COUNTER_BITS - 1)
            time_ms, counter = self._last_ms, self._counter
        value = (time_ms & 0xFFFF_FFFF_FFFF) << 80
        value |= 0x7 << 76 | (counter >> 30) << 64
        value |= 0b10 << 62 | (counter & 0x3FFF_FFFF) << _TAIL_BITS
        return uuid.UUID(int=value | secrets.randbits(_TAIL_BITS))


uuid7 = Uuid7Generator()
"""The generator of this process."""
