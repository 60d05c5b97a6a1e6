"""Rows of tallies as the values that are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from monitor.history.records import Minute
from monitor.history.tally import COLUMNS, LEVEL_UNIT_DB, RATIO_UNIT, TIME_UNIT_S

TALLY_SUMS = tuple(name for name in COLUMNS if name != "state")
"""The fields of a tally without its state."""

_START = itemgetter(0)
_STATE, _MIN, _SUM, _MAX, _N, _LEVEL, _LEVEL_TIME, _STATE_TIME = range(1, 9)
_RUNNING, _OFF, _SCORED, _RECEIVED, _LOST = range(9, 14)


def minutes_of(rows: Iterable[Sequence[Any]], length: int) -> Iterator[Minute]:
    """The values of rows: start, state and ``TALLY_SUMS``, in the order of the starts.

    Rows of the same start, one for each state, are joined. ``length``: the minutes of a row.
    """
    for start, group in groupby(rows, _START):
        first, *others = group
        yield _minute(_joined(first, others) if others else first, start, length)


def _joined(first: Sequence[Any], others: Iterable[Sequence[Any]]) -> Sequence[Any]:
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


def _minute(row: Sequence[Any], start: int, length: int) -> Minute:
    running, off, n_scores, level_time = row[_RUNNING], row[_OFF], row[_N], row[_LEVEL_TIME]
    is_known = running or off
    return Minute(
        minute=start,
        minutes=length,
        ratio_min=_ratio(row[_MIN]),
        ratio_mean=_ratio(row[_SUM] / n_scores) if n_scores else None,
        ratio_max=_ratio(row[_MAX]),
        level_dbfs=round(row[_LEVEL] / level_time * LEVEL_UNIT_DB, 2) if level_time else None,
        operation=("running" if running >= off else "off") if is_known else None,
        state=row[_STATE],
        scored_s=_seconds(row[_SCORED]),
        received_s=_seconds(row[_RECEIVED]),
        lost_s=_seconds(row[_LOST]),
        running_s=_seconds(running),
        n_scores=n_scores,
    )


def _ratio(units: float | None) -> float | None:
    return None if units is None else round(units * RATIO_UNIT, 5)


def _seconds(units: int) -> float:
    return round(units * TIME_UNIT_S, 1)
