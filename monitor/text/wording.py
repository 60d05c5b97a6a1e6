"""Numbers in sentences: singular and plural, lengths of time, and rounded values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def counted(number: float, noun: str) -> str:
    """``1 recording``, ``2 recordings``, ``0.5 recordings``."""
    shown = str(number) if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"


def rounded(value: float, figures: int = 3) -> str:
    """``33.2``, ``1270`` or ``0.0123``: significant figures, never an exponent."""
    if value == 0.0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = figures - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, decimals):.{max(0, decimals)}f}"


def bands_text(bands_hz: Iterable[Sequence[float]]) -> str:
    """``503 to 666 Hz, 2000 to 2100 Hz``; empty where there are none."""
    return ", ".join(f"{low:.0f} to {high:.0f} Hz" for low, high in bands_hz)


def duration(seconds: float) -> str:
    """``90 seconds``, ``4 minutes``, ``30 hours`` or ``7 days``: rounded, in the largest unit of
    which there are at least two. ``length`` in ``format.js`` is the same for the web page.
    """
    units_s = (1, 60, 3600, 86_400)
    in_units = (math.floor(max(0.0, seconds) / unit_s + 0.5) for unit_s in units_s)
    whole_s, minutes, hours, days = in_units
    if whole_s < 120:
        return counted(whole_s, "second")
    if minutes < 120:
        return counted(minutes, "minute")
    return counted(hours, "hour") if hours < 48 else counted(days, "day")
