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
    """``45 seconds``, ``4 minutes`` or ``30 hours``."""
    if seconds < 90:
        return counted(round(seconds), "second")
    if seconds < 90 * 60:
        return counted(round(seconds / 60), "minute")
    return counted(round(seconds / 3600), "hour")
