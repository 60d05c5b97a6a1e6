"""In which part of a sound the machine runs: it may stop, or start, during an alert."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.diagnosis.mains_lines import near_mains
from monitor.diagnosis.segments import background_of
from monitor.diagnosis.third_octaves import third_octaves_db
from monitor.domain import DoubleArray, FloatArray
from monitor.features.prominence import hann

_FRAME_S = 1.0
_QUIETER_DB = 6.0
_LEAST_OFF_S = 2
_LOUD_SHARE = 0.9
_LINE_DB, _MOST_DB, _BESIDE_HZ, _BACKGROUND_HZ = 6.0, 12.0, 2.0, 40.0
_LEAST_ALIKE = 0.5
_CHANGE_S = 2
"""Beside a pause the machine slows down or speeds up for so long."""


def quietest_db(recordings: Sequence[FloatArray], rate_hz: int) -> DoubleArray:
    """The level of the quietest second of healthy sound, in third octaves.

    Shape: ``(n_samples,)`` each, at least a second, to ``(n_thirds,)``.
    """
    lowest = [_thirds_db(_seconds_db(one, rate_hz)).min(axis=0) for one in recordings]
    return np.asarray(np.min(lowest, axis=0), dtype=np.float64)


def running_part(samples: FloatArray, rate_hz: int, quiet_db: DoubleArray) -> slice:
    """The longest part of a sound in which the machine runs, as samples; all if it never stops.

    ``quiet_db``: as ``quietest_db``. A machine that is off is quieter in most third octaves than
    the quietest healthy second, and than the loudest tenth of this sound: sound that is
    quieter from beginning to end, or has the same lines while it is quieter, has another gain.
    """
    spectra_db = _seconds_db(samples, rate_hz)
    is_off = _off_seconds(_thirds_db(spectra_db), quiet_db)
    if is_off.any() and _are_alike(spectra_db[is_off], spectra_db[~is_off]):
        return slice(0, len(samples))
    is_used = ~is_off
    for change in range(1, _CHANGE_S + 1):
        is_used[change:] &= ~is_off[:-change]
        is_used[:-change] &= ~is_off[change:]
    if is_used.all():
        return slice(0, len(samples))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_used, [False]]).astype(int)))
    begins, ends = edges[::2], edges[1::2]
    if not len(begins):
        return slice(0, 0)
    longest = int((ends - begins).argmax())
    second = round(_FRAME_S * rate_hz)
    end = len(samples) if ends[longest] == len(is_off) else int(ends[longest]) * second
    return slice(int(begins[longest]) * second, end)


def _off_seconds(levels_db: DoubleArray, quiet_db: DoubleArray) -> npt.NDArray[np.bool_]:
    """Of at least ``_LEAST_OFF_S`` in a row. Shape: ``(n_seconds, n_thirds)``, ``(n_thirds,)``."""
    if not len(levels_db):
        return np.zeros(0, dtype=np.bool_)
    loud_db = np.quantile(levels_db, _LOUD_SHARE, axis=0)
    limit_db = np.minimum(quiet_db, loud_db) - _QUIETER_DB
    is_quiet = np.nanmedian(levels_db - limit_db, axis=1) < 0.0
    runs = np.split(is_quiet, np.flatnonzero(np.diff(is_quiet.astype(int))) + 1)
    return np.concatenate([run & (len(run) >= _LEAST_OFF_S) for run in runs])


def _seconds_db(samples: FloatArray, rate_hz: int) -> FloatArray:
    """The spectrum of each second. Shape: ``(n_samples,)`` to ``(n_seconds, n_bins)``."""
    size = round(_FRAME_S * rate_hz)
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    power = np.abs(np.fft.rfft(frames * hann(size), axis=1)) ** 2
    return np.asarray(10.0 * np.log10(power + 1e-20), dtype=np.float32)


def _thirds_db(spectra_db: FloatArray) -> DoubleArray:
    """Shape: ``(n_seconds, n_bins)`` to ``(n_seconds, n_thirds)``."""
    return np.array([third_octaves_db(one, 1.0 / _FRAME_S) for one in spectra_db])


def _are_alike(some_db: FloatArray, others_db: FloatArray) -> bool:
    """Whether the same lines stand out of both, hum apart. Shape: ``(n_seconds, n_bins)`` each."""
    lines = []
    for mean_db in (some_db.mean(axis=0), others_db.mean(axis=0)):
        above_db = mean_db - background_of(mean_db, 1.0 / _FRAME_S, _BACKGROUND_HZ) - _LINE_DB
        above_db[near_mains(np.arange(len(mean_db)) / _FRAME_S, _BESIDE_HZ)] = 0.0
        lines.append(np.clip(above_db, 0.0, _MOST_DB))
    norms = [float(np.linalg.norm(one)) for one in lines]
    return min(norms) > 0.0 and float(lines[0] @ lines[1]) > _LEAST_ALIKE * norms[0] * norms[1]
