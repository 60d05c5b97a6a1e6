"""The parameters of an address. A mistake is a ``UsageError`` that names the parameter."""

from __future__ import annotations

import math

from starlette.requests import Request

from monitor.errors import UsageError

_LATEST_UNIX_S = 32_503_680_000.0  # the year 3000


def unix_time(request: Request, name: str, default: float) -> float:
    """A time in seconds since 1970."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    value = _number(name, text)
    if not 0.0 <= value <= _LATEST_UNIX_S:
        raise UsageError(f"{name} must be a time in seconds since 1970")
    return value


def whole_number(request: Request, name: str, default: int, *, most: int) -> int:
    """A number from 1 to ``most``."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    value = _number(name, text)
    if not 1 <= value <= most or value != int(value):
        raise UsageError(f"{name} must be a whole number from 1 to {most}")
    return int(value)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name} must be a number")
    return value
