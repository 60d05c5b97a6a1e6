"""Peaks that stand out of healthy recordings: noise gives the same score for any length."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.domain import DoubleArray
from monitor.model.peaks import HealthyPeaks, healthy_peaks

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


@pytest.mark.parametrize("between_db", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("n_windows", [3, 28, 300])
def test_healthy_sound_scores_alike_for_any_length(n_windows: int, between_db: float) -> None:
    """Short spans of a healthy machine raise alerts, or long ones hide faults."""
    healthy = peaks(20, between_db)
    scores = [
        healthy.score(one, n_windows) for one in recordings(20, between_db, 1, n_windows=n_windows)
    ]
    assert min(scores) > 2.0
    assert max(scores) < 6.0


def test_few_recordings_do_not_make_healthy_sound_look_faulty() -> None:
    """A variance of three numbers is often near zero by chance."""
    healthy = peaks(3, between_db=1.0)
    assert max(healthy.score(one, N_WINDOWS) for one in recordings(20, 1.0, 1)) < 7.0


def test_the_score_is_the_norm_of_what_stands_out() -> None:
    """The score is not that of the formula."""
    healthy = HealthyPeaks(np.zeros((1, 40)), np.full((1, 40), 3.0), 32.0, 4)
    values = np.full((1, 40), -20.0)
    assert healthy.score(values, 8) == 0.0
    values[0, 5], values[0, 9] = 6.0, 4.0
    deviation = np.sqrt(3.0 * 1.25 + 32.0 / 8)
    expected = ((6.0 / deviation) ** 6 + (4.0 / deviation) ** 6) ** (1 / 6)
    assert healthy.score(values, 8) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_score_is_the_same_after_scores_of_other_lengths(dtype: type[np.floating]) -> None:
    """What is kept for one number of windows is used for another one."""
    healthy, sound = peaks(), recordings(1, 0.5, 1)[0].astype(dtype)
    lengths = [*range(1, 20), 5, 1, 300, 19]
    expected = [peaks().score(sound, n) for n in lengths]
    assert [healthy.score(sound, n) for n in lengths] == expected
    for n, score in zip(lengths, expected, strict=True):
        variance = healthy.variance_db2 * (1 + 1 / 10) + CHANCE_DB2 / n
        z = np.maximum(0.0, sound - healthy.level_db) / np.sqrt(variance)
        assert score == pytest.approx(np.linalg.norm(z.ravel(), 6), rel=1e-5)


def test_the_highest_place_is_where_the_deviation_is_largest() -> None:
    """An alert names a rate that is as loud as ever, because it varies in any case."""
    level, variance = np.zeros((3, 40)), np.full((3, 40), 3.0)
    level[2, 9], variance[0, 5] = -9.0, 400.0
    healthy = HealthyPeaks(level, variance, 32.0, 4)
    sound = np.full((3, 40), -20.0)
    assert healthy.highest(sound, 8) == (0, 5)
    sound[0, 5], sound[1, 30], sound[2, 9] = 12.0, 6.0, -2.0
    assert healthy.highest(sound, 8) == (2, 9)
    sound[1, 30] = 8.0
    assert healthy.highest(sound.astype(np.float32), 8) == (1, 30)
    # Over few windows, chance hides how much a bin varies between recordings.
    sound[0, 5], sound[1, 30] = 80.0, 40.0
    assert healthy.highest(sound, 8) == (1, 30)
    healthy = HealthyPeaks(level, variance, 32_000.0, 4)
    assert healthy.highest(sound, 8) == (0, 5)


def test_a_new_peak_stands_out_and_one_of_the_machine_does_not() -> None:
    """A fault is not seen, or the machine's own rate is an alert."""
    own, beside, elsewhere = 100, 101, 110
    means_db = recordings(10, 0.5, 0)
    means_db[:, 3, own] += 15.0
    healthy = healthy_peaks(means_db, np.full(10, N_WINDOWS), CHANCE_DB2)

    def score_with_peak_at(rate: int) -> float:
        sound = recordings(1, 0.5, 1)[0]
        sound[3, rate] += 12.0
        return healthy.score(sound, N_WINDOWS)

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
        return healthy.score(sound, N_WINDOWS)

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
    assert healthy.score(recordings(1, 0.0, 1, n_windows)[0] + shift_db, n_windows) < 5.0
