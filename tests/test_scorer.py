"""Windows to scores: the average over a span does not depend on the batches."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import Score
from monitor.errors import BundleError
from monitor.features.log_mel import log_mel_windows
from monitor.model.bundle import Bundle
from monitor.model.manifest import ScoreKind
from monitor.model.network import Network
from monitor.model.scorer import Scorer, run_selftest
from tests.bundles import SPEC, as_windows, machine_sound, make_bundle

KINDS: list[ScoreKind] = ["plain", "diagonal", "covariance"]


@pytest.fixture(scope="module", params=KINDS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"), kind=request.param)


@pytest.fixture(scope="module")
def network(bundle: Bundle) -> Network:
    return Network(bundle)


def values(scores: list[Score]) -> list[tuple[float, float, int, int]]:
    return [(s.value, s.loss, s.first_sample, s.end_sample) for s in scores]


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 60), max_size=8))
def test_any_batching_gives_the_same_scores(
    bundle: Bundle, network: Network, cuts: list[int]
) -> None:
    """Replay, which scores many windows at once, differs from live sound."""
    windows = as_windows(log_mel_windows(machine_sound(16.0), SPEC), SPEC)
    whole = Scorer(bundle, network).push(windows)
    scorer, pieces = Scorer(bundle, network), []
    edges = [0, *sorted(cuts), len(windows)]
    for first, end in pairwise(edges):
        pieces += scorer.push(windows[first:end])
    assert values(pieces) == values(whole)
    assert all(
        np.array_equal(a.band_error, b.band_error) for a, b in zip(pieces, whole, strict=True)
    )


def test_nothing_is_scored_before_a_whole_span(bundle: Bundle, network: Network) -> None:
    """The warm-up gives scores of too little sound."""
    windows = as_windows(log_mel_windows(machine_sound(10.0), SPEC), SPEC)
    scorer = Scorer(bundle, network)
    assert scorer.push(windows[: bundle.span_windows - 1]) == []
    (first,) = scorer.push([windows[bundle.span_windows - 1]])
    assert first.first_sample == 0
    assert first.end_sample == windows[bundle.span_windows - 1].end_sample


def test_a_short_recording_is_scored_over_its_own_length(bundle: Bundle, network: Network) -> None:
    """A clip shorter than the span has no score."""
    windows = as_windows(log_mel_windows(machine_sound(2.0), SPEC), SPEC)
    scorer = Scorer(bundle, network)
    assert scorer.push(windows) == []
    (score,) = scorer.flush()
    assert (score.first_sample, score.end_sample) == (0, windows[-1].end_sample)
    assert scorer.flush() == []


def test_a_missing_window_starts_a_new_span(bundle: Bundle, network: Network) -> None:
    """Sound from both sides of a gap is averaged into one score."""
    windows = as_windows(log_mel_windows(machine_sound(14.0), SPEC), SPEC)
    gap = bundle.span_windows + 3
    scores = Scorer(bundle, network).push(windows[:gap] + windows[gap + 1 :])
    after = [s for s in scores if s.end_sample > windows[gap].end_sample]
    assert after[0].first_sample == windows[gap + 1].first_sample


def test_a_fault_scores_far_above_healthy_sound(bundle: Bundle, network: Network) -> None:
    """The score does not distinguish a fault from healthy sound.

    The threshold is for scores that last: a single healthy one may reach it.
    """

    def highest(fault: float) -> float:
        windows = log_mel_windows(machine_sound(8.0, seed=77, fault=fault), SPEC)
        return max(s.value for s in Scorer(bundle, network).push(as_windows(windows, SPEC)))

    assert highest(0.1) > 2.0 * bundle.calibration.threshold
    assert highest(0.0) < 1.2 * bundle.calibration.threshold


def test_the_band_error_points_at_the_faults_frequency(bundle: Bundle, network: Network) -> None:
    """The alert names the wrong frequencies."""
    windows = log_mel_windows(machine_sound(8.0, seed=5, fault=0.05), SPEC)
    score = Scorer(bundle, network).push(as_windows(windows, SPEC))[0]
    low_hz, high_hz = SPEC.band_edges_hz(int(np.abs(score.band_error).argmax()))
    assert low_hz - 50 <= 3000 <= high_hz + 50


def test_the_selftest_notices_other_numbers(bundle: Bundle, network: Network) -> None:
    """A build of ONNX Runtime that computes the model wrongly is not noticed."""
    run_selftest(bundle, network)
    other = replace(bundle, selftest=replace(bundle.selftest, score=bundle.selftest.score * 1.01))
    with pytest.raises(BundleError, match="self-test gives another score"):
        run_selftest(other, network)
