"""The live views of all machines of a daemon."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from monitor.live.feed import LiveFeed

_SUFFIX = ".ring"


def live_folder(state_dir: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Where the rings are: in systemd's ``RuntimeDirectory=``, which is in memory, if there is one.

    Otherwise in the state folder. A ring changes several times a second, which wears flash memory.
    """
    environ = os.environ if environ is None else environ
    runtime = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return (Path(runtime) if runtime else state_dir) / "live"


class LiveFeeds:
    """One feed for each machine. Every method may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        """``folder``: of the rings. Those of an earlier process are removed."""
        self._folder = folder
        self._guard = threading.Lock()
        self._feeds: dict[str, LiveFeed] = {}
        with contextlib.suppress(OSError):
            for path in folder.glob(f"*{_SUFFIX}*"):
                path.unlink()

    def feed(self, machine: str) -> LiveFeed:
        """The feed of a machine that starts, in place of an earlier one."""
        feed = LiveFeed(machine, self._folder / f"{machine}{_SUFFIX}")
        with self._guard:
            self._feeds[machine] = feed
        return feed

    def watch(self, machine: str, for_s: float) -> Path | None:
        """Somebody looks at a machine; the path of its ring. None if it is not monitored."""
        with self._guard:
            feed = self._feeds.get(machine)
        if feed is None:
            return None
        feed.watch(for_s)
        return feed.path
