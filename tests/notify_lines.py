"""The lines of a message: which alerts, from when, and until when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.notify.wording import Message
from tests.clocks import START_UNIX_S

_LINE = re.compile(
    r"(?P<machine>\S+): alarm (?:since (?P<since>.+)|from (?P<begin>.+) to (?P<end>.+)"
    r"|ended at (?P<ended>.+))"
)


@dataclass(frozen=True)
class AlertLine:
    """One line of a message: which alert, from when, and until when it lasted.

    Minutes since the start of the clock; ``begin`` is None if the line only says that it ended.
    """

    machine: str
    begin: int | None
    end: int | None

    @property
    def newest(self) -> int:
        return self.end if self.end is not None else self.begin or 0


def lines_of(message: Message, now_unix_s: float) -> list[AlertLine]:
    """The lines of a message that was sent at this time: dates of the same day are left out."""
    lines = [*message.body.splitlines(), message.title]
    found = [match for line in lines if (match := _LINE.match(line))]
    assert found, message
    return [
        AlertLine(
            one["machine"],
            _minute(one["since"] or one["begin"], now_unix_s),
            _minute(one["end"] or one["ended"], now_unix_s),
        )
        for one in found
    ]


def _minute(text: str | None, now_unix_s: float) -> int | None:
    if text is None:
        return None
    match = re.match(r"(\d{4}-\d\d-\d\d )?(\d\d:\d\d)(?: UTC)?", text)
    assert match, text
    day = match[1] or datetime.fromtimestamp(now_unix_s, UTC).strftime("%Y-%m-%d ")
    at = datetime.fromisoformat(f"{day}{match[2]}:00+00:00")
    return round((at.timestamp() - START_UNIX_S) / 60)
