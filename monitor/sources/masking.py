"""What a child program says, fit to be logged and published."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user_info>[^/\s?#]*)@", re.IGNORECASE)
_NAMED = re.compile(
    r"\b(?P<name>pass(?:word|wd|phrase)?|pwd|token|secret|api[_-]?key|auth|signature|sig|key)"
    r"(?P<sign>\s*[=:]\s*)(?P<value>[^\s&;,\"']+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"(authorization\s*:\s*)[^\r\n\"']+", re.IGNORECASE)
_MASK = "***"
_LEAST_SECRET = 3


class Masking:
    """Hides passwords and tokens, those of a command line wherever they turn up again."""

    def __init__(self, arguments: Iterable[str] = ()) -> None:
        found: set[str] = set()
        for argument in arguments:
            for match in _USER_INFO.finditer(argument):
                _, colon, password = match["user_info"].partition(":")
                secret = password if colon else match["user_info"]
                found |= {secret, unquote(secret)}
            found |= {match["value"] for match in _NAMED.finditer(argument)}
        self._secrets = sorted((s for s in found if len(s) >= _LEAST_SECRET), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """``text`` in one line of printable characters, without what is secret in it."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        text = _USER_INFO.sub(rf"\g<scheme>{_MASK}@", text)
        text = _AUTHORIZATION.sub(rf"\1{_MASK}", text)
        text = _NAMED.sub(rf"\g<name>\g<sign>{_MASK}", text)
        text = "".join(c if c.isprintable() else " " for c in text)
        return " ".join(text.split())
