"""Diagnoses of recordings: reading them, and healthy recordings at the same rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monitor.audio.files import read_blocks
from monitor.audio.recordings import read_each
from monitor.audio.resampling import StreamResampler
from monitor.diagnosis.diagnose import Diagnosis, diagnosed
from monitor.diagnosis.settings import ShaftSettings
from monitor.domain import AudioBlock, FloatArray


def diagnosed_with(
    samples: FloatArray,
    rate_hz: int,
    healthy: Sequence[Path],
    shaft: ShaftSettings,
    *,
    most_healthy_s: float = 600.0,
) -> Diagnosis:
    """Compare with healthy recordings, all at the lowest of their rates: above it, one lacks sound.

    Shape: ``(n_samples,)``. ``most_healthy_s``: so much of each healthy recording is read.
    """
    sounds = read_each(healthy, lambda path: read_beginning(path, most_healthy_s))
    lowest_hz = min([rate_hz, *(one for _, one in sounds)])
    others = [_at_rate(sound, one, lowest_hz) for sound, one in sounds]
    return diagnosed(_at_rate(samples, rate_hz, lowest_hz), lowest_hz, others, shaft)


def read_beginning(path: Path, most_s: float) -> tuple[FloatArray, int]:
    """The beginning of a recording, and its rate. Shape: ``(n_samples,)``."""
    parts: list[FloatArray] = []
    rate_hz = 0
    for block in read_blocks(path):
        rate_hz = block.sample_rate_hz
        parts.append(block.samples)
        if block.end_s >= most_s:
            break
    return np.concatenate(parts)[: round(most_s * rate_hz)], rate_hz


def _at_rate(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """The samples at another rate. Shape: ``(n_samples,)`` to ``(m_samples,)``."""
    resampler = StreamResampler(to_hz)
    parts = [resampler.push(AudioBlock(samples, from_hz, 0)), resampler.flush()]
    return np.concatenate([one.samples for one in parts if one is not None])
