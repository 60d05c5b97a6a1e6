"""One score for a whole recording, comparable between long and short ones."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.distance import Head, distance
from monitor.log_mel_spec import LogMelSpec
from monitor.recording_score import RecordingScore, block_edges

SPEC = LogMelSpec()
HEAD = Head(np.zeros((1, 5)), np.eye(5))
PER_BLOCK = SPEC.windows_in(10.0)


@settings(max_examples=60)
@given(n_windows=st.integers(1, 5 * PER_BLOCK))
def test_the_running_score_is_that_of_its_blocks(n_windows: int) -> None:
    """A long recording's score would depend on how it is read."""
    evidence = np.random.default_rng(n_windows).normal(size=(n_windows, 5)).astype(np.float32)
    running = RecordingScore(SPEC, "diagonal", HEAD)
    for row in evidence:
        running.push(row, 1.0)
    edges = block_edges(n_windows, SPEC)
    blocks = [evidence[a:b].astype(np.float64) for a, b in pairwise(edges)]
    squares = [distance(block.mean(axis=0), HEAD) ** 2 for block in blocks]
    assert running.value == pytest.approx(math.sqrt(np.mean(squares)))
    assert all(len(block) >= min(n_windows, PER_BLOCK / 2) for block in blocks)


def test_healthy_recordings_score_alike_however_long() -> None:
    """A flight of a minute could not be compared with a clip of ten seconds."""
    rng = np.random.default_rng(0)

    def typical(n_windows: int) -> float:
        scores = []
        for _ in range(100):
            running = RecordingScore(SPEC, "diagonal", HEAD)
            for row in rng.normal(size=(n_windows, 5)).astype(np.float32):
                running.push(row, 1.0)
            scores.append(running.value)
        return float(np.sqrt(np.mean(np.square(scores))))

    assert typical(8 * PER_BLOCK) == pytest.approx(typical(PER_BLOCK), rel=0.1)


def test_the_plain_score_is_the_mean_loss() -> None:
    """The textbook score would be another quantity than the textbook's."""
    running = RecordingScore(SPEC, "plain", Head(np.empty((0, 5)), np.empty((0, 5))))
    for loss in (1.0, 2.0, 6.0):
        running.push(np.zeros(5, np.float32), loss)
    assert running.value == 3.0


def test_nothing_heard_has_no_score() -> None:
    """An empty recording would pass for a healthy one."""
    running = RecordingScore(SPEC, "diagonal", HEAD)
    assert running.empty
    with pytest.raises(ValueError, match="nothing was heard"):
        _ = running.value
