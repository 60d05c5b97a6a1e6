"""The thread that makes pieces of clips and writes them, so that no machine waits for the disk."""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from monitor.evidence.clip import Clip, Judge, Request
from monitor.evidence.piece_work import EvidenceEvent, PieceWork
from monitor.evidence.settings import EvidenceSettings
from monitor.evidence.store import EvidenceStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EvidenceStatus:
    """What is kept now. ``evicted``: pieces deleted because of limits, ever.

    ``lost``: pieces that could not be kept since the start. ``trouble``: why the newest one could
    not; empty if it could.
    """

    n_bytes: int
    max_bytes: int
    pieces: int
    evicted: int
    lost: int
    trouble: str


class EvidenceKeeper:
    """A ``RecorderKeeper`` of every recorder. Every method may be called from any thread.

    ``on_event``, ``on_picture``: called in the thread; the picture is that of the beginning of an
    alert. ``after_job``: called in the thread after each piece of work, for example to give back
    memory.
    """

    MOST_BYTES: ClassVar[int] = 64_000_000
    """The most memory for all clips that are not written; copies of them may take as much again."""
    SWEEP_S: ClassVar[float] = 3600.0
    RETRY_S: ClassVar[float] = 60.0
    STOP_S: ClassVar[float] = 2.0

    def __init__(
        self,
        store: EvidenceStore,
        on_event: Callable[[EvidenceEvent], None] = lambda _event: None,
        on_picture: Callable[[Request, bytes], None] = lambda _request, _png: None,
        after_job: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._after_job = after_job
        self._work = PieceWork(store, on_event, on_picture)
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._guard = threading.Lock()
        self._reserved_bytes = 0
        self._due_s = 0.0
        self._open: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)

    def start(
        self,
        judges: Mapping[str, Judge],
        expected: Callable[[], Iterable[Request]] = tuple,
        on_open: Callable[[dict[str, list[float]]], None] = lambda _times: None,
    ) -> None:
        """Begin, with what a killed process has left. Call it once.

        ``judges``: by machine. ``expected``: gives the pieces of earlier messages, which must be
        there; it is asked once, because later messages name pieces that are not complete.
        ``on_open``: called when the pieces so far were kept, by machine. Both are called in the
        thread.
        """
        known = functools.cache(lambda: tuple(expected()))

        def open_folder() -> None:
            self._work.open(judges, known())
            on_open(self._store.kept_times())

        self._open = open_folder
        self._thread.start()

    def stop(self) -> None:
        """Write the clips so far. What takes too long is completed at the next start."""
        self._waiting.put(self._save_time)
        self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join(self.STOP_S)

    def flush(self) -> None:
        """Wait until everything so far is written."""
        done = threading.Event()
        self._waiting.put(done.set)
        done.wait()

    def describe(self, request: Request, more: Mapping[str, Any]) -> None:
        """Add to the metadata of a piece that was kept, if it is still there."""
        self._waiting.put(partial(self._work.describe, request, more))

    def status(self) -> EvidenceStatus:
        """What is kept now."""
        retention = self._store.retention
        return EvidenceStatus(
            retention.n_bytes,
            retention.settings.max_bytes,
            len(retention.kept),
            retention.evicted,
            self._work.n_lost,
            self._work.trouble,
        )

    def use(self, settings: EvidenceSettings) -> None:
        """Use other limits from now on."""

        def change() -> None:
            self._store.retention.settings = settings
            self._due_s = 0.0

        self._waiting.put(change)

    # monitor.evidence.recorder.RecorderKeeper

    def now_s(self) -> float:
        """The running time."""
        return self._store.running_time.now_s()

    def reserve(self, n_bytes: int) -> bool:
        """Take memory for a clip."""
        with self._guard:
            if self._reserved_bytes + n_bytes > self.MOST_BYTES:
                return False
            self._reserved_bytes += n_bytes
            return True

    def begun(self, request: Request, clip: Clip) -> None:
        """Write the sound so far."""
        self._waiting.put(partial(self._work.begin, request, clip))

    def complete(self, request: Request, clip: Clip, reserved_bytes: int) -> None:
        """Write a piece."""

        self._put_reserved(partial(self._work.keep, request, clip), reserved_bytes)

    def lost(self, request: Request, reason: str) -> None:
        """Report that a piece cannot be kept."""
        self._waiting.put(partial(self._work.lost, request, reason))

    def healthy(self, request: Request, clip: Clip) -> None:
        """Keep healthy sound, unless that of its operating state is new."""
        n_bytes = clip.rows.nbytes
        if self.reserve(n_bytes):
            self._put_reserved(partial(self._work.keep_healthy, request, clip), n_bytes)

    def _put_reserved(self, work: Callable[[], None], reserved_bytes: int) -> None:
        """Have work done, and give back its memory."""

        def do() -> None:
            try:
                work()
            finally:
                with self._guard:
                    self._reserved_bytes -= reserved_bytes

        self._waiting.put(do)

    # The thread.

    def _run(self) -> None:
        while True:
            self._sweep_if_due()
            try:
                job = self._waiting.get(timeout=max(0.0, self._due_s - time.monotonic()))
            except queue.Empty:
                continue
            if job is None:
                return
            self._do(job)

    def _sweep_if_due(self) -> None:
        """Open the folder if it is not open; delete what is too old."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + self.SWEEP_S

        def sweep() -> None:
            try:
                if self._work.is_open:
                    self._store.sweep()
                    self._work.note_lost()
                else:
                    self._open()
            except OSError as error:
                self._due_s = time.monotonic() + self.RETRY_S
                self._work.failed(error)

        self._do(sweep)

    def _save_time(self) -> None:
        if self._work.is_open:
            with contextlib.suppress(OSError):  # it is saved at every sweep too
                self._store.save_time()

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:  # a bug here must not end the evidence of later alerts
            log.exception("internal error while evidence was written")
        self._after_job()
