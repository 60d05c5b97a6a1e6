"""Peaks that stand out of healthy recordings: noise gives the same score for any length."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import DoubleArray
from monitor.model.peak_scores import PeakScores
from monitor.model.peaks import EXPONENTS, HealthyPeaks, PeakRule, healthy_peaks
from tests.fine_spectra import score_of

CHANCE_DB2 = 32.0
N_WINDOWS = 28
SHAPE = (16, 252)


def recordings(n: int, between_db: float, seed: int, n_windows: int = N_WINDOWS) -> DoubleArray:
    """Means over windows of ``n`` recordings that differ by ``between_db``."""
    rng = np.random.default_rng(seed)
    deviation = np.sqrt(between_db**2 + CHANCE_DB2 / n_windows)
    return rng.normal(0.0, deviation, (n, *SHAPE))


def peaks(n: int = 10, between_db: float = 0.0, seed: int = 0) -> HealthyPeaks:
    return healthy_peaks(recordings(n, between_db, seed), np.full(n, N_WINDOWS), CHANCE_DB2)


def highest_of(healthy: HealthyPeaks, mean_db: DoubleArray) -> tuple[int, int]:
    """Over eight windows."""
    scores = PeakScores([healthy])
    return scores.highest(0, scores.above([mean_db]), 8)


@pytest.mark.parametrize("between_db", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("n_windows", [3, 28, 300])
def test_healthy_sound_scores_alike_for_any_length(n_windows: int, between_db: float) -> None:
    """Short spans of a healthy machine raise alerts, or long ones hide faults."""
    healthy = peaks(20, between_db)
    scores = [
        score_of(healthy, one, n_windows)
        for one in recordings(20, between_db, 1, n_windows=n_windows)
    ]
    assert min(scores) > 1.4
    assert max(scores) < 6.0


def test_few_recordings_do_not_make_healthy_sound_look_faulty() -> None:
    """A variance of three numbers is often near zero by chance."""
    healthy = peaks(3, between_db=1.0)
    assert max(score_of(healthy, one, N_WINDOWS) for one in recordings(20, 1.0, 1)) < 7.0


def test_the_score_is_the_norm_of_what_stands_out() -> None:
    """The score is not that of the formula."""
    values = np.full((1, 40), -20.0)
    values[0, 5], values[0, 9] = 6.0, 4.0
    deviation = np.sqrt(3.0 * 1.25 + 32.0 / 8)
    for n in EXPONENTS:
        rule = PeakRule(exponent=n)
        healthy = HealthyPeaks(np.zeros((1, 40)), np.full((1, 40), 3.0), 32.0, 4, rule)
        assert score_of(healthy, np.full((1, 40), -20.0), 8) == 0.0
        expected = ((6.0 / deviation) ** n + (4.0 / deviation) ** n) ** (1 / n)
        assert score_of(healthy, values, 8) == pytest.approx(expected)


@given(
    n_bins=st.integers(1, 60),
    first_bin=st.integers(1, 70),
    exponent=st.sampled_from(EXPONENTS),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_bin_counts_with_its_second_harmonic(
    n_bins: int, first_bin: int, exponent: int, seed: int
) -> None:
    """Impacts are compared with a bin that is not at twice their rate."""
    rng = np.random.default_rng(seed)
    sound = rng.normal(0.0, 3.0, (3, n_bins))
    rule = PeakRule(exponent, first_bin)
    healthy = HealthyPeaks(np.zeros_like(sound), rng.uniform(0.5, 4.0, sound.shape), 32.0, 4, rule)
    above = np.maximum(0.0, sound) / np.sqrt(healthy.variance_db2 * 1.25 + 32.0 / 8)
    joined = above.copy()
    for i in range(n_bins):
        second = 2 * (i + first_bin) - first_bin
        if second + 1 < n_bins:
            joined[:, i] += above[:, second - 1 : second + 2].max(axis=1)
    expected = np.linalg.norm(joined.ravel() / np.sqrt(2.0), exponent)
    assert score_of(healthy, sound, 8) == pytest.approx(expected, rel=1e-5)


def test_a_rate_and_its_harmonic_stand_out_more_than_two_bins_by_chance() -> None:
    """Two healthy bins are as much an alert as impacts."""
    flat = np.zeros((1, 252))
    healthy = HealthyPeaks(flat, flat + 1.0, 0.0, 10**6, PeakRule(first_bin=5))
    impacts, by_chance = flat.copy(), flat.copy()
    impacts[0, 60], impacts[0, 2 * (60 + 5) - 5] = 8.0, 6.0
    by_chance[0, 60], by_chance[0, 140] = 8.0, 6.0
    assert score_of(healthy, impacts, 8) > 1.5 * score_of(healthy, by_chance, 8)


@pytest.mark.parametrize(("exponent", "first_bin"), [(7, 0), (12, -1)])
def test_a_rule_without_meaning_is_refused(exponent: int, first_bin: int) -> None:
    """A damaged bundle scores by another formula."""
    with pytest.raises(ValueError, match=str(first_bin or exponent)):
        PeakRule(exponent, first_bin)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_score_is_the_same_after_scores_of_other_lengths(dtype: type[np.floating]) -> None:
    """What is kept for one number of windows is used for another one."""
    healthy, sound = peaks(), recordings(1, 0.5, 1)[0].astype(dtype)
    lengths = [*range(1, 20), 5, 1, 300, 19]
    expected = [score_of(healthy, sound, n) for n in lengths]
    scores = PeakScores([healthy])
    assert [score_of(scores, sound, n) for n in lengths] == expected
    for n, score in zip(lengths, expected, strict=True):
        variance = healthy.variance_db2 * (1 + 1 / 10) + CHANCE_DB2 / n
        z = np.maximum(0.0, sound - healthy.level_db) / np.sqrt(variance)
        assert score == pytest.approx(np.linalg.norm(z.ravel(), 12), rel=1e-5)


def test_the_highest_place_is_where_the_deviation_is_largest() -> None:
    """An alert names a rate that is as loud as ever, because it varies in any case."""
    level, variance = np.zeros((3, 40)), np.full((3, 40), 3.0)
    level[2, 9], variance[0, 5] = -9.0, 400.0
    healthy = HealthyPeaks(level, variance, 32.0, 4)
    sound = np.full((3, 40), -20.0)
    assert highest_of(healthy, sound) == (0, 5)
    sound[0, 5], sound[1, 30], sound[2, 9] = 12.0, 6.0, -2.0
    assert highest_of(healthy, sound) == (2, 9)
    sound[1, 30] = 8.0
    assert highest_of(healthy, sound) == (1, 30)
    # Over few windows, chance hides how much a bin varies between recordings.
    sound[0, 5], sound[1, 30] = 80.0, 40.0
    assert highest_of(healthy, sound) == (1, 30)
    healthy = HealthyPeaks(level, variance, 32_000.0, 4)
    assert highest_of(healthy, sound) == (0, 5)


def test_a_new_peak_stands_out_and_one_of_the_machine_does_not() -> None:
    """A fault is not seen, or the machine's own rate is an alert."""
    own, beside, elsewhere = 100, 101, 110
    means_db = recordings(10, 0.5, 0)
    means_db[:, 3, own] += 15.0
    healthy = healthy_peaks(means_db, np.full(10, N_WINDOWS), CHANCE_DB2)

    def score_with_peak_at(rate: int) -> float:
        sound = recordings(1, 0.5, 1)[0]
        sound[3, rate] += 12.0
        return score_of(healthy, sound, N_WINDOWS)

    assert score_with_peak_at(own) < 6.0
    assert score_with_peak_at(beside) < 6.0
    assert score_with_peak_at(elsewhere) > 7.5


