"""The samples of sections of a recording, read again from its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from monitor.audio.recordings import recording_blocks
from monitor.audio.resampling import StreamResampler
from monitor.domain import AudioBlock, FloatArray
from monitor.errors import BadInputError
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


def read_samples(
    path: Path, spec: LogMelSpec, ranges: Sequence[tuple[int, int]]
) -> list[FloatArray]:
    """The samples of each range. Shape: ``(n_samples,)`` each.

    Raises ``BadInputError`` for a file that is shorter than before, or as :func:`section_blocks`.
    """
    parts: list[list[FloatArray]] = [[] for _ in ranges]
    missing = sum(end - first for first, end in ranges)
    for number, block in section_blocks(path, spec, ranges):
        parts[number].append(block.samples)
        missing -= len(block.samples)
        if missing <= 0:
            break
    if missing > 0:
        raise BadInputError(f"{path}: its sound is not the same as before")
    return [np.concatenate(part) for part in parts]


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


def with_samples(
    recordings: Sequence[Recording], paths: Sequence[Path], spec: LogMelSpec
) -> tuple[Recording, ...]:
    """The same recordings with their samples, in memory. ``paths``: the file of each.

    Raises ``BadInputError`` for log-mel, which has none, and as :func:`read_samples`.
    """
    of_file: dict[Path, list[int]] = {}
    for index, path in enumerate(paths):
        if recordings[index].recorded_by is None:
            raise BadInputError(f"{path}: is log-mel, and the encoder needs sound")
        of_file.setdefault(path, []).append(index)
    found: dict[int, FloatArray] = {}
    for path, indices in of_file.items():
        ranges = [sound_of(recordings[index], spec) for index in indices]
        found |= zip(indices, read_samples(path, spec, ranges), strict=True)
    return tuple(replace(one, samples=found[index]) for index, one in enumerate(recordings))
