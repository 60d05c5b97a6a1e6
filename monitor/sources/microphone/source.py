"""A microphone that may be unplugged and plugged in again."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

from monitor.backoff import Backoff
from monitor.sources.microphone.capture_format import CaptureDecoder, CaptureHeader, CaptureRecord
from monitor.sources.pcm import PcmStream
from monitor.sources.protocol import BACK, SourceItem, unavailable
from monitor.sources.settings import MicrophoneSettings
from monitor.sources.supervised_child import ChildEnded, SupervisedChild
from monitor.sources.waiting import Steps, Wait, blocking

log = logging.getLogger(__name__)

_CHILD = Path(__file__).with_name("child.py")
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0
_START_TIMEOUT_S = 15.0
_REASONS = {"exited": "disconnected", "stalled": "stalled", "not_started": "not_started"}


class MicrophoneSource:
    """The sound of a microphone, from a child process that is started again when it fails.

    If no rate is configured, a microphone that returns may have another rate. Samples
    that the driver dropped are counted by the clock.
    """

    def __init__(self, settings: MicrophoneSettings) -> None:
        self._settings = settings
        self.data_timeout_s = max(_START_TIMEOUT_S, settings.stall_timeout_s)
        self._stream: PcmStream | None = None
        self._read_s: float | None = None
        self._gap = False
        self.device = ""
        """The name of the device that is open or was open last."""

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate of the blocks, ``None`` until the device is open."""
        return self._stream.sample_rate_hz if self._stream else self._settings.sample_rate_hz

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """See ``Source``."""
        return blocking(self.steps(), stop)

    def steps(self) -> Steps[SourceItem]:
        """See ``SteppedSource``."""
        self._stream, self._read_s, self._gap = None, None, False
        decoder = CaptureDecoder()
        down: ChildEnded | None = None
        for item in self._child().steps():
            if isinstance(item, Wait):
                yield item
                continue
            if isinstance(item, ChildEnded):
                decoder, self._gap = CaptureDecoder(), True
                if not item.repeats(down):
                    yield unavailable(_REASONS[item.reason], item.detail)
                down = item
                continue
            for part in decoder.push(item):
                if isinstance(part, CaptureHeader):
                    self._begin(part)
                    continue
                if down is not None:
                    down = None
                    yield BACK
                yield from self._blocks_of(part)

    def _child(self) -> SupervisedChild:
        settings = self._settings
        wanted = settings.model_dump(include={"device", "sample_rate_hz", "channels", "block_s"})
        # The file and not its package, which would load much more.
        return SupervisedChild(
            [sys.executable, "-P", str(_CHILD), json.dumps(wanted)],
            name="the microphone's reader",
            timeout_s=settings.stall_timeout_s,
            first_timeout_s=self.data_timeout_s,
            backoff=Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S),
            quoted_lines=1,
        )

    def _begin(self, header: CaptureHeader) -> None:
        if header.device != self.device:
            log.info("recording from %s at %d Hz", header.device, header.sample_rate_hz)
        self.device = header.device
        old = self._stream
        if old is not None and old.sample_rate_hz == header.sample_rate_hz:
            return
        first = -(-old.next_sample * header.sample_rate_hz // old.sample_rate_hz) if old else 0
        self._stream = PcmStream(
            header.sample_rate_hz, header.channels, "f32le", self._settings.channel, first
        )

    def _blocks_of(self, record: CaptureRecord) -> Iterator[SourceItem]:
        stream = self._stream
        if stream is None:  # the decoder gives the header first
            return
        if record.lost or self._gap:
            passed_s = record.read_s - self._read_s if self._read_s is not None else 0.0
            n_frames = len(record.samples) // stream.frame_bytes
            stream.gap(round(passed_s * stream.sample_rate_hz) - n_frames)
            self._gap = False
        self._read_s = record.read_s
        yield from stream.push(record.samples)
