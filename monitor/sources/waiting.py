"""Sources that say what they wait for, so that one thread can wait for many of them."""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

from monitor.sources.protocol import SourceItem

_WAKE_S = 0.1
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before ``until_s``, or before one of ``descriptors`` can be read.

    ``until_s`` and ``not_before_s`` are on the monotonic clock. ``until_s``: infinity for any time.
    ``not_before_s``: the descriptors need not be looked at before, because nobody needs their data
    earlier. ``longest_s``: how long data may lie there. A longer or shorter wait is allowed: what
    continues looks again.
    """

    until_s: float
    descriptors: tuple[int, ...] = ()
    not_before_s: float = 0.0
    longest_s: float = math.inf

    NOW: ClassVar[Wait]
    """Continue as soon as others have had their turn."""


Wait.NOW = Wait(0.0)

Steps = Generator[Item | Wait, None, None]


@runtime_checkable
class SteppedSource(Protocol):
    """A source that never blocks."""

    def steps(self) -> Steps[SourceItem]:
        """As ``Source.blocks``, but where that would block, it yields what it waits for.

        It continues without end until it is closed; closing it ends every process that it started.
        """


def blocking(steps: Steps[Item], stop: threading.Event) -> Generator[Item, None, None]:
    """The items of ``steps``, with the waits in between, until ``stop`` is set."""
    with closing(steps):
        for item in steps:
            if isinstance(item, Wait):
                wait_for(item, stop)
            elif not stop.is_set():
                yield item
            if stop.is_set():
                return


def wait_for(wait: Wait, stop: threading.Event) -> None:
    """Block until ``wait`` is over or ``stop`` is set."""
    if not wait.descriptors:
        stop.wait(max(0.0, min(wait.until_s - time.monotonic(), threading.TIMEOUT_MAX)))
        return
    stop.wait(max(0.0, min(wait.not_before_s, wait.until_s) - time.monotonic()))
    poll = select.poll()
    for descriptor in wait.descriptors:
        poll.register(descriptor, select.POLLIN)
    while not stop.is_set():
        left_s = wait.until_s - time.monotonic()
        if left_s <= 0.0 or poll.poll(1e3 * min(left_s, _WAKE_S)):
            return
