"""Whether the machine runs or is off, decided from its windows.

A machine that stops sounds unlike any healthy recording. Its sound is not scored while it is
off, nor for some seconds around a change, so that a stop is never an alert.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

import numpy as np

from monitor.detection.settings import OperationSettings
from monitor.domain import DoubleArray, LogMelWindow
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.low_level import REMEMBERED_S, LowLevelStream
from monitor.model.operation import Operation

_MARGIN_DB = 1.0
"""A band is quieter than running if it is more than this below the lowest level of running."""
_OFF_SHARE = 0.85
"""The share of the bands that must be quieter. Machines that were off had 0.95 to 1."""
_OFF_DROP_DB = 8.0
"""The least drop, as the mean of all bands. Machines that were off had 20 to 30 dB."""
_OFF_SHAPE_DB = 4.0
"""The least difference of the spectra, without their level. A changed gain does not change it."""
_FAR_DROP_DB = 25.0
"""A changed gain does not explain a larger drop. The spectrum is then not compared."""
_RECORDED_OFF_SHARE = 0.5
_RECORDED_OFF_DROP_DB = 3.0
"""The limits if the sound is nearer to a recorded off than to the running machine."""
_FALL_DB = 3.0
_FALL_S = 8.0
"""A fall of the mean level by this much within this time may be a machine that stops."""
_START_SHARE = 0.1
"""The largest share of quieter bands in a machine that has started. Measured: up to 0.04, also
with faults. Noise beside a machine that is off has 0.15 or more."""
_UNCLEAR_S = 30.0
"""A running machine that became quieter is scored again after this time."""


class OperationStatus(StrEnum):
    """The values of ``operation`` on ``BASE/<machine>/operation``."""

    RUNNING = "running"
    OFF = "off"
    TRANSITION = "transition"


def sounds_off(below_db: DoubleArray, shape_db: float) -> bool:
    """Whether sound is that of the machine that is off, without recordings of off.

    Almost every band must be quieter than when the machine runs, and it must not be the same
    sound at a lower gain. ``below_db``: the levels less the lowest of running, ``(n_bands,)``.
    ``shape_db``: the standard deviation over the bands of the difference from the running machine.
    """
    share = float((below_db < -_MARGIN_DB).mean())
    drop_db = -float(below_db.mean())
    is_another_sound = shape_db >= _OFF_SHAPE_DB or drop_db >= _FAR_DROP_DB
    return share >= _OFF_SHARE and drop_db >= _OFF_DROP_DB and is_another_sound


@dataclass(frozen=True, slots=True)
class OperationChange:
    """The machine's state has changed.

    ``at_sample``: where the sound of the new state begins. ``is_start``: the machine runs after
    it was off.
    """

    status: OperationStatus
    at_sample: int
    end_sample: int
    is_start: bool = False


class _Kind(Enum):
    """The kind of one low level: of the running machine, unclear, or of the machine that is off."""

    LOUD = auto()
    UNCLEAR = auto()
    QUIET = auto()


class OperationFollower:
    """Selects the windows of one machine that are scored, and detects its changes of state.

    ``status``: the present state, None before the first two seconds of sound. Between running and
    off there is ``transition``, unless the sound changes at once. The result depends on the windows
    only and not on how the stream was cut. State: the low levels, the mean level of the last eight
    seconds, how long each kind of sound has lasted, and the windows of a change that is not yet
    certain. They are scored if the change is not confirmed. Without ``operation``, the sound is
    that of the running machine unless settings or ``declare`` decide otherwise.
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
        names = settings.off_states
        is_off = [s.is_off if names is None else s.name in names for s in states]
        spectra = [np.array(s.low_level_db) for s in states]
        self._off = [levels for levels, off in zip(spectra, is_off, strict=True) if off]
        self._running = [levels for levels, off in zip(spectra, is_off, strict=True) if not off]
        self._off_below_db = settings.off_below_db
        n_bands = spec.n_mels if self._quiet_db is None else len(self._quiet_db)
        self._levels = LowLevelStream(spec, n_bands)
        self._declared: bool | None = None
        self._change = max(1, round(settings.change_s / spec.window_hop_s))
        self._stop = 1 + math.ceil((settings.change_s + REMEMBERED_S) / spec.window_hop_s)
        self._settle = max(1, round(settings.settle_s / spec.window_hop_s))
        self._longest_start = self._settle + round(settings.start_fault_s / spec.window_hop_s)
        self._longest_fall = self._settle + round(_UNCLEAR_S / spec.window_hop_s)
        self._fall = max(2, round(_FALL_S / spec.window_hop_s))
        self._means: deque[float] = deque(maxlen=self._fall)
        self.status: OperationStatus | None = None
        self._was_off = False
        self._held: list[LogMelWindow] = []
        self._with = dict.fromkeys(_Kind, 0)
        self._without = dict.fromkeys(_Kind, 0)
        self._in_status = 0

    @property
    def is_unclear(self) -> bool:
        """Whether the machine is in transition for longer than a start or a stop takes."""
        return self.status is OperationStatus.TRANSITION and self._in_status > self._fall

    @property
    def _is_scored(self) -> bool:
        return self.status in {None, OperationStatus.RUNNING}

    def declare(self, is_running: bool | None) -> None:
        """Whether the machine runs, from another signal than the sound; None: the sound decides.

        A change still takes the same time, and the windows around it are not scored.
        """
        self._declared = is_running

    def gap(self) -> None:
        """Sound was lost: discard what is pending. The state remains."""
        self._levels.reset()
        self._means.clear()
        self._held = []
        self._forget_kinds()

    def follow(
        self, windows: Sequence[LogMelWindow]
    ) -> Iterator[list[LogMelWindow] | OperationChange]:
        """Groups of successive windows to score, and between them the changes of state."""
        run: list[LogMelWindow] = []
        for window in windows:
            if self._is_scored:
                self._held.append(window)
            change = self._change_at(window)
            if change is not None:
                if run:
                    yield run
                run = []
                yield change
            if self._is_scored and self._with[_Kind.LOUD]:
                run += self._held
                self._held = []
        if run:
            yield run

    def finish(self) -> list[LogMelWindow]:
        """The windows to score that are still pending at the end of a recording."""
        held, self._held = self._held, []
        return held if self._is_scored else []

    def _change_at(self, window: LogMelWindow) -> OperationChange | None:
        """The change that this window makes certain."""
        level_db = self._levels.push(window)
        if not self._levels.is_complete:
            return None
        kind = self._kind_of(np.asarray(level_db, dtype=np.float64))
        for one in _Kind:
            self._with[one] = self._with[one] + 1 if one is kind else 0
            self._without[one] = self._without[one] + 1 if one is not kind else 0
        self._in_status += 1
        status = self._next_status(kind)
        return None if status is self.status else self._changed(status, window)

    def _next_status(self, kind: _Kind) -> OperationStatus:
        """The state after a window of this kind."""
        lasted, lacked = self._with, self._without
        if self.status is OperationStatus.OFF:
            is_changing = lacked[_Kind.QUIET] >= self._change
            return OperationStatus.TRANSITION if is_changing else OperationStatus.OFF
        stop = self._stop if self.status is not None else 1
        if lasted[_Kind.QUIET] >= stop:
            return OperationStatus.OFF
        if self.status is OperationStatus.TRANSITION:
            longest = self._longest_start if self._was_off else self._longest_fall
            is_overdue = self._in_status >= longest and kind is not _Kind.QUIET
            is_settled = lasted[_Kind.LOUD] >= self._settle
            return OperationStatus.RUNNING if is_settled or is_overdue else self.status
        return OperationStatus.TRANSITION if lacked[_Kind.LOUD] >= stop else OperationStatus.RUNNING

    def _changed(self, status: OperationStatus, window: LogMelWindow) -> OperationChange:
        """Begin a state. The pending windows belong to it."""
        first = self._held[0] if self._held else window
        is_start = status is OperationStatus.RUNNING and self._was_off
        if status is not OperationStatus.TRANSITION:
            self._was_off = status is OperationStatus.OFF
        if status is not OperationStatus.RUNNING:
            self._held = []
        self.status = status
        self._in_status = 0
        self._forget_kinds()
        return OperationChange(status, first.first_sample, window.end_sample, is_start)

    def _forget_kinds(self) -> None:
        self._with = dict.fromkeys(_Kind, 0)
        self._without = dict.fromkeys(_Kind, 0)

    def _kind_of(self, level_db: DoubleArray) -> _Kind:
        mean_db = float(level_db.mean())
        fell_db = max(self._means, default=mean_db) - mean_db
        self._means.append(mean_db)
        if self._declared is not None:
            return _Kind.LOUD if self._declared else _Kind.QUIET
        if self._off_below_db is not None:
            return _Kind.QUIET if mean_db < self._off_below_db else _Kind.LOUD
        if self._quiet_db is None:
            return _Kind.LOUD
        below_db = level_db - self._quiet_db
        share = float((below_db < -_MARGIN_DB).mean())
        if self._is_off(level_db, below_db, share):
            return _Kind.QUIET
        is_falling = fell_db > _FALL_DB and share > _RECORDED_OFF_SHARE
        is_rising = not self._is_scored and share > _START_SHARE
        return _Kind.UNCLEAR if is_falling or is_rising else _Kind.LOUD

    def _is_off(self, level_db: DoubleArray, below_db: DoubleArray, share: float) -> bool:
        shapes_db = [float((level_db - running).std()) for running in self._running]
        shape_db = min(shapes_db, default=np.inf)
        if sounds_off(below_db, shape_db):
            return True
        is_quiet = -float(below_db.mean()) >= _RECORDED_OFF_DROP_DB
        if not is_quiet or share < _RECORDED_OFF_SHARE:
            return False
        to_off_db = [float(np.sqrt(np.square(level_db - off).mean())) for off in self._off]
        return min(to_off_db, default=np.inf) < shape_db
