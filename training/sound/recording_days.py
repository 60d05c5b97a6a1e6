"""The days on which recordings were made, by their names or metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from monitor.audio.start_time import start_day

_DATE = re.compile(r"(?<!\d)(19[7-9]\d|2[01]\d\d)([-_.]?)(\d\d)\2(\d\d)(?!\d)", re.ASCII)
_MONTH_AND_DAY = re.compile(r"(\d\d)-?(\d\d)", re.ASCII)
_ANY_LEAP_YEAR = 2000


def days_of(paths: Sequence[Path]) -> npt.NDArray[np.intp] | None:
    """The number of each recording's day, from 0. Shape: ``(n,)``.

    None if a recording shows no day, or all are of one day. A day is shown by the time at which
    a recording began, as :func:`start_day` finds it, by a date in its name or in the name of
    its folder (``20261123``, ``2026-11-23``), or by the month and day as the name of its folder
    (``1123``).
    """
    days = [_day_of(path) for path in paths]
    known = [day for day in days if day is not None]
    if len(known) < len(days) or len(set(known)) < 2:
        return None
    return np.unique([day.toordinal() for day in known], return_inverse=True)[1].astype(np.intp)


def _day_of(path: Path) -> date | None:
    started = start_day(path)
    if started is not None:
        return started
    folder = path.absolute().parent.name
    for name in (path.stem, folder):
        for match in _DATE.finditer(name):
            if (day := _date(*map(int, match.group(1, 3, 4)))) is not None:
                return day
    named = _MONTH_AND_DAY.fullmatch(folder)
    return None if named is None else _date(_ANY_LEAP_YEAR, *map(int, named.groups()))


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
