"""Small changes of healthy log-mel, to compare scores without recordings of faults.

They do not model real faults. They show which score detects a small change of the spectrum or
of the rhythm better. All are narrow in frequency and change the level very little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.filtered_sound import filtered
from training.sound.recordings import Recording


class Disturbance(Protocol):
    """A change of log-mel ``(n_frames, n_mels)``, ``size`` times its usual size in dB."""

    def __call__(
        self, frames_db: FloatArray, rng: np.random.Generator, size: float = 1.0
    ) -> FloatArray: ...


_LINE_DB = 2.0
_SHIFT_DB = 0.7
_IMPACT_DB = 3.0
_IMPACT_EVERY_FRAMES = 5


def add_line(frames_db: FloatArray, rng: np.random.Generator, size: float = 1.0) -> FloatArray:
    """One band 2 dB louder: a new tone. Shape: ``(n_frames, n_mels)`` to the same."""
    disturbed = frames_db.copy()
    disturbed[:, rng.integers(frames_db.shape[1])] += size * _LINE_DB
    return disturbed


def shift_bands(frames_db: FloatArray, rng: np.random.Generator, size: float = 1.0) -> FloatArray:
    """An eighth of the bands 0.7 dB louder or quieter: a shifted resonance."""
    n_mels = frames_db.shape[1]
    width = max(1, n_mels // 8)
    first = int(rng.integers(n_mels - width + 1))
    disturbed = frames_db.copy()
    disturbed[:, first : first + width] += size * _SHIFT_DB * rng.choice([-1.0, 1.0])
    return disturbed


def add_impacts(frames_db: FloatArray, rng: np.random.Generator, size: float = 1.0) -> FloatArray:
    """A quarter of the bands 3 dB louder in every fifth frame: knocking."""
    n_mels = frames_db.shape[1]
    width = max(1, n_mels // 4)
    first = int(rng.integers(n_mels - width + 1))
    disturbed = frames_db.copy()
    start = int(rng.integers(_IMPACT_EVERY_FRAMES))
    disturbed[start::_IMPACT_EVERY_FRAMES, first : first + width] += size * _IMPACT_DB
    return disturbed


DISTURBANCES: Mapping[str, Disturbance] = {
    "a new tone": add_line,
    "a shifted resonance": shift_bands,
    "knocking": add_impacts,
}


def disturbed(
    recording: Recording,
    disturb: Disturbance,
    spec: LogMelSpec,
    rng: np.random.Generator,
    size: float = 1.0,
) -> Recording:
    """The recording with changed log-mel, and with sound that fits it where it has samples."""
    frames_db = disturb(recording.frames_db, rng, size)
    samples = recording.samples
    if samples is not None:
        samples = filtered(samples, frames_db - recording.frames_db, spec)
    return replace(recording, frames_db=frames_db, samples=samples)
