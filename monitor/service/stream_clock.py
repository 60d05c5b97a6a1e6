"""The time of a stream's samples: where the stream began plus index / rate."""

from __future__ import annotations

from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK, Clock


class StreamClock:
    """Gives the samples of one stream their time, which is never in the future.

    The first block sets the stream's start: its last sample was recorded when it arrived. The
    start is kept on a clock that does not step, so that the system clock may be set at any time.
    Later, four events move the start, in one step:

    - a block arrives earlier than its position gives, because the stream is faster than real time
      or the first block was late
    - blocks arrive later after a gap
    - the stream stays behind the clock, because it was paused or lost samples. (If a program was
      only busy, the stream does not stay behind)
    - the sampling clock of a stream in real time drifts against that of the system

    Sound of a recording whose start is known has the time of the recording.
    """

    MAX_LATE_S: ClassVar[float] = 2.0
    LATE_FOR_S: ClassVar[float] = 10.0
    DRIFT_PERIOD_S: ClassVar[float] = 600.0
    MAX_DRIFT: ClassVar[float] = 1e-3
    """A larger deviation from real time is not the drift of a sound card (at most 1e-4)."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._start_s: float | None = None
        self._late_since_s: float | None = None
        self._least_late_s = float("inf")
        self._period_end_s = 0.0
        self._period_start_s = 0.0
        self._least_offset_s = float("inf")
        self._recorded_start_unix_s: float | None = None

    def offset_s(self) -> float:
        """As ``Clock.offset_s``."""
        return self._clock.offset_s()

    def observe(
        self, end_s: float, *, after_gap: bool = False, recorded_start_unix_s: float | None = None
    ) -> float:
        """A block that ends ``end_s`` seconds into the stream arrives now.

        Returns how many seconds of sound must be missing although the source does not say so,
        because the stream stays behind the clock.

        ``recorded_start_unix_s``: the Unix time of position 0 by what the recording states.
        """
        self._recorded_start_unix_s = recorded_start_unix_s
        now_s = self._clock.steady_s()
        offset_s = now_s - end_s
        if self._start_s is None:
            self._begin(offset_s, end_s, now_s)
        elif offset_s - self._start_s > self.MAX_LATE_S:
            before_s = self._start_s
            is_real_time = end_s - self._period_end_s < now_s - self._period_start_s
            self._late(offset_s, end_s, now_s, after_gap=after_gap)
            return self._start_s - before_s if is_real_time and not after_gap else 0.0
        else:
            self._start_s = min(self._start_s, offset_s)
            self._late_since_s = None
            self._follow_drift(offset_s, end_s, now_s)
        return 0.0

    @property
    def is_recorded(self) -> bool:
        """Whether times come from the recording and not from the system clock."""
        return self._recorded_start_unix_s is not None

    def unix_s(self, position_s: float) -> float:
        """The Unix time of the sample ``position_s`` seconds into the stream.

        By the system clock as it is set now. Raises ``ValueError`` before the first block.
        """
        if self._start_s is None:
            raise ValueError("the stream has not begun")
        if self._recorded_start_unix_s is not None:
            return min(self._recorded_start_unix_s + position_s, self._clock.unix_s())
        return self._clock.unix_at(self._start_s + position_s)

    def _late(self, offset_s: float, end_s: float, now_s: float, *, after_gap: bool) -> None:
        if self._late_since_s is None:
            self._late_since_s = now_s
            self._least_late_s = float("inf")
        self._least_late_s = min(self._least_late_s, offset_s)
        if after_gap or now_s - self._late_since_s >= self.LATE_FOR_S:
            self._begin(self._least_late_s, end_s, now_s)

    def _follow_drift(self, offset_s: float, end_s: float, now_s: float) -> None:
        self._least_offset_s = min(self._least_offset_s, offset_s)
        elapsed_s = now_s - self._period_start_s
        if elapsed_s >= self.DRIFT_PERIOD_S:
            if abs((end_s - self._period_end_s) / elapsed_s - 1.0) < self.MAX_DRIFT:
                self._start_s = self._least_offset_s
            self._begin_period(end_s, now_s)

    def _begin(self, start_s: float, end_s: float, now_s: float) -> None:
        self._start_s = start_s
        self._late_since_s = None
        self._begin_period(end_s, now_s)

    def _begin_period(self, end_s: float, now_s: float) -> None:
        self._period_end_s = end_s
        self._period_start_s = now_s
        self._least_offset_s = float("inf")
