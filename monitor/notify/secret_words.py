"""The parts of a target's address that must not appear anywhere: tokens, passwords, paths."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

_MASK = "***"
_LEAST_CHARACTERS = 4
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,19}")
_BETWEEN = re.compile(r"[/:?&=@#,;\s]+")


def secret_words(url: str, shown_host: str = "") -> list[str]:
    """The secrets in an address, the longest first.

    In many addresses the host is a token. Therefore everything after the scheme is secret, except
    ``shown_host``.
    """
    _, separator, after = url.partition("://")
    rest = after if separator else url
    parts = {rest, unquote_plus(rest)}
    parts |= {word for part in parts for word in _BETWEEN.split(part)}
    parts |= {unquote_plus(part) for part in parts}
    secret = {part for part in parts if len(part) >= _LEAST_CHARACTERS and part != shown_host}
    return sorted(secret, key=len, reverse=True)


def shown_scheme(url: str) -> str:
    """How an address begins, with its other parts masked: ``tgram://***``."""
    scheme, separator, rest = url.strip().partition("://")
    begin = scheme if separator and _SCHEME.fullmatch(scheme) else _MASK
    return f"{begin}://{_MASK if rest else ''}"


def masked(text: str, secrets: list[str]) -> str:
    """``text`` without the secrets."""
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return text
