"""The channels behind the mean of a stereo source, and whether they cancel each other in it.

If one of two channels is inverted, their mean contains almost nothing of the sound.
"""

from __future__ import annotations

import numpy as np

from monitor.domain import FloatArray

CANCELLED = (
    "the channels cancel each other in their mean, because one is inverted: use one of them (in "
    '[machine.source] channel = 0; of a recording: ffmpeg -i IN.wav -af "pan=mono|c0=c0" OUT.wav), '
    "or correct the cable"
)
_CANCELLED = 1e-3
"""The most power of the mean, relative to the channels, at which they cancel each other."""
_KEPT = 2e-3
"""The least power at which they surely do not."""


class UnmixedCell:
    """The channels of one cell of samples, from blocks that begin and end anywhere.

    State: the channels of the unfinished cell (``_cell``), and those of the current block that
    were not taken yet (``_rest``); both None for a source of one channel.
    """

    def __init__(self) -> None:
        self._cell: FloatArray | None = None
        self._rest: FloatArray | None = None

    def begin(self, unmixed: FloatArray | None, cell_samples: int) -> None:
        """The channels of the next block follow. Shape: ``(n_samples, n_channels)``."""
        self._rest = unmixed
        shape = None if unmixed is None else (cell_samples, unmixed.shape[1])
        if shape is None:
            self._cell = None
        elif self._cell is None or self._cell.shape != shape:
            self._cell = np.zeros(shape, dtype=np.float32)

    def next(self, n_samples: int) -> FloatArray | None:
        """The channels of the next samples, which are not taken."""
        return None if self._rest is None else self._rest[:n_samples]

    def skip(self, n_samples: int) -> None:
        """Take samples that are a whole cell."""
        self._rest = None if self._rest is None else self._rest[n_samples:]

    def take(self, n_samples: int, at: int) -> FloatArray | None:
        """Take the next samples, which belong at ``at`` in the cell: its channels."""
        part = self.next(n_samples)
        self.skip(n_samples)
        if part is None or self._cell is None or len(part) == len(self._cell):
            return part
        self._cell[at : at + n_samples] = part
        return self._cell


def surely_kept(power: float, channels: FloatArray | None) -> bool:
    """Whether one sum shows that the channels do not cancel each other.

    ``power``: of their mean, without its offset. Shape: ``(n_samples, n_channels)``.
    """
    if channels is None:
        return True
    flat = np.ascontiguousarray(channels).reshape(-1)
    return power >= _KEPT * float(np.dot(flat, flat)) / len(flat)


def cancellation(power: float, channels: FloatArray | None, least_dbfs: float) -> tuple[bool, bool]:
    """Whether the channels cancel each other, and whether they surely do not.

    ``power``, ``channels``: as in :func:`surely_kept`. Channels below ``least_dbfs`` are silent.
    """
    if channels is None:
        return False, True
    of_channels = float(channels.var(axis=0, dtype=np.float64).mean())
    is_silent = of_channels < 10.0 ** (least_dbfs / 10.0)
    return not is_silent and power < _CANCELLED * of_channels, power >= _KEPT * of_channels
