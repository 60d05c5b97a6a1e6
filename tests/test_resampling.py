"""Streaming resampling: independent of the block size, and tones keep frequency and level."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audio.resampling import StreamResampler
from monitor.domain import AudioBlock, FloatArray
from monitor.errors import SourceFault
from tests.sounds import noise

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


def resampled(
    samples: FloatArray, rate_hz: int, cuts: list[int], first_sample: int = 0
) -> list[AudioBlock]:
    resampler = StreamResampler(16_000)
    edges = [0, *sorted(cuts), len(samples)]
    out = [
        resampler.push(AudioBlock(samples[start:end], rate_hz, first_sample + start))
        for start, end in pairwise(edges)
    ]
    return [block for block in [*out, resampler.flush()] if block is not None]


def joined(blocks: list[AudioBlock]) -> FloatArray:
    return np.concatenate([np.empty(0, np.float32), *(block.samples for block in blocks)])


@pytest.mark.parametrize("rate_hz", RATES)
@settings(max_examples=15)
@given(data=st.data())
def test_any_cut_gives_the_same_samples(rate_hz: int, data: st.DataObject) -> None:
    """Live sound and its recording would get different scores."""
    samples = noise(data.draw(st.integers(1, 30_000)), seed=1)
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=30))
    assert np.array_equal(
        joined(resampled(samples, rate_hz, cuts)), joined(resampled(samples, rate_hz, []))
    )


@pytest.mark.parametrize("rate_hz", RATES)
def test_positions_are_contiguous_and_in_the_new_rate(rate_hz: int) -> None:
    """Times of alerts would drift away from the sound."""
    first_sample = 123_457
    blocks = resampled(noise(4 * rate_hz), rate_hz, [1, 2, 3 * rate_hz], first_sample)
    expected = -(-first_sample * 16_000 // rate_hz)
    for block in blocks:
        assert block.sample_rate_hz == 16_000
        assert block.first_sample == expected
        expected += len(block.samples)
    assert abs(expected - (first_sample + 4 * rate_hz) * 16_000 / rate_hz) <= 2


@pytest.mark.parametrize(("share_of_band", "error"), [(0.1, 1e-4), (0.85, 1e-3)])
@pytest.mark.parametrize("rate_hz", [rate for rate in RATES if rate != 16_000])
def test_a_tone_keeps_its_frequency_level_and_phase(
    rate_hz: int, share_of_band: float, error: float
) -> None:
    """A resampler that shifts or attenuates would raise the scores of a healthy machine."""
    tone_hz = round(share_of_band * min(rate_hz, 16_000) / 2)
    seconds = np.arange(2 * rate_hz) / rate_hz
    tone = (0.5 * np.sin(2 * np.pi * tone_hz * seconds)).astype(np.float32)
    out = joined(resampled(tone, rate_hz, [777]))
    expected = 0.5 * np.sin(2 * np.pi * tone_hz * np.arange(len(out)) / 16_000)
    middle = slice(4_000, len(out) - 4_000)
    assert np.abs(out[middle] - expected[middle]).max() < error


def test_frequencies_above_the_new_rate_give_no_aliases() -> None:
    """An ultrasonic tone would appear as an audible alias."""
    tone = np.sin(2 * np.pi * 15_000 * np.arange(96_000) / 48_000).astype(np.float32)
    out = joined(resampled(tone, 48_000, []))
    assert np.abs(out[2_000:-2_000]).max() < 1e-4


def test_blocks_of_the_right_rate_pass_unchanged() -> None:
    """The common case would lose time and precision."""
    block = AudioBlock(noise(100), 16_000, 7)
    resampler = StreamResampler(16_000)
    assert resampler.push(block) is block
    assert resampler.flush() is None


def test_a_discontinuity_begins_a_new_stretch() -> None:
    """Sound before a gap would be mixed into the sound after it."""
    resampler = StreamResampler(16_000)
    resampler.push(AudioBlock(np.ones(48_000, np.float32), 48_000, 0))
    block = None
    position = 96_001
    gap = True
    while block is None:
        block = resampler.push(AudioBlock(np.zeros(480, np.float32), 48_000, position, gap))
        position, gap = position + 480, False
    assert block.discontinuous
    assert block.first_sample == 32_001
    assert not block.samples.any()
    following = resampler.push(AudioBlock(np.zeros(4_800, np.float32), 48_000, position))
    assert following is not None
    assert not following.discontinuous


def test_the_rate_may_change_at_a_discontinuity_only() -> None:
    """A change of the rate without a gap would be accepted."""
    resampler = StreamResampler(16_000)
    resampler.push(AudioBlock(noise(1_000), 48_000, 0))
    with pytest.raises(SourceFault, match="from 48000 to 44100 Hz"):
        resampler.push(AudioBlock(noise(1_000), 44_100, 1_000))
    block = resampler.push(AudioBlock(noise(1_000), 16_000, 1_000, discontinuous=True))
    assert block is not None
    assert block.first_sample == 1_000


def test_invalid_samples_are_refused_without_effect() -> None:
    """One NaN would stay in the filter and make all later samples NaN."""
    samples = noise(20_000)
    resampler = StreamResampler(16_000)
    first = resampler.push(AudioBlock(samples[:10_000], 44_100, 0))
    with pytest.raises(SourceFault, match="NaN"):
        resampler.push(AudioBlock(np.full(10, np.nan, np.float32), 44_100, 10_000))
    second = resampler.push(AudioBlock(samples[10_000:], 44_100, 10_000))
    rest = resampler.flush()
    assert first is not None
    assert second is not None
    assert rest is not None
    got = np.concatenate([first.samples, second.samples, rest.samples])
    expected = joined(resampled(samples, 44_100, []))
    assert np.array_equal(got, expected)


def test_an_unmarked_gap_is_an_error() -> None:
    """Positions would be wrong without an error."""
    resampler = StreamResampler(16_000)
    resampler.push(AudioBlock(noise(100), 44_100, 0))
    with pytest.raises(ValueError, match="without being marked"):
        resampler.push(AudioBlock(noise(100), 44_100, 101))
