"""Rows of tallies as the values that are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from monitor.history.records import Minute
from monitor.history.tally import COLUMNS, LEVEL_UNIT_DB, RATIO_UNIT, TIME_UNIT_S

TALLY_SUMS = tuple(name for name in COLUMNS if name != "state")
"""The fields of a tally without its state."""

_RATIOS = round(1.0 / RATIO_UNIT)
_TIMES = round(1.0 / TIME_UNIT_S)
"""So many units are 1, and a second."""
_STATE, _MIN, _SUM, _MAX, _N, _LEVEL, _LEVEL_TIME, _STATE_TIME = range(1, 9)
_RUNNING, _OFF, _SCORED, _RECEIVED, _LOST = range(9, 14)


def minutes_of(rows: Iterable[Sequence[Any]], length: int) -> Iterator[Minute]:
    """The values of rows: start, state and ``TALLY_SUMS``, in the order of the starts.

    Rows of the same start, one for each state, are joined. ``length``: the minutes of a row.
    """
    same: list[Sequence[Any]] = []
    for row in rows:
        if same and row[0] != same[0][0]:
            yield minute_of(same[0] if len(same) == 1 else _joined(same), length)
            same = [row]
        else:
            same.append(row)
    if same:
        yield minute_of(same[0] if len(same) == 1 else _joined(same), length)


def _joined(rows: Sequence[Sequence[Any]]) -> Sequence[Any]:
    first, *others = rows
    joined = list(first)
    longest = first[_STATE_TIME]
    for row in others:
        for place in (_SUM, _N, *range(_LEVEL, _LOST + 1)):
            joined[place] += row[place]
        for place, choose in ((_MIN, min), (_MAX, max)):
            known = [one for one in (joined[place], row[place]) if one is not None]
            joined[place] = choose(known, default=None)
        if row[_STATE_TIME] > longest:
            longest, joined[_STATE] = row[_STATE_TIME], row[_STATE]
    return joined


def minute_of(row: Sequence[Any], length: int) -> Minute:
    """The values of one row, as in ``minutes_of``."""
    # Without keywords and calls for each value: a page shows tens of thousands of rows. A quotient
    # of whole numbers is the number that is nearest to the decimal one.
    (
        start,
        state,
        ratio_min,
        ratio_sum,
        ratio_max,
        n_scores,
        level_sum,
        level_time,
        _state_time,
        running,
        off,
        scored,
        received,
        lost,
    ) = row
    return Minute(
        start,
        length,
        None if ratio_min is None else ratio_min / _RATIOS,
        round(ratio_sum / n_scores / _RATIOS, 5) if n_scores else None,
        None if ratio_max is None else ratio_max / _RATIOS,
        round(level_sum / level_time * LEVEL_UNIT_DB, 2) if level_time else None,
        ("running" if running >= off else "off") if running or off else None,
        state,
        scored / _TIMES,
        received / _TIMES,
        lost / _TIMES,
        running / _TIMES,
        n_scores,
    )
