"""Numbers on the command line: ``typer`` parsers whose errors state what would be right."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import typer


def number(least: float = -math.inf, most: float = math.inf) -> Callable[[str], float]:
    """A parser of a finite number from ``least`` to ``most``.

    It raises ``typer.BadParameter``.
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise typer.BadParameter(f"must be a number, not {text}")
        return _within(value, least, most)

    return parse


def whole_number(least: int | None = None) -> Callable[[str], int]:
    """A parser of a whole number of at least ``least``. It raises ``typer.BadParameter``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise typer.BadParameter(f"must be a whole number, not {text}") from None
        _within(value, -math.inf if least is None else least, math.inf)
        return value

    return parse


def _within(value: float, least: float, most: float) -> float:
    if value < least:
        raise typer.BadParameter(f"must be at least {least:g}, not {value:g}")
    if value > most:
        raise typer.BadParameter(f"must be at most {most:.12g}, not {value:g}")
    return value


_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LENGTH_OF_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])")


def length_of_time(least: str, most: str) -> Callable[[str], float]:
    """A parser of ``30m``, ``2h`` or ``1d`` to seconds, from ``least`` to ``most``.

    It raises ``typer.BadParameter``.
    """

    def parse(text: str) -> float:
        seconds = _seconds(text)
        if not _seconds(least) <= seconds <= _seconds(most):
            raise typer.BadParameter(f"must be at least {least} and at most {most}, not {text}")
        return seconds

    return parse


def _seconds(text: str) -> float:
    match = _LENGTH_OF_TIME.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(
            f"must be a number with s, m, h or d, for example 30m, 2h or 1d, not {text}"
        )
    return float(match[1]) * _SECONDS[match[2]]
