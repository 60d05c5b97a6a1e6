"""Any program that writes raw PCM to its standard output: ffmpeg, arecord, ..."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from pathlib import PurePath

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

    def ended(self, end: ChildEnded) -> Iterator[SourceItem]:
        """The program has ended."""
        yield from self._held
        self._begin()
        if end.repeats(self._down):
            self._down = end
        elif end.exit_status != 0 or self._settings.restart:
            yield unavailable(end.reason, end.detail)
            self._down = end

    def data(self, data: bytes, *, has_filled_pipe: bool = False) -> Iterator[SourceItem]:
        """The program has written something."""
        settings, stream, now_s = self._settings, self._stream, time.monotonic()
        if has_filled_pipe:
            self._rate.interrupt()
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


def _format_check(settings: CommandSettings) -> SampleFormatCheck:
    return SampleFormatCheck(settings.sample_format, settings.sample_rate_hz, settings.channels)
