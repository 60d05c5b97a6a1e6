"""Which pieces of a machine's sound are unlike the others. No clock and no files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.calibration.outliers import MOST_LEFT_OUT, TIMES_MEDIAN
from monitor.learning.journal import Alarm, LearnedBundle
from monitor.learning.pieces import Piece

LEAST_PIECES = 8
"""Fewer pieces are not enough for a threshold."""
_MOST_DAYS_ASIDE = 2
_JUMP = 1.4
"""The score of a piece that does not fit is at least this many times that of every other piece.
Recordings have a larger limit (``monitor.calibration.outliers``): their score need not be above
the threshold."""
_LOUDER_DB = 15.0
"""A machine that is off is 20 to 30 dB quieter than one that runs."""


def pieces_that_do_not_fit(pieces: Sequence[Piece]) -> dict[str, str]:
    """The pieces to set aside, by name, with the reason. See ``_outliers``.

    Sound of that kind on more than two days is a state of the machine and is learned.
    """
    outliers = _outliers(pieces)
    if _days(outliers) > _MOST_DAYS_ASIDE:
        return {}
    return {
        piece.name: f"its score is {piece.ratio:.2g} times the threshold, unlike all others"
        for piece in outliers
    }


def rare_pieces(pieces: Sequence[Piece]) -> dict[str, str]:
    """The pieces of sound that is learned although it is rare, by name, with the reason.

    It may also be a fault that comes and goes.
    """
    outliers = _outliers(pieces)
    n_days = _days(outliers)
    if n_days <= _MOST_DAYS_ASIDE:
        return {}
    return {
        piece.name: f"its score is {piece.ratio:.2g} times the threshold; it is learned, because "
        f"such sound occurred on {n_days} days"
        for piece in outliers
    }


def pieces_during_alarms(pieces: Sequence[Piece], alarms: Sequence[Alarm]) -> dict[str, str]:
    """The pieces in the sound of alarms of the bundle in use, by name, with the reason."""
    return {
        piece.name: "it is of the sound that raised an alert"
        for piece in pieces
        for alarm in alarms
        if piece.heard_s + piece.seconds > alarm.begin_s
        and (alarm.end_s is None or piece.heard_s < alarm.end_s)
    }


def pieces_while_off(bundle: LearnedBundle, pieces: Sequence[Piece]) -> set[str]:
    """The names of pieces of the machine that was off, if ``bundle`` was made from them alone.

    This is so when sound that came later is far louder. Empty if the bundle has the running
    machine.
    """
    running = [piece for piece in pieces if piece.kind == "running"]
    levels_db = [piece.level_dbfs for piece in running if piece.heard_s <= bundle.heard_s]
    lowest_db = float(np.median(levels_db)) + _LOUDER_DB if levels_db else -np.inf
    quieter = {piece.name for piece in running if piece.level_dbfs < lowest_db}
    newer = {piece.name for piece in running if piece.heard_s > bundle.heard_s}
    return quieter if len(newer - quieter) >= LEAST_PIECES else set()


def _outliers(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces whose score is above the threshold and far above that of all others.

    The score is by a bundle that was made without the piece. At most a fifth of the pieces.
    """
    scored = sorted(
        ((piece.ratio, piece) for piece in pieces if piece.ratio is not None),
        key=lambda one: -one[0],
    )
    ratios = [ratio for ratio, _ in scored]
    n_outliers = 0
    for number in range(1, len(ratios) // MOST_LEFT_OUT + 1):
        fitting = ratios[number:]
        least = max(1.0, _JUMP * fitting[0], TIMES_MEDIAN * float(np.median(fitting)))
        if ratios[number - 1] >= least:
            n_outliers = number
    return [piece for _, piece in scored[:n_outliers]]


def _days(pieces: Sequence[Piece]) -> int:
    return len({piece.day for piece in pieces})
