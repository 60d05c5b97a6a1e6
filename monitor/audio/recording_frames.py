"""A recording to log-mel frames: the signal check, resampling and features of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from monitor.audio.channel_choice import Channel
from monitor.audio.frame_check import FrameCheck
from monitor.audio.recordings import recording_blocks
from monitor.audio.resampling import StreamResampler
from monitor.audio.scorable_parts import scorable_parts
from monitor.audio.signal_check import SignalCheck
from monitor.domain import AudioBlock, FloatArray, LogMelBlock, SourceState
from monitor.features.log_mel_frames import FrameStream
from monitor.features.log_mel_spec import LogMelSpec


@dataclass(frozen=True, slots=True)
class RecordingFrames:
    """Log-mel frames of a recording, in order.

    ``frames_db``: float32, shape ``(n_frames, n_mels)``, possibly no frame. ``first_sample``:
    where the sound since the last gap begins, in samples of the specification's rate.
    ``discontinuous``: there is a gap before these frames, so no window may join them to earlier
    ones.
    """

    frames_db: FloatArray = field(repr=False)
    first_sample: int
    discontinuous: bool = False


class BlockObserver(Protocol):
    """Receives a recording's sound while its frames are computed."""

    def block(self, block: AudioBlock) -> None:
        """A block at the rate of the recording."""

    def resampled(self, block: AudioBlock) -> None:
        """A block at the rate of the features, without what the signal check refuses."""


def frames_of(
    path: Path,
    spec: LogMelSpec,
    *,
    channel: Channel = "mix",
    observer: BlockObserver | None = None,
) -> Iterator[RecordingFrames | SourceState]:
    """All whole frames of a recording, as the pipeline computes them, in constant memory.

    Where the signal check refuses the sound (silence, clipping, DC offset, stuck input), the
    reason comes instead of frames, and the next frames are discontinuous. Raises as
    ``recording_blocks``.
    """
    check, frame_check = SignalCheck(), FrameCheck(spec)
    resampler = StreamResampler(spec.sample_rate_hz)
    stream = FrameStream(spec)
    first_sample, discontinuous = 0, False
    for block in recording_blocks(path, spec, channel=channel):
        if isinstance(block, LogMelBlock):
            for run in frame_check.parts(block):
                if isinstance(run, SourceState):
                    discontinuous = True
                    yield run
                    continue
                if discontinuous:
                    first_sample = run.first_frame * spec.hop_length
                yield RecordingFrames(run.frames_db, first_sample, discontinuous)
                discontinuous = False
            continue
        if observer is not None:
            observer.block(block)
        for part in scorable_parts(check, block):
            if not isinstance(part, AudioBlock):
                discontinuous = True
                yield part
                continue
            resampled = resampler.push(replace(part, discontinuous=discontinuous))
            discontinuous = False
            if resampled is not None:
                if observer is not None:
                    observer.resampled(resampled)
                if resampled.discontinuous:
                    first_sample = resampled.first_sample
                frames_db = stream.push(resampled)
                yield RecordingFrames(frames_db, first_sample, resampled.discontinuous)
    rest = resampler.flush()
    if rest is not None:
        yield RecordingFrames(stream.push(rest), first_sample, rest.discontinuous)
