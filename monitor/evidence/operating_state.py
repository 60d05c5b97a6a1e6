"""The operating state of a bundle that a clip is most like."""

from __future__ import annotations

import numpy as np

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.low_level import low_levels_of
from monitor.model.bundle import Bundle

_RUNNING = "running"


def operating_state(log_mel_db: FloatArray, bundle: Bundle, operation: str | None) -> str | None:
    """The name of the state. Shape: ``(n_mels, n_frames)`` in dB, NaN without sound.

    ``operation``: whether the machine runs, if that is known. It is returned for a bundle without
    states, and for a clip shorter than two seconds.
    """
    described = bundle.manifest.operation
    if described is None or operation not in {None, _RUNNING}:
        return operation
    states = [state for state in described.states if not state.is_off]
    levels = _low_level_db(log_mel_db, bundle.spec, len(described.quiet_db))
    if levels is None or not states:
        return operation
    distances = [np.square(levels - np.array(state.low_level_db)).mean() for state in states]
    return states[int(np.argmin(distances))].name


def _low_level_db(log_mel_db: FloatArray, spec: LogMelSpec, n_bands: int) -> FloatArray | None:
    """The median low level of the clip. Shape: ``(n_bands,)``."""
    frames_db = np.ascontiguousarray(log_mel_db.T)
    whole = frames_db[np.isfinite(frames_db).all(axis=1)]
    levels = list(low_levels_of(whole, spec, n_bands))
    if not levels:
        return None
    median: FloatArray = np.median(np.stack(levels), axis=0)
    return median
