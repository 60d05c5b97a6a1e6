"""The injected faults that raise an alert, as ``auscult inspect`` shows them.

Provenance is for people, and other tools may record anything there: what has another form is
left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

RECALL, GROWTH, BY_BUDGET = "recall", "recall_growth", "budget_recall"


def recall_by_budget(by_budget: dict[str, Any]) -> str:
    """``58% at 0.1 a week, 90% at 7 a week``: the share of the faults at each budget."""
    return ", ".join(
        f"{share:.0%} at {budget} a week"
        for budget, share in by_budget.items()
        if _is_number(share)
    )


def recall_by_level(recall: dict[str, Any]) -> Iterator[str]:
    """A line for each kind of fault: ``impacts: 100% at -6 dB, 75% at -12 dB (15 s)``.

    ``recall``: kind, level and span to a share. A span is named where shorter ones detect less.
    """
    for kind, levels in recall.items():
        if not isinstance(levels, dict):
            continue
        shares = [text for level, spans in levels.items() if (text := _at_level(level, spans))]
        if shares:
            yield f"{kind}: {', '.join(shares)}"


def recall_with_more(growth: dict[str, Any], recall: dict[str, Any]) -> Iterator[str]:
    """A line for each number of recordings: ``4 times as many, if other days are alike: ...``.

    ``growth``: how many times as many recordings, kind and level to a share.
    """
    now = {kind: _mean(_longest(levels)) for kind, levels in recall.items()}
    for times, kinds in growth.items():
        means = {k: _mean(v) for k, v in kinds.items()} if isinstance(kinds, dict) else {}
        shares = [
            f"{kind} {mean:.0%} (now {before:.0%})"
            for kind, mean in means.items()
            if mean is not None and (before := now.get(kind)) is not None
        ]
        if shares:
            yield f"{times} times as many, if other days are alike: {', '.join(shares)}"


def _at_level(level: str, spans: Any) -> str:
    shares = _shares(spans)
    if not shares:
        return ""
    highest = max(shares.values())
    shortest = next(span for span, share in shares.items() if share == highest)
    text = f"{highest:.0%} at {level}"
    return text if shortest == next(iter(shares)) else f"{text} ({shortest})"


def _longest(levels: Any) -> dict[str, float]:
    """The share at each level, within the longest span."""
    if not isinstance(levels, dict):
        return {}
    found = {level: _shares(spans) for level, spans in levels.items()}
    return {level: max(shares.values()) for level, shares in found.items() if shares}


def _mean(shares: Any) -> float | None:
    values = list(_shares(shares).values())
    return sum(values) / len(values) if values else None


def _shares(values: Any) -> dict[str, float]:
    if not isinstance(values, dict):
        return {}
    return {key: share for key, share in values.items() if _is_number(share)}


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)