def test_bins_that_vary_between_recordings_count_less() -> None:
    """A rate that follows the load of the machine is an alert at every change."""
    loose = slice(90, 130)
    means_db = recordings(10, 0.0, 0)
    means_db[:, 3, loose] += np.random.default_rng(5).normal(0, 6.0, (10, 40))
    healthy = healthy_peaks(means_db, np.full(10, N_WINDOWS), CHANCE_DB2)

    def score_with_peak_at(rate: int) -> float:
        sound = recordings(1, 0.0, 1)[0]
        sound[3, rate] += 14.0
        return score_of(healthy, sound, N_WINDOWS)

    assert score_with_peak_at(110) < 6.0
    assert score_with_peak_at(200) > 9.0


def test_one_recording_is_not_enough() -> None:
    """A variance of one number is zero or NaN."""
    with pytest.raises(ValueError, match="two"):
        healthy_peaks(np.zeros((1, *SHAPE)), np.array([5]), CHANCE_DB2)


def test_less_than_half_a_decibel_is_never_a_fault() -> None:
    """Long recordings of a steady machine make every later recording look faulty."""
    n_windows = 7_000
    means_db = recordings(10, 0.0, 0, n_windows)
    healthy = healthy_peaks(means_db, np.full(10, n_windows), CHANCE_DB2)
    shift_db = np.zeros(SHAPE)
    shift_db[::2, ::2] = 0.4
    assert score_of(healthy, recordings(1, 0.0, 1, n_windows)[0] + shift_db, n_windows) < 5.0


def test_several_spectra_and_means_give_the_scores_of_each_alone() -> None:
    """A spectrum is scored with the bins, or a mean with the length, of another one."""
    healthy = [peaks(seed=0), healthy_peaks(np.zeros((4, 1, 40)), np.full(4, 9), 20.0)]
    rng = np.random.default_rng(4)
    windows = [(rng.normal(0, 3, SHAPE), rng.normal(0, 3, (1, 40))) for _ in range(6)]
    scores = PeakScores(healthy)
    rows = np.stack([scores.above(window) for window in windows])
    weights = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 2, 2, 0, 2], [6, 0, 0, 0, 0, 0]]) / 6
    n_windows = [6, 3, 1]
    actual = scores.of_means(weights.astype(np.float32), rows, n_windows)
    for own_weights, n, values in zip(weights, n_windows, actual, strict=True):
        for number, one in enumerate(healthy):
            mean = np.sum(
                [w * s[number] for w, s in zip(own_weights, windows, strict=True)], axis=0
            )
            assert values[number] == pytest.approx(score_of(one, mean, n), rel=1e-4)


def test_threads_do_not_disturb_each_other() -> None:
    """Machines share arrays: one would get the score of another."""
    scores = PeakScores([peaks()])
    rows = [scores.above([one]) for one in recordings(8, 1.0, 7)]
    expected = [scores.of(row, 3) for row in rows]
    with ThreadPoolExecutor(8) as threads:
        actual = list(threads.map(lambda row: scores.of(row, 3), rows * 40))
    assert actual == expected * 40
