"""The samples of sections of a recording, read again from its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from monitor.audio.recordings import recording_blocks
from monitor.audio.resampling import StreamResampler
from monitor.domain import AudioBlock
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.recordings import Recording


def sound_of(recording: Recording, spec: LogMelSpec) -> tuple[int, int]:
    """Where the samples of a recording or section begin and end in its file.

    At the rate of the features; the end is exclusive.
    """
    first = recording.first_sample + recording.first_frame * spec.hop_length
    return first, first + (len(recording.frames_db) - 1) * spec.hop_length + spec.n_fft


def section_blocks(
    path: Path, spec: LogMelSpec, ranges: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, AudioBlock]]:
    """The sound of each of ``ranges`` in blocks, with the index of the range.

    Nothing comes for a recording without samples, and less than a range where the file has less.
    The first block of each range and the first one after a gap are discontinuous. Raises
    ``BadInputError`` and ``MissingInputError`` for a file that can no longer be read.
    """
    begun: set[int] = set()
    for block in _resampled(path, spec):
        first, end = block.first_sample, block.first_sample + len(block.samples)
        for index, (start, stop) in enumerate(ranges):
            if end <= start or first >= stop:
                continue
            low, high = max(first, start), min(end, stop)
            is_new = index not in begun or (block.discontinuous and low == first)
            begun.add(index)
            samples = block.samples[low - first : high - first]
            yield index, AudioBlock(samples, spec.sample_rate_hz, low, discontinuous=is_new)


def _resampled(path: Path, spec: LogMelSpec) -> Iterator[AudioBlock]:
    resampler = StreamResampler(spec.sample_rate_hz)
    for block in recording_blocks(path, spec):
        if not isinstance(block, AudioBlock):
            return
        resampled = resampler.push(block)
        if resampled is not None:
            yield resampled
    rest = resampler.flush()
    if rest is not None:
        yield rest
