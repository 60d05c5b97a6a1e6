"""Any program that writes raw PCM to its standard output: ffmpeg, arecord, ..."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import PurePath

from monitor.backoff import Backoff
from monitor.sources.delivery_rate import DeliveryRate, wrong_rate
from monitor.sources.pcm import PcmStream
from monitor.sources.protocol import BACK, SourceItem, unavailable
from monitor.sources.sample_format import SampleFormatCheck
from monitor.sources.settings import CommandSettings
from monitor.sources.supervised_child import ChildEnded, SupervisedChild

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
        settings = self._settings
        stream = PcmStream(
            settings.sample_rate_hz, settings.channels, settings.sample_format, settings.channel
        )
        name = PurePath(settings.command[0]).name
        child = SupervisedChild(
            settings.command,
            name=name,
            timeout_s=settings.silence_timeout_s,
            backoff=Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S),
        )
        last_data_s: float | None = None
        down: ChildEnded | None = None
        rate, is_wrong = DeliveryRate(settings.sample_rate_hz), False
        check, is_misread = _format_check(settings), False
        held: list[SourceItem] = []
        for item in child.output(stop):
            if isinstance(item, ChildEnded):
                yield from held
                held, rate, is_wrong = [], DeliveryRate(settings.sample_rate_hz), False
                check, is_misread = _format_check(settings), False
                if item.exit_status == 0 and not settings.restart:
                    return
                if not item.repeats(down):
                    yield unavailable(item.reason, item.detail)
                down = item
                continue
            now_s = time.monotonic()
            if settings.realtime:
                rate.push(len(item) // stream.frame_bytes, now_s)
            if rate.ratio is not None:
                if not is_wrong:
                    detail = wrong_rate(settings, rate.ratio)
                    yield unavailable("wrong_rate", f"{name} {detail}")
                is_wrong, held = True, []
                continue
            check.push(item)
            if check.problem:
                if not is_misread:
                    yield unavailable("wrong_format", f"{name}: {check.problem}")
                is_misread, held, last_data_s = True, [], now_s
                stream.skip(item)
                continue
            if is_misread:
                is_misread = False
                yield BACK
            if down is not None:
                lost_s = now_s - last_data_s if last_data_s is not None else 0.0
                stream.gap(round(lost_s * settings.sample_rate_hz))
                down = None
                yield BACK
            last_data_s = now_s
            held += stream.push(item)
            if not rate.in_doubt:
                yield from held
                held = []


def _format_check(settings: CommandSettings) -> SampleFormatCheck:
    return SampleFormatCheck(settings.sample_format, settings.sample_rate_hz, settings.channels)
