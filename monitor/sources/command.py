"""Any program that writes raw PCM to its standard output: ffmpeg, arecord, ..."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from pathlib import PurePath
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.sources.delivery_rate import DeliveryRate, wrong_rate
from monitor.sources.pcm import PcmStream
from monitor.sources.protocol import BACK, SourceItem, unavailable
from monitor.sources.sample_format import SampleFormatCheck
from monitor.sources.settings import CommandSettings
from monitor.sources.supervised_child import ChildEnded, SupervisedChild
from monitor.sources.waiting import Steps, Wait, blocking

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class CommandSource:
    """The sound from a program, which is started again when it ends or hangs.

    Lost samples are counted by the clock. With ``restart = false`` the stream ends
    when the program ends with status 0. A program that does not deliver at the stated
    rate is unavailable with the reason ``wrong_rate``, and one whose samples have another
    format with the reason ``wrong_format``.
    """

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self.sample_rate_hz: int | None = settings.sample_rate_hz
        self.data_timeout_s = settings.silence_timeout_s

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """See ``Source``."""
        return blocking(self.steps(), stop)

    def steps(self) -> Steps[SourceItem]:
        """See ``SteppedSource``."""
        settings = self._settings
        output = _Output(settings)
        child = SupervisedChild(
            settings.command,
            name=PurePath(settings.command[0]).name,
            timeout_s=settings.silence_timeout_s,
            backoff=Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S),
            bytes_per_s=settings.sample_rate_hz * output.frame_bytes,
        )
        for item in child.steps():
            if isinstance(item, Wait):
                yield item
            elif not isinstance(item, ChildEnded):
                yield from output.data(item, has_filled_pipe=child.has_filled_pipe(item))
            else:
                yield from output.ended(item)
                if item.exit_status == 0 and not settings.restart:
                    return


class _Output:
    """The output of a program as sound.

    State: how fast it came and whether it has the stated format since the program began, what
    waits until that is known, and how the last program ended, until there is sound again.
    """

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self._name = PurePath(settings.command[0]).name
        self._stream = PcmStream(
            settings.sample_rate_hz, settings.channels, settings.sample_format, settings.channel
        )
        self.frame_bytes = self._stream.frame_bytes
        self._last_data_s: float | None = None
        self._down: ChildEnded | None = None
        self._begin()

    def _begin(self) -> None:
        settings = self._settings
        self._rate, self._is_wrong = DeliveryRate(settings.sample_rate_hz), False
        self._check, self._is_misread = _format_check(settings), False
        self._held: list[SourceItem] = []
        self._full: _FullPipe | None = None

    def ended(self, end: ChildEnded) -> Iterator[SourceItem]:
        """The program has ended."""
        if self._full is not None:
            data, self._full = self._full.rest, None
            yield from self.data(data)
        yield from self._held
        self._begin()
        if end.repeats(self._down):
            self._down = end
        elif end.exit_status != 0 or self._settings.restart:
            yield unavailable(end.reason, end.detail)
            self._down = end

    def data(self, data: bytes, *, has_filled_pipe: bool = False) -> Iterator[SourceItem]:
        """The program has written something."""
        now_s, rate_hz = time.monotonic(), self._settings.sample_rate_hz
        if self._full is not None:
            if not self._full.push(data, now_s):
                return
            data = self._full.rest
            if lost_s := self._full.lost_s(now_s):
                self._stream.leave_out(round(lost_s * rate_hz))
            self._full = None
        if has_filled_pipe:
            self._rate.interrupt()
            if self._settings.realtime and self._last_data_s is not None and self._down is None:
                bytes_per_s = rate_hz * self.frame_bytes
                self._full = _FullPipe(self._last_data_s, len(data), now_s, bytes_per_s)
        yield from self._checked(data, now_s)

    def _checked(self, data: bytes, now_s: float) -> Iterator[SourceItem]:
        """Sound, if rate and format are those that are stated."""
        settings, stream = self._settings, self._stream
        if settings.realtime:
            self._rate.push(len(data) // stream.frame_bytes, now_s)
        if self._rate.ratio is not None:
            if not self._is_wrong:
                detail = wrong_rate(settings, self._rate.ratio)
                yield unavailable("wrong_rate", f"{self._name} {detail}")
            self._is_wrong, self._held = True, []
            return
        self._check.push(data)
        if self._check.problem:
            if not self._is_misread:
                yield unavailable("wrong_format", f"{self._name}: {self._check.problem}")
            self._is_misread, self._held, self._last_data_s = True, [], now_s
            stream.skip(data)
            return
        if self._is_misread:
            self._is_misread = False
            yield BACK
        if self._down is not None:
            lost_s = now_s - self._last_data_s if self._last_data_s is not None else 0.0
            stream.gap(round(lost_s * settings.sample_rate_hz))
            self._down = None
            yield BACK
        self._last_data_s = now_s
        self._held += stream.push(data)
        if not self._rate.in_doubt:
            held, self._held = self._held, []
            yield from held


class _FullPipe:
    """What comes after a pipe was full, until it is known whether the program has lost sound.

    A program that kept the sound writes it at once. One in bursts had nothing to write before.
    """

    SETTLE_S: ClassVar[float] = 0.1
    LEAST_LOST_S: ClassVar[float] = 0.2

    def __init__(self, since_s: float, n_bytes: int, now_s: float, bytes_per_s: int) -> None:
        """So many bytes filled the pipe since the monotonic time ``since_s``."""
        self._since_s, self._n_bytes, self._full_s = since_s, n_bytes, now_s
        self._bytes_per_s = bytes_per_s
        self.rest = b""
        """What has come since."""

    def push(self, data: bytes, now_s: float) -> bool:
        """The next data; whether it is known now."""
        self.rest += data
        return now_s - self._full_s >= self.SETTLE_S or not self.lost_s(now_s)

    def lost_s(self, now_s: float) -> float:
        """How much sound was lost before ``rest``; 0 for none."""
        lost_s = now_s - self._since_s - (self._n_bytes + len(self.rest)) / self._bytes_per_s
        return lost_s if lost_s > self.LEAST_LOST_S else 0.0


def _format_check(settings: CommandSettings) -> SampleFormatCheck:
    return SampleFormatCheck(settings.sample_format, settings.sample_rate_hz, settings.channels)
