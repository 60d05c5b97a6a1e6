"""Wall time of a stream's samples: where the stream began plus index / rate."""

from __future__ import annotations

from typing import ClassVar


class StreamClock:
    """Gives the samples of one stream their wall time.

    The first block sets the stream's start: its last sample was recorded when it
    arrived. Later, three events move the start, in one step: a gap after which blocks
    arrive later than their positions give; a stream that stays behind the clock, because
    it was paused or lost samples (a program that was busy catches up again); and, for a
    stream in real time, a sampling clock that drifts against the system's. A stream that
    is faster than real time, such as a file, keeps its start.
    """

    MAX_LATE_S: ClassVar[float] = 2.0
    LATE_FOR_S: ClassVar[float] = 10.0
    DRIFT_PERIOD_S: ClassVar[float] = 600.0
    MAX_DRIFT: ClassVar[float] = 1e-3
    """A larger deviation from real time is not the drift of a sound card (at most 1e-4)."""

    def __init__(self) -> None:
        self._start_unix_s: float | None = None
        self._late_since_unix_s: float | None = None
        self._least_late_s = float("inf")
        self._period_end_s = 0.0
        self._period_unix_s = 0.0
        self._least_offset_s = float("inf")

    def observe(self, end_s: float, now_unix_s: float, *, after_gap: bool = False) -> None:
        """A block that ends ``end_s`` seconds into the stream arrived at ``now_unix_s``."""
        offset_s = now_unix_s - end_s
        if self._start_unix_s is None:
            self._begin(offset_s, end_s, now_unix_s)
        elif offset_s - self._start_unix_s > self.MAX_LATE_S:
            self._late(offset_s, end_s, now_unix_s, after_gap=after_gap)
        else:
            self._late_since_unix_s = None
            self._follow_drift(offset_s, end_s, now_unix_s)

    def _late(self, offset_s: float, end_s: float, now_unix_s: float, *, after_gap: bool) -> None:
        if self._late_since_unix_s is None:
            self._late_since_unix_s = now_unix_s
            self._least_late_s = float("inf")
        self._least_late_s = min(self._least_late_s, offset_s)
        if after_gap or now_unix_s - self._late_since_unix_s >= self.LATE_FOR_S:
            self._begin(self._least_late_s, end_s, now_unix_s)

    def _follow_drift(self, offset_s: float, end_s: float, now_unix_s: float) -> None:
        self._least_offset_s = min(self._least_offset_s, offset_s)
        elapsed_s = now_unix_s - self._period_unix_s
        if elapsed_s < 0:  # the system's clock was set back: measure again
            self._begin_period(end_s, now_unix_s)
        elif elapsed_s >= self.DRIFT_PERIOD_S:
            if abs((end_s - self._period_end_s) / elapsed_s - 1.0) < self.MAX_DRIFT:
                self._start_unix_s = self._least_offset_s
            self._begin_period(end_s, now_unix_s)

    def _begin(self, start_unix_s: float, end_s: float, now_unix_s: float) -> None:
        self._start_unix_s = start_unix_s
        self._late_since_unix_s = None
        self._begin_period(end_s, now_unix_s)

    def unix_s(self, position_s: float) -> float:
        """The wall time of the sample ``position_s`` seconds into the stream.

        Raises ``ValueError`` before the first block.
        """
        if self._start_unix_s is None:
            raise ValueError("the stream has not begun")
        return self._start_unix_s + position_s

    def _begin_period(self, end_s: float, now_unix_s: float) -> None:
        self._period_end_s = end_s
        self._period_unix_s = now_unix_s
        self._least_offset_s = float("inf")
