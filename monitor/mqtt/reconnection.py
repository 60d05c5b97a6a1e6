"""When to try a broker again, and how carefully."""

from __future__ import annotations

import random
import time

_STABLE_S = 2.0
_CAREFUL_AFTER = 2
_MAX_DOUBLINGS = 30


class Reconnection:
    """Pauses that double from ``min_s`` to ``max_s``, with jitter so that fifty nodes do not
    come back to a restarted broker at once. A connection that held resets them."""

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._attempt = 0
        self._refused = False
        self._short_lived = 0
        self._began_s = 0.0

    @property
    def careful(self) -> bool:
        """Whether connections end soon after they were accepted, time and again.

        Something that we send may be the reason: send one message at a time, to find it.
        """
        return self._short_lived >= _CAREFUL_AFTER and self._age_s() < _STABLE_S

    def began(self) -> None:
        """The broker has accepted a connection."""
        self._began_s = time.monotonic()

    def ended(self) -> None:
        """That connection is lost."""
        self._refused = False
        if self._age_s() >= _STABLE_S:
            self._attempt = self._short_lived = 0
        else:
            self._short_lived += 1
        self._attempt += 1

    def failed(self, *, refused: bool) -> None:
        """There was no connection. ``refused``: trying again soon is no use."""
        self._attempt += 1
        self._refused = refused

    def reason_found(self) -> None:
        """The reason for the short connections is known and will be avoided."""
        self._attempt = 1

    def pause_s(self) -> float:
        """How long to wait now."""
        doublings = min(max(0, self._attempt - 1), _MAX_DOUBLINGS)
        longest_s = min(self._max_s, self._min_s * 2.0**doublings)
        if self._refused:
            longest_s = self._max_s
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311  # no secret

    def _age_s(self) -> float:
        return time.monotonic() - self._began_s
