"""What the low level of a machine sounds like: running, off, or neither."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from monitor.detection.settings import OperationSettings
from monitor.domain import DoubleArray
from monitor.model.operation import Operation

_MARGIN_DB = 1.0
"""A band is quieter than running if it is more than this below the lowest level of running."""
_OFF_SHARE = 0.85
"""The share of the bands that must be quieter. Machines that were off had 0.95 to 1."""
_OFF_DROP_DB = 8.0
"""The least drop, as the mean of all bands. Machines that were off had 20 to 30 dB."""
OFF_SHAPE_DB = 4.0
"""The least difference of the spectra, without their level. A changed gain does not change it."""
SAME_SHAPE_DB = 3.0
"""Spectra of one state differ by less than this, whatever the gain."""
_FAR_DROP_DB = 25.0
"""A changed gain does not explain a larger drop. The spectrum is then not compared."""
_RECORDED_OFF_SHARE = 0.5
_RECORDED_OFF_DROP_DB = 3.0
"""The limits if the sound is nearer to a recorded off than to the running machine."""
_START_SHARE = 0.1
"""The largest share of quieter bands in a machine that has started. Measured: up to 0.04, also
with faults. Noise beside a machine that is off has 0.15 or more."""


class SoundKind(IntEnum):
    """The kind of one low level: of the running machine, unclear, or of the machine that is off."""

    LOUD = 0
    UNCLEAR = 1
    QUIET = 2


def sounds_off(below_db: DoubleArray, shape_db: float) -> bool:
    """Whether sound is that of the machine that is off, without recordings of off.

    Almost every band must be quieter than when the machine runs, and it must not be the same
    sound at a lower gain. ``below_db``: the levels less the lowest of running, ``(n_bands,)``.
    ``shape_db``: the standard deviation over the bands of the difference from the running machine.
    """
    share = float((below_db < -_MARGIN_DB).mean())
    drop_db = -float(below_db.mean())
    is_another_sound = shape_db >= OFF_SHAPE_DB or drop_db >= _FAR_DROP_DB
    return share >= _OFF_SHARE and drop_db >= _OFF_DROP_DB and is_another_sound


class OperationSound:
    """Compares a low level with those of a bundle. ``operation``: None without recorded levels."""

    def __init__(self, operation: Operation | None, settings: OperationSettings) -> None:
        states = operation.states if operation is not None else ()
        self._quiet_db = np.array(operation.quiet_db) if operation is not None else None
        names = settings.off_states
        is_off = [s.is_off if names is None else s.name in names for s in states]
        spectra = [np.array(s.low_level_db) for s in states]
        self._off = [levels for levels, off in zip(spectra, is_off, strict=True) if off]
        self._running = [levels for levels, off in zip(spectra, is_off, strict=True) if not off]
        self._off_below_db = settings.off_below_db

    @property
    def n_bands(self) -> int | None:
        """How many bands the recorded levels have; None without recorded levels."""
        return None if self._quiet_db is None else len(self._quiet_db)

    def kind_of(self, level_db: DoubleArray, *, is_falling: bool, is_scored: bool) -> SoundKind:
        """What a low level sounds like. Shape: ``(n_bands,)``.

        ``is_falling``: the mean level has just become lower. ``is_scored``: the machine runs, by
        what is known so far.
        """
        if self._off_below_db is not None:
            is_quiet = float(level_db.mean()) < self._off_below_db
            return SoundKind.QUIET if is_quiet else SoundKind.LOUD
        if self._quiet_db is None:
            return SoundKind.LOUD
        below_db = level_db - self._quiet_db
        share = np.count_nonzero(below_db < -_MARGIN_DB) / len(below_db)
        if share <= _START_SHARE:  # less than any other kind needs
            return SoundKind.LOUD
        shapes_db = [float((level_db - running).std()) for running in self._running]
        shape_db = min(shapes_db, default=np.inf)
        if self._is_off(level_db, below_db, share, shape_db):
            return SoundKind.QUIET
        is_stopping = is_falling and share > _RECORDED_OFF_SHARE
        is_starting = not is_scored and share > _START_SHARE and shape_db > SAME_SHAPE_DB
        return SoundKind.UNCLEAR if is_stopping or is_starting else SoundKind.LOUD

    def quieter_running_db(self, level_db: DoubleArray, most_shape_db: float) -> float | None:
        """How much quieter a low level of off is than the running machine of the same spectrum.

        None if its spectrum differs by ``most_shape_db`` or more, or if it is like a recorded off,
        or if the settings decide by the level.
        """
        if self._off_below_db is not None or not self._running:
            return None
        to_off_db = [float(np.sqrt(np.square(level_db - off).mean())) for off in self._off]
        if min(to_off_db, default=np.inf) < OFF_SHAPE_DB:
            return None
        nearest = min(self._running, key=lambda running: float((level_db - running).std()))
        below_db = nearest - level_db
        return float(below_db.mean()) if float(below_db.std()) < most_shape_db else None

    def _is_off(
        self, level_db: DoubleArray, below_db: DoubleArray, share: float, shape_db: float
    ) -> bool:
        if sounds_off(below_db, shape_db):
            return True
        is_quiet = -float(below_db.mean()) >= _RECORDED_OFF_DROP_DB
        if not is_quiet or share < _RECORDED_OFF_SHARE:
            return False
        to_off_db = [float(np.sqrt(np.square(level_db - off).mean())) for off in self._off]
        return min(to_off_db, default=np.inf) < shape_db
