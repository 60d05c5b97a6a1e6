"""When a recording began: from its name, or from the metadata of a Broadcast Wave file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from monitor.audio.containers.riff import broadcast_extension
from monitor.errors import BadInputError, UsageError

_FIRST_YEAR, _LAST_YEAR = 1970, 2199
"""A name with another year holds another number."""
_TIME_IN_NAME = re.compile(
    r"""
    (?<!\d)
    (?P<year>19[7-9]\d|2[01]\d\d) (?P<date_separator>[-_.]?)
    (?P<month>\d\d) (?P=date_separator) (?P<day>\d\d)
    (?P<separator>[Tt]|[_\ .-]{1,3}|\ at\ |)
    (?P<hour>\d\d) (?P<time_separator>[-_:.]?)
    (?P<minute>\d\d) (?:(?P=time_separator) (?P<second>\d\d) (?:[.,](?P<fraction>\d{1,9}))?)?
    (?:[\ \u00a0\u202f]?(?P<half>[AaPp])[Mm](?![A-Za-z]))?
    (?P<zone>[_\ ]?\+\d\d(?::?\d\d)?|-\d\d(?::?\d\d)?(?![A-Za-z])|[Zz](?![A-Za-z]))?
    (?!\d)
    """,
    re.VERBOSE | re.ASCII,
)
_T = ("T", "t")
_FIRST_SET_YEAR = 1990
"""Files were not recorded before. Clocks of Linux begin in 1970, of FAT and of GPS in 1980."""
_CHIP_BEGINS = (2000, 1)
"""Year and month in which the clocks of many clock chips begin."""
_LEAP_SECOND = 60
_BEXT_DATE: Final = re.compile(rb"(19[7-9]\d|2[01]\d\d)[-_:. /](\d\d)[-_:. /](\d\d)")
_BEXT_TIME: Final = re.compile(rb"(\d\d)[-_:. /](\d\d)[-_:. /](\d\d)")
_BEXT_DATE_AT, _BEXT_TIME_AT, _BEXT_END = 320, 330, 338


def start_times(recordings: Sequence[Path], given: str | None) -> dict[Path, float | None]:
    """The start of each recording in seconds since 1970, None where nothing shows it.

    ``given``: the start of the only recording in ISO 8601; UTC where it has no zone. Raises
    ``UsageError`` for another text, and where there are several recordings.
    """
    if given is None:
        return {recording: start_unix_s(recording) for recording in recordings}
    if len(recordings) != 1:
        raise UsageError(
            f"--start needs exactly one recording, not {len(recordings)}; put the time into the "
            "names instead, for example pump_20261123T101530Z.wav"
        )
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise UsageError(
            f"--start {given}: not a time in ISO 8601, for example 2026-11-23T10:15:30Z"
        ) from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise UsageError(f"--start {given}: the year must be {_FIRST_YEAR} to {_LAST_YEAR}")
    return dict.fromkeys(recordings, _in_utc(moment).timestamp())


def start_unix_s(recording: Path) -> float | None:
    """The start of a recording in seconds since 1970, None where nothing shows it.

    Looked for in this order: a date with a time in the file's name (ISO 8601 as in
    ``2026-11-23T10:15:30Z`` or ``20261123T101530+0100``, also with ``-`` or ``.`` for ``:``,
    ``20261123_101530`` and ``20261123101530``, also with AM or PM), and the origination date and
    time of a Broadcast Wave file (EBU Tech 3285). Times without a zone are taken as UTC. A file
    that cannot be read gives None, and so do the dates of clocks that were never set (before 1990,
    and January 2000).
    """
    found = _start(recording)
    return None if found is None else _in_utc(found).timestamp()


def start_day(recording: Path) -> date | None:
    """The day on which a recording began, None where nothing shows its start.

    The day of this computer's zone where the start has a zone, otherwise the day that is stated.
    """
    found = _start(recording)
    if found is None:
        return None
    return found.date() if found.tzinfo is None else found.astimezone().date()


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _start(recording: Path) -> datetime | None:
    """The start as it is stated, with a zone only if one is stated."""
    named = _start_in_name(recording.stem)
    if named is None:
        with suppress(OSError, ValueError, BadInputError):
            # Opening a named pipe would wait for a writer.
            descriptor = os.open(recording, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                named = _origination(broadcast_extension(descriptor, recording))
            finally:
                os.close(descriptor)
    return named


def _start_in_name(name: str) -> datetime | None:
    """The first date with a time in a name."""
    for match in _TIME_IN_NAME.finditer(name):
        year, month, day, hour, minute, second = match.group(
            "year", "month", "day", "hour", "minute", "second"
        )
        if second is None and match["separator"] not in _T:
            continue  # 20261123_0001 is a counter
        fraction = (match["fraction"] or "").ljust(6, "0")[:6]
        hour = hour if match["half"] is None else _hour_of_day(hour, match["half"])
        parts = (year, month, day, hour, minute, second or "0")
        moment = _moment(parts, _zone(match))
        if moment is not None:
            return moment.replace(microsecond=int(fraction))
    return None


def _hour_of_day(hour: str, half: str) -> str:
    """The hour of a clock of twelve hours; of another one as it is. ``half``: as in AM or PM."""
    if not 1 <= int(hour) <= 12:
        return hour
    return str(int(hour) % 12 + (12 if half in "Pp" else 0))


def _moment(parts: Iterable[str | bytes], zone: timezone | None) -> datetime | None:
    """Year, month, day, hour, minute and second as a time, None where there is no such time.

    None too for the dates of clocks that were never set. A leap second (60) is the
    beginning of the next minute.
    """
    year, month, day, hour, minute, second = map(int, parts)
    if year < _FIRST_SET_YEAR or (year, month) == _CHIP_BEGINS:
        return None
    is_leap = second == _LEAP_SECOND
    try:
        moment = datetime(year, month, day, hour, minute, second - is_leap, tzinfo=zone)
    except ValueError:
        return None
    return moment + timedelta(seconds=is_leap)


def _zone(match: re.Match[str]) -> timezone | None:
    """The zone after a time. A counter begins with ``-``.

    ``-0100`` is a counter after ``_`` and a zone after ``T``; ``-01`` is a zone only in
    ``T10:15:30-01``.
    """
    zone = (match["zone"] or "").lstrip("_ ")
    if zone in ("Z", "z"):
        return UTC
    is_short = len(zone) == len("-01")
    is_iso = match["separator"] in _T and (not is_short or match["time_separator"] == ":")
    if not zone or not (zone[0] == "+" or ":" in zone or is_iso):
        return None
    hours, minutes = int(zone[1:3]), int("0" if is_short else zone[-2:])
    if hours > 14 or minutes not in (0, 15, 30, 45):
        return None
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if zone[0] == "-" else offset)


def _origination(bext: bytes) -> datetime | None:
    """The origination date and time of a Broadcast Wave file, None where it has none."""
    day = _BEXT_DATE.fullmatch(bext[_BEXT_DATE_AT:_BEXT_TIME_AT])
    time = _BEXT_TIME.fullmatch(bext[_BEXT_TIME_AT:_BEXT_END])
    if day is None or time is None:
        return None
    return _moment((*day.groups(), *time.groups()), None)
