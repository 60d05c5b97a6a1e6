"""An axis of mel bands, labelled in hertz."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from monitor.log_mel_spec import LogMelSpec

_TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16_000)


def label_in_hz(axes: Axes, spec: LogMelSpec) -> None:
    """Put ticks at round frequencies on a vertical axis of bands ``0`` to ``n_mels - 1``."""
    peaks_hz = spec.band_corners_hz[1:-1]
    shown = [hz for hz in _TICKS_HZ if peaks_hz[0] <= hz <= peaks_hz[-1]]
    axes.set_yticks(np.interp(shown, peaks_hz, np.arange(spec.n_mels)), [f"{hz:g}" for hz in shown])
    axes.set_ylabel("Hz")
