"""The persistent score: see ``persistence.py``."""

from __future__ import annotations

import math

import numpy as np

from monitor.detection.persistence import Persistence
from monitor.domain import DoubleArray


def persistent_scores(scores: DoubleArray, rule: Persistence) -> DoubleArray:
    """The k-th largest of every n successive scores.

    Shape: ``(n_scores,)`` to ``(n_scores - out_of + 1,)``. A recording with fewer
    than ``out_of`` scores gives a single value, with the same share of its scores. It is
    at least as large as the whole rule would give.
    """
    if len(scores) == 0:
        return np.empty(0)
    out_of = min(rule.out_of, len(scores))
    required = max(1, math.floor(rule.required * out_of / rule.out_of))
    views = np.lib.stride_tricks.sliding_window_view(scores, out_of)
    return np.partition(views, out_of - required, axis=1)[:, out_of - required]
