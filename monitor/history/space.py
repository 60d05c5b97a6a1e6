"""How much of the disk the history leaves to others, above all to the outbox."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_RESERVE_BYTES = 64 << 20
_LARGEST_SHARE = 0.1
_SHARE_FOR_ALERTS = 0.25


class Space(NamedTuple):
    """What may be written. ``trouble``: why not everything, in one line; empty otherwise."""

    for_alerts: bool
    for_all: bool
    trouble: str


def space_at(folder: Path) -> Space:
    """What may be written on the disk of a folder. Raises ``OSError``.

    Minutes and events leave 64 MB free, or a tenth of a small disk. Alerts leave a quarter of that.
    """
    disk = os.statvfs(folder)
    free_bytes = disk.f_bavail * disk.f_frsize
    reserve_bytes = min(_RESERVE_BYTES, _LARGEST_SHARE * disk.f_blocks * disk.f_frsize)
    if free_bytes >= reserve_bytes:
        return Space(True, True, "")
    trouble = f"less than {reserve_bytes / 1e6:.1f} MB are free on the disk"
    return Space(free_bytes >= _SHARE_FOR_ALERTS * reserve_bytes, False, trouble)
