"""Does a program deliver as many samples a second as its configuration states?

Sound at twice its rate, or stereo read as mono, is not the sound that the bundle was trained on.
The clock shows the difference: a microphone or a live stream delivers one second of sound in a
second.
"""

from __future__ import annotations

import math

from monitor.sources.settings import CommandSettings

STANDARD_RATES_HZ = (
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000
)  # fmt: skip
_LIKELY_RATIOS = frozenset({2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 4 / 3, 3 / 2})
"""Of channels, and of samples of 2, 3 and 4 bytes."""
_SETTLE_S = 1.0
_INTERVAL_S = 2.0
_GIVE_UP_S = 60.0
_TOLERANCE = 0.03
_HOLD_S = _SETTLE_S + 2 * _INTERVAL_S + 1.0
_AHEAD_S = 1.0
_NOT_REAL_TIME = 8.0


class DeliveryRate:
    """Counts the samples of one run of a program against the clock.

    After a second, in which a program may deliver what it had collected, two intervals of two
    seconds must agree. A program that is not in real time or delivers in bursts is irregular or
    much faster. It is not reported.

    State: when the first data came, since when samples are counted and how many there were, the
    interval that is being measured, the ratio of the last interval.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._first_s: float | None = None
        self._begin_s: float | None = None
        self._samples = 0
        self._interval: tuple[float, int] | None = None
        self._before: float | None = None
        self._elapsed_s = 0.0
        self.ratio: float | None = None
        """Delivered over stated samples a second, where they differ; None where they do not."""

    def push(self, n_samples: int, now_s: float) -> None:
        """So many samples of a channel came at the monotonic time ``now_s``."""
        if self._first_s is None:
            self._first_s = now_s
        if self._begin_s is None:  # these were collected before the clock began
            self._begin_s = now_s
            return
        self._samples += n_samples
        self._elapsed_s = now_s - self._begin_s
        is_over = now_s - self._first_s > _GIVE_UP_S
        if self.ratio is not None or self._elapsed_s < _SETTLE_S or is_over:
            return
        if self._interval is None:
            self._interval = (now_s, self._samples)
            return
        start_s, start_samples = self._interval
        if now_s - start_s < _INTERVAL_S:
            return
        ratio = (self._samples - start_samples) / (now_s - start_s) / self._rate_hz
        if self._before is not None and _agree(self._before, ratio, self._rate_hz):
            self.ratio = (self._before + ratio) / 2
        self._before, self._interval = ratio, (now_s, self._samples)

    def interrupt(self) -> None:
        """The program had to wait, or has lost sound: what came so far does not show its rate."""
        self._begin_s = self._interval = self._before = None
        self._samples, self._elapsed_s = 0, 0.0

    @property
    def in_doubt(self) -> bool:
        """Whether sound should wait: it comes too early, and the rate is not known yet."""
        if self.ratio is not None or not 0.0 < self._elapsed_s < _HOLD_S:
            return False
        delivered_s = self._samples / self._rate_hz
        is_fast = delivered_s > _NOT_REAL_TIME * max(self._elapsed_s, _SETTLE_S)
        return delivered_s > self._elapsed_s + _AHEAD_S and not is_fast


def wrong_rate(settings: CommandSettings, ratio: float) -> str:
    """The message for a program at ``ratio`` times the stated rate, with the settings to change."""
    stated_hz = settings.sample_rate_hz
    rate_hz = _nearest_rate(ratio * stated_hz)
    advice = f"set sample_rate_hz = {rate_hz}"
    channels = ratio * settings.channels
    if abs(channels - round(channels)) < _TOLERANCE * channels and round(channels) >= 1:
        n = round(channels)
        names = {1: "mono", 2: "stereo"}
        advice += f", or channels = {n}" + (f" if the sound is {names[n]}" if n in names else "")
    advice += _other_sample_size(2 if settings.sample_format == "s16le" else 4, ratio)
    return f"delivers about {rate_hz} samples a second, {stated_hz} are stated: {advice}"


def _other_sample_size(stated: int, ratio: float) -> str:
    """What to change if the program writes samples of 1 to 4 bytes, but not as many as stated."""
    size = round(ratio * stated)
    if size == stated or not 1 <= size <= 4 or not _near(ratio * stated, size):
        return ""
    if size == 2:
        return ', or sample_format = "s16le" for samples of 2 bytes'
    if size == 4:
        return ', or sample_format = "s32le" or "f32le" for samples of 4 bytes'
    return f", or let the program write samples of {stated} bytes instead of {size}"


def _nearest_rate(rate_hz: float) -> int:
    nearest = min(STANDARD_RATES_HZ, key=lambda one: abs(math.log(one / rate_hz)))
    return nearest if _near(nearest, rate_hz) else max(1, round(rate_hz / 100) * 100)


def _agree(one: float, other: float, rate_hz: int) -> bool:
    """Whether two ratios are those of one wrong setting."""
    likely = {standard_hz / rate_hz for standard_hz in STANDARD_RATES_HZ}
    likely |= _LIKELY_RATIOS | {1.0 / ratio for ratio in _LIKELY_RATIOS}
    return any(
        _near(one, ratio) and _near(other, ratio)
        for ratio in likely
        if ratio <= _NOT_REAL_TIME and not _near(ratio, 1.0)
    )


def _near(one: float, other: float) -> bool:
    return abs(one / other - 1.0) <= _TOLERANCE if other else False
