"""The recorder: any wanted length comes to an end, whole, and in pieces."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.domain import AudioBlock
from monitor.recorder import FlacRecorder


class QuickRecorder(FlacRecorder):
    """Pieces so short that a second has a dozen."""

    LEAST_S: ClassVar[float] = 0.01


@settings(max_examples=40)
@given(
    seconds=st.floats(0.1, 1.0),
    rate_hz=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    block=st.integers(100, 20_000),
)
@example(seconds=1 / 3, rate_hz=44_100, block=4_410)
@example(seconds=0.7, rate_hz=11_025, block=1_000)
def test_any_length_is_completed_to_the_sample(seconds: float, rate_hz: int, block: int) -> None:
    """`auscult record` would go on for ever over a rounding error at the very end."""
    with tempfile.TemporaryDirectory() as folder:
        position = 0
        with QuickRecorder(Path(folder), "pump-7", seconds) as recorder:
            while not recorder.complete:
                samples = np.full(block, 0.1, np.float32)
                recorder.push(AudioBlock(samples, rate_hz, position))
                position += block
                assert position < (seconds * rate_hz) + 2 * block
        lengths = [soundfile.info(path).frames for path in recorder.files]
        assert abs(sum(lengths) - seconds * rate_hz) < 1
        assert list(Path(folder).glob("*.part")) == []
