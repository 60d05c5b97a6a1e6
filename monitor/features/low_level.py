"""The low level of each band: the level of the machine, without short sounds beside it.

A hammer beside a machine raises the mean level of every band. The tenth percentile over two
seconds does not change, because it ignores all sounds that are absent for a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.domain import FloatArray, LogMelWindow
from monitor.features.log_mel_spec import LogMelSpec

LOW_LEVEL_S = 2.0
_SHARE = 0.1
REMEMBERED_S = (1.0 - 2.0 * _SHARE) * LOW_LEVEL_S
"""How much longer a quiet piece shows in the low level than it lasts."""


def low_level_db(frames_db: FloatArray) -> FloatArray:
    """The tenth percentile of each band. Shape: ``(n_frames, n_bands)`` to ``(n_bands,)``."""
    index = int(_SHARE * len(frames_db))
    lowest: FloatArray = np.partition(frames_db, index, axis=0)[index]
    return lowest


class LowLevelStream:
    """Windows to low levels of the last two seconds, one for each window.

    State: the newest frames of the last windows, as many as two seconds have: ``_frames_db`` with
    the frames of a band side by side, the place of the oldest ones, and for how many windows there
    are some.
    """

    def __init__(self, spec: LogMelSpec, n_bands: int) -> None:
        self._hop = spec.window_hop_frames
        self._needed = max(1, round(LOW_LEVEL_S / spec.window_hop_s))
        self._frames_db = np.empty((n_bands, self._needed * self._hop), dtype=np.float32)
        self.reset()

    def reset(self) -> None:
        """Sound was lost: nothing may be joined across the gap."""
        self._oldest = self._n_windows = 0

    @property
    def is_complete(self) -> bool:
        """Whether the low level is that of two whole seconds."""
        return self._n_windows == self._needed

    def push(self, window: LogMelWindow) -> FloatArray | None:
        """The low levels at the end of this window, in dB; None before they are complete.

        Shape: ``(n_bands,)``.
        """
        n_bands, place = len(self._frames_db), self._oldest * self._hop
        self._frames_db[:, place : place + self._hop] = window.values_db[:n_bands, -self._hop :]
        self._oldest = (self._oldest + 1) % self._needed
        self._n_windows = min(self._n_windows + 1, self._needed)
        if not self.is_complete:
            return None
        index = int(_SHARE * self._frames_db.shape[1])
        lowest: FloatArray = np.partition(self._frames_db, index, axis=1)[:, index]
        return lowest


def low_levels_of(frames_db: FloatArray, spec: LogMelSpec, n_bands: int) -> Iterator[FloatArray]:
    """The complete low levels of a recording. Shape: ``(n_frames, n_mels)`` to ``(n_bands,)``."""
    stream = LowLevelStream(spec, n_bands)
    for start in range(0, len(frames_db) - spec.window_frames + 1, spec.window_hop_frames):
        window = LogMelWindow(frames_db[start : start + spec.window_frames].T, start, start)
        level_db = stream.push(window)
        if level_db is not None:
            yield level_db
