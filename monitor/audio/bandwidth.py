"""Where sound ends: the bandwidth that a recording chain lets through.

A resampler, a codec or a telephone line ends the sound at a frequency: the level falls within a
few bands to almost nothing, and nothing comes above. A machine does not do this. Its lines are
narrow, and its noise falls slowly.
"""

from __future__ import annotations

import numpy as np

from monitor.domain import DoubleArray, FloatArray

_GAP_BANDS = 8
_LOUD_BANDS = 6
_ALONE_DB = 30.0
_DROP_DB = 15.0
_BELOW_HEALTHY_DB = 6.0
_ENDING_DB = 3.0


def end_of_sound(levels_db: FloatArray | DoubleArray) -> int | None:
    """The first of the bands that the sound no longer reaches; None where it reaches them all.

    Shape: ``(n_mels,)``, mean levels in dB. Every band from there on is ``30 dB`` below each
    of six bands that lie shortly below it.
    """
    return _first_band(_drops_db(np.asarray(levels_db, np.float64)) >= _ALONE_DB)


def missing_from(levels_db: FloatArray, healthy_low_db: DoubleArray, n_scored: int) -> int | None:
    """The first scored band that healthy sound reaches and this sound does not; None if none.

    ``levels_db``, shape ``(n_mels,)``: mean levels of the sound. ``healthy_low_db``, shape
    ``(n_mels,)``: the lowest mean levels of windows of healthy sound. From the band on, all
    bands lie below the healthy minimum and 15 dB below each of six bands shortly below it, both
    as they are and relative to healthy sound. A machine that is off or quieter, a line that
    vanishes and a turned gain do not look like this.
    """
    if levels_db[n_scored - 1] - healthy_low_db[n_scored - 1] > -_BELOW_HEALTHY_DB:
        return None
    levels = np.asarray(levels_db, np.float64)
    relative = (levels - healthy_low_db)[:n_scored]
    highest = _highest_above(relative)
    missing = (
        (_drops_db(levels)[:n_scored] >= _DROP_DB)
        & (_drops_db(relative) >= _DROP_DB)
        & (highest <= -_BELOW_HEALTHY_DB)
    )
    return _first_band(missing)


def weakened_edge(
    levels_db: FloatArray | DoubleArray, healthy_low_db: DoubleArray, n_scored: int
) -> int | None:
    """The highest scored band, if the low-pass of a codec has weakened it; None if not.

    ``levels_db``, shape ``(n_mels,)``: mean levels of some seconds of sound. The band lies below
    the healthy minimum and, relative to healthy sound, 6 dB below the median of the eight bands
    below it. 3 dB are enough if the sound ends there: all bands above it but the next one, which
    are not scored, are missing. Measured: at most 1 dB in healthy sound and with faults, 8 dB
    with MP3 of 32 kbit/s, 5 dB with MP3 at 16 kHz for a bundle that was trained at 48 kHz.
    """
    relative = levels_db - healthy_low_db
    scored, above = relative[:n_scored], relative[n_scored + 1 :]
    if len(scored) <= _GAP_BANDS:
        return None
    usual_db = float(np.median(scored[-1 - _GAP_BANDS : -1]))
    is_end = len(above) > 0 and above.max() <= usual_db - _DROP_DB
    least_db = _ENDING_DB if is_end else _BELOW_HEALTHY_DB
    is_weak = scored[-1] < 0.0 and usual_db - scored[-1] >= least_db
    return n_scored - 1 if is_weak else None


def _drops_db(levels_db: DoubleArray) -> DoubleArray:
    """For each band, how far it and all above lie below the quietest of six bands below it."""
    drops = np.full(len(levels_db), -np.inf)
    first = _GAP_BANDS + _LOUD_BANDS
    if len(levels_db) > first:
        below = np.lib.stride_tricks.sliding_window_view(levels_db, _LOUD_BANDS).min(axis=1)
        drops[first:] = below[: len(levels_db) - first] - _highest_above(levels_db)[first:]
    return drops


def _highest_above(levels_db: DoubleArray) -> DoubleArray:
    """The highest level in each band and all above it."""
    highest: DoubleArray = np.maximum.accumulate(levels_db[::-1])[::-1]
    return highest


def _first_band(found: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    return int(np.argmax(found)) if found.any() else None
