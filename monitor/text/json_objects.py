"""Reading a JSON object that somebody else wrote, or that a disk has damaged."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def json_object(text: str | bytes) -> dict[str, Any]:
    """The object, with finite numbers only. Raises ``ValueError`` for everything else.

    ``json.loads`` accepts NaN, takes 1e999 for infinity, and reads whole numbers that no float can
    have. They would fail far from their cause.
    """
    try:
        document = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except (TypeError, RecursionError) as error:  # a column with another type; brackets in brackets
        raise ValueError(str(error)) from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:32]} is too large")
    return value


def _whole(digits: str) -> int:
    _finite(digits)
    return int(digits)
