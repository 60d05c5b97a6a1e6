"""The random part of log-mel frames, by which the same sound is recognised.

Two recordings of a steady machine have the same spectrum, but never the same noise: what remains
of the log-mel after its slow course is removed is random, and agrees only where the sound is the
same.
"""

from __future__ import annotations

import numpy as np

from monitor.domain import FloatArray

PEAK_FRAMES = 4
"""How far from its maximum a correlation is still that of the same place."""
_SLOW_FRAMES = 4
_MOST_BANDS = 48
_LEAST_DEVIATION_DB = 0.3
_CLIP = 3.0
_LEAST_POWER = 0.1
_LONGEST_BEGINNING, _SHORTEST_BEGINNING = 96, 32
"""Frames of the beginning of a recording that is looked for in its rest."""
_SAME_PERIOD = 0.35


def thinned(frames_db: FloatArray) -> FloatArray:
    """The bands that copies are found by, in a third of the memory or less.

    Shape: ``(n_frames, n_mels)`` to ``(n_frames, n_bands)``, at most 48 bands.
    """
    step = -(-frames_db.shape[1] // _MOST_BANDS)
    return np.ascontiguousarray(frames_db[:, ::step])


def fine_structure(frames_db: FloatArray) -> FloatArray:
    """The random part of log-mel: free of level, spectrum and slow course, in deviations.

    Shape: ``(n_frames, n_mels)`` to ``(n_frames, n_bands)``.
    """
    values = thinned(frames_db).astype(np.float32)
    values -= np.median(values, axis=1, keepdims=True)
    sums = np.concatenate((np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=float)))
    at = np.arange(len(values))
    first = np.maximum(at - _SLOW_FRAMES, 0)
    last = np.minimum(at + _SLOW_FRAMES + 1, len(values))
    values -= (sums[last] - sums[first]) / (last - first)[:, None]
    values /= np.maximum(values.std(axis=0), _LEAST_DEVIATION_DB)
    fine: FloatArray = np.clip(values, -_CLIP, _CLIP).astype(np.float32)
    return fine


def repeats_after(frames_db: FloatArray) -> int | None:
    """After how many frames a recording begins again, for one sound joined to itself.

    Shape: ``(n_frames, n_mels)``. None where it does not repeat.
    """
    fine = fine_structure(frames_db)
    length = min(_LONGEST_BEGINNING, len(fine) // 2)
    if length < _SHORTEST_BEGINNING or not is_noisy(fine[:length]):
        return None
    n_fft = 1 << (len(fine) + length - 1).bit_length()
    spectrum = np.fft.rfft(fine, n_fft, axis=0)
    first = np.fft.rfft(fine[:length], n_fft, axis=0)
    products = np.fft.irfft((spectrum * first.conj()).sum(axis=1), n_fft)
    correlation = products[: len(fine) - length + 1] / norms_of(fine, length)
    correlation /= max(float(np.linalg.norm(fine[:length])), 1e-9)
    correlation[:length] = 0.0
    best = float(correlation.max())
    if best < _SAME_PERIOD:
        return None
    period = int(np.flatnonzero(correlation > 0.8 * best)[0])
    period += int(correlation[period : period + PEAK_FRAMES].argmax())
    head, tail = fine[:-period], fine[period:]
    norm = max(float(np.linalg.norm(head) * np.linalg.norm(tail)), 1e-9)
    return period if float((head * tail).sum()) / norm > _SAME_PERIOD else None


def norms_of(fine: FloatArray, length: int) -> FloatArray:
    """The norm of every ``length`` successive frames. Shape: ``(n_frames - length + 1,)``."""
    sums = np.concatenate(([0.0], np.cumsum(np.square(fine).sum(axis=1, dtype=float))))
    norms: FloatArray = np.sqrt(np.maximum(sums[length:] - sums[:-length], 1e-9)).astype(np.float32)
    return norms


def is_noisy(fine: FloatArray) -> bool:
    """Whether there is enough noise to recognise the sound by."""
    return float(np.square(fine).mean()) > _LEAST_POWER
