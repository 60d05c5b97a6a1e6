"""Raw PCM from a pipe: pieces of bytes to audio blocks."""

from __future__ import annotations

import numpy as np

from monitor.audio.channel_choice import Channel
from monitor.audio.channels import first_unsound, one_channel, unmixed
from monitor.domain import AudioBlock, FloatArray, SourceState
from monitor.sources.protocol import BACK, unavailable
from monitor.sources.settings import SampleFormat

_DTYPES: dict[SampleFormat, str] = {"s16le": "<i2", "s32le": "<i4", "f32le": "<f4"}
_SCALES: dict[SampleFormat, float] = {"s16le": 2.0**-15, "s32le": 2.0**-31, "f32le": 1.0}
_CLEAN_S = 1.0
"""How long the samples must be valid before they are used again."""


class PcmStream:
    """Bytes to blocks at ``sample_rate_hz``; integers become full scale +-1.

    A frame may be cut anywhere between two pieces. Samples that cannot be sound
    (NaN, infinity, far above full scale) make the stream unavailable until the samples
    were valid for a second. Until then, samples are counted and dropped.

    State: the bytes of an unfinished frame, the position, whether a gap lies
    before the next block, and how many samples are still to be dropped.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        channels: int,
        sample_format: SampleFormat,
        channel: Channel,
        first_sample: int = 0,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.next_sample = first_sample
        self._channels, self._channel = channels, channel
        self._dtype, self._scale = np.dtype(_DTYPES[sample_format]), _SCALES[sample_format]
        self.frame_bytes = channels * self._dtype.itemsize
        self._rest = b""
        self._gap = False
        self._to_drop = 0

    def push(self, data: bytes) -> list[AudioBlock | SourceState]:
        """The blocks and states from ``data``, none if it completes no frame."""
        data = self._rest + data if self._rest else data
        used = len(data) - len(data) % self.frame_bytes
        self._rest = data[used:]
        if not used:
            return []
        frames = self._decoded(data[:used])
        if first_unsound(frames) is not None:
            return self._refuse(len(frames))
        if self._to_drop:
            return self._regain(frames)
        return [self._block(frames)]

    def gap(self, lost_samples: int) -> None:
        """About this many samples were lost: drop the unfinished frame and begin again."""
        self._rest, self._to_drop = b"", 0
        self.leave_out(max(0, lost_samples))

    def leave_out(self, lost_samples: int) -> None:
        """About this many samples are missing here: an unfinished frame goes on behind them."""
        self._gap = True
        self.next_sample += lost_samples

    def skip(self, data: bytes) -> None:
        """Count samples that cannot be used; later ones keep their alignment."""
        self._rest += data
        n_frames, left = divmod(len(self._rest), self.frame_bytes)
        self._rest = self._rest[len(self._rest) - left :]
        self.next_sample += n_frames
        self._gap = True

    def _decoded(self, data: bytes) -> FloatArray:
        """Shape: ``(n_frames, n_channels)``."""
        values = np.frombuffer(data, dtype=self._dtype).reshape(-1, self._channels)
        samples = values.astype(np.float32)
        if self._scale != 1.0:
            samples *= np.float32(self._scale)
        return samples

    def _block(self, frames: FloatArray) -> AudioBlock:
        samples = one_channel(frames, self._channel)
        channels = unmixed(frames, self._channel)
        block = AudioBlock(
            samples, self.sample_rate_hz, self.next_sample, self._gap, unmixed=channels
        )
        self.next_sample += len(frames)
        self._gap = False
        return block

    def _refuse(self, n_frames: int) -> list[AudioBlock | SourceState]:
        known = self._to_drop > 0
        self._gap = True  # the unfinished frame is kept: without it, later samples are shifted
        self.next_sample += n_frames
        self._to_drop = max(1, round(_CLEAN_S * self.sample_rate_hz))
        detail = "samples that are NaN, infinite or far above full scale: check the sample format"
        return [] if known else [unavailable("not_finite", detail)]

    def _regain(self, frames: FloatArray) -> list[AudioBlock | SourceState]:
        dropped = min(len(frames), self._to_drop)
        self._to_drop -= dropped
        self.next_sample += dropped
        if self._to_drop:
            return []
        rest = frames[dropped:]
        return [BACK, self._block(rest)] if len(rest) else [BACK]
