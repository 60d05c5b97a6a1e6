"""Which frequencies an alert is about."""

from __future__ import annotations

import numpy as np

from monitor.domain import FloatArray
from monitor.log_mel_spec import LogMelSpec

_SHARE_OF_PEAK = 0.5


def loud_bands_hz(
    band_error: FloatArray, spec: LogMelSpec, most: int = 3
) -> tuple[tuple[float, float], ...]:
    """Up to ``most`` ranges in Hz where the averaged residual is largest, in rising order.

    ``band_error``: shape ``(n_mels,)``, signed, in healthy standard deviations. A
    range is a run of neighbouring bands of at least half the largest error; where
    there are more than ``most``, those with the largest errors are given.
    """
    size = np.abs(band_error)
    if not size.size or not size.max() > 0:
        return ()
    over = np.concatenate(([False], size >= _SHARE_OF_PEAK * size.max(), [False]))
    edges = np.flatnonzero(over[1:] != over[:-1])
    runs = [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]
    runs.sort(key=lambda run: -float(size[run[0] : run[1]].max()))
    return tuple(
        (round(spec.band_edges_hz(first)[0], 1), round(spec.band_edges_hz(end - 1)[1], 1))
        for first, end in sorted(runs[:most])
    )
