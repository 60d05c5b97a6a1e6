"""What one machine shows to those who look at it now. Nobody looks: nothing is computed."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from monitor.audio.level import LevelMeter
from monitor.domain import AudioBlock, FloatArray, LogMelBlock, LogMelWindow, block_times_s
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.mel_filterbank import band_corners_hz
from monitor.live.layout import CLIPPING, QUIET, SCORED, Layout
from monitor.live.own_frames import OwnFrames
from monitor.live.writer import RingWriter

log = logging.getLogger(__name__)

Reconstruct = Callable[[FloatArray], FloatArray]
"""A window in dB to its reconstruction, both ``(n_mels, n_frames)``."""

_MOST_COLUMN_HZ = 8.0
_SHOWN_S = 64.0
_FULL_SCALE = 0.999
_QUIET_DBFS = -75.0
"""The quietest microphones that worked were at -68 dBFS."""
_MARGIN_DB = 15.0
_LEAST_RANGE_DB = 60.0
_SATURATED_SHARE = 0.1
_RESIDUAL_DB = 20.0
_WITHOUT_WINDOW_S = 3.0
_UNBUNDLED = LogMelSpec(n_mels=64, hop_length=1024)
"""Frames without overlap: a column is the mean of several in any case."""


@dataclass(slots=True)
class _Now:
    """What is collected for the next columns.

    ``waiting``: frames, ``(n_frames, n_mels)``, that are not a whole column yet.
    """

    level: LevelMeter = field(default_factory=LevelMeter)
    level_dbfs: float | None = None
    ratio: float | None = None
    is_clipped: bool = False
    without_window_s: float = 0.0
    own: OwnFrames | None = None
    waiting: FloatArray | None = None


class LiveFeed:
    """One machine. ``watch`` may be called from any thread, everything else from its own."""

    LONGEST_WATCH_S: ClassVar[float] = 60.0
    PAUSE_AFTER_ERROR_S: ClassVar[float] = 30.0

    def __init__(self, machine: str, path: Path) -> None:
        """``path``: of the ring. It exists while somebody looks."""
        self._machine = machine
        self.path = path
        self._guard = threading.Lock()
        self._until_s = 0.0
        self._pause_until_s = 0.0
        self._writer: RingWriter | None = None
        self._now = _Now()
        self.use(None, "", None)

    def watch(self, for_s: float) -> None:
        """Somebody looks for the next ``for_s`` seconds."""
        with self._guard:
            self._until_s = time.monotonic() + min(for_s, self.LONGEST_WATCH_S)

    def use(self, spec: LogMelSpec | None, sha256: str, reconstruct: Reconstruct | None) -> None:
        """The bundle from now on; ``spec`` is None without one."""
        self._has_bundle = spec is not None
        self._spec, self._sha256 = spec or _UNBUNDLED, sha256
        self._group = _group_of(self._spec)
        self._reconstruct = reconstruct
        self.end()

    @property
    def is_watched(self) -> bool:
        """Whether ``push`` is needed. Cheap."""
        now_s = time.monotonic()
        if now_s >= self._until_s:
            if self._writer is not None:
                self.end()
            return False
        return now_s >= self._pause_until_s

    def push(
        self,
        block: AudioBlock | LogMelBlock,
        windows: Sequence[LogMelWindow],
        *,
        ratio: float | None,
        scored: bool,
    ) -> None:
        """A block was processed. ``windows``: those that it has completed.

        If none come for some seconds, the sound is transformed here: also sound that cannot be
        scored must be seen, to place a microphone. ``ratio``: the newest one, None without a new
        one. Raises nothing: a fault here must not end the monitoring.
        """
        try:
            self._push(block, windows, ratio=ratio, scored=scored)
        except OSError as error:
            log.warning("the live view is not written: %s", error, extra={"machine": self._machine})
            self._pause()
        except Exception:  # a bug here must not end the monitoring
            log.exception("internal error in the live view", extra={"machine": self._machine})
            self._pause()

    def end(self) -> None:
        """Nothing more comes, or nobody looks any more."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        self._now = _Now()

    def _push(
        self,
        block: AudioBlock | LogMelBlock,
        windows: Sequence[LogMelWindow],
        *,
        ratio: float | None,
        scored: bool,
    ) -> None:
        now = self._now
        if isinstance(block, AudioBlock):
            now.level.push(block.samples)
            highest = max(block.samples.max(initial=0.0), -block.samples.min(initial=0.0))
            if highest >= _FULL_SCALE:
                now.is_clipped = True
        now.ratio = ratio if ratio is not None else now.ratio
        start_s, end_s = block_times_s(block, self._spec.frame_rate_hz)
        now.without_window_s += end_s - start_s
        if windows:
            now.own, now.without_window_s = None, 0.0
            hop = self._spec.window_hop_frames
            for window in windows:
                expected = self._reconstruct(window.values_db) if self._reconstruct else None
                newest = window.values_db[:, -hop:]
                self._show(newest, expected[:, -hop:] if expected is not None else None, scored)
        elif isinstance(block, AudioBlock) and (
            not self._has_bundle or now.without_window_s >= _WITHOUT_WINDOW_S
        ):
            self._show_own(block)

    def _show_own(self, block: AudioBlock) -> None:
        """Transform a block that the pipeline has not transformed."""
        now = self._now
        if now.own is None:
            now.own, now.waiting = OwnFrames(self._spec), None
        frames = now.own.push(block)
        if frames is None:
            return
        waiting = frames if now.waiting is None else np.concatenate((now.waiting, frames))
        usable = len(waiting) - len(waiting) % self._group
        if usable:
            self._show(waiting[:usable].T, None, scored=False)
        now.waiting = waiting[usable:]

    def _show(self, frames_db: FloatArray, expected_db: FloatArray | None, scored: bool) -> None:
        """Write frames as columns. Shape: ``(n_mels, n_frames)``."""
        now = self._now
        columns_db = _averaged(frames_db, self._group)
        writer = self._fitting(columns_db)
        level_dbfs = now.level.read_dbfs()
        if level_dbfs is not None:
            now.level_dbfs = level_dbfs
        is_quiet = now.level_dbfs is not None and now.level_dbfs < _QUIET_DBFS
        writer.write(
            columns_db,
            _averaged(expected_db, self._group) if expected_db is not None else None,
            level_dbfs=now.level_dbfs,
            ratio=now.ratio if scored else None,
            flags=(SCORED * scored) | (CLIPPING * now.is_clipped) | (QUIET * is_quiet),
        )
        now.is_clipped = False

    def _fitting(self, columns_db: FloatArray) -> RingWriter:
        """The ring; a new one with a wider scale if many values are outside of it."""
        writer, spec = self._writer, self._spec
        low_db, high_db = float(np.min(columns_db)), float(np.max(columns_db))
        if writer is not None:
            layout = writer.layout
            if low_db >= layout.low_db and high_db <= layout.high_db:
                return writer
            outside = (columns_db < layout.low_db) | (columns_db > layout.high_db)
            if float(np.mean(outside)) <= _SATURATED_SHARE:
                return writer
            low_db = min(low_db, layout.low_db + _MARGIN_DB)
            high_db = max(high_db, layout.high_db - _MARGIN_DB)
            writer.close()
        column_hz = spec.frame_rate_hz / self._group
        corners = band_corners_hz(spec.f_min_hz, spec.f_max_hz, spec.n_mels)
        layout = Layout(
            n_columns=math.ceil(_SHOWN_S * column_hz),
            column_hz=column_hz,
            sample_rate_hz=float(spec.sample_rate_hz),
            low_db=min(low_db, high_db - _LEAST_RANGE_DB) - _MARGIN_DB,
            high_db=high_db + _MARGIN_DB,
            residual_db=_RESIDUAL_DB,
            mel_hz=tuple(corners[1:-1].tolist()),
            bundle_sha256=self._sha256,
        )
        self._writer = RingWriter(self.path, layout)
        return self._writer

    def _pause(self) -> None:
        self.end()
        self._pause_until_s = time.monotonic() + self.PAUSE_AFTER_ERROR_S


def _group_of(spec: LogMelSpec) -> int:
    """How many frames become one column: as few as possible, and a part of a hop."""
    hop = spec.window_hop_frames
    parts = (n for n in range(1, hop + 1) if hop % n == 0)
    return next((n for n in parts if spec.frame_rate_hz / n <= _MOST_COLUMN_HZ), hop)


def _averaged(frames_db: FloatArray, group: int) -> FloatArray:
    """The mean of each ``group`` frames. Shape: ``(n_mels, n)`` to ``(n_mels, n // group)``."""
    means: FloatArray = frames_db.reshape(len(frames_db), -1, group).mean(axis=2)
    return means
