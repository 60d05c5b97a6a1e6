"""Numbers in sentences: singular and plural, and lengths of time."""

from __future__ import annotations


def counted(number: float, noun: str) -> str:
    """``1 recording``, ``2 recordings``, ``0.5 recordings``."""
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


def duration(seconds: float) -> str:
    """``45 seconds``, ``4 minutes`` or ``30 hours``."""
    if seconds < 90:
        return counted(round(seconds), "second")
    if seconds < 90 * 60:
        return counted(round(seconds / 60), "minute")
    return counted(round(seconds / 3600), "hour")
