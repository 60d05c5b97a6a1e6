"""Whether the machine runs or is off, decided from its windows.

A machine that stops sounds unlike any healthy recording. Its sound is not scored while it is
off, nor for some seconds around a change, so that a stop is never an alert.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from monitor.detection.operation_sound import OFF_SHAPE_DB, OperationSound, SoundKind
from monitor.detection.settings import OperationSettings
from monitor.domain import DoubleArray, LogMelWindow
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.low_level import REMEMBERED_S, LowLevelStream
from monitor.model.operation import Operation

_N_KINDS = len(SoundKind)
_FALL_DB = 3.0
_FALL_S = 8.0
"""A fall of the mean level by this much within this time may be a machine that stops."""
_UNCLEAR_S = 30.0
"""A running machine that became quieter is scored again after this time."""
_SAME_SOUND_S = 10.0
_STILL_SAME_DB = 1.0


class OperationStatus(StrEnum):
    """The values of ``operation`` on ``BASE/<machine>/operation``."""

    RUNNING = "running"
    OFF = "off"
    TRANSITION = "transition"


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


class OperationFollower:
    """Selects the windows of one machine that are scored, and detects its changes of state.

    ``status``: the present state, None before the first two seconds of sound. Between running and
    off there is ``transition``, unless the sound changes at once. The result depends on the windows
    only and not on how the stream was cut. State: the low levels, the mean level of the last eight
    seconds, how long each kind of sound has lasted, for how many windows off has had the spectrum
    of running, and the windows of a change that is not yet certain. They are scored if the change
    is not confirmed. Without ``operation``, the sound is
    that of the running machine unless settings or ``declare`` decide otherwise.
    """

    def __init__(
        self,
        operation: Operation | None,
        spec: LogMelSpec,
        settings: OperationSettings | None = None,
    ) -> None:
        settings = settings or OperationSettings()
        self._sound = OperationSound(operation, settings)
        self._levels = LowLevelStream(spec, self._sound.n_bands or spec.n_mels)
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
        self._with, self._without = [0] * _N_KINDS, [0] * _N_KINDS
        self._in_status = 0
        self._same_sound = max(1, round(_SAME_SOUND_S / spec.window_hop_s))
        self._n_same = 0
        self._quieter_db = 0.0

    @property
    def quieter_running_db(self) -> float | None:
        """How much quieter than running, if off has had the spectrum of running for ten seconds.

        The gain of the microphone may have been lowered by so much. Otherwise None.
        """
        return self._quieter_db if self._n_same >= self._same_sound else None

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
            if self._is_scored and self._with[SoundKind.LOUD]:
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
        if level_db is None:
            return None
        low_db = level_db.astype(np.float64)
        kind = self._kind_of(low_db)
        if self.status is OperationStatus.OFF:
            self._compare_with_running(low_db)
        lasted = self._with[kind] + 1
        self._with = [0] * _N_KINDS
        self._with[kind] = lasted
        self._without = [n + 1 for n in self._without]
        self._without[kind] = 0
        self._in_status += 1
        status = self._next_status(kind)
        return None if status is self.status else self._changed(status, window)

    def _next_status(self, kind: SoundKind) -> OperationStatus:
        """The state after a window of this kind."""
        lasted, lacked = self._with, self._without
        if self.status is OperationStatus.OFF:
            is_changing = lacked[SoundKind.QUIET] >= self._change
            return OperationStatus.TRANSITION if is_changing else OperationStatus.OFF
        stop = self._stop if self.status is not None else 1
        if lasted[SoundKind.QUIET] >= stop:
            return OperationStatus.OFF
        if self.status is OperationStatus.TRANSITION:
            longest = self._longest_start if self._was_off else self._longest_fall
            is_overdue = self._in_status >= longest and kind is not SoundKind.QUIET
            is_settled = lasted[SoundKind.LOUD] >= self._settle
            return OperationStatus.RUNNING if is_settled or is_overdue else self.status
        is_changing = lacked[SoundKind.LOUD] >= stop
        return OperationStatus.TRANSITION if is_changing else OperationStatus.RUNNING

    def _changed(self, status: OperationStatus, window: LogMelWindow) -> OperationChange:
        """Begin a state. The pending windows belong to it."""
        first = self._held[0] if self._held else window
        is_start = status is OperationStatus.RUNNING and self._was_off
        if status is not OperationStatus.TRANSITION:
            self._was_off = status is OperationStatus.OFF
        if status is not OperationStatus.RUNNING:
            self._held = []
        self.status = status
        self._in_status = self._n_same = 0
        self._forget_kinds()
        return OperationChange(status, first.first_sample, window.end_sample, is_start)

    def _compare_with_running(self, level_db: DoubleArray) -> None:
        is_known = self.quieter_running_db is not None
        most_db = OFF_SHAPE_DB + (_STILL_SAME_DB if is_known else 0.0)
        quieter_db = None
        if self._declared is None:
            quieter_db = self._sound.quieter_running_db(level_db, most_db)
        self._n_same = self._n_same + 1 if quieter_db is not None else 0
        self._quieter_db = quieter_db or 0.0

    def _forget_kinds(self) -> None:
        self._with, self._without = [0] * _N_KINDS, [0] * _N_KINDS

    def _kind_of(self, level_db: DoubleArray) -> SoundKind:
        mean_db = float(level_db.sum()) / len(level_db)
        fell_db = max(self._means, default=mean_db) - mean_db
        self._means.append(mean_db)
        if self._declared is not None:
            return SoundKind.LOUD if self._declared else SoundKind.QUIET
        return self._sound.kind_of(
            level_db, is_falling=fell_db > _FALL_DB, is_scored=self._is_scored
        )
