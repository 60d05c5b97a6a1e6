"""Rows of the table of faults, how it is printed, and the log of a case."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from monitor.text.escaping import one_line

HEADER = "| kind | case | seconds read | result | message |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one case.

    ``read_s`` of ``there_s``: seconds of sound, where a case has sound. ``message``: what the
    user reads, empty without any. ``wrong``: the guarantee that is broken, empty if none is.
    """

    kind: str
    case: str
    result: str
    message: str = ""
    read_s: float | None = None
    there_s: float | None = None
    wrong: str = ""

    def __str__(self) -> str:
        seconds = "" if self.there_s is None else f"{self.read_s or 0.0:.1f} of {self.there_s:.1f}"
        result = f"{self.result} **{self.wrong}**" if self.wrong else self.result
        cells = (self.kind, self.case, seconds, result, self.message)
        return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def print_table(rows: Iterable[Row]) -> int:
    """As ``show``, without the table of kinds; the exit status."""
    return show(rows)[1]


def show(rows: Iterable[Row]) -> tuple[str, int]:
    """Print the rows as they come, and a table of the kinds; this table and the exit status."""
    print(HEADER, flush=True)
    wrong: dict[str, list[bool]] = {}
    for row in rows:
        print(row, flush=True)
        wrong.setdefault(row.kind, []).append(bool(row.wrong))
    kinds = ["| kind | cases | guarantee broken |", "|---|---|---|"]
    kinds += [f"| {kind} | {len(found)} | {sum(found)} |" for kind, found in wrong.items()]
    table = "\n".join(kinds)
    print(f"\n{table}")
    return table, int(any(map(any, wrong.values())))


class LogLines(logging.Handler):
    """The messages that the program logs inside a ``with`` block, from ``info`` upwards."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self._level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(one_line(record.getMessage()))

    def has(self, text: str) -> bool:
        """Whether a message contains the text."""
        return self.count(text) > 0

    def count(self, text: str) -> int:
        """How many messages contain the text."""
        return sum(text in line for line in self.lines)

    def __enter__(self) -> Self:
        logger = logging.getLogger("monitor")
        logger.addHandler(self)
        self._level = logger.level
        logger.setLevel(self.level)  # an earlier case may have limited the log
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("monitor")
        logger.removeHandler(self)
        logger.setLevel(self._level)
