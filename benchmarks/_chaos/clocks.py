"""The wall clock of the daemon, which is set while it runs and while it does not run.

The daemon is a Python program, so its wall clock is ``time.time``. This is replaced before the
daemon is imported. Its monotonic clocks stay true, as on a computer whose time is set. A reboot
gives the daemon another boot id and a time since boot that begins again; both need root.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OFFSET_FILE = "clock-offset"
_OFFSET = struct.Struct("=d")
_SINCE_BOOT_S = 5


class WallClock:
    """What the daemon takes for the time of day.

    ``no_reboot``: why the computer cannot be started again; empty if it is possible.
    """

    def __init__(self, folder: Path, *, private_mounts: bool) -> None:
        self._offset_file = os.open(folder / _OFFSET_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        self._boot_file = folder / "boot-id"
        self._true_s = time.time() - time.monotonic()
        self._steps: list[tuple[float, float]] = []
        self._boots = 0
        self._since_boot_offset_s = 0
        self.no_reboot = self._prepare_reboots() if private_mounts else "left out: only root can"
        self.set(0.0)

    def set(self, offset_s: float) -> None:
        """The clock is ``offset_s`` ahead of the true time from now on."""
        os.pwrite(self._offset_file, _OFFSET.pack(offset_s), 0)
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
        os.close(self._offset_file)
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


def use_clock(folder: Path) -> None:
    """In the daemon: let ``time.time`` show the clock that is set in ``folder``."""
    with (folder / _OFFSET_FILE).open("rb") as file:
        offset = mmap.mmap(file.fileno(), _OFFSET.size, prot=mmap.PROT_READ)
    true_time_s = time.time

    def time_s() -> float:
        return true_time_s() + float(_OFFSET.unpack_from(offset)[0])

    time.time = time_s
    time.time_ns = lambda: int(time_s() * 1e9)
