"""Gaps of a codec are looked for in few cells while there are none, and in all when there are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.audio.spectral_gaps import CODEC_SHARE
from monitor.detection.codec_gaps import CodecGaps
from monitor.domain import FloatArray
from monitor.model.capture import Capture

RATE_HZ = 8_000
CELL = RATE_HZ // 2
CAPTURE = Capture(reach_hz=3_000.0, scored_bands=4, low_db=(-90.0,) * 4, high_db=(0.0,) * 4)


class Followed:
    """``CodecGaps`` on cells whose shares are given, and how many of them it measured."""

    def __init__(self, first_sample: int = 0) -> None:
        self.n_measured = 0
        self._gaps = CodecGaps(CAPTURE, RATE_HZ, self._share)
        self._end_sample = first_sample

    def _share(self, cell: FloatArray, sample_rate_hz: int) -> float:
        assert sample_rate_hz == RATE_HZ
        self.n_measured += 1
        return float(cell[0])

    def push(self, share: float) -> bool:
        """One cell, with a window that ends with it; whether there are gaps of a codec."""
        self._end_sample += CELL
        self._gaps.measure(self._end_sample, np.full(CELL, share, dtype=np.float32))
        self._gaps.add(self._end_sample)
        return self._gaps.is_coded


@given(first_sample=st.integers(0, 10 * CELL), n_cells=st.integers(6, 60))
def test_one_cell_of_three_is_measured_while_there_are_few_gaps(
    first_sample: int, n_cells: int
) -> None:
    """Of many machines, this is much of the work."""
    followed = Followed(first_sample)
    assert not any(followed.push(0.2 * CODEC_SHARE) for _ in range(n_cells))
    assert abs(followed.n_measured - (6 + (n_cells - 6) / 3)) < 1.0


@given(first_sample=st.integers(0, 10 * CELL), n_clean=st.integers(0, 40))
def test_a_codec_that_begins_later_is_noticed_within_four_seconds(
    first_sample: int, n_clean: int
) -> None:
    """A stream changes its bit rate while it runs; an alert takes longer than this."""
    followed = Followed(first_sample)
    for _ in range(n_clean):
        assert not followed.push(0.0)
    assert any(followed.push(2.5 * CODEC_SHARE) for _ in range(8))


@given(first_sample=st.integers(0, 10 * CELL))
def test_all_cells_are_measured_while_some_have_many_gaps(first_sample: int) -> None:
    """Near the limit, the mean of few cells would change the state again and again."""
    followed = Followed(first_sample)
    for _ in range(30):
        followed.push(0.0)
    measured_before = followed.n_measured
    states = [followed.push(share * CODEC_SHARE) for share in (0.9, 0.7, 0.8, 0.9, 0.6, 0.7) * 5]
    assert not any(states)
    assert followed.n_measured - measured_before >= 28


def test_the_sound_is_judged_again_when_the_codec_has_gone() -> None:
    """Someone repairs the chain: the machine must be monitored again."""
    followed = Followed()
    assert any(followed.push(3.0 * CODEC_SHARE) for _ in range(6))
    assert not all(followed.push(0.1 * CODEC_SHARE) for _ in range(8))
    assert not followed.push(0.1 * CODEC_SHARE)
