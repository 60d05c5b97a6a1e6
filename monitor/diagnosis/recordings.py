"""Diagnoses of recordings: reading them, and healthy recordings at the same rate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from monitor.audio.files import read_blocks
from monitor.audio.recordings import read_each
from monitor.audio.resampling import StreamResampler
from monitor.audio.signal_check import SignalCheck
from monitor.audio.unmixed_cell import CANCELLED
from monitor.diagnosis.diagnose import Diagnosis, diagnosed
from monitor.diagnosis.settings import ShaftSettings
from monitor.domain import AudioBlock, FloatArray
from monitor.errors import BadInputError, MissingInputError
from monitor.text.escaping import one_line

log = logging.getLogger(__name__)

Sound = tuple[FloatArray, int]
"""Samples of one channel, shape ``(n_samples,)``, and their rate in hertz."""


def diagnosed_with(
    samples: FloatArray,
    rate_hz: int,
    healthy: Sequence[Path],
    shaft: ShaftSettings,
    *,
    most_healthy_s: float = 600.0,
    most_hz: int | None = None,
    is_named: bool = False,
) -> Diagnosis:
    """Compare with healthy recordings, all at the lowest of their rates: above it, one lacks sound.

    Shape: ``(n_samples,)``. ``most_healthy_s``: so much of each healthy recording is read.
    ``most_hz``: as in ``read_beginning``. ``is_named``: somebody has named these recordings, so one
    that cannot be used is an error, as in ``read_each``. Otherwise it is left out.
    """

    def read(path: Path) -> Sound:
        return read_beginning(path, most_healthy_s, most_hz)

    sounds = read_each(healthy, read) if is_named else list(_usable(healthy, read))
    lowest_hz = min([rate_hz, *(one for _, one in sounds)])
    others = [_at_rate(sound, one, lowest_hz) for sound, one in sounds]
    return diagnosed(_at_rate(samples, rate_hz, lowest_hz), lowest_hz, others, shaft)


def read_beginning(path: Path, most_s: float, most_hz: int | None = None) -> Sound:
    """The beginning of a recording. Raises as ``read_blocks``, and for channels that cancel out.

    ``most_hz``: a higher rate is lowered to this one, block by block.
    """
    parts: list[AudioBlock | None] = []
    resampler: StreamResampler | None = None
    check, n_samples, n_cancelled = SignalCheck(), 0, 0
    rate_hz = 0
    for block in read_blocks(path):
        if resampler is None:
            rate_hz = min(block.sample_rate_hz, most_hz or block.sample_rate_hz)
            resampler = StreamResampler(rate_hz)
        parts.append(resampler.push(block))
        n_samples += len(block.samples)
        n_cancelled += len(block.samples) if check.push(block).detail == CANCELLED else 0
        if block.end_s >= most_s:
            break
    if n_cancelled > n_samples / 2:
        raise BadInputError(f"{path}: {CANCELLED}")
    parts.append(resampler.flush() if resampler is not None else None)
    return _joined(parts)[: round(most_s * rate_hz)], rate_hz


def _usable(paths: Iterable[Path], read: Callable[[Path], Sound]) -> Iterator[Sound]:
    """The recordings that can be read. The others were moved, replaced or damaged since."""
    for path in paths:
        try:
            yield read(path)
        except (BadInputError, MissingInputError) as error:
            log.warning("a healthy recording is not compared: %s", one_line(str(error)))


def _at_rate(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """The samples at another rate. Shape: ``(n_samples,)`` to ``(m_samples,)``."""
    if from_hz == to_hz:
        return samples
    resampler = StreamResampler(to_hz)
    return _joined([resampler.push(AudioBlock(samples, from_hz, 0)), resampler.flush()])


def _joined(blocks: Iterable[AudioBlock | None]) -> FloatArray:
    parts = [one.samples for one in blocks if one is not None]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)
