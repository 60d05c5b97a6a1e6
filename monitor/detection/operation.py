"""Is the machine running or off? Decided from the windows that are scored.

A machine that stops sounds unlike any healthy recording. Its sound is not scored while it is
off, nor for some seconds around a change, so that a stop is never an alert.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from monitor.detection.settings import OperationSettings
from monitor.domain import DoubleArray, FloatArray, LogMelWindow
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.low_level import LowLevelStream
from monitor.model.operation import Operation

_MARGIN_DB = 1.0
_QUIET_SHARE = 0.85
_OFF_DROP_DB = 8.0
_OFF_SHAPE_DB = 4.0
_RECORDED_OFF_SHARE = 0.5
_RECORDED_OFF_DROP_DB = 3.0
_FALL_DB = 3.0
_FALL_S = 8.0
_START_SHARE = 0.25


class OperationStatus(StrEnum):
    """The values of ``operation`` on ``BASE/<machine>/operation``."""

    RUNNING = "running"
    OFF = "off"
    TRANSITION = "transition"


@dataclass(frozen=True, slots=True)
class OperationChange:
    """The machine's state has changed.

    ``at_sample``: where the sound of the new state begins. ``is_start``: the machine runs after
    it was off. ``is_unclear``: it is too quiet for healthy sound and too loud for off.
    """

    status: OperationStatus
    at_sample: int
    end_sample: int
    is_start: bool = False
    is_unclear: bool = False


class _Kind(StrEnum):
    LOUD = "loud"
    UNCLEAR = "unclear"
    QUIET = "quiet"


class OperationFollower:
    """Windows of one machine to those that are scored, and its changes of state.

    ``status``: the present state, None before the first two seconds of sound. The result
    depends on the windows only and not on how the stream was cut. State: the low levels, the
    mean level of the last eight seconds, how long the newest kind of sound has lasted, and the
    windows of a change that is not yet certain. They are scored if the change is not confirmed.
    Without ``operation``, the sound is that of the running machine unless settings or
    ``declare`` decide otherwise.
    """

    def __init__(
        self,
        operation: Operation | None,
        spec: LogMelSpec,
        settings: OperationSettings | None = None,
    ) -> None:
        settings = settings or OperationSettings()
        states = operation.states if operation is not None else ()
        self._quiet_db = np.array(operation.quiet_db) if operation is not None else None
        off = settings.off_states
        is_off = {s.name: s.is_off if off is None else s.name in off for s in states}
        spectra = {s.name: np.array(s.low_level_db) for s in states}
        self._off = [spectra[name] for name, one in is_off.items() if one]
        self._running = [spectra[name] for name, one in is_off.items() if not one]
        self._off_below_db = settings.off_below_db
        n_bands = spec.n_mels if self._quiet_db is None else len(self._quiet_db)
        self._levels = LowLevelStream(spec, n_bands)
        self._declared: bool | None = None
        self._change = max(1, round(settings.change_s / spec.window_hop_s))
        self._settle = max(1, round(settings.settle_s / spec.window_hop_s))
        self._longest = self._settle + round(settings.start_fault_s / spec.window_hop_s)
        self._means: deque[float] = deque(maxlen=max(2, round(_FALL_S / spec.window_hop_s)))
        self.status: OperationStatus | None = None
        self._held: list[LogMelWindow] = []
        self._lasted = dict.fromkeys(_Kind, 0)
        self._was_off = False
        self._rising = 0
        self._changing = 0

    def declare(self, is_running: bool | None) -> None:
        """What something other than the sound shows; None: the sound decides.

        It replaces the verdict of the sound. A change still takes its time, and the windows
        around it are not scored.
        """
        self._declared = is_running

    def gap(self) -> None:
        """Sound was lost: what is pending is forgotten, the state remains."""
        self._levels.reset()
        self._means.clear()
        self._held = []
        self._lasted = dict.fromkeys(_Kind, 0)
        self._rising = 0

    def follow(
        self, windows: Sequence[LogMelWindow]
    ) -> Iterator[list[LogMelWindow] | OperationChange]:
        """Runs of windows to score, and between them the changes of state."""
        run: list[LogMelWindow] = []
        for window in windows:
            scored, change = self._take(window)
            if change is None:
                run += scored
                continue
            if run:
                yield run
            yield change
            run = scored
        if run:
            yield run

    def finish(self) -> list[LogMelWindow]:
        """The windows that still wait at the end of a recording and are those of running."""
        held, self._held = self._held, []
        return held if self.status in {None, OperationStatus.RUNNING} else []

    def _take(self, window: LogMelWindow) -> tuple[list[LogMelWindow], OperationChange | None]:
        level_db = self._levels.push(window)
        if not self._levels.is_complete:
            if self.status is not OperationStatus.OFF:
                self._held.append(window)
            return [], None
        kind = self._kind_of(level_db)
        lasted = self._lasted
        lasted[_Kind.LOUD] = lasted[_Kind.LOUD] + 1 if kind is _Kind.LOUD else 0
        lasted[_Kind.QUIET] = lasted[_Kind.QUIET] + 1 if kind is _Kind.QUIET else 0
        lasted[_Kind.UNCLEAR] = lasted[_Kind.UNCLEAR] + 1 if kind is not _Kind.LOUD else 0
        if self.status in {None, OperationStatus.RUNNING}:
            return self._while_running(window, kind)
        return self._while_not_running(window, kind)

    def _while_running(
        self, window: LogMelWindow, kind: _Kind
    ) -> tuple[list[LogMelWindow], OperationChange | None]:
        self._held.append(window)
        if kind is _Kind.LOUD:
            released, self._held = self._held, []
            if self.status is None:
                return released, self._changed(OperationStatus.RUNNING, released[0], window)
            return released, None
        is_first = self.status is None
        if kind is _Kind.QUIET and (is_first or self._lasted[_Kind.QUIET] >= self._change):
            return [], self._leave_running(OperationStatus.OFF, window)
        if is_first or self._lasted[_Kind.UNCLEAR] >= self._change:
            change = self._leave_running(OperationStatus.TRANSITION, window)
            return [], replace(change, is_unclear=True)
        return [], None

    def _leave_running(self, status: OperationStatus, window: LogMelWindow) -> OperationChange:
        first, self._held = self._held[0], []
        return self._changed(status, first, window)

    def _while_not_running(
        self, window: LogMelWindow, kind: _Kind
    ) -> tuple[list[LogMelWindow], OperationChange | None]:
        if self.status is OperationStatus.OFF:
            if kind is not _Kind.QUIET:
                self._rising += 1
                if self._rising >= self._change:
                    self._lasted[_Kind.LOUD] = 0
                    return [], self._changed(OperationStatus.TRANSITION, window, window)
            else:
                self._rising = 0
            return [], None
        if self._lasted[_Kind.QUIET] >= self._change:
            return [], self._changed(OperationStatus.OFF, window, window)
        self._changing += 1
        is_settled = self._lasted[_Kind.LOUD] >= self._settle
        if is_settled or (self._changing >= self._longest and kind is not _Kind.QUIET):
            return [], self._changed(OperationStatus.RUNNING, window, window)
        return [], None

    def _changed(
        self, status: OperationStatus, first: LogMelWindow, last: LogMelWindow
    ) -> OperationChange:
        is_start = status is OperationStatus.RUNNING and self._was_off
        if status is not OperationStatus.TRANSITION:
            self._was_off = status is OperationStatus.OFF
        self.status = status
        self._rising = self._changing = 0
        return OperationChange(status, first.first_sample, last.end_sample, is_start)

    def _kind_of(self, level_db: FloatArray) -> _Kind:
        level = np.asarray(level_db, dtype=np.float64)
        mean_db = float(level.mean())
        fell_db = max(self._means, default=mean_db) - mean_db
        self._means.append(mean_db)
        if self._declared is not None:
            return _Kind.LOUD if self._declared else _Kind.QUIET
        if self._off_below_db is not None:
            return _Kind.QUIET if mean_db < self._off_below_db else _Kind.LOUD
        if self._quiet_db is None:
            return _Kind.LOUD
        below_db = level - self._quiet_db
        share = float((below_db < -_MARGIN_DB).mean())
        drop_db = -float(below_db.mean())
        if self._is_off(level, share, drop_db):
            return _Kind.QUIET
        is_falling = fell_db > _FALL_DB and share > _RECORDED_OFF_SHARE
        if self.status in {None, OperationStatus.RUNNING}:
            return _Kind.UNCLEAR if is_falling else _Kind.LOUD
        return _Kind.UNCLEAR if is_falling or share > _START_SHARE else _Kind.LOUD

    def _is_off(self, level: DoubleArray, share: float, drop_db: float) -> bool:
        """Less of almost every band than when running, and not the same sound at a lower gain."""
        shape_db = min(float((level - running).std()) for running in self._running)
        if share >= _QUIET_SHARE and drop_db >= _OFF_DROP_DB and shape_db >= _OFF_SHAPE_DB:
            return True
        if not self._off or share < _RECORDED_OFF_SHARE or drop_db < _RECORDED_OFF_DROP_DB:
            return False
        to_off_db = min(float(np.sqrt(np.square(level - off).mean())) for off in self._off)
        return to_off_db < shape_db
