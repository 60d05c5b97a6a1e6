"""Why a connection to a service failed.

The texts of libraries contain addresses, which are secret: only known parts of them are used.
"""

from __future__ import annotations

import re

_KNOWN = (
    (r"certificate verify failed: ([a-z][a-z -]*[a-z])", "its certificate is not accepted: {}"),
    (r"wrong version number|record layer failure", "it does not use TLS at this port"),
    (r"name or service not known|failed to resolve|name resolution", "its name is not known here"),
    (r"connection refused", "it refuses connections at this port"),
    (r"timed out", "it does not answer in time"),
    (r"network is unreachable|no route to host", "there is no network to it"),
)
UNKNOWN = "the connection failed"


def connection_fault(text: str) -> str:
    """The part of a sentence after "no answer from HOST:". ``text``: of an exception."""
    for pattern, words in _KNOWN:
        if match := re.search(pattern, text, re.IGNORECASE):
            return words.format(*match.groups())
    return UNKNOWN
