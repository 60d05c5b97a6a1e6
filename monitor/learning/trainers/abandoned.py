"""Ends the child of a daemon that was killed: it would write to the folder of the next child."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_FILE = "pid"


def remember_child(work: Path, pid: int) -> None:
    """Note in its folder ``work`` which process a child is. Raises ``OSError``."""
    (work / _FILE).write_text(f"{pid} {_started_ticks(pid)}")


def end_abandoned_child(work: Path) -> None:
    """End the process group of the child that an earlier daemon has noted, if it still runs."""
    with contextlib.suppress(OSError, ValueError):
        pid, ticks = (work / _FILE).read_text().split()
        if _started_ticks(int(pid)) == ticks:
            os.killpg(int(pid), signal.SIGKILL)


def _started_ticks(pid: int) -> str:
    """When a process was started: with its number, this identifies it. Empty if it has ended."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19]
