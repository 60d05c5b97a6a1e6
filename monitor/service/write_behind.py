"""Small files written by a thread of its own: a disk that hangs stops no machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from monitor.durable import replace_content

Complain = Callable[[OSError], None]


class WriteBehind:
    """Writes the newest content of each file. Every method may be called from any thread.

    The thread exists while there is something to write.
    """

    IDLE_S: ClassVar[float] = 5.0

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted: dict[Path, tuple[bytes, Complain]] = {}
        self._writing: Path | None = None
        self._thread: threading.Thread | None = None

    def put(self, path: Path, content: bytes, complain: Complain) -> None:
        """Replace a file soon; its folder is made. ``complain``: if that is not possible."""
        with self._changed:
            self._wanted[path] = content, complain
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="write-behind", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, path: Path, timeout_s: float) -> bool:
        """Wait until a file is written; whether it was."""
        with self._changed:
            return self._changed.wait_for(
                lambda: path not in self._wanted and self._writing != path, timeout_s
            )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = None
                self._changed.notify_all()
                deadline_s = time.monotonic() + self.IDLE_S
                while not self._wanted:
                    left_s = deadline_s - time.monotonic()
                    if left_s <= 0.0:
                        self._thread = None
                        return
                    self._changed.wait(left_s)
                path, (content, complain) = next(iter(self._wanted.items()))
                del self._wanted[path]
                self._writing = path
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_content(path, content)
            except OSError as error:
                complain(error)


WRITE_BEHIND = WriteBehind()
"""The one of this process."""
