"""Why a connection to a service failed.

The texts of libraries contain addresses, which are secret: only known parts of them are used.
"""

from __future__ import annotations

import re

_NO_ANSWER = "no answer from {where}: "
_CLOSED = "{where} closes the connection"
_KNOWN = (
    (
        r"certificate verify failed: ([a-z][a-z -]*[a-z])",
        _NO_ANSWER + "its certificate is not accepted: {}",
    ),
    (
        r"wrong version number|record layer failure",
        _NO_ANSWER + "it does not use TLS at this port",
    ),
    (
        r"name or service not known|failed to resolve|name resolution",
        _NO_ANSWER + "its name is not known here",
    ),
    (r"connection refused", _NO_ANSWER + "it refuses connections at this port"),
    (r"timed out", _NO_ANSWER + "it does not answer in time"),
    (r"network is unreachable|no route to host", _NO_ANSWER + "there is no network to it"),
    (r"starttls extension not supported", "{where} offers no STARTTLS at this port"),
    (r"smtp auth extension not supported", "{where} offers no login at this port"),
    (r"connection unexpectedly closed|server not connected|connection reset", _CLOSED),
    (r"^\W*53[045], b", "{where} does not accept the user and the password"),
    (r"(?:^\W*|\()([45]\d\d), b", "{where} refuses with status {}"),
)
_UNKNOWN = _NO_ANSWER + "the connection failed"


def connection_fault(text: str, where: str) -> str:
    """A clause without its full stop. ``text``: of an exception. ``where``: the service."""
    for pattern, words in _KNOWN:
        if match := re.search(pattern, text, re.IGNORECASE):
            return words.format(*match.groups(), where=where)
    return _UNKNOWN.format(where=where)
