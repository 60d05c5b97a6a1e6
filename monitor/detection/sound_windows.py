"""The sound of one machine to windows: signal check, resampling and features.

The windows do not depend on how the stream is cut into blocks, and none contains a gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from monitor.audio.frame_check import FrameCheck
from monitor.audio.resampling import StreamResampler
from monitor.audio.scorable_parts import scorable_parts
from monitor.audio.signal_check import SignalCheck
from monitor.audio.spectral_gaps import ShareOfGaps, share_of_gaps
from monitor.detection.capture_check import CaptureCheck
from monitor.domain import AudioBlock, LogMelBlock, LogMelWindow, SourceState
from monitor.features.log_mel import FrameWindows
from monitor.features.spectra import Transform, WindowStream
from monitor.model.bundle import Bundle


class SoundWindows:
    """Blocks of samples or of log-mel frames to windows, for one bundle.

    ``capture``: measures the sound on its way, and selects the windows of a chain that the bundle
    can judge; None for a bundle that does not describe its chain.
    """

    def __init__(
        self, bundle: Bundle, transform: Transform | None = None, share: ShareOfGaps = share_of_gaps
    ) -> None:
        """``transform`` makes windows of samples, in place of the usual one; ``share`` as well."""
        spec, capture = bundle.spec, bundle.manifest.capture
        self.capture = None if capture is None else CaptureCheck(capture, spec, share)
        self._spec = spec
        self._check = SignalCheck()
        self._resampler = StreamResampler(spec.sample_rate_hz)
        self._stream = WindowStream(
            spec, bundle.spectra, transform, keeps_samples=bundle.needs_samples
        )
        self._frames = FrameWindows(spec)
        self._frame_check = FrameCheck(spec)
        self._broken = False

    @property
    def next_window_s(self) -> float:
        """How much more sound completes a window, apart from what the resampler holds back."""
        of_frames_s = self._frames.n_missing / self._spec.frame_rate_hz
        return min(of_frames_s, self._stream.n_missing / self._spec.sample_rate_hz)

    def gap(self) -> None:
        """Sound was lost, or is not used: no window may contain sound from before and after."""
        self._broken = True
        if self.capture is not None:
            self.capture.gap()

    def push(
        self, block: AudioBlock | LogMelBlock
    ) -> Iterator[Sequence[LogMelWindow] | SourceState]:
        """The windows of each part of the block, and between them why other parts are refused.

        Call ``gap`` after each reason, before the next part. Raises ``SourceFault`` for samples or
        frames that cannot be used.
        """
        if isinstance(block, LogMelBlock):
            for run in self._frame_check.parts(block):
                yield self._of_frames(run) if isinstance(run, LogMelBlock) else run
            return
        if self.capture is not None:
            self.capture.declare(block.sample_rate_hz, block.chain)
        for part in scorable_parts(self._check, block):
            yield self._of_part(part) if isinstance(part, AudioBlock) else part

    def flush(self) -> list[LogMelWindow]:
        """The windows of what the resampler holds back, at the end of a recording."""
        rest = self._resampler.flush()
        return [] if rest is None else self._of_resampled(rest)

    def _of_frames(self, run: LogMelBlock) -> list[LogMelWindow]:
        windows = self._frames.push(replace(run, discontinuous=run.discontinuous or self._broken))
        self._broken = False
        return windows

    def _of_part(self, part: AudioBlock) -> list[LogMelWindow]:
        if part.discontinuous is not self._broken:
            part = replace(part, discontinuous=self._broken)
        if self.capture is not None:
            self.capture.receive(part)
        resampled = self._resampler.push(part)
        self._broken = False
        return [] if resampled is None else self._of_resampled(resampled)

    def _of_resampled(self, resampled: AudioBlock) -> list[LogMelWindow]:
        if self.capture is not None:
            self.capture.measure(resampled)
        return self._stream.push(resampled)
