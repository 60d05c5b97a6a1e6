"""Sound whose log-mel is changed: the filter that fits a change of log-mel frames."""

from __future__ import annotations

import numpy as np

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec

_LEAST_WEIGHT = 1e-3


def filtered(samples: FloatArray, change_db: FloatArray, spec: LogMelSpec) -> FloatArray:
    """Samples whose log-mel frames differ by about ``change_db`` ``(n_frames, n_mels)``.

    Every frame is filtered with the change at its frequencies, and the frames are added up again
    (weighted overlap-add, Griffin and Lim 1984, IEEE Trans. ASSP 32). What is after the last frame
    is left out. Shape: ``(n,)`` to ``((n_frames - 1) * hop_length + n_fft,)``.
    """
    n_fft, hop = spec.n_fft, spec.hop_length
    n_samples = (len(change_db) - 1) * hop + n_fft
    window = np.hanning(n_fft + 1)[:-1]
    hz = np.fft.rfftfreq(n_fft, 1.0 / spec.sample_rate_hz)
    peaks_hz = spec.band_corners_hz[1:-1]
    total, weight = np.zeros(n_samples), np.zeros(n_samples)
    for number, frame_db in enumerate(change_db):
        place = slice(number * hop, number * hop + n_fft)
        spectrum = np.fft.rfft(samples[place] * window)
        spectrum *= 10.0 ** (np.interp(hz, peaks_hz, frame_db) / 20.0)
        total[place] += np.fft.irfft(spectrum, n=n_fft) * window
        weight[place] += window**2
    return (total / np.maximum(weight, _LEAST_WEIGHT)).astype(np.float32)
