"""Which messages report the same event again, although parts of their text change.

ffmpeg writes the address of an object (``[tcp @ 0x55d0c8a1]``), other programs the time, their
process id, the port of a connection or how much they have done.
"""

from __future__ import annotations

import re

_CHANGING = re.compile(
    r"""
      \b0x[0-9a-f]+\b                                                # an address
    | \b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b                # a UUID
    | \b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b              # the id of a session
    | \b\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?Z?)?   # a date
    | \b\d+:\d\d:\d\d(?:[.,]\d+)?                                    # a time of day, a duration
    | (?<=[\d\]]:)\d{2,5}\b                                          # the port after an IP address
    | (?<=\[)\d+(?=\])                                               # a process id, as in syslog
    | \b(?:frame|packet|pts|dts|pos|seq|pid|port|attempt|try|retry|fd|after|in)
      (?:\s*[=:\#]\s*|\s+)-?\d+(?:\.\d+)?
    | [=]\s*-?\d+(?:\.\d+)?[a-z/%]*(?![\d:.])                        # progress: size= 12kB
    | (?<![\d.])\d+\.\d+(?!\.?\d)                                     # an amount
    | \d{5,}                                                         # a count, a port, an address
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WITH_DIGITS = re.compile(r"\w*\d\w*")


def event_of(text: str) -> str:
    """The text without what changes between reports of one event; for comparison only.

    Line numbers, status codes and other short numbers stay: they distinguish events.
    """
    return _CHANGING.sub("#", text)


def pattern_of(text: str) -> str:
    """The text without every word that contains a digit."""
    return _WITH_DIGITS.sub("#", text)
