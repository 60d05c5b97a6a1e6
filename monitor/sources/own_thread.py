"""A source that blocks, read in a thread of its own."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Generator

from monitor.sources.protocol import Source, SourceItem
from monitor.sources.waiting import SteppedSource, Steps, Wait


def steps_of(source: Source) -> Steps[SourceItem]:
    """The items of any source, which never block."""
    return source.steps() if isinstance(source, SteppedSource) else _from_own_thread(source)


def _from_own_thread(source: Source) -> Steps[SourceItem]:
    """The thread reads the next item when the last one has been processed."""
    reader = _Reader(source)
    try:
        while True:
            while not reader.has_item():
                yield Wait(math.inf, (reader.descriptor,))
            item = reader.take()
            if item is None:
                return
            yield item
            reader.processed()
    finally:
        reader.end()


class _Reader:
    """State: the item that waits to be taken, or the error with which the source has ended."""

    def __init__(self, source: Source) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Can be read when there is an item."""
        self._item: SourceItem | BaseException | None = None
        self._source = source
        self._stop = threading.Event()
        self._next = threading.Semaphore(0)
        name = f"reading-{type(source).__name__}"
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()

    def has_item(self) -> bool:
        """Whether there is an item, which must then be taken."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return False
        return True

    def take(self) -> SourceItem | None:
        """The item, ``None`` at the end. Raises what the source has raised."""
        if isinstance(self._item, BaseException):
            raise self._item
        return self._item

    def processed(self) -> None:
        """The next item may be read."""
        self._next.release()

    def end(self) -> None:
        """Stop the thread and wait for it, as long as the source takes."""
        self._stop.set()
        self._next.release()
        self._thread.join()
        os.close(self.descriptor)

    def _read(self) -> None:
        try:
            items = self._source.blocks(self._stop)
            try:
                for item in items:
                    self._put(item)
                    self._next.acquire()
                    if self._stop.is_set():
                        return
            finally:
                if isinstance(items, Generator):  # a traceback would keep it, and its child, alive
                    items.close()
        except BaseException as error:  # noqa: BLE001  # raised again where it is taken
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: SourceItem | BaseException | None) -> None:
        self._item = item
        os.eventfd_write(self.descriptor, 1)
