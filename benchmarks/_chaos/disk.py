"""A small disk for the state of the daemon, which can be filled."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

INSIDE = "AUSCULT_CHAOS_INSIDE"
"""The variable that is set in a process with private mounts."""
_SIZE = "48m"


class SmallDisk:
    """A small file system, mounted at ``folder``. ``missing``: why it is not; empty if it is."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._filler = folder / "filler"
        self.missing = self._mount()

    def close(self) -> None:
        """Unmount it."""
        if not self.missing:
            subprocess.run(["umount", "--lazy", self._folder], check=False)

    def fill(self) -> bool:
        """Write until it is full; False where there is no small disk."""
        if self.missing:
            return False
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        return True

    def empty(self) -> None:
        """Remove what filled it."""
        self._filler.unlink(missing_ok=True)

    def _mount(self) -> str:
        if INSIDE not in os.environ:
            return "left out: only root can mount a small disk"
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(self._folder)]
        mounted = subprocess.run(command, check=False, capture_output=True)
        return "" if mounted.returncode == 0 else "left out: no small disk could be mounted"
