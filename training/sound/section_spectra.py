"""The spectra of the windows of training recordings, in constant memory.

They are computed anew each time, because a window has thirty times as many numbers as log-mel
frames of the same length.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from monitor.domain import FloatArray
from monitor.errors import BadInputError
from monitor.features.envelope import EnvelopeStream
from monitor.features.line_spectrum import LineStream
from monitor.features.log_mel_frames import log_mel_frames
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SpectraSpec
from training.sound.recordings import Recording
from training.sound.section_sound import section_blocks, sound_of

logger = logging.getLogger(__name__)

_SAME_DB = 1.0
"""The mean difference of two readings of the same sound is less, also where a resampler begins."""
Spectra = tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True)
class SectionSpectra:
    """Access to the spectra of the sections of a training set.

    ``paths``: the file of each of ``recordings``, which may be sections.
    """

    recordings: Sequence[Recording] = field(repr=False)
    paths: Sequence[Path] = field(repr=False)
    spec: LogMelSpec
    spectra: SpectraSpec

    @property
    def n_windows(self) -> list[int]:
        """The windows of each section."""
        spec = self.spec
        return [
            1 + (len(one.frames_db) - spec.window_frames) // spec.window_hop_frames
            for one in self.recordings
        ]

    def windows(self) -> Iterator[tuple[int, Spectra]]:
        """The spectra of each window, with the index of its section, file by file.

        The windows of one section are in their order. Raises ``BadInputError`` and
        ``MissingInputError`` for a file that can no longer be read, or that has other sound now.
        """
        of_file: dict[Path, list[int]] = {}
        for index, path in enumerate(self.paths):
            of_file.setdefault(path, []).append(index)
        for path, indices in of_file.items():
            yield from self._of_file(path, indices)

    def _of_file(self, path: Path, indices: Sequence[int]) -> Iterator[tuple[int, Spectra]]:
        ranges = [sound_of(self.recordings[index], self.spec) for index in indices]
        streams = [
            (EnvelopeStream(self.spectra.envelope), LineStream(self.spectra.lines)) for _ in indices
        ]
        for number, block in section_blocks(path, self.spec, ranges):
            if block.first_sample == ranges[number][0]:
                _check_beginning(path, block.samples, self.recordings[indices[number]], self.spec)
            envelope, lines = (stream.push(block) for stream in streams[number])
            for pair in zip(envelope, lines, strict=True):
                yield indices[number], tuple(window.values_db for window in pair)


def _check_beginning(
    path: Path, samples: FloatArray, recording: Recording, spec: LogMelSpec
) -> None:
    """Raise ``BadInputError`` if the first frame of a recording is another one than before.

    The length is not enough: a recorder may replace a file by one of the same length.
    """
    if len(samples) < spec.n_fft:
        return
    frame_db = log_mel_frames(samples[: spec.n_fft], spec)[0]
    if np.abs(frame_db - recording.frames_db[0]).mean() > _SAME_DB:
        raise BadInputError(
            f"{path}: its sound has changed since it was read first: do not replace recordings "
            "during a training"
        )


def section_spectra(
    recordings: Sequence[Recording], paths: Sequence[Path], spec: LogMelSpec
) -> SectionSpectra | None:
    """Access to the spectra of recordings; None, with a warning, where the features have none."""
    spectra = SpectraSpec.for_log_mel(spec)
    if spectra is None:
        usual = LogMelSpec()
        logger.warning(
            "repeated impacts and narrow lines are not scored: windows of %.2f s, a new one every "
            "%.2f s, do not fit their spectra. By default, these are %.2f s and %.2f s",
            spec.window_s,
            spec.window_hop_s,
            usual.window_s,
            usual.window_hop_s,
        )
        return None
    return SectionSpectra(recordings, paths, spec, spectra)
