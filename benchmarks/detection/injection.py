"""Healthy sound that was not trained on, in pieces, with another sound mixed in.

Samples are added where a recording has samples. Where it has log-mel only, powers are added, as
mixing does on average. The level is then that of the band powers, each times its bandwidth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from benchmarks.detection.mixing import RATE_HZ, at_level, read
from monitor.domain import FloatArray
from monitor.features.log_mel_frames import log_mel_frames
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.recordings import Recording, read_recording

T = TypeVar("T")

PIECE_S = 10
MOST_PIECES = 40
_LONG_S = 4 * PIECE_S


class Piece(Protocol):
    """Healthy sound as log-mel frames ``(n_frames, n_mels)``, in dB."""

    @property
    def frames_db(self) -> FloatArray:
        """Without another sound."""

    def with_sound(self, sound: FloatArray, level_db: float) -> FloatArray:
        """With another sound, its power ``level_db`` above the machine's."""


@dataclass(frozen=True, slots=True)
class SoundPiece:
    """A piece with samples."""

    samples: FloatArray = field(repr=False)
    spec: LogMelSpec

    @property
    def frames_db(self) -> FloatArray:
        """Without another sound."""
        return log_mel_frames(self.samples, self.spec)

    def with_sound(self, sound: FloatArray, level_db: float) -> FloatArray:
        """With another sound: samples are added."""
        return log_mel_frames(at_level(self.samples, sound, level_db, 0), self.spec)


@dataclass(frozen=True, slots=True)
class LogMelPiece:
    """A piece with log-mel only."""

    frames_db: FloatArray = field(repr=False)
    spec: LogMelSpec

    def with_sound(self, sound: FloatArray, level_db: float) -> FloatArray:
        """With another sound: powers are added."""
        machine = _power(self.frames_db)
        added = _power(log_mel_frames(sound, self.spec)[: len(machine)])
        gain = self._total(machine) / self._total(added) * 10.0 ** (level_db / 10.0)
        return np.asarray(10.0 * np.log10(machine + gain * added), dtype=np.float32)

    def _total(self, bands: npt.NDArray[np.float64]) -> float:
        corners = self.spec.band_corners_hz
        return float(bands.mean(axis=0) @ (corners[2:] - corners[:-2]))


def _power(frames_db: FloatArray) -> npt.NDArray[np.float64]:
    return np.power(10.0, frames_db.astype(np.float64) / 10.0)


def pieces_of(paths: Sequence[Path], spec: LogMelSpec) -> list[Piece]:
    """Ten-second pieces of the recordings, at most ``MOST_PIECES``, evenly chosen."""
    return evenly([piece for path in paths for piece in _cut(path, spec)], MOST_PIECES)


def evenly(things: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of them, including the first and the last."""
    kept = np.linspace(0, len(things) - 1, min(len(things), most)).round().astype(int)
    return [things[i] for i in kept]


def sound_pieces(path: Path) -> Iterator[FloatArray]:
    """Ten-second pieces of one recording of sound.

    The first and the last piece of a long recording are left out, because the machine may start
    and stop in them.
    """
    length = PIECE_S * RATE_HZ
    sound = read(path)
    edge = length if len(sound) >= _LONG_S * RATE_HZ else 0
    for start in range(edge, len(sound) - edge - length + 1, length):
        yield sound[start : start + length]


def in_pieces(recordings: Sequence[Recording], spec: LogMelSpec) -> list[Recording]:
    """Recordings in sections of ten seconds, shorter ones unchanged."""
    frames = round(PIECE_S * spec.frame_rate_hz)
    return [
        Recording(r.name, r.frames_db[first : first + frames])
        for r in recordings
        for first in range(0, max(1, len(r.frames_db) - frames + 1), frames)
    ]


def _cut(path: Path, spec: LogMelSpec) -> Iterator[Piece]:
    if path.suffix == ".npy":
        yield LogMelPiece(read_recording(path, spec).frames_db, spec)
    else:
        yield from (SoundPiece(samples, spec) for samples in sound_pieces(path))
