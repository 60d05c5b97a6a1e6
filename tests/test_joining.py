"""Small blocks become larger ones, and no sample and no gap is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import AudioBlock, CaptureChain, LogMelBlock
from monitor.service.joining import Block, BlockJoiner

RATE_HZ = 16_000
BLOCK = AudioBlock(np.arange(8, dtype=np.float32), RATE_HZ, 0)
FRAMES = LogMelBlock(np.zeros((4, 16), np.float32), 0)


def joined(blocks: list[Block], at_least: int) -> list[Block]:
    """The blocks after joining until there are so many samples or frames."""
    joiner, taken = BlockJoiner(), []
    for block in blocks:
        if not joiner.fits(block):
            taken.append(joiner.take())
        joiner.push(block, 1.0)
        if joiner.seconds >= at_least:
            taken.append(joiner.take())
    taken.append(joiner.take())
    return [one for one in taken if one is not None]


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=30),
    gaps=st.sets(st.integers(0, 29)),
    at_least=st.integers(1, 5),
)
def test_the_joined_blocks_are_the_same_sound(
    lengths: list[int], gaps: set[int], at_least: int
) -> None:
    """A joined block with a gap inside would give a score over lost sound."""
    samples = np.arange(sum(lengths), dtype=np.float32)
    blocks: list[Block] = []
    begin = lost = 0
    for number, length in enumerate(lengths):
        lost += 7 * (number in gaps)
        part = samples[begin : begin + length]
        blocks.append(AudioBlock(part, RATE_HZ, begin + lost, number in gaps))
        begin += length
    taken = [one for one in joined(blocks, at_least) if isinstance(one, AudioBlock)]
    assert np.array_equal(np.concatenate([one.samples for one in taken]), samples)
    positions = [(one.first_sample, one.discontinuous) for one in blocks if one.discontinuous]  # type: ignore[union-attr]  # all are sound
    assert [(one.first_sample, True) for one in taken if one.discontinuous] == positions
    for before, after in pairwise(taken):
        follows = after.first_sample == before.first_sample + len(before.samples)
        assert follows or after.discontinuous


@pytest.mark.parametrize(
    "other",
    [
        replace(BLOCK, first_sample=8, sample_rate_hz=8_000),
        replace(BLOCK, first_sample=8, discontinuous=True),
        replace(BLOCK, first_sample=8, recorded_unix_s=1e9),
        replace(BLOCK, first_sample=8, chain=CaptureChain("file", RATE_HZ)),
        replace(BLOCK, first_sample=9),
        FRAMES,
    ],
)
def test_blocks_that_differ_are_not_joined(other: Block) -> None:
    """Sound of another rate or chain would be judged as that before it."""
    assert joined([BLOCK, other], 10) == [BLOCK, other]


@pytest.mark.parametrize(
    ("frames", "is_joined"),
    [
        (replace(FRAMES, first_frame=4), True),
        (replace(FRAMES, first_frame=5), False),
        (LogMelBlock(np.zeros((4, 32), np.float32), 4), False),
    ],
)
def test_log_mel_is_joined_like_sound(frames: LogMelBlock, is_joined: bool) -> None:
    """A thousand machines with log-mel would not fit on a node."""
    taken = joined([FRAMES, frames], 10)
    assert len(taken) == (1 if is_joined else 2)
    assert sum(len(one.frames_db) for one in taken if isinstance(one, LogMelBlock)) == 8
