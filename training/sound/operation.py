"""The operating states of a machine, found in its healthy sound without labels.

*Off* is the quiet state with only the sound of the room. It is the quietest group of low levels,
if almost all of its bands are quieter than in all other sound and if its spectrum differs from
that of the machine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans

from monitor.detection.operation import OperationFollower
from monitor.detection.operation_sound import SAME_SHAPE_DB, sounds_off
from monitor.detection.settings import OperationSettings
from monitor.domain import DoubleArray, LogMelWindow
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.low_level import low_levels_of
from monitor.model.operation import OperatingState, Operation
from training.sound.recordings import Recording

logger = logging.getLogger(__name__)

_LEAST_OFF_ROWS = 8
"""A group of fewer low levels may be chance."""
_LOWEST = 0.05
"""Share of the sound that may be quieter than the quiet level of each band."""
_CHANGE_S = 5.0
"""How close to off the sound may be that of a start or a stop."""
_LEAST_STEADY = 0.2
"""The least share of running that must be left without starts and stops."""
_GAP_DB = 3.0
"""The gap between off and all other sound. If a machine only becomes slower, there is no gap."""
_FEW_RECORDINGS, _FEW_SHARE = 5, 0.2
_CERTAIN_DROP_DB = 20.0
"""If only few recordings are louder than the others, these may be of a fault. The others are then
of the machine that is off only if they are so much quieter. Measured: machines that were off 24 dB,
healthy machines up to 17 dB quieter than with a fault."""
_MOST_STATES = 6
_NO_OFF_SOUND = OperationSettings(change_s=0.5, settle_s=1.0)
"""In training, even a stop of one second is left out."""


_Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
_RUNNING, _OFF = "running", "off"


class _Place(NamedTuple):
    """Where two seconds of sound begin."""

    recording: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.recording}, {self.at_s:.1f} s"


def learn_operation(
    recordings: Sequence[Recording], spec: LogMelSpec, n_bands: int, seed: int = 0
) -> Operation | None:
    """The states that the recordings show; None if they are shorter than two seconds each."""
    parts = [list(low_levels_of(r.frames_db, spec, n_bands)) for r in recordings]
    levels = np.array([row for part in parts for row in part], dtype=np.float64)
    places = [
        _Place(recording.name, number * spec.window_hop_s)
        for recording, part in zip(recordings, parts, strict=True)
        for number in range(len(part))
    ]
    if not len(levels):
        return None
    is_off = _off_rows(levels)
    if _may_be_faults(levels, is_off, [len(part) for part in parts]):
        is_off[:] = False
    steady = _without_changes(is_off, [len(part) for part in parts], spec)
    running = levels[steady]
    states = _states(_RUNNING, levels, ~is_off, places, seed)
    if is_off.any():
        states += _states(_OFF, levels, is_off, places, seed)
    return Operation(quiet_db=_rounded(np.quantile(running, _LOWEST, axis=0)), states=tuple(states))


def running_sound(
    recordings: Sequence[Recording],
    spec: LogMelSpec,
    operation: Operation | None,
    least_windows: int,
    settings: OperationSettings | None = None,
) -> list[Recording]:
    """The parts of the recordings that the run time would score.

    A part of fewer than ``least_windows`` windows is left out, except a whole recording.
    """
    if operation is None:
        return list(recordings)
    if settings is None and any(state.is_off for state in operation.states):
        settings = _NO_OFF_SOUND
    return [
        part
        for recording in recordings
        for part in _running_parts(recording, spec, operation, least_windows, settings)
    ]


def _running_parts(
    recording: Recording,
    spec: LogMelSpec,
    operation: Operation,
    least_windows: int,
    settings: OperationSettings | None,
) -> list[Recording]:
    hop = spec.window_hop_frames
    follower = OperationFollower(operation, spec, settings)
    windows = [
        LogMelWindow(values_db, hop * number, hop * number + spec.window_frames)
        for number, values_db in enumerate(recording.windows(spec))
    ]
    scored = [run for run in follower.follow(windows) if isinstance(run, list)]
    scored.append(follower.finish())
    kept = [window.first_sample // hop for run in scored for window in run]
    if len(kept) == len(windows):
        return [recording]
    breaks = np.flatnonzero(np.diff(kept) > 1) + 1
    runs = [run for run in np.split(np.array(kept), breaks) if len(run) >= least_windows]
    return [
        replace(
            recording,
            name=f"{recording.name}[{hop * run[0] / spec.frame_rate_hz:.1f} s]",
            frames_db=recording.frames_db[hop * run[0] : hop * run[-1] + spec.window_frames],
            first_frame=recording.first_frame + hop * int(run[0]),
        )
        for run in runs
    ]


def _off_rows(levels: DoubleArray) -> _Mask:
    """Which rows are of the machine that is off. Shape: ``(n, n_bands)`` to ``(n,)``."""
    mean_db = levels.mean(axis=1)
    is_off = np.zeros(len(levels), dtype=bool)
    inside = np.ones(len(levels), dtype=bool)
    while inside.sum() > _LEAST_OFF_ROWS:
        lower = inside & (mean_db < _best_cut(mean_db[inside]))
        if lower.sum() < _LEAST_OFF_ROWS or not _looks_off(levels[lower], levels[~lower]):
            break
        is_off = inside = lower
    return is_off


def _without_changes(is_off: _Mask, lengths: Sequence[int], spec: LogMelSpec) -> _Mask:
    """Which rows are of the machine that runs, without those in which it starts or stops.

    While it speeds up or slows down, it is nearly as quiet as off. With these rows, the lowest
    level of running would be so low that hardly anything is off. Rows near off are kept if there
    would be few others: the machine then runs for a few seconds at a time.
    """
    reach = round(_CHANGE_S / spec.window_hop_s)
    near = is_off.copy()
    begin = 0
    for length in lengths:
        for row in map(int, np.flatnonzero(is_off[begin : begin + length])):
            near[begin + max(0, row - reach) : begin + min(length, row + reach + 1)] = True
        begin += length
    is_enough = (~near).sum() >= max(_LEAST_OFF_ROWS, _LEAST_STEADY * (~is_off).sum())
    return ~near if is_enough else ~is_off


def _may_be_faults(levels: DoubleArray, is_off: _Mask, lengths: Sequence[int]) -> bool:
    """Whether the sound that is not off may be a few recordings of a fault.

    ``lengths``: of each recording, in rows. A fault that makes the machine much louder gives the
    same picture as a few recordings of running among many of off.
    """
    if not is_off.any() or len(lengths) < _FEW_RECORDINGS:
        return False
    ends = np.cumsum(lengths)
    loud = [not part.all() for part in np.split(is_off, ends[:-1])]
    if sum(loud) > _FEW_SHARE * len(lengths):
        return False
    return -float(_below_db(levels[is_off], levels[~is_off]).mean()) < _CERTAIN_DROP_DB


def _best_cut(values: DoubleArray) -> float:
    """The cut into two groups with the least variance within (Otsu 1979, IEEE SMC 9)."""
    ordered = np.sort(values)
    n = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    low, high = sums[:-1] / n, (sums[-1] - sums[:-1]) / (len(ordered) - n)
    between = n * (len(ordered) - n) * np.square(high - low)
    best = int(np.argmax(between))
    return float((ordered[best] + ordered[best + 1]) / 2)


def _looks_off(lower: DoubleArray, upper: DoubleArray) -> bool:
    """Whether a quiet group is off: quieter in almost every band, with another spectrum.

    There must be a gap between this group and the others. If a machine only becomes slower, there
    is none.
    """
    shape_db = float((np.median(lower, axis=0) - np.median(upper, axis=0)).std())
    loudest_off_db = np.quantile(lower.mean(axis=1), 1.0 - _LOWEST)
    n_between = int((upper.mean(axis=1) < loudest_off_db + _GAP_DB).sum())
    return n_between <= len(lower) / 2 and sounds_off(_below_db(lower, upper), shape_db)


def _below_db(lower: DoubleArray, upper: DoubleArray) -> DoubleArray:
    """The usual level of ``lower`` less the quiet one of ``upper``, of each band."""
    below_db: DoubleArray = np.median(lower, axis=0) - np.quantile(upper, _LOWEST, axis=0)
    return below_db


def _states(
    name: str, rows: DoubleArray, is_of_it: _Mask, places: Sequence[_Place], seed: int
) -> list[OperatingState]:
    """The groups of spectra among these rows: so few that every row is still near one of them."""
    levels, numbers = rows[is_of_it], np.flatnonzero(is_of_it)
    for n_states in range(1, _MOST_STATES + 1):
        if len(np.unique(levels, axis=0)) < n_states:
            break
        groups = KMeans(n_states, n_init=2, random_state=seed).fit(levels)
        apart = (levels - groups.cluster_centers_[groups.labels_]).std(axis=1)
        if np.quantile(apart, 1.0 - _LOWEST) <= SAME_SHAPE_DB:
            break
    counts = np.bincount(groups.labels_, minlength=len(groups.cluster_centers_))
    order = np.argsort(-groups.cluster_centers_.mean(axis=1))
    most_like = groups.transform(levels).argmin(axis=0)
    return [
        OperatingState(
            name=name if number == 1 else f"{name} {number}",
            is_off=name == _OFF,
            share=round(float(counts[group] / len(rows)), 4),
            level_db=round(float(groups.cluster_centers_[group].mean()), 2),
            low_level_db=_rounded(groups.cluster_centers_[group]),
            example=str(places[numbers[most_like[group]]]),
        )
        for number, group in enumerate(order, 1)
    ]


def _rounded(values: DoubleArray) -> tuple[float, ...]:
    return tuple(round(float(value), 2) for value in values)
