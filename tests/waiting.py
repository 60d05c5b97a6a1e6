"""Waiting for an event instead of a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout_s: float = 30.0, what: str = "the condition") -> T:
    """The first true value of the condition; fails the test after ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        begun_s = time.monotonic()
        if found := condition():
            return found
        now_s = time.monotonic()
        assert now_s < deadline_s, f"did not happen within {timeout_s:g} s: {what}"
        # A slow condition, such as a command in another process, takes little of a core.
        time.sleep(min(max(0.01, 8.0 * (now_s - begun_s)), 2.0))
