"""Whether samples are numbers."""

from __future__ import annotations

import math

import numpy as np

from monitor.domain import FloatArray


def all_finite(samples: FloatArray) -> bool:
    """Whether no sample is NaN or infinite. Shape: ``(n_samples,)``."""
    # A value that is not finite makes the sum of squares so too, and this sum takes less time.
    return math.isfinite(np.vdot(samples, samples)) or bool(np.isfinite(samples).all())
