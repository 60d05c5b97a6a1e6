"""How the speed of a machine varies within a recording, from all its lines together.

The lines of a machine move by the same share, so on a logarithmic axis the spectrum of a moment is
shifted. The shift of each moment against the mean of all is found with the Viterbi algorithm: it
changes little from one moment to the next. Orders need not be known. Lines of the mains do not
move, and are taken out before.

A track is used only if it is certain: the moments must have the same lines, the mean spectrum must
be sharper with it, and the two tracks that each half of the lines gives must agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.diagnosis.mains_lines import without_mains
from monitor.diagnosis.segments import background_of
from monitor.domain import DoubleArray, FloatArray
from monitor.features.prominence import hann

LEAST_VARIATION = 0.001
"""A speed that varies by a smaller standard deviation, as a share, moves no line by a bin."""
_FRAME_S, _HOP_S = 0.5, 0.25
_LOW_HZ, _TOP_HZ, _USED_SHARE = 40.0, 2_000.0, 0.95
_STEP = 0.001
_MOST_STEPS = 60
_MOST_STEPS_A_HOP, _COST_A_STEP = 4, 0.06
_LEAST_DB, _MOST_DB = 8.0, 12.0
"""What counts of a bin: from where noise seldom reaches, and at most so much."""
_BACKGROUND_HZ = 40.0
_ROUNDS = 3
_MOVES_HZ, _SHARPER = 0.5, 1.18
"""Lines that move by so much make the mean spectrum sharper. Of a jump to another operating state,
only one of both gets sharper."""
_DISAGREEMENT = 0.4
_LEAST_ALIKE, _MOMENTS_UNLIKE = 0.25, 0.1
"""Moments of noise are alike by 0.15. More unlike moments are those of another operating state."""
_FLOOR = 1e-8
_MOST_LINES, _WEAKEST_LINE, _LINE_HZ = 40, 0.02, 6.0
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SpeedTrack:
    """The speed relative to its mean, at some times. Shape: ``(n,)`` each."""

    times_s: DoubleArray
    relative: DoubleArray


def speed_track(samples: FloatArray, rate_hz: int) -> SpeedTrack | None:
    """How the speed varies; None if it does not, or if that is not certain.

    Shape: ``(n_samples,)``.
    """
    frames, weights_hz = _frames(samples, rate_hz)
    mean = frames.mean(axis=0)
    path, reference, alike = _followed(frames, weights_hz)
    if path.std() * _STEP < LEAST_VARIATION or alike < _LEAST_ALIKE:
        return None
    moving = weights_hz * path.std() * _STEP > _MOVES_HZ
    before, after = (one[moving] ** 2 @ weights_hz[moving] for one in (mean, reference))
    if after < _SHARPER * before:
        return None
    halves = [_path(frames, half, weights_hz) for half in _halves(reference, weights_hz)]
    if np.std(halves[0] - halves[1]) > _DISAGREEMENT * path.std():
        return None
    smooth = np.convolve(np.pad(path, 2, mode="edge"), (0.1, 0.2, 0.4, 0.2, 0.1), mode="valid")
    times_s = _FRAME_S / 2.0 + _HOP_S * np.arange(len(path), dtype=np.float64)
    relative = np.exp(smooth * _STEP)
    return SpeedTrack(times_s, np.asarray(relative / relative.mean(), dtype=np.float64))


def _frames(samples: FloatArray, rate_hz: int) -> tuple[FloatArray, FloatArray]:
    """The lines of each moment on a logarithmic axis, and the frequencies of this axis.

    Shapes: ``(n_frames, n)`` and ``(n,)``. Sums over it that are weighted with the frequency are
    those over a linear axis.
    """
    n_low = 2 * int(len(samples) / rate_hz * min(_TOP_HZ, rate_hz / 2.0))
    low_hz = rate_hz / len(samples) * n_low
    spectrum = np.fft.rfft(samples)[: n_low // 2 + 1]
    without_mains(spectrum, rate_hz / len(samples))
    low = np.fft.irfft(spectrum, n_low).astype(np.float32)
    size, hop = round(_FRAME_S * low_hz), round(_HOP_S * low_hz)
    cut = np.lib.stride_tricks.sliding_window_view(low, size)[::hop]
    power = np.abs(np.fft.rfft(cut * hann(size), axis=1)) ** 2
    # What is so far below the whole sound is rounding.
    loudness = float(np.var(samples, dtype=np.float64)) * (len(samples) / n_low) ** 2 * size
    levels_db = (10.0 * np.log10(power + _FLOOR * loudness + 1e-30)).astype(np.float32)
    bin_hz = low_hz / size
    above_db = levels_db - background_of(levels_db, bin_hz, _BACKGROUND_HZ) - np.float32(_LEAST_DB)
    lines = np.clip(above_db, 0.0, _MOST_DB)
    count = int(np.log(_USED_SHARE * low_hz / 2.0 / _LOW_HZ) / _STEP)
    axis_hz = _LOW_HZ * np.exp(_STEP * np.arange(count))
    before = (axis_hz / bin_hz).astype(np.intp)
    share = (axis_hz / bin_hz - before).astype(np.float32)
    values: FloatArray = lines[:, before] * (1.0 - share) + lines[:, before + 1] * share
    return values, axis_hz.astype(np.float32)


def _followed(frames: FloatArray, weights_hz: FloatArray) -> tuple[IntArray, FloatArray, float]:
    """The shift of each moment, and the mean of all after they are shifted back.

    The third value: how alike nearly all moments are to this mean, from 0 to 1.
    """
    norms = np.sqrt((frames**2) @ weights_hz)
    scaled = frames / np.maximum(norms, np.float32(1e-6))[:, np.newaxis]
    typical = int(((scaled * weights_hz) @ scaled.sum(axis=0)).argmax())
    reference: FloatArray = frames[max(0, typical - 2) : typical + 3].mean(axis=0)
    path, back = np.zeros(len(frames), dtype=np.intp), frames
    padded = np.pad(frames, ((0, 0), (_MOST_STEPS, _MOST_STEPS)))
    for _ in range(_ROUNDS):
        path = _path(frames, reference, weights_hz)
        at = np.arange(frames.shape[1]) + _MOST_STEPS + path[:, np.newaxis]
        back = np.take_along_axis(padded, at, axis=1)
        reference = back.mean(axis=0)
    both = norms * np.sqrt(float((reference**2) @ weights_hz))
    alike = (back * weights_hz) @ reference / np.maximum(both, np.float32(1e-6))
    return path, reference, float(np.quantile(alike, _MOMENTS_UNLIKE))


def _path(frames: FloatArray, reference: FloatArray, weights_hz: FloatArray) -> IntArray:
    """The most likely shift of each moment, in steps. Shape: ``(n_frames,)``."""
    weighted = np.pad(reference * weights_hz, _MOST_STEPS)
    shifted = np.lib.stride_tricks.sliding_window_view(weighted, len(reference))[::-1]
    values = frames @ np.ascontiguousarray(shifted.T)
    values /= max(float(np.median(values.max(axis=1))), 1e-12)
    changes = np.arange(-_MOST_STEPS_A_HOP, _MOST_STEPS_A_HOP + 1)
    cost = (_COST_A_STEP * np.abs(changes)).astype(np.float32)
    places = np.arange(values.shape[1])
    came_from = np.zeros(values.shape, dtype=np.intp)
    padded = np.full(len(places) + len(changes) - 1, -np.inf, dtype=np.float32)
    total = padded[_MOST_STEPS_A_HOP:-_MOST_STEPS_A_HOP]
    reachable = np.lib.stride_tricks.sliding_window_view(padded, len(changes))
    total[:] = values[0]
    for number in range(1, len(values)):
        reached = reachable - cost
        best = reached.argmax(axis=1)
        came_from[number] = places + changes[best]
        total[:] = reached[places, best] + values[number]
    path = np.empty(len(values), dtype=np.intp)
    path[-1] = total.argmax()
    for number in range(len(values) - 1, 0, -1):
        path[number - 1] = came_from[number, path[number]]
    return path - _MOST_STEPS


def _halves(reference: FloatArray, weights_hz: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two spectra, each with about half of the lines by their strength."""
    strength = reference**2 * weights_hz
    rest = strength.copy()
    halves = (np.zeros_like(reference), np.zeros_like(reference))
    sums = [0.0, 0.0]
    for _ in range(_MOST_LINES):
        peak = int(rest.argmax())
        if rest[peak] <= _WEAKEST_LINE * strength.max():
            break
        half = max(3, int(_LINE_HZ / float(weights_hz[peak]) / _STEP))
        line = slice(max(0, peak - half), peak + half + 1)
        side = int(sums[1] < sums[0])
        sums[side] += float(rest[line].sum())
        halves[side][line] = np.where(rest[line] > 0.0, reference[line], 0.0)
        rest[line] = 0.0
    return halves
