"""The parts of a target's address that must not appear anywhere: tokens, passwords, paths."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

_MASK = "***"
_LEAST_CHARACTERS = 4
_BETWEEN = re.compile(r"[/:?&=@#,;\s]+")


def secret_words(url: str, shown_host: str = "") -> list[str]:
    """The secrets in an address, the longest first.

    In many addresses the host is a token. Therefore everything after the scheme is secret, except
    ``shown_host``.
    """
    rest = url.partition("://")[2] or url
    parts = {rest, unquote_plus(rest)}
    parts |= {word for part in parts for word in _BETWEEN.split(part)}
    parts |= {unquote_plus(part) for part in parts}
    secret = {part for part in parts if len(part) >= _LEAST_CHARACTERS and part != shown_host}
    return sorted(secret, key=len, reverse=True)


def masked(text: str, secrets: list[str]) -> str:
    """``text`` without the secrets."""
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return text
