"""Passwords and tokens in texts are replaced by ``***``."""

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


def mask_user_info(text: str) -> str:
    """``text`` with the user and password of every URL in it masked."""
    return _USER_INFO.sub(rf"\g<scheme>{_MASK}@", text)


class Masking:
    """Masks secrets in the output of a program, also those that its arguments contain."""

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
        """``text`` as one line of printable characters, with its secrets masked."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        text = mask_user_info(text)
        text = _AUTHORIZATION.sub(rf"\1{_MASK}", text)
        text = _NAMED.sub(rf"\g<name>\g<sign>{_MASK}", text)
        text = "".join(c if c.isprintable() else " " for c in text)
        return " ".join(text.split())
