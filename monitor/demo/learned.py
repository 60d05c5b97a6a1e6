"""The recordings of the demo as the sound that a machine was learned from.

With them, the machine can be relearned at once. A machine that the daemon has learned itself has
such pieces after some hours.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import soundfile

from monitor.clock import rfc3339
from monitor.learning.collector import level_dbfs
from monitor.learning.journal import folder_of
from monitor.learning.pieces import Piece, PieceStore

STATE = "state"
"""The folder of the daemon's state, beside its configuration."""


def keep_as_learned(recordings: Path, out: Path, machine: str) -> None:
    """Copy healthy recordings to the pieces of a machine of the daemon in ``out``.

    Raises ``OSError`` when the disk does not take them.
    """
    store = PieceStore(folder_of(out / STATE, machine))
    heard_s = 0.0
    for number, path in enumerate(sorted(recordings.glob("*.flac"))):
        samples, sample_rate_hz = soundfile.read(path, dtype="float32")
        seconds = len(samples) / sample_rate_hz
        piece = Piece(
            name=f"demo-{number:02d}.flac",
            recorded_at=rfc3339(time.time()),
            heard_s=heard_s,
            day=0,
            hour=time.localtime().tm_hour,
            kind="running",
            level_dbfs=round(level_dbfs(np.asarray(samples)), 1),
            seconds=seconds,
        )
        store.add(samples, sample_rate_hz, piece)
        heard_s += seconds
