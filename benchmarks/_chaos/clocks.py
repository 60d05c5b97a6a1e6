"""The wall clock of the daemon, which is set while it runs and while it does not run.

libfaketime changes the system clock for the daemon only. Its monotonic clocks stay true, as on
a computer whose time is set. A reboot gives the daemon another boot id and a time since boot
that begins again; both need root.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import SupportsIndex

_LIBRARIES = "*/faketime/libfaketime.so.1"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SINCE_BOOT_S = 5


class WallClock:
    """What the daemon takes for the time of day.

    ``missing``: why the clock cannot be set, ``no_reboot``: why the computer cannot be
    started again; both are empty if it is possible.
    """

    def __init__(self, folder: Path, *, private_mounts: bool) -> None:
        library = next(iter(sorted(Path("/usr/lib").glob(_LIBRARIES))), None)
        self.missing = "" if library else "left out: libfaketime is not installed"
        self._library = library
        self._offset_file = folder / "clock-offset"
        self._boot_file = folder / "boot-id"
        self._true_s = time.time() - time.monotonic()
        self._steps: list[tuple[float, float]] = []
        self._boots = 0
        self._since_boot_offset_s = 0
        self.no_reboot = self._prepare_reboots() if private_mounts else "left out: only root can"
        self.set(0.0)

    def set(self, offset_s: float) -> None:
        """The clock is ``offset_s`` ahead of the true time from now on."""
        unfinished = self._offset_file.with_name("clock-offset.new")
        unfinished.write_text(f"{offset_s:+.3f}\n")
        unfinished.rename(self._offset_file)
        self._steps.append((time.monotonic(), offset_s))

    def reboot(self) -> None:
        """The computer is started again: for the next daemon."""
        if not self.no_reboot:
            self._boots += 1
            self._boot_file.write_text(f"00000000-0000-4000-8000-{self._boots:012d}\n")
            since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            self._since_boot_offset_s = _SINCE_BOOT_S - int(since_boot_s)

    def command(self, command: Sequence[object]) -> list[object]:
        """The command that starts a daemon in the present boot."""
        if not self._since_boot_offset_s:
            return list(command)
        return [
            *("unshare", "--time", "--boottime", str(self._since_boot_offset_s)),
            *command,
        ]

    def environment(self) -> dict[str, str]:
        """The variables that let a daemon have this clock."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset_file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def ended(self, pid: int) -> None:
        """A daemon has ended: remove what libfaketime left in the shared memory."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            Path("/dev/shm", name).unlink(missing_ok=True)  # noqa: S108  # a fixed name of a library

    @property
    def offset_s(self) -> float:
        """By how much the clock is ahead now."""
        return self._steps[-1][1]

    def readings_s(self, at_s: float, until_s: float) -> list[float]:
        """What the clock showed at ``at_s`` (monotonic), by each setting until ``until_s``."""
        before = [offset for step_s, offset in self._steps if step_s <= at_s][-1:]
        between = [offset for step_s, offset in self._steps if at_s < step_s <= until_s]
        return [self._true_s + at_s + offset for offset in (*before, *between)]

    def close(self) -> None:
        """Give the computer its own boot id again."""
        if not self.no_reboot:
            subprocess.run(["umount", _BOOT_ID], check=False)

    def _prepare_reboots(self) -> str:
        tried = ["unshare", "--time", "--boottime", "5", "true"]
        if subprocess.run(tried, check=False, capture_output=True).returncode:
            return "left out: the kernel has no time namespaces"
        self._boot_file.write_text(_BOOT_ID.read_text())
        mount = ["mount", "--bind", str(self._boot_file), str(_BOOT_ID)]
        mounted = subprocess.run(mount, check=False, capture_output=True)
        return "left out: the boot id cannot be replaced" if mounted.returncode else ""


def use_true_sleep() -> None:
    """In the daemon: let ``time.sleep`` work under libfaketime, and children have the true time.

    libfaketime refuses the absolute times with which Python sleeps.
    """
    if not os.environ.pop("LD_PRELOAD", ""):
        return

    def sleep(seconds: float | SupportsIndex) -> None:
        select.select([], [], [], float(seconds))

    time.sleep = sleep
