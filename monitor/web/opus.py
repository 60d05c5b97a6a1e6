"""A clip as Opus: a program of its own, because it needs numpy only while it runs.

Usage: python -m monitor.web.opus < CLIP. The result is written to standard output.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

_RATES_HZ = (8000, 12_000, 16_000, 24_000, 48_000)


def opus_of(descriptor: int) -> bytes:
    """The sound of a file as Ogg Opus, at the lowest rate of Opus that loses no frequency.

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
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "clip.opus"
        soundfile.write(written, samples, wanted_hz, format="OGG", subtype="OPUS")
        return written.read_bytes()


if __name__ == "__main__":
    sys.stdout.buffer.write(opus_of(sys.stdin.fileno()))
