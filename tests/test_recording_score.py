"""One score for a whole recording, comparable between long and short ones."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import LOCAL_NUMBERS, DistanceHead, LossHead, distances_of, offset
from monitor.model.recording_score import RecordingScore, block_edges
from monitor.model.reference_match import distances_to_references, match_reference

SPEC = LogMelSpec()
HEAD = DistanceHead(np.zeros((1, 5)), np.eye(5))
PER_BLOCK = SPEC.windows_in(10.0)


@settings(max_examples=60)
@given(n_windows=st.integers(1, 5 * PER_BLOCK))
def test_the_running_score_is_that_of_its_blocks(n_windows: int) -> None:
    """The score of a long recording depends on the size of the blocks that are read."""
    evidence = np.random.default_rng(n_windows).normal(size=(n_windows, 5)).astype(np.float32)
    running = RecordingScore(SPEC, HEAD)
    for row in evidence:
        running.push(row, 1.0)
    edges = block_edges(n_windows, SPEC)
    blocks = [evidence[a:b].astype(np.float64) for a, b in pairwise(edges)]
    squares = [HEAD.score(block.mean(axis=0), 0.0) ** 2 for block in blocks]
    assert running.value == pytest.approx(math.sqrt(np.mean(squares)))
    assert all(len(block) >= min(n_windows, PER_BLOCK / 2) for block in blocks)


def test_healthy_recordings_of_any_length_score_alike() -> None:
    """A flight of a minute cannot be compared with a clip of ten seconds."""
    rng = np.random.default_rng(0)

    def typical(n_windows: int) -> float:
        scores = []
        for _ in range(100):
            running = RecordingScore(SPEC, HEAD)
            for row in rng.normal(size=(n_windows, 5)).astype(np.float32):
                running.push(row, 1.0)
            scores.append(running.value)
        return float(np.sqrt(np.mean(np.square(scores))))

    assert typical(8 * PER_BLOCK) == pytest.approx(typical(PER_BLOCK), rel=0.1)


def test_the_plain_score_is_the_mean_loss() -> None:
    """The plain score is not the mean reconstruction error."""
    running = RecordingScore(SPEC, LossHead.for_evidence(5))
    for loss in (1.0, 2.0, 6.0):
        running.push(np.zeros(5, np.float32), loss)
    assert running.value == 3.0


@settings(max_examples=30)
@given(n_windows=st.integers(1, 5 * PER_BLOCK))
def test_the_reference_match_comes_from_the_same_blocks(n_windows: int) -> None:
    """The match of a long recording depends on the size of the blocks that are read."""
    reference = np.full((1, 5), 0.5), np.zeros(1, dtype=np.intp), np.array([0.7])
    head = DistanceHead(np.zeros((1, 5)), np.eye(5), *reference)
    evidence = np.random.default_rng(n_windows).normal(size=(n_windows, 5)).astype(np.float32)
    running = RecordingScore(SPEC, head)
    running.extend(evidence, np.ones(n_windows, np.float32))
    blocks = [evidence[a:b].astype(np.float64) for a, b in pairwise(block_edges(n_windows, SPEC))]
    taken = [distances_to_references(block.mean(axis=0), head) for block in blocks]
    expected = match_reference([one for one in taken if one is not None], head)
    assert running.reference_match is not None
    assert expected is not None
    assert running.reference_match.position == pytest.approx(expected.position)


@settings(max_examples=30)
@given(n_windows=st.integers(1, 5 * PER_BLOCK))
def test_the_mean_offset_is_that_of_the_blocks_from_their_nearest_centres(n_windows: int) -> None:
    """A change of speed is treated as a change of the machine."""
    head = DistanceHead(np.array([[0.0] * 5, [9.0] * 5]), np.eye(5))
    evidence = np.random.default_rng(n_windows).normal(size=(n_windows, 5)).astype(np.float32)
    evidence[n_windows // 2 :] += 9.0
    running = RecordingScore(SPEC, head)
    running.extend(evidence, np.ones(n_windows, np.float32))
    blocks = [evidence[a:b].astype(np.float64) for a, b in pairwise(block_edges(n_windows, SPEC))]
    expected = np.mean([offset(block.mean(axis=0), head) for block in blocks], axis=0)
    assert running.mean_offset is not None
    np.testing.assert_allclose(running.mean_offset, expected, atol=1e-9)


def test_the_plain_score_has_no_reference_match() -> None:
    """The loss is used to decide between machines, which it cannot."""
    running = RecordingScore(SPEC, LossHead.for_evidence(5))
    running.push(np.zeros(5, np.float32), 1.0)
    assert running.reference_match is None
    assert running.mean_offset is None


def test_without_a_window_there_is_no_score() -> None:
    """An empty recording is treated as a healthy one."""
    running = RecordingScore(SPEC, HEAD)
    assert running.empty
    assert running.reference_match is None
    assert running.mean_offset is None
    assert not len(running.stretches)
    with pytest.raises(ValueError, match="no window to score"):
        _ = running.value


@settings(max_examples=60)
@given(n_numbers=st.integers(1, 30), n_rows=st.integers(1, 5), n_centres=st.integers(1, 3))
def test_the_local_distance_is_the_largest_within_neighbouring_numbers(
    n_numbers: int, n_rows: int, n_centres: int
) -> None:
    """A change of a few neighbouring bands is hidden by the variation of all the others."""
    rng = np.random.default_rng((n_numbers, n_rows, n_centres))
    head = DistanceHead(
        rng.normal(size=(n_centres, n_numbers)), rng.normal(size=(n_numbers, n_numbers))
    )
    rows = rng.normal(size=(n_rows, n_numbers))
    distance, local = distances_of(rows, head)
    for row, one_distance, one_local in zip(rows, distance, local, strict=True):
        offsets = [head.whitener @ (row - centre) for centre in head.centres]
        nearest = min(offsets, key=np.linalg.norm)
        runs = [
            nearest[i : i + LOCAL_NUMBERS] for i in range(max(1, n_numbers - LOCAL_NUMBERS + 1))
        ]
        assert one_distance == pytest.approx(np.linalg.norm(nearest))
        assert one_local == pytest.approx(max(map(np.linalg.norm, runs)), abs=1e-6)


def test_a_recording_is_judged_locally_only_over_the_limit() -> None:
    """The local distance changes the order of recordings that are all healthy."""
    rng = np.random.default_rng(1)
    local = replace(HEAD, local_weight=3.0, local_limit=2.0)

    def value(head: DistanceHead, shift: float) -> float:
        running = RecordingScore(SPEC, head)
        for row in 0.1 * rng.normal(size=(PER_BLOCK, 5)).astype(np.float32) + shift:
            running.push(row, 1.0)
        return running.value

    assert value(local, 0.1) == pytest.approx(value(HEAD, 0.1), rel=0.2)
    assert value(local, 0.5) == pytest.approx(3.0 * value(HEAD, 0.5), rel=0.2)
