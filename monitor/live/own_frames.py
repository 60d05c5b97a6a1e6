"""Log-mel frames of sound that the pipeline does not transform: before there is a bundle, or while
the microphone is silent or overdriven."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.audio.resampling import StreamResampler
from monitor.domain import AudioBlock, FloatArray
from monitor.errors import SourceFault
from monitor.features.log_mel_frames import FrameStream
from monitor.features.log_mel_spec import LogMelSpec

_COLLECT_S = 0.5
"""Fewer and larger products take half the time."""


class OwnFrames:
    """A stream of its own. It may begin and end in the middle of the sound."""

    def __init__(self, spec: LogMelSpec) -> None:
        self._spec = spec
        self.reset()

    def reset(self) -> None:
        """Forget the sound before the next block."""
        self._frames = FrameStream(self._spec)
        self._resampler = StreamResampler(self._spec.sample_rate_hz)
        self._rate_hz = 0
        self._waiting: list[AudioBlock] = []

    def push(self, block: AudioBlock) -> FloatArray | None:
        """New frames, ``(n_frames, n_mels)``; None without any."""
        if self._rate_hz != block.sample_rate_hz or block.discontinuous:
            self.reset()
            self._rate_hz = block.sample_rate_hz
        self._waiting.append(block)
        if block.end_s - self._waiting[0].start_s < _COLLECT_S:
            return None
        first, samples = self._waiting[0], [one.samples for one in self._waiting]
        self._waiting = []
        try:
            resampled = self._resampler.push(replace(first, samples=np.concatenate(samples)))
            frames = self._frames.push(resampled) if resampled is not None else None
        except SourceFault:  # not finite: this is the state of the machine already
            self.reset()
            return None
        return frames if frames is not None and len(frames) else None
