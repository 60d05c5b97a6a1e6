"""A clip as Opus: a program of its own, because it needs numpy only while it runs.

Usage: python -m monitor.web.opus [LOW_HZ HIGH_HZ] < CLIP. The result is written to standard output.
With two frequencies, it has only what is between them, made louder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_EDGE_SHARE = 0.1
"""The width of the edge of a band, as a share of its frequency."""
_PEAK = 0.7
_RATES_HZ = (8000, 12_000, 16_000, 24_000, 48_000)


def opus_of(descriptor: int, band_hz: tuple[float, float] | None = None) -> bytes:
    """The sound of a file as Ogg Opus, at the lowest rate of Opus that loses no frequency.

    ``band_hz``: only these frequencies, with the loudest sample at 0.7 of full scale.
    Raises what ``soundfile`` raises.

    It is written to a real file: for a file in memory, ``soundfile`` needs memory that is writable
    and executable, which the service may not have.
    """
    import soundfile  # noqa: PLC0415 - loads numpy
    import soxr  # noqa: PLC0415 - loads numpy

    samples, rate_hz = soundfile.read(descriptor, dtype="float32", always_2d=True)
    wanted_hz = next((one for one in _RATES_HZ if one >= rate_hz), _RATES_HZ[-1])
    if wanted_hz != rate_hz:
        samples = soxr.resample(samples, rate_hz, wanted_hz)
    if band_hz is not None:
        samples = _within(samples, wanted_hz, *band_hz)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "clip.opus"
        soundfile.write(written, samples, wanted_hz, format="OGG", subtype="OPUS")
        return written.read_bytes()


def _within(
    samples: npt.NDArray[np.float32], rate_hz: int, low_hz: float, high_hz: float
) -> npt.NDArray[np.float32]:
    """The frequencies of a band, made louder. Shape: ``(n_samples, n_channels)``, the same."""
    import numpy as np  # noqa: PLC0415 - this program alone needs it

    spectrum = np.fft.rfft(samples, axis=0)
    hz = np.fft.rfftfreq(len(samples), 1.0 / rate_hz)
    rise = (hz - low_hz) / max(_EDGE_SHARE * low_hz, 1.0) + 1.0
    fall = (high_hz - hz) / max(_EDGE_SHARE * high_hz, 1.0) + 1.0
    share = np.clip(np.minimum(rise, fall), 0.0, 1.0)
    gain = 0.5 - 0.5 * np.cos(np.pi * share)
    band = np.fft.irfft(spectrum * gain[:, np.newaxis], len(samples), axis=0)
    loudest = float(np.abs(band).max(initial=0.0))
    return (band * (_PEAK / loudest if loudest > 0.0 else 1.0)).astype(np.float32)


if __name__ == "__main__":
    given = [float(one) for one in sys.argv[1:3]]
    band = (given[0], given[1]) if len(given) == 2 else None
    sys.stdout.buffer.write(opus_of(sys.stdin.fileno(), band))
